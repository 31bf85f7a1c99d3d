//! Credentials that were found to be right not long ago: comparing passwords takes so long that it cannot be done for
//! every request.
//!
//! What is remembered is neither user nor password but a number of 128 bits made of them with a secret. To find one by
//! trial takes the secret, and so looking one up need not take the same time whatever it is: time tells something of
//! the number, and the number nothing of what it was made of.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use super::auth::Realm;
use crate::password::Hash;
use crate::site::Now;

/// How long credentials count without being looked at again.
pub const MAX_AGE: Now = Now::from_secs(60);

/// How many are remembered. Further ones make the oldest be looked at again.
pub const MAX_ENTRIES: usize = 4096;

/// What one worker remembers.
#[derive(Debug, Default)]
pub struct Verified {
    secret: RandomState,
    until: HashMap<u128, Now>,
    /// In the order in which they came, which is that in which they go.
    keys: VecDeque<u128>,
}

impl Verified {
    /// The key for `value`, that of an `Authorization` field, compared with `hash` in `realm`. Another hash makes
    /// another key, so that who has got a new password is not let in with the old one.
    pub fn key(&self, realm: &Realm, hash: &Hash, value: &[u8]) -> u128 {
        let half = |which: u8| {
            let parts = (which, realm.challenge(), hash.text(), value);
            u128::from(self.secret.hash_one(parts))
        };
        half(0) << 64 | half(1)
    }

    /// Whether the credentials of `key` were found to be right, and not long ago.
    pub fn has(&self, key: u128, now: Now) -> bool {
        self.until.get(&key).is_some_and(|&until| now < until)
    }

    /// Those of `key` have been found to be right.
    pub fn insert(&mut self, key: u128, now: Now) {
        while let Some(oldest) = self.keys.front()
            && (self.keys.len() >= MAX_ENTRIES || !self.has(*oldest, now))
        {
            self.until.remove(oldest);
            self.keys.pop_front();
        }
        // Its time is not made longer: then the order would be another.
        if let std::collections::hash_map::Entry::Vacant(entry) = self.until.entry(key) {
            entry.insert(now + MAX_AGE);
            self.keys.push_back(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Now = Now::from_secs(1_000);

    #[test]
    fn keys_differ_in_everything() {
        let verified = Verified::default();
        let realm = |name| Realm::new(name, []).expect("a realm");
        let (a, b) = (realm("a"), realm("b"));
        let (four, five) = (Hash::of_nothing(4), Hash::of_nothing(5));
        let key = verified.key(&a, &four, b"x");
        assert_eq!(key, verified.key(&a, &four, b"x"));
        for other in [
            verified.key(&b, &four, b"x"),
            verified.key(&a, &five, b"x"),
            verified.key(&a, &four, b"y"),
            Verified::default().key(&a, &four, b"x"),
        ] {
            assert_ne!(key, other);
        }
    }

    #[test]
    fn what_is_remembered_and_for_how_long() {
        let mut verified = Verified::default();
        assert!(!verified.has(1, START));
        verified.insert(1, START);
        verified.insert(1, START + MAX_AGE / 2);
        assert!(verified.has(1, START + MAX_AGE - Now::from_micros(1)));
        assert!(!verified.has(1, START + MAX_AGE));
        verified.insert(2, START + MAX_AGE);
        assert_eq!((verified.keys.len(), verified.until.len()), (1, 1));
        verified.insert(1, START + MAX_AGE);
        assert!(verified.has(1, START + MAX_AGE));
    }

    #[test]
    fn the_oldest_make_room() {
        let mut verified = Verified::default();
        for key in 0..MAX_ENTRIES as u128 + 3 {
            verified.insert(key, START);
        }
        assert_eq!(
            (verified.keys.len(), verified.until.len()),
            (MAX_ENTRIES, MAX_ENTRIES)
        );
        let gone = [0, 1, 2, 3].map(|key| verified.has(key, START));
        assert_eq!(gone, [false, false, false, true]);
    }
}
