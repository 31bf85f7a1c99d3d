//! Between a request and the site: what the [`Policy`](super::Policy) has to say about it.

use std::fmt;
use std::mem;

use super::Context;
use super::auth::{Credentials, Realm, Room};
use super::call::Call;
use super::conn::{Asked, Conn, Phase};
use super::status::Status;
use super::target::Target;
use super::wishes::Wishes;
use crate::password::Question;
use crate::site::resolve::{Refusal, resolve};
use crate::site::rules::{Lead, rewritten};
use crate::site::{Find, Loader, View};

/// What a request needs on its way to the site. Its name and query are in [`Conn::head`].
pub(super) struct Way<'b> {
    pub(super) asked: Asked,
    pub(super) wishes: &'b Wishes<'b>,
    /// The value of its `Authorization` field.
    pub(super) credentials: Option<&'b [u8]>,
    /// A rule has given it another name.
    is_rewritten: bool,
    /// What a service is to answer.
    call: Option<Box<Call>>,
}

impl<'b> Way<'b> {
    /// That of a request to a service.
    pub(super) fn of_call(
        call: Box<Call>,
        asked: Asked,
        wishes: &'b Wishes<'b>,
        credentials: Option<&'b [u8]>,
    ) -> Self {
        Way {
            asked,
            wishes,
            credentials,
            is_rewritten: false,
            call: Some(call),
        }
    }
}

/// A request whose password is being looked at.
pub(super) struct Proof {
    pub(super) asked: Asked,
    wishes: Option<Box<Wishes<'static>>>,
    credentials: Box<[u8]>,
    user: Box<[u8]>,
    is_rewritten: bool,
    pub(super) call: Option<Box<Call>>,
}

impl Proof {
    /// Bytes that it keeps.
    pub(super) fn len_bytes(&self) -> usize {
        let wishes = self.wishes.as_ref().map_or(0, |wishes| wishes.len_bytes());
        let call = self.call.as_ref().map_or(0, |call| call.len_bytes());
        wishes + self.credentials.len() + self.user.len() + call
    }
}

impl fmt::Debug for Proof {
    /// Without what is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof")
            .field("asked", &self.asked)
            .finish_non_exhaustive()
    }
}

impl Conn {
    /// Begins to answer a request for what `target` names.
    pub(super) fn look_up<L: Loader>(
        &mut self,
        target: Target<'_>,
        asked: Asked,
        wishes: &Wishes<'_>,
        credentials: Option<&[u8]>,
        cx: &mut Context<'_, L>,
    ) {
        let dotfiles = cx.hosts.get(asked.host).dotfiles;
        match resolve(target.path, &mut self.head, dotfiles) {
            Ok(()) => {}
            Err(Refusal::Malformed) => return self.fail(Status::BadRequest, asked, wishes, cx),
            Err(Refusal::NoSuchName) => return self.fail(Status::NotFound, asked, wishes, cx),
        }
        let policy = &cx.hosts.get(asked.host).policy;
        if policy.is_health(&self.head) {
            return self.answer_health(asked, cx);
        }
        let name_len = self.head.len();
        if let Some(query) = target.query {
            self.head.push(b'?');
            self.head.extend_from_slice(query);
        }
        let way = Way {
            asked: Asked { name_len, ..asked },
            wishes,
            credentials,
            is_rewritten: false,
            call: None,
        };
        match policy.is_plain() {
            true => self.find(way, cx),
            false => self.judge(way, cx),
        }
    }

    /// Decides whether the client may ask for this name.
    pub(super) fn judge<L: Loader>(&mut self, way: Way<'_>, cx: &mut Context<'_, L>) {
        let policy = &cx.hosts.get(way.asked.host).policy;
        let name = &self.head[..way.asked.name_len];
        if let Some(networks) = policy.networks(name)
            && !networks.allow(*self.remote.0.ip())
        {
            cx.counters.kept_out += 1;
            return self.fail(Status::Forbidden, way.asked, way.wishes, cx);
        }
        match policy.realm(name) {
            Some(realm) => self.authenticate(realm, way, cx),
            None => self.lead(way, cx),
        }
    }

