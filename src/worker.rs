//! The worker: the only loop over rings, one thread for one RX queue, or for several
//! where there are fewer processors.
//!
//! A round polls what is due, takes a batch of received frames of each queue through
//! the stack, delivers the files that were loaded, publishes the frames to send and kicks
//! the kernel once. A round without work is followed by a short spin and
//! then by sleep in `poll()` on the XSKs and one eventfd (file completions and
//! control messages), until the next timer.
//!
//! However many queues it has, a worker has one stack: a connection whose segments change
//! between them needs no relay, files are in memory once, and what is limited is limited
//! for all of them together. It sends on its first queue only: what a connection sends
//! stays in order, and a round has one kick. A processor can't make more frames than one
//! TX queue takes.

mod lane;

use crate::config::RX_BATCH;
use crate::net::figures::Listing;
use crate::net::{FrameSink, Instant, Stack};
use crate::relay::Relay;
use crate::service::HttpService;
use crate::site::PoolLoader;
use crate::stats::Snapshot;
use crate::xsk::{self, Tx, Wake, Xsk};
use lane::Lane;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::time::Timespec;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::sync::oneshot;

/// The longest sleep: a worker looks around that often even when all is quiet.
const MAX_SLEEP: Duration = Duration::from_secs(1);
/// Frames received from one look at the clock to the next, which costs as much as a
/// hundredth of a request.
const CLOCK_EVERY: usize = 4;
/// How often a worker that waits for TX room looks again: the kernel signals
/// room in the TX ring but not completions.
const ROOM_RETRY: Duration = Duration::from_micros(200);
/// How often a worker with frames to send tries a device that is down.
const DOWN_RETRY: Duration = Duration::from_millis(50);
/// How often counters are copied out while there is work.
const PUBLISH_EVERY: Duration = Duration::from_millis(100);
/// How often a draining worker looks whether all is said.
const DRAIN_CHECK: Duration = Duration::from_millis(5);
/// How often the kernel is asked for its counters of the socket.
const KERNEL_EVERY: Duration = Duration::from_millis(500);
/// Rounds in a row that timers wait for frames that have come already: some milliseconds.
const MAX_BEHIND: u32 = 8;
/// Connections that are listed at most: a fraction of a millisecond for all.
const LISTED: usize = 1_000;

/// What a worker does while nothing comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// How long it looks again and again before it sleeps.
    pub spin: Duration,
    /// Whether looking is asking the kernel to receive.
    pub busy_poll: bool,
}

/// What a worker can be told.
pub enum Control {
    /// The addresses served have changed (`None`: any).
    Addresses(Option<Vec<Ipv4Addr>>),
    /// Show the connections.
    List(oneshot::Sender<Listing>),
    /// Finish what is in flight, then end; after the time given, end anyway.
    Drain(Duration),
}

/// Wakes a sleeping worker from any thread.
#[derive(Clone)]
pub struct Waker(Arc<Bell>);

struct Bell {
    /// What sleep looks at.
    eventfd: OwnedFd,
    /// What a busy worker looks at: a load instead of a system call and of a
    /// look into each queue.
    rung: AtomicBool,
}

impl Waker {
    /// A new eventfd.
    ///
    /// # Errors
    /// As eventfd(2): out of descriptors.
    pub fn new() -> rustix::io::Result<Waker> {
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Waker(Arc::new(Bell {
            eventfd,
            rung: AtomicBool::new(false),
        })))
    }

    /// Wakes the worker, or keeps it from falling asleep. To be called when what
    /// it is to find is there.
    pub fn wake(&self) {
        self.0.rung.store(true, Ordering::Release);
        // EAGAIN means that the counter is at its limit: it will wake.
        let _ = rustix::io::write(&self.0.eventfd, &1u64.to_ne_bytes());
    }

    /// Whether the bell was rung since the last look.
    fn answer(&self) -> bool {
        // A plain load first: it leaves the cache line shared.
        self.0.rung.load(Ordering::Relaxed) && self.0.rung.swap(false, Ordering::Acquire)
    }

    fn clear(&self) {
        // EAGAIN means that nobody has called: as good.
        let _ = rustix::io::read(&self.0.eventfd, &mut [0; 8]);
    }
}

