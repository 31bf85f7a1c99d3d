//! Jobs by the mount that they are for, so that one that never answers holds up nobody
//! else: a few at a time for each mount, each waiter in turn, and each ended in time.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::loader::{Done, Job};
use super::mounts::DeviceId;
use super::turns::Turns;
use super::{Now, Waiter};

/// How much a loader has done at once, and how long it waits.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Jobs that run at once for one mount.
    pub at_once: usize,
    /// Jobs of one mount that did not end in time and still run: so many are replaced by
    /// others, any more take up the places of these.
    pub lost: usize,
    /// How long a job may take, its time in line included.
    pub limit: Duration,
}

/// A job, by the order in which they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(u64);

/// Jobs in line and running.
#[derive(Debug)]
pub struct Lanes {
    patience: Patience,
    lanes: HashMap<Option<DeviceId>, Lane>,
    /// Those that have not ended; the first is due first, for all have the same time.
    jobs: BTreeMap<Number, Entry>,
    /// Those that were ended in want of time, and still run.
    lost: HashMap<Number, (Option<DeviceId>, IsReplaced)>,
    last: u64,
}

type IsReplaced = bool;

#[derive(Debug, Default)]
struct Lane {
    running: usize,
    lost: usize,
    /// Those in line and running that look something up.
    looks: usize,
    line: Turns<Owner, (Number, Job)>,
}

impl Lane {
    fn is_idle(&self) -> bool {
        self.running + self.lost == 0 && self.line.is_empty()
    }

    /// A job has ended, in time or not.
    fn count_out(&mut self, entry: &Entry) {
        self.looks -= usize::from(matches!(entry.too_late, Done::Open { .. }));
    }
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Owner {
    Waiter(Waiter),
    /// Nobody waits for it yet. In a turn of their own, for whoever comes to wait for one
    /// of these would wait for all of them.
    Job(Number),
}

#[derive(Debug)]
struct Entry {
    device: Option<DeviceId>,
    owner: Owner,
    is_running: bool,
    due_at: Now,
    /// What is said when it does not end in time.
    too_late: Done,
}

impl Lanes {
    /// Nothing to do yet.
    pub fn new(patience: Patience) -> Lanes {
        Lanes {
            patience,
            lanes: HashMap::new(),
            jobs: BTreeMap::new(),
            lost: HashMap::new(),
            last: 0,
        }
    }

    /// Puts a job for files of `device` into line, behind what `waiter` has there.
    pub fn push(&mut self, device: Option<DeviceId>, waiter: Option<Waiter>, job: Job, now: Now) {
        self.last += 1;
        let number = Number(self.last);
        let owner = waiter.map_or(Owner::Job(number), Owner::Waiter);
        let entry = Entry {
            device,
            owner,
            is_running: false,
            due_at: now + self.patience.limit,
            too_late: job.too_late(),
        };
        self.jobs.insert(number, entry);
        let lane = self.lanes.entry(device).or_default();
        lane.looks += usize::from(matches!(job, Job::Open { .. }));
        lane.line.push(owner, (number, job));
    }

    /// The next job of `device` that may begin.
    pub fn start(&mut self, device: Option<DeviceId>) -> Option<(Number, Job)> {
        let lane = self.lanes.get_mut(&device)?;
        if lane.running >= self.patience.at_once {
            return None;
        }
        let (number, job) = lane.line.pop()?;
        lane.running += 1;
        if let Some(entry) = self.jobs.get_mut(&number) {
            entry.is_running = true;
        }
        Some((number, job))
    }

    /// A job has come to its end: whose place is free, and whether anybody still waits for what came of it.
    pub fn end(&mut self, number: Number) -> (Option<DeviceId>, bool) {
        let entry = self.jobs.remove(&number);
        let (device, is_replaced) = match (&entry, self.lost.remove(&number)) {
            (Some(entry), _) => (entry.device, false),
            (None, Some(lost)) => lost,
            (None, None) => return (None, false),
        };
        if let Some(lane) = self.lanes.get_mut(&device) {
            match is_replaced {
                true => lane.lost -= 1,
                false => lane.running -= 1,
            }
            entry.iter().for_each(|entry| lane.count_out(entry));
        }
        self.tidy(device);
        (device, entry.is_some())
    }

