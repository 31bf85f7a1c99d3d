//! The Basic scheme of authentication (RFC 7617): realms with their users, and what a request says it is.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::password::Hash;

/// User and password together, decoded. Longer ones are nobody's: bcrypt looks at 72 bytes of a password.
const MAX_CREDENTIALS_BYTES: usize = 512;

/// The cost of comparing with nothing in a realm without users.
const USUAL_COST: u32 = 10;

/// A realm that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RealmError {
    /// Its name does not fit between quotes in a field.
    #[error("{0:?} is no name of a realm: it must be of printable ASCII characters")]
    Name(String),
    /// A user's name has a colon or a control character, or none at all (RFC 7617 section 2).
    #[error(
        "{0:?} is no name of a user: it must not be empty, nor have colons or control characters"
    )]
    User(String),
    /// Two users have the same name.
    #[error("there are two users named {0:?}")]
    Twice(String),
}

/// A part of a site that is shown to some.
#[derive(Debug, Clone)]
pub struct Realm {
    /// The field that asks for credentials, with its CRLF.
    challenge: Box<[u8]>,
    users: HashMap<Box<[u8]>, Arc<Hash>>,
    /// What the password of somebody who is not there is compared with.
    nobody: Arc<Hash>,
}

impl Realm {
    /// The realm `name`, for `users` with their passwords.
    ///
    /// # Errors
    /// See [`RealmError`].
    pub fn new(
        name: &str,
        users: impl IntoIterator<Item = (String, Hash)>,
    ) -> Result<Self, RealmError> {
        if !name.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(RealmError::Name(name.to_owned()));
        }
        let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
        let mut known = HashMap::new();
        for (user, hash) in users {
            if user.is_empty() || user.contains(|c: char| c == ':' || c.is_control()) {
                return Err(RealmError::User(user));
            }
            if known
                .insert(user.as_bytes().into(), Arc::new(hash))
                .is_some()
            {
                return Err(RealmError::Twice(user));
            }
        }
        let costs = known.values().map(|hash| hash.cost());
        let cost = costs.max().unwrap_or(USUAL_COST);
        Ok(Realm {
            challenge: format!("WWW-Authenticate: Basic realm=\"{quoted}\", charset=\"UTF-8\"\r\n")
                .into_bytes()
                .into(),
            users: known,
            nobody: Hash::of_nothing(cost).into(),
        })
    }

    /// What the password of `user` is to be compared with. Of somebody unknown that takes as long as of the one whose
    /// hash costs most: where all cost the same, time does not tell who is known.
    pub fn hash(&self, user: &[u8]) -> &Arc<Hash> {
        self.users.get(user).unwrap_or(&self.nobody)
    }

    /// The field that asks for credentials, with its CRLF.
    pub fn challenge(&self) -> &[u8] {
        &self.challenge
    }
}

/// Room for the credentials of one request, on the caller's stack.
pub struct Room([u8; MAX_CREDENTIALS_BYTES]);

impl Default for Room {
    fn default() -> Self {
        Room([0; MAX_CREDENTIALS_BYTES])
    }
}

/// What a request says it is.
pub struct Credentials<'r> {
    /// The user.
    pub user: &'r [u8],
    /// The password.
    pub password: &'r [u8],
}

impl<'r> Credentials<'r> {
    /// Those in the value of an `Authorization` field; `None` if there are none of this scheme.
    pub fn parse(value: &[u8], room: &'r mut Room) -> Option<Self> {
        let (scheme, rest) = value.split_at_checked(b"Basic ".len())?;
        if !scheme.eq_ignore_ascii_case(b"Basic ") {
            return None;
        }
        let len = BASE64_STANDARD
            .decode_slice(rest.trim_ascii(), &mut room.0)
            .ok()?;
        let decoded = &room.0[..len];
        if decoded.iter().any(u8::is_ascii_control) {
            return None;
        }
        let colon = decoded.iter().position(|&byte| byte == b':')?;
        Some(Credentials {
            user: &decoded[..colon],
            password: &decoded[colon + 1..],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_requests() {
        let long = BASE64_STANDARD.encode([b':'; MAX_CREDENTIALS_BYTES + 1]);
        let full = BASE64_STANDARD.encode([b':'; MAX_CREDENTIALS_BYTES]);
        for (value, want) in [
            // The examples of RFC 7617 sections 2 and 2.1.
            (
                "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
                Some(("Aladdin", "open sesame")),
            ),
            ("basic dGVzdDoxMjPCow==", Some(("test", "123£"))),
            ("BASIC  YTo6Yg==", Some(("a", ":b"))),
            ("Basic Og==", Some(("", ""))),
            ("Basic YQ==", None),
            ("Basic YToA", None),
            ("Basic YTpi\n", Some(("a", "b"))),
            ("Basic YTpiCg==", None),
            ("Basic YTp-", None),
            ("Basic YTpi,", None),
            ("Basic", None),
            ("", None),
            ("Bearer YTpi", None),
            ("BasicYTpi", None),
            (&format!("Basic {long}"), None),
        ] {
            let mut room = Room::default();
            let got = Credentials::parse(value.as_bytes(), &mut room);
            let got = got.map(|got| (got.user, got.password));
            let want = want.map(|(user, password)| (user.as_bytes(), password.as_bytes()));
            assert_eq!(got, want, "{value}");
        }
        let mut room = Room::default();
        assert!(Credentials::parse(format!("Basic {full}").as_bytes(), &mut room).is_some());
    }

    #[test]
    fn realms_and_what_is_none() {
        let hash = || Hash::of_nothing(5);
        let realm = Realm::new("a \"b\\", [("ann".to_owned(), hash())]).expect("a realm");
        let challenge = b"WWW-Authenticate: Basic realm=\"a \\\"b\\\\\", charset=\"UTF-8\"\r\n";
        assert_eq!(realm.challenge(), challenge);
        assert!(!Arc::ptr_eq(realm.hash(b"ann"), realm.hash(b"bob")));
        assert_eq!(realm.hash(b"bob").cost(), 5);
        let error = |name: &str, users: &[&str]| {
            let users = users.iter().map(|&user| (user.to_owned(), hash()));
            Realm::new(name, users).err()
        };
        let text = str::to_owned;
        for (name, users, want) in [
            ("a\r\nb", &[][..], RealmError::Name(text("a\r\nb"))),
            ("ü", &[], RealmError::Name(text("ü"))),
            ("r", &["a:b"], RealmError::User(text("a:b"))),
            ("r", &[""], RealmError::User(text(""))),
            ("r", &["a\n"], RealmError::User(text("a\n"))),
            ("r", &["a", "b", "a"], RealmError::Twice(text("a"))),
        ] {
            assert_eq!(error(name, users), Some(want));
        }
        assert_eq!(error("", &[]), None);
    }
}
