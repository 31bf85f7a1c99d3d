//! Steps that file systems are asked for, by mount: one that never answers holds up nobody
//! else. What hangs keeps its turn, so that it cannot take all threads there are.

use super::{Refusal, Trouble};
use crate::http::Status;
use crate::site::DeviceId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Steps that one mount is asked for at once; further ones wait.
const AT_ONCE: usize = 8;
/// The same of all mounts: so many threads at most, and three mounts may hang.
const ALL_AT_ONCE: usize = 4 * AT_ONCE;

/// Those of one prefix.
#[derive(Debug)]
pub(super) struct Lanes {
    limit: Duration,
    all: Arc<Semaphore>,
    lanes: Mutex<HashMap<Option<DeviceId>, Weak<Lane>>>,
}

impl Lanes {
    /// Each step may take `limit`, and so may the wait for its turn.
    pub(super) fn new(limit: Duration) -> Lanes {
        Lanes {
            limit,
            all: Arc::new(Semaphore::new(ALL_AT_ONCE)),
            lanes: Mutex::default(),
        }
    }

    /// That of a mount; all whose mount is not known have the same.
    pub(super) fn of(&self, device: Option<DeviceId>) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(&device).and_then(Weak::upgrade) {
            return lane;
        }
        // A mount that nobody asks anything of any more is not remembered.
        lanes.retain(|_, lane| lane.strong_count() > 0);
        let lane = Arc::new(Lane {
            limit: self.limit,
            own: Arc::new(Semaphore::new(AT_ONCE)),
            all: self.all.clone(),
            change: Mutex::default(),
        });
        lanes.insert(device, Arc::downgrade(&lane));
        lane
    }
}

/// That of one mount.
#[derive(Debug)]
pub(super) struct Lane {
    limit: Duration,
    own: Arc<Semaphore>,
    all: Arc<Semaphore>,
    change: Mutex<()>,
}

/// Leave to ask for one step.
#[derive(Debug)]
pub(super) struct Turn {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
    /// Another in its place would not know of this turn.
    _lane: Arc<Lane>,
}

impl Lane {
    /// Has the file system do something, when it is its turn and as long as it may take.
    pub(super) async fn step<T: Send + 'static>(
        self: &Arc<Lane>,
        work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.decide(|_| work()).await
    }

    /// The same for what changes something: once it has decided that, it is waited for to the end, so that nobody is
    /// told of a failure that is none; once it was given up, it changes nothing.
    pub(super) async fn decide<T: Send + 'static>(
        self: &Arc<Lane>,
        work: impl FnOnce(&Decision) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Refusal> {
        let Ok(Ok(turn)) = timeout(self.limit, self.turn()).await else {
            return Err(Status::GatewayTimeout.into());
        };
        let decision = Arc::new(Decision::default());
        let decides = decision.clone();
        let mut working = spawn_blocking(move || {
            let _turn = turn;
            work(&decides)
        });
        let outcome = match timeout(self.limit, &mut working).await {
            Ok(outcome) => outcome,
            Err(_) if decision.take() => return Err(Status::GatewayTimeout.into()),
            Err(_) => working.await,
        };
        match outcome {
            Ok(done) => done.map_err(|trouble| trouble.status().into()),
            Err(_) => Err(Status::InternalServerError.into()),
        }
    }

    /// The next turn. Who waits for the mount's own takes none of the others'.
    pub(super) async fn turn(self: &Arc<Lane>) -> Result<Turn, AcquireError> {
        Ok(Turn {
            _own: self.own.clone().acquire_owned().await?,
            _all: self.all.clone().acquire_owned().await?,
            _lane: self.clone(),
        })
    }

    /// Held from the look at what is there to its change. Blocks.
    pub(super) fn alone(&self) -> MutexGuard<'_, ()> {
        self.change.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether something is changed, or given up: who comes first decides.
#[derive(Debug, Default)]
pub(super) struct Decision(AtomicBool);

impl Decision {
    /// True for the first who asks.
    pub(super) fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};
    use tokio::runtime::{Builder, Runtime};

    const LIMIT: Duration = Duration::from_millis(50);

    fn runtime() -> Runtime {
        let mut builder = Builder::new_current_thread();
        builder.enable_time().build().expect("a runtime")
    }

    /// Has a mount hang, until the result is dropped, with as many steps as it may be asked for at once and one more.
    async fn hang(lanes: &Lanes, device: DeviceId) -> Vec<Sender<()>> {
        let mut held = Vec::new();
        let too_late = Err(Refusal::With(Status::GatewayTimeout));
        for _ in 0..=AT_ONCE {
            let (end, never) = channel::<()>();
            let step = move || {
                let _ = never.recv();
                Ok(())
            };
            assert_eq!(lanes.of(Some(device)).step(step).await, too_late);
            held.push(end);
        }
        held
    }

    #[test]
    fn mounts_that_hang_keep_their_turns_and_no_others() {
        let (runtime, lanes) = (runtime(), Lanes::new(LIMIT));
        runtime.block_on(async {
            let mut held = Vec::new();
            for device in 1..=3 {
                held.push(hang(&lanes, device).await);
                assert_eq!(lanes.of(None).step(move || Ok(device)).await, Ok(device));
            }
            // All together there is an end to it.
            held.push(hang(&lanes, 4).await);
            let too_late = Err(Refusal::With(Status::GatewayTimeout));
            assert_eq!(lanes.of(None).step(|| Ok(())).await, too_late);
            assert_eq!(lanes.all.available_permits(), 0);
            held.pop();
            let lane = lanes.of(None);
            while lanes.all.available_permits() == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(lane.step(|| Ok(5)).await, Ok(5));
        });
    }

    #[test]
    fn a_mount_is_remembered_while_something_is_asked_of_it() {
        let (runtime, lanes) = (runtime(), Lanes::new(LIMIT));
        let count = || lanes.lanes.lock().expect("the lanes").len();
        runtime.block_on(async {
            let turn = lanes.of(Some(0)).turn().await.expect("a turn");
            for device in 1..100 {
                assert_eq!(
                    lanes.of(Some(device)).step(move || Ok(device)).await,
                    Ok(device)
                );
            }
            assert_eq!(count(), 2, "the one in use and the last");
            let lane = lanes.of(Some(0));
            assert_eq!(lane.own.available_permits(), AT_ONCE - 1);
            drop(turn);
            assert_eq!(lane.own.available_permits(), AT_ONCE);
        });
    }

    #[test]
    fn changes_on_one_mount_wait_for_each_other() {
        let lanes = Lanes::new(LIMIT);
        let (one, same, other) = (lanes.of(Some(1)), lanes.of(Some(1)), lanes.of(Some(2)));
        let _alone = one.alone();
        assert!(same.change.try_lock().is_err());
        assert!(other.change.try_lock().is_ok());
    }
}