/// The other end of a worker.
pub struct Remote {
    control: Sender<Control>,
    waker: Waker,
    /// What the worker counted when it last had a moment.
    pub snapshot: Arc<Mutex<Snapshot>>,
}

impl Remote {
    /// Tells the worker something; one that has ended does not hear.
    pub fn tell(&self, message: Control) {
        let _ = self.control.send(message);
        self.waker.wake();
    }
}

/// Why a worker ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket failed.
    #[error(transparent)]
    Xsk(#[from] xsk::Error),
    /// poll(2) failed.
    #[error("poll() on the AF_XDP socket of queue {queue} failed: {source}")]
    Poll {
        /// The worker's first RX queue.
        queue: u32,
        /// What the kernel said.
        source: Errno,
    },
}

/// The worker of some queues, ready to run in its thread.
pub struct Worker {
    lanes: Vec<Lane>,
    /// Which of them comes first in the next round.
    first_lane: usize,
    /// Of the first queue.
    tx: Tx,
    stack: Stack<HttpService<PoolLoader>>,
    control: Receiver<Control>,
    waker: Waker,
    relay: Relay,
    snapshot: Arc<Mutex<Snapshot>>,
    origin: std::time::Instant,
    waiting: Waiting,
    published: Instant,
    kernel_asked: Instant,
    /// Rounds in a row whose batch was full, since timers had their turn.
    behind: u32,
    /// When frames that the kernel did not take yet want another kick.
    kick_after: Option<Duration>,
    drain_until: Option<Instant>,
    drain_check_at: Instant,
}

impl Worker {
    /// A worker of the queue of `first` and those of `more`, and its other end. `waker` is
    /// the one that the stack's loader wakes, `relay` its way to the other workers, `origin`
    /// the time from which its clock counts.
    pub fn new(
        (first, more): (Xsk, Vec<Xsk>),
        stack: Stack<HttpService<PoolLoader>>,
        waker: Waker,
        relay: Relay,
        origin: std::time::Instant,
        waiting: Waiting,
    ) -> (Worker, Remote) {
        let (sender, control) = channel();
        let snapshot = Arc::new(Mutex::new(Snapshot::default()));
        let remote = Remote {
            control: sender,
            waker: waker.clone(),
            snapshot: snapshot.clone(),
        };
        let Xsk { rx, tx, .. } = first;
        let lanes = std::iter::once(rx).chain(more.into_iter().map(|xsk| xsk.rx));
        let worker = Worker {
            lanes: lanes.map(|rx| Lane::new(rx, waiting.busy_poll)).collect(),
            first_lane: 0,
            tx,
            stack,
            control,
            waker,
            relay,
            snapshot,
            origin,
            waiting,
            published: Instant::ZERO,
            kernel_asked: Instant::ZERO,
            behind: 0,
            kick_after: None,
            drain_until: None,
            drain_check_at: Instant::ZERO,
        };
        (worker, remote)
    }

    /// Runs until told to drain, or until the socket fails.
    ///
    /// # Errors
    /// What made the socket unusable.
    pub fn run(mut self) -> Result<(), Error> {
        let mut last_work = self.now();
        loop {
            let now = self.now();
            let worked = self.round(now)?;
            if self.has_drained(now) {
                self.stack.abort_all(now, &mut self.tx);
                self.send()?;
                self.publish(now);
                return Ok(());
            }
            if worked {
                last_work = now;
                if now > self.published + PUBLISH_EVERY.into() {
                    self.publish(now);
                }
            } else if now > last_work + self.waiting.spin.into() {
                self.publish(now);
                self.sleep(now)?;
                last_work = self.now();
            } else {
                std::hint::spin_loop();
            }
        }
    }