    /// The next job whose time is over, ended: what is said of it, and whose place may be free.
    pub fn expire(&mut self, now: Now) -> Option<(Done, Option<DeviceId>)> {
        let first = self.jobs.first_entry()?;
        if now < first.get().due_at {
            return None;
        }
        let (number, entry) = first.remove_entry();
        let lane = self.lanes.entry(entry.device).or_default();
        lane.count_out(&entry);
        if entry.is_running {
            let is_replaced = lane.lost < self.patience.lost;
            if is_replaced {
                lane.running -= 1;
                lane.lost += 1;
            }
            self.lost.insert(number, (entry.device, is_replaced));
        } else {
            lane.line.remove(entry.owner, |(other, _)| *other == number);
        }
        self.tidy(entry.device);
        Some((entry.too_late, entry.device))
    }

    /// Nobody is behind `waiter` any more: their reads that have not begun need not.
    pub fn forget(&mut self, waiter: Waiter) {
        let is_read = |(_, job): &(Number, Job)| matches!(job, Job::Read { .. });
        for lane in self.lanes.values_mut() {
            for (number, _) in lane.line.remove(Owner::Waiter(waiter), is_read) {
                self.jobs.remove(&number);
            }
        }
        self.lanes.retain(|_, lane| !lane.is_idle());
    }

    /// When the next job's time is over.
    pub fn next_at(&self) -> Option<Now> {
        self.jobs.first_key_value().map(|(_, entry)| entry.due_at)
    }

    /// Jobs in line and running, but for those that were given up.
    pub fn outstanding(&self) -> usize {
        self.jobs.len()
    }

    /// Those of them that look something up on `device`.
    pub fn looks(&self, device: Option<DeviceId>) -> usize {
        self.lanes.get(&device).map_or(0, |lane| lane.looks)
    }

