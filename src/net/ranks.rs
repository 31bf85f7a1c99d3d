//! Slab indices in the order in which they came: for finding the one that has
//! waited longest without looking at the others.

const NIL: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Node {
    prev: u32,
    next: u32,
    member: bool,
}

const OUTSIDE: Node = Node {
    prev: NIL,
    next: NIL,
    member: false,
};

/// A doubly linked list threaded through an array; all is O(1).
pub struct Ranks {
    nodes: Vec<Node>,
    first: u32,
    last: u32,
    len: usize,
}

impl Default for Ranks {
    fn default() -> Self {
        Ranks::new()
    }
}

impl Ranks {
    /// Nobody.
    pub fn new() -> Ranks {
        Ranks {
            nodes: Vec::new(),
            first: NIL,
            last: NIL,
            len: 0,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Who has been in longest.
    pub fn first(&self) -> Option<u32> {
        (self.first != NIL).then_some(self.first)
    }

    /// Everybody, from the one who has been in longest.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let next = |&index: &u32| {
            let next = self.nodes[index as usize].next;
            (next != NIL).then_some(next)
        };
        std::iter::successors(self.first(), next)
    }

    /// Whether `index` is in.
    pub fn contains(&self, index: u32) -> bool {
        self.nodes
            .get(index as usize)
            .is_some_and(|node| node.member)
    }

    /// Puts `index` in, last, unless it is in already.
    pub fn enter(&mut self, index: u32) {
        if self.contains(index) {
            return;
        }
        let at = index as usize;
        if at >= self.nodes.len() {
            self.nodes.resize(at + 1, OUTSIDE);
        }
        self.nodes[at] = Node {
            prev: self.last,
            next: NIL,
            member: true,
        };
        match self.last {
            NIL => self.first = index,
            last => self.nodes[last as usize].next = index,
        }
        self.last = index;
        self.len += 1;
    }

    /// Takes `index` out, if it is in.
    pub fn leave(&mut self, index: u32) {
        if !self.contains(index) {
            return;
        }
        let Node { prev, next, .. } = self.nodes[index as usize];
        match prev {
            NIL => self.first = next,
            prev => self.nodes[prev as usize].next = next,
        }
        match next {
            NIL => self.last = prev,
            next => self.nodes[next as usize].prev = prev,
        }
        self.nodes[index as usize] = OUTSIDE;
        self.len -= 1;
    }

    /// Puts `index` last, wherever it was.
    pub fn renew(&mut self, index: u32) {
        if self.last != index || !self.contains(index) {
            self.leave(index);
            self.enter(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a plain vector.
        #[test]
        fn agrees_with_a_vector(ops in prop::collection::vec((0u8..3, 0u32..12), 0..200)) {
            let (mut ranks, mut model) = (Ranks::new(), Vec::new());
            for (op, index) in ops {
                match op {
                    0 => {
                        ranks.enter(index);
                        if !model.contains(&index) {
                            model.push(index);
                        }
                    }
                    1 => {
                        ranks.leave(index);
                        model.retain(|&other| other != index);
                    }
                    _ => {
                        ranks.renew(index);
                        model.retain(|&other| other != index);
                        model.push(index);
                    }
                }
                prop_assert_eq!(ranks.first(), model.first().copied());
                prop_assert_eq!(ranks.len(), model.len());
                prop_assert_eq!(ranks.iter().collect::<Vec<_>>(), model.clone());
                prop_assert_eq!(ranks.is_empty(), model.is_empty());
            }
            while let Some(first) = ranks.first() {
                prop_assert_eq!(first, model.remove(0));
                ranks.leave(first);
            }
            prop_assert!(model.is_empty());
        }
    }
}