    /// One look at everything; whether there was anything.
    fn round(&mut self, now: Instant) -> Result<bool, Error> {
        let is_late = self.stack.app.next_at().is_some_and(|at| at <= now);
        self.stack.app.tick(now, SystemTime::now);
        // First, so that those who wait for room have it before new frames do. But while
        // more frames wait than were taken, timers would take for lost what these acknowledge.
        if self.behind == 0 {
            self.stack.poll(now, &mut self.tx);
        }
        let received = self.receive();
        self.behind = match self.lanes.iter().any(Lane::is_behind) {
            true if self.behind < MAX_BEHIND => self.behind + 1,
            _ => 0,
        };
        let rung = self.waker.answer();
        if rung {
            let now = self.now();
            self.listen(now);
            self.deliver(now);
            self.receive_passed(now);
        }
        if is_late {
            // What the file system did not answer in time was answered for it.
            self.deliver(now);
        }
        let sent = self.send()?;
        if received || self.waiting.busy_poll {
            for lane in &mut self.lanes {
                lane.refill()?;
            }
        }
        Ok(received || rung || sent)
    }

    /// Takes frames of all queues through the stack while what they cause can be sent;
    /// whether there were any.
    fn receive(&mut self) -> bool {
        let Worker {
            lanes,
            stack,
            tx,
            relay,
            origin,
            ..
        } = self;
        let has_siblings = !relay.is_alone();
        let mut received = false;
        let (last, first) = lanes.split_at_mut(self.first_lane);
        for lane in first.iter_mut().chain(last) {
            let mut now = Instant::ZERO;
            let accepted = stack.counters.accepted;
            let mut count = 0;
            while count < RX_BATCH && Tx::ready(tx) {
                let Some(frame) = lane.rx.next() else { break };
                // Round trips are measured by what the clock says here: it must not be
                // from before a frame came, or they seem shorter than the path is.
                if count % CLOCK_EVERY == 0 {
                    now = since(*origin);
                }
                let bytes = lane.rx.bytes(&frame);
                if !stack.offer(bytes, has_siblings, now, tx) && !relay.pass(bytes) {
                    stack.frame(bytes, now, tx);
                }
                lane.rx.recycle(frame);
                count += 1;
            }
            lane.note(count, stack.counters.accepted - accepted);
            received |= count > 0;
        }
        // Each has its turn to be the first: little room for answers is not always the
        // same one's.
        self.first_lane += 1;
        if self.first_lane >= self.lanes.len() {
            self.first_lane = 0;
        }
        received
    }

    /// Takes the frames that other workers have no connection for.
    fn receive_passed(&mut self, now: Instant) {
        let tx = &mut self.tx;
        while Tx::ready(tx) {
            let Some(passed) = self.relay.take() else {
                return;
            };
            if self.stack.offer(&passed.frame, true, now, tx) {
                self.stack.counters.relayed += 1;
            } else if let Err(passed) = self.relay.pass_on(passed) {
                self.stack.frame(&passed.frame, now, tx);
            }
        }
        // The rest when there is room.
        self.waker.wake();
    }

    /// Hands loaded files, and what tasks have to say, to the connections that wait for it.
    fn deliver(&mut self, now: Instant) {
        while let Some((id, completed)) = self.stack.app.completed() {
            self.stack.wake(id, now, &mut self.tx, |app, conn| {
                app.deliver(id, conn, completed, now);
            });
        }
    }

    /// Publishes queued frames and kicks the kernel; whether that moved any.
    fn send(&mut self) -> Result<bool, Error> {
        let tx = &mut self.tx;
        tx.commit();
        let wake = tx.wake()?;
        let moved = tx.reclaim() > 0;
        self.kick_after = match wake {
            Wake::Done => None,
            Wake::Again | Wake::Dropped if moved => Some(Duration::ZERO),
            Wake::Again | Wake::Dropped | Wake::Full => Some(ROOM_RETRY),
            Wake::Down => Some(DOWN_RETRY),
        };
        Ok(moved)
    }

    /// Does what the server says.
    fn listen(&mut self, now: Instant) {
        while let Ok(message) = self.control.try_recv() {
            match message {
                Control::Addresses(addresses) => self.stack.set_addresses(addresses),
                Control::List(to) => {
                    // Who asked may have lost patience.
                    let _ = to.send(self.stack.listing(LISTED, now));
                }
                Control::Drain(limit) => {
                    self.drain_until = Some(now + limit.into());
                    self.stack.drain(now, &mut self.tx);
                }
            }
        }
    }

