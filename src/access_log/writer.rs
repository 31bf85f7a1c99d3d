//! The thread that writes the access log.

use super::sink::{OpenError, Sink, Target};
use super::{Batch, Format};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

/// Batches that may wait for the writer: 8 MiB of lines and more.
const MAX_BATCHES: usize = 256;

/// What goes to the writer.
#[derive(Debug)]
pub(super) enum Message {
    /// Lines, and how many.
    Lines { lines: Vec<u8>, count: u64 },
    /// The file has been moved away: its name is to be opened again.
    Reopen,
}

/// The access log.
#[derive(Debug)]
pub struct Log {
    format: Format,
    to: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    writer: JoinHandle<()>,
}

impl Log {
    /// Opens `target` and starts the writer.
    ///
    /// # Errors
    /// The file or the journal's socket cannot be opened, or there is no thread to be had.
    pub fn open(target: Target, format: Format) -> Result<Log, OpenError> {
        let sink = Sink::open(&target)?;
        let path = target.path().to_owned();
        let (to, from) = sync_channel(MAX_BATCHES);
        let dropped = Arc::new(AtomicU64::new(0));
        let mut writer = Writer {
            target,
            sink,
            dropped: dropped.clone(),
            is_failing: false,
        };
        let writer = thread()
            .spawn(move || writer.run(&from))
            .map_err(|source| OpenError { path, source })?;
        Ok(Log {
            format,
            to,
            dropped,
            writer,
        })
    }

    /// A way to it for one worker.
    pub fn batch(&self) -> Batch {
        Batch::new(self.format, self.to.clone(), self.dropped.clone())
    }

    /// Has the file's name opened again, after a rotation, for all lines that come
    /// later.
    pub fn reopen(&self) {
        if let Err(TrySendError::Full(message)) = self.to.try_send(Message::Reopen) {
            // Somebody has to wait for a place in the queue.
            let to = self.to.clone();
            if let Err(error) = thread().spawn(move || to.send(message)) {
                tracing::error!("cannot open the access log anew: {error}");
            }
        }
    }

    /// Lines lost so far: the writer was too slow, or could not write.
    pub fn lost(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until all is written; every [`Batch`] must be gone. Returns the lines lost.
    pub fn close(self) -> u64 {
        drop(self.to);
        // It has no reason to panic; if it did, that was said on stderr.
        let _ = self.writer.join();
        self.dropped.load(Ordering::Relaxed)
    }
}

fn thread() -> std::thread::Builder {
    std::thread::Builder::new().name("xdphttpd-log".to_owned())
}

struct Writer {
    target: Target,
    sink: Sink,
    dropped: Arc<AtomicU64>,
    /// The last write failed, which has been said.
    is_failing: bool,
}

impl Writer {
    fn run(&mut self, from: &Receiver<Message>) {
        for message in from {
            match message {
                Message::Lines { lines, count } => self.write(&lines, count),
                Message::Reopen => self.reopen(),
            }
        }
    }

    fn write(&mut self, lines: &[u8], count: u64) {
        match self.sink.write(lines) {
            Ok(()) => self.is_failing = false,
            Err(error) => {
                self.dropped.fetch_add(count, Ordering::Relaxed);
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::error!("cannot write the access log: {error}; lines are lost");
                }
            }
        }
    }

