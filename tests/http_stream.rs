//! Bodies that are read while they are sent.

mod http_support;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use bytes::Bytes;
use http_support::*;
use xdphttpd::http::stream::{CHUNK_BYTES, MAX_CHUNKS};
use xdphttpd::site::{Done, InlineLoader, Job, Loader, ReadError, Root, Roots};

const GET: &[u8] = b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n";

/// Finishes jobs in the opposite order.
struct BackwardLoader {
    inner: InlineLoader,
    done: Vec<Done>,
}

impl Loader for BackwardLoader {
    fn submit(&mut self, job: Job) -> Result<(), Job> {
        self.inner.submit(job)
    }

    fn completed(&mut self) -> Option<Done> {
        self.done
            .extend(std::iter::from_fn(|| self.inner.completed()));
        self.done.pop()
    }
}

/// Reads the first and the last chunk of a file from it and makes up the zeros between, which would take seconds.
struct EndsLoader {
    inner: InlineLoader,
    zeros: Bytes,
    done: VecDeque<Done>,
}

impl Loader for EndsLoader {
    fn submit(&mut self, job: Job) -> Result<(), Job> {
        match job {
            Job::Read {
                read,
                waiter,
                offset,
                len,
                ..
            } if offset > 0 && len == CHUNK_BYTES => {
                self.done.push_back(Done::Read {
                    read,
                    waiter,
                    result: Ok(self.zeros.clone()),
                });
                Ok(())
            }
            job => self.inner.submit(job),
        }
    }

    fn completed(&mut self) -> Option<Done> {
        self.inner.completed().or_else(|| self.done.pop_front())
    }
}

/// Content in which no two positions look alike.
fn content(len: usize) -> Vec<u8> {
    (0..len as u32)
        .map(|index| (index.wrapping_mul(2_654_435_761) >> 11) as u8)
        .collect()
}

fn body(sent: &[u8]) -> &[u8] {
    let end = sent
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap()
        + 4;
    &sent[end..]
}

#[test]
fn a_large_file_arrives_byte_for_byte_with_two_chunks_ahead_at_most() {
    let content = content(3 * 1024 * 1024 + 17);
    let fixture = Fixture::new(&[("big", &content)]);
    let reads = Rc::new(RefCell::new(Vec::new()));
    let mut client = Client::new(NotingLoader {
        inner: fixture.inline_loader(),
        reads: reads.clone(),
    });
    client.input(GET);
    let head = fixture.ok_head("big", "application/octet-stream", "");
    loop {
        while client.deliver() {}
        let asked_bytes: usize = reads.borrow().iter().map(|(_, len)| len).sum();
        let body_sent = client.sent.len().saturating_sub(head.len());
        assert!(
            asked_bytes <= body_sent + MAX_CHUNKS * CHUNK_BYTES,
            "{asked_bytes} asked, {body_sent} sent"
        );
        if client.send(9_973) == 0 {
            break;
        }
    }
    assert_same(&client.sent[..head.len()], head.as_bytes(), "head");
    assert!(body(&client.sent) == content);
    assert!(client.conn.is_idle());
    assert_eq!(client.counters.body_bytes, content.len() as u64);
    let expected: Vec<_> = (0..12)
        .map(|index| (index * CHUNK_BYTES as u64, CHUNK_BYTES))
        .chain([(3 << 20, 17)])
        .collect();
    assert_eq!(*reads.borrow(), expected);
}

#[test]
fn chunks_that_arrive_out_of_order_are_sent_in_order() {
    let content = content(5 * CHUNK_BYTES + 1);
    let fixture = Fixture::new(&[("big", &content)]);
    let inner = fixture.inline_loader();
    let mut client = Client::new(BackwardLoader {
        inner,
        done: Vec::new(),
    });
    client.feed(GET);
    assert!(body(&client.sent) == content);
}

#[test]
fn a_file_one_byte_above_the_cached_size_streams_and_keeps_the_connection() {
    for len in [CHUNK_BYTES, CHUNK_BYTES + 1] {
        let content = content(len);
        let fixture = Fixture::new(&[("big", &content)]);
        let mut client = fixture.client();
        client.feed(&[GET, GET].concat());
        let response = fixture.ok("big", "application/octet-stream", "");
        assert_same(
            &client.sent,
            &[&response[..], &response[..]].concat(),
            "twice",
        );
    }
}

