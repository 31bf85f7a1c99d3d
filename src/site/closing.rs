//! Descriptors are closed where blocking does no harm: a file system may be asked about
//! that too (FUSE's FLUSH, NFS's CLOSE), and never answer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

use super::mounts::DeviceId;

/// What is to be dropped, by device, by one thread for each. Copies share it.
#[derive(Debug)]
pub(super) struct Closing<T> {
    /// Of the devices for which a thread is at work.
    lines: Arc<Mutex<HashMap<DeviceId, Vec<T>>>>,
}

impl<T> Clone for Closing<T> {
    fn clone(&self) -> Self {
        Closing {
            lines: self.lines.clone(),
        }
    }
}

impl<T> Default for Closing<T> {
    fn default() -> Self {
        Closing {
            lines: Arc::default(),
        }
    }
}

impl<T: Send + 'static> Closing<T> {
    /// Has `thing` dropped by one of `threads`.
    fn drop_elsewhere(&self, device: DeviceId, thing: T, threads: &Handle) {
        let is_first = match self.lines().entry(device) {
            Entry::Occupied(mut line) => {
                line.get_mut().push(thing);
                false
            }
            Entry::Vacant(line) => {
                line.insert(vec![thing]);
                true
            }
        };
        // Not with the lock held: it may make a thread.
        if is_first {
            let closing = self.clone();
            threads.spawn_blocking(move || while closing.drop_some(device) {});
        }
    }

    /// Drops what is in line; whether anything was.
    fn drop_some(&self, device: DeviceId) -> bool {
        let mut lines = self.lines();
        let things = lines.get_mut(&device).map(mem::take).unwrap_or_default();
        if things.is_empty() {
            lines.remove(&device);
        }
        drop(lines);
        // It is here that it may take its time.
        !things.is_empty()
    }

    /// Held for moments only.
    fn lines(&self) -> MutexGuard<'_, HashMap<DeviceId, Vec<T>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open file, closed by a file thread whoever drops it.
#[derive(Debug)]
pub(super) struct Held {
    /// Until it is dropped.
    fd: Option<OwnedFd>,
    device: DeviceId,
    closing: Closing<OwnedFd>,
    /// Those of the runtime in which it was opened; without one it is closed on the spot.
    threads: Option<Handle>,
}

impl Held {
    /// To be called where it was opened.
    pub(super) fn new(fd: OwnedFd, device: DeviceId, closing: Closing<OwnedFd>) -> Held {
        Held {
            fd: Some(fd),
            device,
            closing,
            threads: Handle::try_current().ok(),
        }
    }
}

impl AsFd for Held {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_ref().expect("it is not dropped yet").as_fd()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let (Some(fd), Some(threads)) = (self.fd.take(), &self.threads) {
            self.closing.drop_elsewhere(self.device, fd, threads);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread::{self, ThreadId};
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// Says where it is dropped, and does not end before it may.
    struct Slow(u32, Sender<(u32, ThreadId)>, Receiver<()>);

    impl Drop for Slow {
        fn drop(&mut self) {
            self.1.send((self.0, thread::current().id())).unwrap();
            let _ = self.2.recv();
        }
    }

    #[test]
    fn each_device_has_a_thread_and_nobody_else_waits() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let closing = Closing::default();
        let (told, dropped) = channel();
        let put = |device, number| {
            let (may_end, end) = channel();
            let slow = Slow(number, told.clone(), end);
            closing.drop_elsewhere(device, slow, runtime.handle());
            may_end
        };
        let hangs = [put(1, 10), put(1, 11), put(1, 12)];
        let (first, thread) = dropped.recv_timeout(PATIENCE).unwrap();
        assert_eq!(first, 10);
        assert_ne!(thread, thread::current().id());
        let other = put(2, 20);
        assert_eq!(dropped.recv_timeout(PATIENCE).unwrap().0, 20);
        assert!(dropped.try_recv().is_err(), "one at a time of a device");
        drop(other);
        drop(hangs);
        let rest = [0; 2].map(|_| dropped.recv_timeout(PATIENCE).unwrap().0);
        assert_eq!(rest, [11, 12]);
        // The thread that is done may find more, and otherwise another begins.
        drop(put(1, 13));
        assert_eq!(dropped.recv_timeout(PATIENCE).unwrap().0, 13);
        drop(runtime);
        assert!(closing.lines().is_empty());
    }
}
