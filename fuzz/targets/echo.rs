//! A service that sends back the whole body that it was sent, without a runtime.

use bytes::Bytes;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use xdphttpd::exchange::{Call, Exchanges, Head, PIECE_BYTES, Said, Side};

/// The task that has begun, until it is over; a connection has one at a time.
#[derive(Clone, Default)]
pub struct Echo(Rc<RefCell<Option<Task>>>);

struct Task {
    call: Call,
    side: Side,
    body: Vec<u8>,
    /// What is to be said, once the body is complete.
    said: Option<VecDeque<Said>>,
}

impl Echo {
    /// It, and the exchanges that it answers.
    pub fn new() -> (Exchanges, Echo) {
        let echo = Echo::default();
        let tasks = echo.clone();
        let begin = move |call: Call, side| {
            let task = Task {
                said: (call.body_bytes == Some(0)).then(|| answer(&call, &[])),
                call,
                side,
                body: Vec::new(),
            };
            *tasks.0.borrow_mut() = Some(task);
        };
        (Exchanges::new(1, begin, || {}), echo)
    }

    /// Whether a request has begun and its answer not ended.
    pub fn is_busy(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Does what can be done at once; whether that was anything.
    pub fn moves(&mut self) -> bool {
        let mut task = self.0.borrow_mut();
        let step = task.as_mut().map_or(Step::Nothing, Task::step);
        if matches!(step, Step::Over) {
            *task = None;
        }
        !matches!(step, Step::Nothing)
    }
}

enum Step {
    Nothing,
    Some,
    Over,
}

impl Task {
    fn step(&mut self) -> Step {
        let Some(said) = &mut self.said else {
            match now(self.side.body.next()) {
                None if now(self.side.voice.gone()).is_some() => return Step::Over,
                None => return Step::Nothing,
                Some(Some(Ok(piece))) => self.body.extend_from_slice(&piece),
                Some(Some(Err(_))) => return Step::Over,
                Some(None) => self.said = Some(answer(&self.call, &self.body)),
            }
            return Step::Some;
        };
        let Some(next) = said.front() else {
            return Step::Over;
        };
        match now(self.side.voice.say(next.clone())) {
            None => Step::Nothing,
            Some(Err(_)) => Step::Over,
            Some(Ok(())) => {
                said.pop_front();
                Step::Some
            }
        }
    }
}

fn answer(call: &Call, body: &[u8]) -> VecDeque<Said> {
    let has_body = !call.head.starts_with(b"HEAD ");
    let head = Head {
        status: 200,
        lines: b"HTTP/1.1 200 OK\r\n".to_vec(),
        length: Some(body.len() as u64),
        has_body,
        has_date: false,
    };
    // So that no content looks like the beginning of a response.
    let mut body = body.to_vec();
    if let Some(first) = body.first_mut() {
        *first = b'e';
    }
    let pieces = body.chunks(PIECE_BYTES).filter(|_| has_body);
    let pieces: Vec<Said> = pieces
        .map(|piece| Said::Data(Bytes::copy_from_slice(piece)))
        .collect();
    std::iter::once(Said::Head(head))
        .chain(pieces)
        .chain([Said::End])
        .collect()
}

/// What is there at once.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