#[test]
fn five_gibibytes_are_described_and_read_by_their_true_size() {
    const LEN: u64 = 5 * 1024 * 1024 * 1024 + 3;
    let fixture = Fixture::new(&[("big", b"start")]);
    let file = File::options()
        .write(true)
        .open(fixture.path().join("big"))
        .unwrap();
    file.write_all_at(b"end", LEN - 3).unwrap();
    file.set_modified(modified()).unwrap();
    let reads = Rc::new(RefCell::new(Vec::new()));
    let inner = EndsLoader {
        inner: fixture.inline_loader(),
        zeros: vec![0; CHUNK_BYTES].into(),
        done: VecDeque::new(),
    };
    let mut client = Client::new(NotingLoader {
        inner,
        reads: reads.clone(),
    });

    client.feed(b"HEAD /big HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = fixture.ok_head("big", "application/octet-stream", "");
    assert!(head.contains("Content-Length: 5368709123\r\n"));
    assert_same(&client.sent, head.as_bytes(), "HEAD");
    assert!(reads.borrow().is_empty(), "a HEAD reads nothing");

    client.reconnect();
    client.input(GET);
    while client.deliver() {}
    assert!(client.conn.output().starts_with(b"HTTP/1.1 200 OK\r\n"));
    client.send(usize::MAX);
    assert!(client.conn.output().starts_with(b"start\0"));
    while client.counters.body_bytes < LEN - 3 {
        assert!(client.deliver() || client.skip());
    }
    client.deliver();
    assert_eq!(client.conn.output(), b"end");
    client.skip();
    assert!(client.conn.is_idle());
    assert_eq!(client.counters.body_bytes, LEN);
    let reads = reads.borrow();
    assert_eq!(reads.len(), 20_481);
    assert_eq!(reads[0], (0, CHUNK_BYTES));
    assert_eq!(reads[16_384], (1 << 32, CHUNK_BYTES));
    assert_eq!(reads[20_480], (5 << 30, 3));
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_breaks_the_response_off() {
    let content = content(4 * CHUNK_BYTES);
    let fixture = Fixture::new(&[("big", &content)]);
    let mut client = fixture.client();
    client.input(GET);
    client.deliver();
    File::options()
        .write(true)
        .open(fixture.path().join("big"))
        .unwrap()
        .set_len(700_000)
        .unwrap();
    client.pump();
    assert!(client.conn.must_abort() && !client.conn.wants_close() && !client.conn.in_response());
    assert!(client.conn.output().is_empty());
    assert_eq!(client.counters.aborted, 1);
    let sent = body(&client.sent);
    assert!(
        sent.len() <= 2 * CHUNK_BYTES && *sent == content[..sent.len()],
        "never padded"
    );
}

#[test]
fn a_file_replaced_while_it_is_sent_is_finished_as_it_was() {
    let old = content(4 * CHUNK_BYTES);
    let fixture = Fixture::new(&[("big", &old), ("new", b"new")]);
    let mut client = fixture.client();
    client.input(GET);
    client.deliver();
    client.send(1000);
    std::fs::rename(fixture.path().join("new"), fixture.path().join("big")).unwrap();
    client.pump();
    assert!(body(&client.sent) == old);
}

#[test]
fn a_half_close_does_not_cut_a_large_file_short() {
    let content = content(2 * CHUNK_BYTES + 5);
    let fixture = Fixture::new(&[("big", &content)]);
    let mut client = fixture.client();
    client.input(GET);
    client.deliver();
    client.send(1);
    client.conn.input_end();
    assert!(client.conn.is_waiting());
    client.pump();
    assert!(body(&client.sent) == content);
    assert!(client.conn.wants_close());
}

/// Fails at whatever is read.
struct FailingLoader {
    inner: InlineLoader,
    why: Option<ReadError>,
    done: VecDeque<Done>,
}

impl Loader for FailingLoader {
    fn submit(&mut self, job: Job) -> Result<(), Job> {
        match (job, self.why) {
            (Job::Read { read, waiter, .. }, Some(why)) => {
                let result = Err(why);
                self.done.push_back(Done::Read {
                    read,
                    waiter,
                    result,
                });
                Ok(())
            }
            (job, _) => self.inner.submit(job),
        }
    }

    fn completed(&mut self) -> Option<Done> {
        self.inner.completed().or_else(|| self.done.pop_front())
    }
}

#[test]
fn what_fails_before_anything_was_sent_is_an_error_and_no_break() {
    let content = content(3 * CHUNK_BYTES);
    let fixture = Fixture::new(&[("big", &content)]);
    for (why, status) in [
        (ReadError::Changed, "503 Service Unavailable"),
        (ReadError::Shrank, "503 Service Unavailable"),
        (ReadError::Io(ErrorKind::TimedOut), "504 Gateway Timeout"),
        (ReadError::Io(ErrorKind::Other), "500 Internal Server Error"),
    ] {
        let mut client = Client::new(FailingLoader {
            inner: fixture.inline_loader(),
            why: Some(why),
            done: VecDeque::new(),
        });
        client.feed(GET);
        let sent = String::from_utf8_lossy(&client.sent).into_owned();
        assert!(
            sent.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{why:?}: {sent}"
        );
        assert_eq!(
            sent.contains("\r\nRetry-After: 1\r\n"),
            status.starts_with("503"),
            "{why:?}"
        );
        let counters = client.counters;
        let responses = (
            counters.responses_2xx,
            counters.responses_5xx,
            counters.aborted,
        );
        assert_eq!(responses, (0, 1, 0), "{why:?}");
        // The connection goes on.
        client.site.loader().why = None;
        client.sent.clear();
        client.feed(GET);
        assert!(body(&client.sent) == content, "{why:?}");
        assert_eq!(client.counters.responses_2xx, 1);
    }
}

/// Answers reads of chunks only when it is told what came of them.
struct HeldLoader {
    inner: InlineLoader,
    reads: Rc<RefCell<VecDeque<Job>>>,
    done: Rc<RefCell<VecDeque<Done>>>,
}

impl Loader for HeldLoader {
    fn submit(&mut self, job: Job) -> Result<(), Job> {
        match job {
            Job::Read { .. } => {
                self.reads.borrow_mut().push_back(job);
                Ok(())
            }
            job => self.inner.submit(job),
        }
    }

    fn completed(&mut self) -> Option<Done> {
        let done = self.done.borrow_mut().pop_front();
        done.or_else(|| self.inner.completed())
    }
}

#[test]
fn a_chunk_that_comes_late_is_no_part_of_the_next_file() {
    let one = content(2 * CHUNK_BYTES);
    let other: Vec<u8> = one.iter().map(|byte| !byte).collect();
    let fixture = Fixture::new(&[("one", &one), ("other", &other)]);
    let roots = Roots::from(Root::open(fixture.path()).unwrap());
    // What the next file's response finds: the late chunk before its own, or that it failed.
    for is_well in [true, false] {
        let (reads, done) = (
            Rc::new(RefCell::new(VecDeque::new())),
            Rc::new(RefCell::new(VecDeque::new())),
        );
        let mut client = Client::new(HeldLoader {
            inner: fixture.inline_loader(),
            reads: reads.clone(),
            done: done.clone(),
        });
        let read = || -> Job { reads.borrow_mut().pop_front().expect("a read") };
        // Not a byte of it is sent.
        client.input(b"GET /one HTTP/1.1\r\nHost: a\r\n\r\n");
        while client.deliver() {}
        let (first, second) = (read(), read());
        done.borrow_mut().push_back(first.failed());
        client.pump();
        let error = String::from_utf8(std::mem::take(&mut client.sent)).unwrap();
        assert!(error.starts_with("HTTP/1.1 500 "), "{error}");
        client.feed(b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n");
        let late = match is_well {
            true => second.run(&roots),
            false => second.failed(),
        };
        done.borrow_mut().push_back(late);
        for job in [read(), read()] {
            done.borrow_mut().push_back(job.run(&roots));
        }
        client.pump();
        let sent = std::mem::take(&mut client.sent);
        assert!(sent.starts_with(b"HTTP/1.1 200 OK\r\n"));
        assert!(body(&sent) == other, "one file's bytes in another");
    }
}
