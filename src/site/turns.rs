//! A line in which everybody has their turn.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::mem;

/// Things in line, by whose they are: one of each owner in turn, each owner's in their
/// order. Whoever wants much waits for their own things, not others for them.
#[derive(Debug)]
pub struct Turns<O, T> {
    /// Of all in `order`.
    lines: HashMap<O, VecDeque<T>>,
    /// Whose turn is next first.
    order: VecDeque<O>,
    /// How many of these have nothing in line any more: to take them out one by one would
    /// mean a look at all others each time.
    gone: usize,
}

impl<O, T> Default for Turns<O, T> {
    fn default() -> Self {
        Turns {
            lines: HashMap::new(),
            order: VecDeque::new(),
            gone: 0,
        }
    }
}

impl<O: Copy + Eq + Hash, T> Turns<O, T> {
    /// Puts something into line.
    pub fn push(&mut self, owner: O, thing: T) {
        let line = match self.lines.entry(owner) {
            Entry::Vacant(new) => {
                self.order.push_back(owner);
                new.insert(VecDeque::new())
            }
            Entry::Occupied(known) => {
                let line = known.into_mut();
                self.gone -= usize::from(line.is_empty());
                line
            }
        };
        line.push_back(thing);
    }

    /// The next thing.
    pub fn pop(&mut self) -> Option<T> {
        loop {
            let owner = self.order.pop_front()?;
            let line = self.lines.get_mut(&owner)?;
            let thing = line.pop_front();
            match line.is_empty() {
                true => drop(self.lines.remove(&owner)),
                false => self.order.push_back(owner),
            }
            match thing {
                None => self.gone -= 1,
                thing => return thing,
            }
        }
    }

    /// Takes all those of `owner` out of line that are `unwanted`.
    pub fn remove(&mut self, owner: O, unwanted: impl Fn(&T) -> bool) -> VecDeque<T> {
        let Some(line) = self.lines.get_mut(&owner) else {
            return VecDeque::new();
        };
        let (removed, left): (VecDeque<T>, _) = mem::take(line).into_iter().partition(unwanted);
        *line = left;
        if line.is_empty() && !removed.is_empty() {
            self.gone += 1;
            self.tidy();
        }
        removed
    }

    /// Forgets those who have nothing in line, if that is half of them.
    fn tidy(&mut self) {
        if self.gone * 2 >= self.order.len() {
            self.lines.retain(|_, line| !line.is_empty());
            self.order.retain(|owner| self.lines.contains_key(owner));
            self.gone = 0;
        }
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.order.len() == self.gone
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
        assert_eq!(turns.remove('a', |&number| number == 1), [1]);
        assert_eq!(turns.remove('b', |_| true), [10, 11, 12]);
        assert!(turns.remove('b', |_| true).is_empty());
        assert!(turns.remove('c', |_| true).is_empty());
        assert_eq!(drain(&mut turns), [0, 2]);
        assert!(turns.lines.is_empty() && turns.is_empty());
    }

    #[test]
    fn who_has_nothing_in_line_any_more_keeps_nobody() {
        let mut turns = Turns::default();
        for (number, owner) in (0..).zip('a'..='f') {
            turns.push(owner, number);
        }
        turns.remove('a', |_| true);
        turns.remove('c', |_| true);
        assert!(!turns.is_empty());
        turns.push('c', 20);
        assert_eq!(turns.pop(), Some(1));
        for owner in 'd'..='f' {
            turns.remove(owner, |_| true);
        }
        assert_eq!(turns.order, ['c'], "half of them had nothing");
        assert_eq!(drain(&mut turns), [20]);
        turns.push('a', 30);
        turns.remove('a', |_| true);
        assert!(turns.is_empty() && turns.lines.is_empty());
    }
}