    /// Whether the end has come; looks at all connections, but not in every
    /// round.
    fn has_drained(&mut self, now: Instant) -> bool {
        let Some(until) = self.drain_until else {
            return false;
        };
        if now < self.drain_check_at {
            return false;
        }
        self.drain_check_at = now + DRAIN_CHECK.into();
        now >= until || self.stack.is_drained(now)
    }

    /// Sleeps until a frame, an event or the next timer.
    fn sleep(&mut self, now: Instant) -> Result<(), Error> {
        let wake_at = self.wake_at(now);
        let sleep_us = (wake_at - now.min(wake_at)).total_micros();
        let timeout = Timespec {
            tv_sec: (sleep_us / 1_000_000) as i64,
            tv_nsec: (sleep_us % 1_000_000 * 1_000) as i64,
        };
        // Frames that could not be answered must not keep it awake.
        let frames = if self.tx.ready() {
            PollFlags::IN
        } else {
            PollFlags::empty()
        };
        let bell = PollFd::from_borrowed_fd(self.waker.0.eventfd.as_fd(), PollFlags::IN);
        let frames_of = |lane| PollFd::from_borrowed_fd(Lane::as_fd(lane), frames);
        let woken = match &self.lanes[..] {
            [only] => wait(&mut [bell, frames_of(only)], &timeout),
            lanes => {
                let mut fds = vec![bell];
                fds.extend(lanes.iter().map(frames_of));
                wait(&mut fds, &timeout)
            }
        };
        if woken.map_err(|source| self.refused(source))? {
            self.waker.clear();
        }
        Ok(())
    }

    fn refused(&self, source: Errno) -> Error {
        let queue = self.lanes.first().map_or(0, |lane| lane.rx.queue());
        Error::Poll { queue, source }
    }

    /// When there will be something to do even if nothing comes.
    fn wake_at(&mut self, now: Instant) -> Instant {
        let mut wake_at = now + MAX_SLEEP.into();
        // Who waits for room waits for completions, which poll() does not
        // report; with the device down there will be none.
        let waits = self.stack.next_at() == Some(Instant::ZERO) || !self.tx.ready();
        if let Some(after) = self.kick_after.or(waits.then_some(ROOM_RETRY)) {
            wake_at = wake_at.min(now + after.into());
        }
        if let Some(at) = self.stack.next_at().filter(|&at| at != Instant::ZERO) {
            wake_at = wake_at.min(at.max(now));
        }
        if let Some(at) = self.stack.app.next_at() {
            wake_at = wake_at.min(at.max(now));
        }
        if let Some(until) = self.drain_until {
            wake_at = wake_at.min(until).min(self.drain_check_at).max(now);
        }
        wake_at
    }

    /// Copies the counters out, unless somebody is reading them right now.
    fn publish(&mut self, now: Instant) {
        if now > self.kernel_asked + KERNEL_EVERY.into() {
            self.kernel_asked = now;
            self.lanes.iter_mut().for_each(Lane::ask_kernel);
        }
        self.published = now;
        if let Ok(mut snapshot) = self.snapshot.try_lock() {
            snapshot.census = self.stack.census();
            snapshot.net = self.stack.counters;
            snapshot.http = self.stack.app.counters;
            snapshot.tx = *self.tx.counters();
            snapshot.queues.clear();
            snapshot.queues.extend(self.lanes.iter().map(Lane::figures));
        }
    }

    fn now(&self) -> Instant {
        since(self.origin)
    }
}

/// As poll(2); whether the first is ready.
fn wait(fds: &mut [PollFd<'_>], timeout: &Timespec) -> rustix::io::Result<bool> {
    match poll(fds, Some(timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(fds.first().is_some_and(|fd| !fd.revents().is_empty())),
        Err(errno) => Err(errno),
    }
}

fn since(origin: std::time::Instant) -> Instant {
    Instant::from_micros(origin.elapsed().as_micros() as i64)
}

impl FrameSink for Tx {
    fn ready(&mut self) -> bool {
        Tx::ready(self)
    }

    fn reserve(&mut self, len_bytes: usize) -> Option<&mut [u8]> {
        Tx::reserve(self, len_bytes)
    }

    fn submit(&mut self, len_bytes: usize) {
        Tx::submit(self, len_bytes);
    }

    fn finishes_checksums(&self) -> bool {
        Tx::finishes_checksums(self)
    }
}