    /// Decides whether the client is somebody whom `realm` knows.
    fn authenticate<L: Loader>(&mut self, realm: &Realm, way: Way<'_>, cx: &mut Context<'_, L>) {
        let mut room = Room::default();
        let Some((value, said)) = way
            .credentials
            .and_then(|value| Some((value, Credentials::parse(value, &mut room)?)))
        else {
            return self.fail(Status::Unauthorized, way.asked, way.wishes, cx);
        };
        let hash = realm.hash(said.user);
        let key = cx.verified.key(realm, hash, value);
        if cx.verified.has(key, cx.now) {
            self.note_user(said.user);
            return self.lead(way, cx);
        }
        let question = Question {
            hash: hash.clone(),
            password: said.password.into(),
        };
        let source = *self.remote.0.ip();
        if !cx.site.verify(key, question, cx.waiter, source) {
            cx.counters.refused_credentials += 1;
            return self.fail(Status::ServiceUnavailable, way.asked, way.wishes, cx);
        }
        self.phase = Phase::Proving(Box::new(Proof {
            asked: way.asked,
            wishes: way.wishes.keep(),
            credentials: value.into(),
            user: said.user.into(),
            is_rewritten: way.is_rewritten,
            call: way.call,
        }));
    }

    /// Goes on with a request, its password having been looked at: it `holds`, or does not.
    pub(super) fn proved<L: Loader>(&mut self, key: u128, holds: bool, cx: &mut Context<'_, L>) {
        let Phase::Proving(proof) = mem::take(&mut self.phase) else {
            return;
        };
        let wishes = proof.wishes.map(|wishes| *wishes).unwrap_or_default();
        if !holds {
            cx.counters.wrong_credentials += 1;
            let name = &self.head[..proof.asked.name_len];
            let policy = &cx.hosts.get(proof.asked.host).policy;
            let status = match policy.realm(name) {
                Some(_) => Status::Unauthorized,
                None => Status::Forbidden,
            };
            return self.fail(status, proof.asked, &wishes, cx);
        }
        cx.verified.insert(key, cx.now);
        self.note_user(&proof.user);
        let way = Way {
            asked: proof.asked,
            wishes: &wishes,
            credentials: Some(&proof.credentials),
            is_rewritten: proof.is_rewritten,
            call: proof.call,
        };
        self.lead(way, cx);
    }

    /// Finds out whether the name leads somewhere else, unless a service has it.
    fn lead<L: Loader>(&mut self, mut way: Way<'_>, cx: &mut Context<'_, L>) {
        if let Some(call) = way.call.take() {
            return self.hand_over(*call, way.asked, way.wishes, cx);
        }
        let policy = &cx.hosts.get(way.asked.host).policy;
        let name_len = way.asked.name_len;
        match policy.rules.find(&self.head[..name_len]) {
            Some((Lead::Redirect(code, location), rest)) if !way.is_rewritten => {
                let query = self.head[name_len..].strip_prefix(b"?");
                let mut value = Vec::new();
                location.write(rest, query, &mut value);
                self.answer_lead(*code, &value, way.asked, cx);
            }
            Some((Lead::Rewrite(target), rest)) if !way.is_rewritten => {
                let name = rewritten(target, rest);
                self.head.splice(..name_len, name.iter().copied());
                let way = Way {
                    asked: Asked {
                        name_len: name.len(),
                        ..way.asked
                    },
                    is_rewritten: true,
                    ..way
                };
                self.judge(way, cx);
            }
            _ => self.find(way, cx),
        }
    }

    /// Asks the site.
    fn find<L: Loader>(&mut self, way: Way<'_>, cx: &mut Context<'_, L>) {
        let Way {
            mut asked, wishes, ..
        } = way;
        let (name, query) = self.head.split_at(asked.name_len);
        // A query of a directory says how it is to be listed.
        if cx.hosts.get(asked.host).lists && (name.is_empty() || name.ends_with(b"/")) {
            let query = query.strip_prefix(b"?");
            let mut view = query.map(View::of_query).unwrap_or_default();
            view.is_json |= asked.prefers_json;
            self.head.truncate(asked.name_len);
            view.append_to(&mut self.head);
            asked.name_len = self.head.len();
        }
        match cx
            .site
            .find(asked.host, &self.head[..asked.name_len], cx.waiter, cx.now)
        {
            Find::Ready(entry) => self.answer(&entry, asked, wishes, cx),
            Find::Pending => self.phase = Phase::Waiting(asked, wishes.keep()),
            Find::Refused => self.fail(Status::ServiceUnavailable, asked, wishes, cx),
        }
    }
}