    fn reopen(&mut self) {
        match Sink::open(&self.target) {
            Ok(sink) => self.sink = sink,
            Err(error) => tracing::error!("{error}; the old one is written on"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Clock, Request, Response};
    use super::*;
    use crate::site::Now;
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, UNIX_EPOCH};

    fn add(batch: &mut Batch, number: u32, now: Now) {
        let request = Request {
            remote: "10.0.0.2:5000".parse().expect("an address"),
            connection: 1,
            number,
            line: b"GET / HTTP/1.1",
            host: b"h",
            referer: b"",
            agent: b"",
            user: b"",
        };
        let response = Response {
            status: 200,
            body_bytes: number.into(),
            taken: Now::ZERO,
            is_aborted: false,
        };
        batch.add(&Clock::new(UNIX_EPOCH.into()), &request, &response, now);
    }

    fn line(number: u32) -> String {
        format!("10.0.0.2 - - [01/Jan/1970:00:00:00 +0000] \"GET / HTTP/1.1\" 200 {number}\n")
    }

    fn log(path: &Path) -> Log {
        Log::open(Target::File(path.to_owned()), Format::Common).expect("a log")
    }

    #[test]
    fn lines_reach_the_file_in_order_and_append() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("access.log");
        fs::write(&path, "before\n").expect("writing");
        let log = log(&path);
        let mut batch = log.batch();
        // Many batches' worth.
        (1..=2_000).for_each(|number| add(&mut batch, number, Now::ZERO));
        drop(batch);
        assert_eq!(log.close(), 0);
        let want: String = (1..=2_000).map(line).collect();
        assert_eq!(
            fs::read_to_string(&path).expect("reading"),
            format!("before\n{want}")
        );
    }

    #[test]
    fn a_batch_waits_no_longer_than_it_may() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("access.log");
        let log = log(&path);
        let mut batch = log.batch();
        assert_eq!(batch.due_at(), None);
        add(&mut batch, 1, Duration::from_millis(1_000));
        add(&mut batch, 2, Duration::from_millis(1_050));
        assert_eq!(batch.due_at(), Some(Duration::from_millis(1_100)));
        batch.flush(Duration::from_millis(1_099));
        assert!(batch.due_at().is_some());
        batch.flush(Duration::from_millis(1_100));
        assert_eq!(batch.due_at(), None);
        drop(batch);
        log.close();
        assert_eq!(
            fs::read_to_string(&path).expect("reading"),
            line(1) + &line(2)
        );
    }

    #[test]
    fn a_file_moved_away_is_opened_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, moved) = (
            directory.path().join("a.log"),
            directory.path().join("a.log.1"),
        );
        let log = log(&path);
        let mut batch = log.batch();
        add(&mut batch, 1, Now::ZERO);
        batch.flush(Duration::from_secs(1));
        fs::rename(&path, &moved).expect("moving");
        log.reopen();
        add(&mut batch, 2, Now::ZERO);
        drop(batch);
        assert_eq!(log.close(), 0);
        assert_eq!(fs::read_to_string(&moved).expect("reading"), line(1));
        assert_eq!(fs::read_to_string(&path).expect("reading"), line(2));
    }

    #[test]
    fn what_cannot_be_opened_is_said() {
        let missing = Target::File("/nonexistent/access.log".into());
        let error = Log::open(missing, Format::Json).expect_err("no such directory");
        let text = error.to_string();
        assert!(
            text.starts_with("cannot open the access log /nonexistent/access.log: No such"),
            "{text}"
        );
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let full = Target::File("/dev/full".into());
        let log = Log::open(full, Format::Common).expect("it can be opened");
        let mut batch = log.batch();
        (1..=3).for_each(|number| add(&mut batch, number, Now::ZERO));
        drop(batch);
        assert_eq!(log.close(), 3);
    }

    #[test]
    fn a_slow_writer_loses_lines_and_keeps_nobody_waiting() {
        let (to, from) = sync_channel(1);
        let dropped = Arc::new(AtomicU64::new(0));
        let mut batch = Batch::new(Format::Common, to, dropped.clone());
        for number in 1..=3 {
            add(&mut batch, number, Now::ZERO);
            batch.flush(Duration::from_secs(1));
        }
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
        drop(batch);
        let sent: Vec<Message> = from.into_iter().collect();
        assert!(
            matches!(&sent[..], [Message::Lines { lines, count: 1 }] if *lines == line(1).into_bytes())
        );
    }
}
