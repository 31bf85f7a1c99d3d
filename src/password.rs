//! Passwords at rest: bcrypt, as `htpasswd -B` writes it. The only module that knows bcrypt.

use std::fmt;
use std::str::FromStr;

use bcrypt::HashParts;

/// The most that verifying may cost: 2^14 rounds take a second or so, and anybody can ask for them.
pub const MAX_COST: u32 = 14;

/// The least that bcrypt does.
const MIN_COST: u32 = 4;

/// What is no hash that passwords are compared with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// Another scheme, or something cut short.
    #[error("the password is not hashed with bcrypt; `htpasswd -nB USER` makes such a line")]
    NotBcrypt,
    /// It would take too long.
    #[error("bcrypt with a cost of {0} takes too long; {MAX_COST} is the most, 10 is common")]
    TooCostly(u32),
}

/// The hash of a password, with its salt and cost.
#[derive(Clone, PartialEq, Eq)]
pub struct Hash {
    text: Box<str>,
    cost: u32,
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        // All of these are computed alike; `$2x$` marks those of an old error (crypt(5)).
        let is_known = ["$2y$", "$2b$", "$2a$"]
            .iter()
            .any(|start| text.starts_with(start));
        let parts: HashParts = match text.parse() {
            Ok(parts) if is_known => parts,
            _ => return Err(HashError::NotBcrypt),
        };
        match parts.get_cost() {
            ..MIN_COST => Err(HashError::NotBcrypt),
            cost @ ..=MAX_COST => Ok(Hash {
                text: text.into(),
                cost,
            }),
            cost => Err(HashError::TooCostly(cost)),
        }
    }
}

impl Hash {
    /// A hash of no password that anybody could find: comparing with it takes as long as with another of `cost`.
    pub fn of_nothing(cost: u32) -> Self {
        let cost = cost.clamp(MIN_COST, MAX_COST);
        // Salt and hash are all zeros.
        let text = format!("$2y${cost:02}${}", ".".repeat(53));
        Hash {
            text: text.into(),
            cost,
        }
    }

    /// Whether this is the hash of `password`, of which bcrypt looks at 72 bytes. Takes long, and as long whatever the
    /// answer.
    pub fn is_of(&self, password: &[u8]) -> bool {
        // It was parsed before.
        bcrypt::verify(password, &self.text).unwrap_or(false)
    }

    /// The logarithm to base 2 of the rounds.
    pub fn cost(&self) -> u32 {
        self.cost
    }

    /// As it is written down.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Hash {
    /// Hashes are no secrets, but none of a log's business either.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hash")
            .field("cost", &self.cost)
            .finish_non_exhaustive()
    }
}

/// A line of a file of passwords cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It has no colon, or nothing before it.
    #[error("line {0}: not of the form USER:HASH")]
    NoUser(usize),
    /// See there.
    #[error("line {0}: {1}")]
    Hash(usize, HashError),
}

/// Users and hashes from the text of a file that `htpasswd -B` writes: a line each, comments begin with `#`.
///
/// # Errors
/// The first line that cannot be used.
pub fn parse_file(text: &str) -> Result<Vec<(String, Hash)>, FileError> {
    let lines = (1..).zip(text.lines().map(str::trim));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| match line.split_once(':') {
            Some((user, hash)) if !user.is_empty() => {
                let hash = hash
                    .parse()
                    .map_err(|error| FileError::Hash(number, error))?;
                Ok((user.to_owned(), hash))
            }
            _ => Err(FileError::NoUser(number)),
        })
        .collect()
}

/// A password to be compared with a hash, where that holds nobody up.
pub struct Question {
    /// What it should be that of.
    pub hash: std::sync::Arc<Hash>,
    /// The password.
    pub password: Box<[u8]>,
}

impl Question {
    /// The answer.
    pub fn holds(&self) -> bool {
        self.hash.is_of(&self.password)
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question")
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As libxcrypt makes it, like all of these.
    const SESAME: &str = "$2y$04$abcdefghijklmnopqrstuuinwY/tkBVrn3xrxQI/TgnMHhkvl85RW";

    #[test]
    fn hashes_that_other_programs_made() {
        for (hash, password) in [
            (SESAME, "sesame"),
            (
                "$2a$04$DCq7YPn5Rq63x1Lad4cll.gPqnXZmDhhq3zJUTSJckzck53/zZY4W",
                "",
            ),
            (
                "$2b$05$DCq7YPn5Rq63x1Lad4cll.9f2FI11ZGMoC7fb6Upsa9j0tl.ybPj2",
                "grün:1",
            ),
        ] {
            let hash: Hash = hash.parse().expect("a hash");
            assert!(hash.is_of(password.as_bytes()));
            assert!(!hash.is_of(b"Sesame"));
        }
    }

    #[test]
    fn what_is_no_hash() {
        let body = &SESAME[7..];
        for (text, error) in [
            ("", HashError::NotBcrypt),
            ("sesame", HashError::NotBcrypt),
            ("$apr1$x$y", HashError::NotBcrypt),
            (&SESAME[..59], HashError::NotBcrypt),
            (&format!("$2x$05${body}"), HashError::NotBcrypt),
            (&format!("$2y$03${body}"), HashError::NotBcrypt),
            (&format!("$2y$15${body}"), HashError::TooCostly(15)),
            (&format!("$2y$04$ü{}", &body[2..]), HashError::NotBcrypt),
        ] {
            assert_eq!(text.parse::<Hash>(), Err(error), "{text}");
        }
    }

    #[test]
    fn nothing_is_not_to_be_guessed_and_costs_the_same() {
        let nothing = Hash::of_nothing(4);
        assert_eq!(nothing.text().parse(), Ok(nothing.clone()));
        assert_eq!((nothing.cost(), Hash::of_nothing(99).cost()), (4, MAX_COST));
        assert!(!nothing.is_of(b"") && !nothing.is_of(b"\0"));
    }

    #[test]
    fn files_of_passwords() {
        let text = format!("# users\n\nann:{SESAME}\r\n bob:{SESAME}\n");
        let users = parse_file(&text).expect("two users");
        let names: Vec<&str> = users.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["ann", "bob"]);
        for (text, error) in [
            ("ann", FileError::NoUser(1)),
            ("\n:x", FileError::NoUser(2)),
            ("ann:x", FileError::Hash(1, HashError::NotBcrypt)),
        ] {
            assert_eq!(parse_file(text), Err(error));
        }
    }

    #[test]
    fn nothing_is_said_of_secrets() {
        let question = Question {
            hash: Hash::of_nothing(4).into(),
            password: (*b"sesame").into(),
        };
        assert_eq!(
            format!("{question:?}"),
            "Question { hash: Hash { cost: 4, .. }, .. }"
        );
    }
}
