//! What is sent instead of a file that is not to be had: the error's page, which may be a file of the host, or the
//! page of an application that knows what to do with any path.

use bytes::Bytes;

use super::Context;
use super::answer::end;
use super::auth::Realm;
use super::conn::{Asked, Conn, Phase};
use super::multipart;
use super::negotiate;
use super::response;
use super::status::Status;
use super::stream::Part;
use super::wishes::Wishes;
use crate::site::{Entry, Find, Loader, Representation, View};

/// Why there is no file to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Problem {
    /// The status that says so.
    pub status: Status,
    /// Of 416 the length of the file in bytes.
    pub length: Option<u64>,
    /// Whether another `Accept-Encoding` might have had another answer.
    pub varies: bool,
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        Problem {
            status,
            length: None,
            varies: false,
        }
    }
}

impl Problem {
    /// What is wrong with a request for `file`.
    pub fn with(status: Status, file: &Representation) -> Self {
        let is_of_length = status == Status::RangeNotSatisfiable;
        Problem {
            status,
            length: is_of_length.then(|| file.length()),
            varies: file.varies,
        }
    }
}

/// What an entry is looked up for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Purpose {
    /// It is what was asked for.
    #[default]
    Answer,
    /// It is sent for what was asked for, which is not there.
    FallBack,
    /// It is to tell of a problem.
    Explain(Problem),
}

impl Conn {
    /// Answers with an error: with the host's page for it, if there is one.
    pub(super) fn fail<L: Loader>(
        &mut self,
        problem: impl Into<Problem>,
        asked: Asked,
        wishes: &Wishes<'_>,
        cx: &mut Context<'_, L>,
    ) {
        let problem = problem.into();
        let pages = &cx.hosts.get(asked.host).error_pages;
        let Some(name) = pages.get(&problem.status.code()) else {
            return self.answer_problem(problem, asked, cx);
        };
        let asked = Asked {
            purpose: Purpose::Explain(problem),
            ..asked
        };
        match cx.site.find(asked.host, name, cx.waiter, cx.now) {
            Find::Ready(entry) => self.explain(&entry, problem, asked, wishes, cx),
            Find::Pending => self.phase = Phase::Waiting(asked, wishes.keep()),
            Find::Refused => self.answer_problem(problem, asked, cx),
        }
    }

    /// Answers with an error and what was found as the host's page for it. If that is no file, nothing further is
    /// looked up: our own page will do.
    pub(super) fn explain<L: Loader>(
        &mut self,
        entry: &Entry,
        problem: Problem,
        asked: Asked,
        wishes: &Wishes<'_>,
        cx: &mut Context<'_, L>,
    ) {
        let Entry::File(file) = entry else {
            return self.answer_problem(problem, asked, cx);
        };
        let file = negotiate::select(file, wishes.accept_encoding.as_deref());
        let challenge = self.challenge(problem, asked, cx);
        self.head.clear();
        let end = end(asked, cx);
        response::write_problem_file(&mut self.head, problem, challenge, file, &end);
        let body = match asked.head_only {
            true => Part::Memory(Bytes::new()),
            false => multipart::part(file, 0..file.length()),
        };
        self.send_part(problem.status.code(), body, asked, cx);
    }

    /// Answers with an error and our own page.
    pub(super) fn answer_problem<L: Loader>(
        &mut self,
        problem: Problem,
        asked: Asked,
        cx: &mut Context<'_, L>,
    ) {
        let challenge = self.challenge(problem, asked, cx);
        self.head.clear();
        response::write_problem(&mut self.head, problem, challenge, &end(asked, cx));
        self.send_page(problem.status, asked, cx);
    }

    /// The field that asks for credentials, if these are the problem.
    fn challenge<'a, L>(&self, problem: Problem, asked: Asked, cx: &Context<'a, L>) -> &'a [u8] {
        if problem.status != Status::Unauthorized {
            return b"";
        }
        let name = self.head.get(..asked.name_len).unwrap_or_default();
        let realm = cx.hosts.get(asked.host).policy.realm(name);
        realm.map_or(b"", Realm::challenge)
    }

    /// Answers a request for what is not there: with the host's fall-back, if there is one and the path may be that of
    /// a page.
    pub(super) fn answer_missing<L: Loader>(
        &mut self,
        asked: Asked,
        wishes: &Wishes<'_>,
        cx: &mut Context<'_, L>,
    ) {
        let key = self.head.get(..asked.name_len).unwrap_or_default();
        let name = View::of_key(key).0;
        let host = cx.hosts.get(asked.host);
        let remote = *self.remote.0.ip();
        let suits = |fallback: &&[u8]| {
            may_be_page(name) && host.policy.lets_through(name, fallback, remote)
        };
        let Some(fallback) = host.fallback.as_deref().filter(suits) else {
            return self.fail(Status::NotFound, asked, wishes, cx);
        };
        let asked = Asked {
            purpose: Purpose::FallBack,
            ..asked
        };
        match cx.site.find(asked.host, fallback, cx.waiter, cx.now) {
            Find::Ready(entry) => self.answer(&entry, asked, wishes, cx),
            Find::Pending => self.phase = Phase::Waiting(asked, wishes.keep()),
            Find::Refused => self.fail(Status::ServiceUnavailable, asked, wishes, cx),
        }
    }
}

/// Whether `name` has no extension: the addresses of an application's pages have none, and what a page is made of
/// (scripts, styles, pictures) had better be missed loudly than be something else.
fn may_be_page(name: &[u8]) -> bool {
    let last = name.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    !last.contains(&b'.')
}
