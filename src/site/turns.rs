//! A line in which everybody has their turn.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Things in line, by whose they are: one of each owner in turn, each owner's in their
/// order. Whoever wants much waits for their own things, not others for them.
#[derive(Debug)]
pub struct Turns<O, T> {
    lines: HashMap<O, VecDeque<T>>,
    /// The owners that have something in line, whose turn is next first.
    order: VecDeque<O>,
}

impl<O, T> Default for Turns<O, T> {
    fn default() -> Self {
        Turns {
            lines: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<O: Copy + Eq + Hash, T> Turns<O, T> {
    /// Puts something into line.
    pub fn push(&mut self, owner: O, thing: T) {
        let line = self.lines.entry(owner).or_default();
        if line.is_empty() {
            self.order.push_back(owner);
        }
        line.push_back(thing);
    }

    /// The next thing.
    pub fn pop(&mut self) -> Option<T> {
        let owner = self.order.pop_front()?;
        let line = self.lines.get_mut(&owner)?;
        let thing = line.pop_front();
        match line.is_empty() {
            true => drop(self.lines.remove(&owner)),
            false => self.order.push_back(owner),
        }
        thing
    }

    /// Takes all those of `owner` out of line that are `unwanted`; how many.
    pub fn remove(&mut self, owner: O, unwanted: impl Fn(&T) -> bool) -> usize {
        let Some(line) = self.lines.get_mut(&owner) else {
            return 0;
        };
        let before = line.len();
        line.retain(|thing| !unwanted(thing));
        let removed = before - line.len();
        if line.is_empty() {
            self.lines.remove(&owner);
            self.order.retain(|other| *other != owner);
        }
        removed
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(turns: &mut Turns<char, u32>) -> Vec<u32> {
        std::iter::from_fn(|| turns.pop()).collect()
    }

    #[test]
    fn who_wants_much_waits_for_their_own() {
        let mut turns = Turns::default();
        for number in 0..4 {
            turns.push('a', number);
        }
        turns.push('b', 10);
        turns.push('b', 11);
        turns.push('c', 20);
        assert_eq!(drain(&mut turns), [0, 10, 20, 1, 11, 2, 3]);
        assert!(turns.is_empty() && turns.lines.is_empty());
        assert_eq!(turns.pop(), None);
    }

    #[test]
    fn who_comes_back_has_no_turn_before_others() {
        let mut turns = Turns::default();
        turns.push('a', 0);
        turns.push('b', 10);
        assert_eq!(turns.pop(), Some(0));
        turns.push('a', 1);
        assert_eq!(drain(&mut turns), [10, 1]);
    }

    #[test]
    fn what_is_no_longer_wanted_leaves_the_line() {
        let mut turns = Turns::default();
        for number in 0..3 {
            turns.push('a', number);
            turns.push('b', 10 + number);
        }
        assert_eq!(turns.remove('a', |&number| number == 1), 1);
        assert_eq!(turns.remove('b', |_| true), 3);
        assert_eq!(turns.remove('c', |_| true), 0);
        assert_eq!(drain(&mut turns), [0, 2]);
        assert!(turns.lines.is_empty());
    }
}