    /// A mount that nobody asks anything of any more is not remembered.
    fn tidy(&mut self, device: Option<DeviceId>) {
        if self.lanes.get(&device).is_some_and(Lane::is_idle) {
            self.lanes.remove(&device);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::HostId;
    use crate::site::files::Found;
    use std::io::ErrorKind;

    const DISK: Option<DeviceId> = Some(1);
    const REMOTE: Option<DeviceId> = Some(2);

    fn lanes() -> Lanes {
        Lanes::new(Patience {
            at_once: 2,
            lost: 1,
            limit: Duration::from_secs(10),
        })
    }

    fn look(name: &str) -> Job {
        Job::Open {
            waiter: None,
            host: HostId::DEFAULT,
            name: name.as_bytes().into(),
            known: None,
        }
    }

    fn at(seconds: u64) -> Now {
        Duration::from_secs(seconds)
    }

    /// Begins what can begin of `device`: numbers and names.
    fn begin(lanes: &mut Lanes, device: Option<DeviceId>) -> Vec<(Number, String)> {
        let begun = std::iter::from_fn(|| lanes.start(device));
        begun
            .map(|(number, job)| (number, name(&job.failed())))
            .collect()
    }

    fn names(begun: &[(Number, String)]) -> Vec<&str> {
        begun.iter().map(|(_, name)| name.as_str()).collect()
    }

    fn name(done: &Done) -> String {
        match done {
            Done::Open { name, .. } => String::from_utf8_lossy(name).into_owned(),
            other => panic!("{other:?}"),
        }
    }

    /// What ends for want of time, by name.
    fn expire(lanes: &mut Lanes, now: Now) -> Vec<String> {
        let ended = std::iter::from_fn(|| lanes.expire(now));
        let told = |(done, _)| {
            assert!(matches!(
                done,
                Done::Open {
                    found: Found::Failed(ErrorKind::TimedOut),
                    ..
                }
            ));
            name(&done)
        };
        ended.map(told).collect()
    }

    #[test]
    fn each_mount_has_its_own_places() {
        let mut lanes = lanes();
        for number in 0..4 {
            lanes.push(
                REMOTE,
                Some(Waiter(number)),
                look(&format!("remote{number}")),
                at(0),
            );
        }
        lanes.push(DISK, Some(Waiter(9)), look("disk"), at(0));
        let remote = begin(&mut lanes, REMOTE);
        assert_eq!(names(&remote), ["remote0", "remote1"]);
        let disk = begin(&mut lanes, DISK);
        assert_eq!(names(&disk), ["disk"]);
        assert_eq!(lanes.end(disk[0].0), (DISK, true));
        assert_eq!(lanes.end(remote[1].0), (REMOTE, true));
        assert_eq!(names(&begin(&mut lanes, REMOTE)), ["remote2"]);
        assert_eq!(lanes.outstanding(), 3);
    }

    #[test]
    fn what_does_not_end_in_time_is_ended_and_replaced_as_often_as_may_be() {
        let mut lanes = lanes();
        for (number, second) in [(0, 0), (1, 1), (2, 2), (3, 9)] {
            lanes.push(
                REMOTE,
                Some(Waiter(number)),
                look(&number.to_string()),
                at(second),
            );
        }
        let begun = begin(&mut lanes, REMOTE);
        assert_eq!(names(&begun), ["0", "1"]);
        assert_eq!(lanes.next_at(), Some(at(10)));
        assert_eq!(expire(&mut lanes, at(9)), [""; 0]);
        // The first is lost and replaced; the second, lost too, keeps its place.
        assert_eq!(expire(&mut lanes, at(10)), ["0"]);
        let replacement = begin(&mut lanes, REMOTE);
        assert_eq!(names(&replacement), ["2"]);
        assert_eq!(expire(&mut lanes, at(12)), ["1", "2"]);
        assert!(begin(&mut lanes, REMOTE).is_empty(), "no more replacements");
        // What never began ends in time too.
        assert_eq!(expire(&mut lanes, at(19)), ["3"]);
        assert_eq!((lanes.outstanding(), lanes.next_at()), (0, None));
        // The mount answers at last: nobody waits for that, and all places are free again.
        for (number, _) in begun.into_iter().chain(replacement) {
            assert_eq!(lanes.end(number), (REMOTE, false));
        }
        assert!(lanes.lanes.is_empty() && lanes.lost.is_empty());
        lanes.push(REMOTE, Some(Waiter(1)), look("again"), at(20));
        assert_eq!(names(&begin(&mut lanes, REMOTE)), ["again"]);
    }

    #[test]
    fn each_waiter_has_a_turn() {
        let mut lanes = lanes();
        for number in 0..3 {
            lanes.push(DISK, Some(Waiter(1)), look(&format!("many{number}")), at(0));
        }
        lanes.push(DISK, Some(Waiter(2)), look("one"), at(0));
        let begun = begin(&mut lanes, DISK);
        assert_eq!(names(&begun), ["many0", "one"]);
    }

    #[test]
    fn what_nobody_waits_for_yet_is_in_nobodys_way() {
        let mut lanes = lanes();
        for number in 0..3 {
            lanes.push(DISK, None, look(&format!("known{number}")), at(0));
        }
        for number in 0..3 {
            let waiter = Some(Waiter(1));
            lanes.push(DISK, waiter, look(&format!("many{number}")), at(0));
        }
        let mut order = Vec::new();
        while let Some((number, job)) = lanes.start(DISK) {
            order.push(name(&job.failed()));
            lanes.end(number);
        }
        let expected = ["known0", "known1", "known2", "many0", "many1", "many2"];
        assert_eq!(order, expected);
    }

    #[test]
    fn looks_are_counted_by_mount() {
        let mut lanes = lanes();
        for second in 0..3 {
            lanes.push(REMOTE, None, look("remote"), at(second));
        }
        assert_eq!((lanes.looks(REMOTE), lanes.looks(DISK)), (3, 0));
        let begun = begin(&mut lanes, REMOTE);
        assert_eq!(lanes.looks(REMOTE), 3);
        lanes.end(begun[0].0);
        assert_eq!(lanes.looks(REMOTE), 2);
        assert_eq!(expire(&mut lanes, at(12)).len(), 2);
        assert_eq!(lanes.looks(REMOTE), 0);
        lanes.end(begun[1].0);
        assert!(lanes.lanes.is_empty());
    }

    #[test]
    fn reads_that_nobody_waits_for_are_not_begun() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let content = vec![7; 300_000];
        std::fs::write(directory.path().join("big"), content).expect("a file");
        let root = crate::site::Root::open(directory.path()).expect("a root");
        let Found::File { identity, .. } = crate::site::files::open(&root, b"big", None) else {
            panic!("it is there");
        };
        let crate::site::Body::Open(file) = identity.body else {
            panic!("it is too large for memory");
        };
        let read = |waiter| Job::Read {
            read: crate::site::ReadId(0),
            waiter,
            file: file.clone(),
            offset: 0,
            len: 10,
        };
        let mut lanes = lanes();
        for waiter in [1, 2, 3, 2] {
            lanes.push(DISK, Some(Waiter(waiter)), read(Waiter(waiter)), at(0));
        }
        lanes.push(DISK, Some(Waiter(2)), look("name"), at(0));
        lanes.forget(Waiter(2));
        // A look is for all who ask for that name.
        assert_eq!(lanes.outstanding(), 3);
        let running: Vec<Number> = std::iter::from_fn(|| lanes.start(DISK))
            .map(|(number, _)| number)
            .collect();
        assert_eq!(running.len(), 2);
        lanes.forget(Waiter(1));
        assert_eq!(lanes.outstanding(), 3, "what runs, runs");
    }
}
