//! Items that wait, whose owners take turns; an owner's items may themselves be owners' that take turns.

use std::collections::{HashMap, VecDeque};

/// A line of waiting items.
pub(super) trait Line: Default {
    /// What waits.
    type Item;

    /// How many wait.
    fn waiting(&self) -> usize;

    /// Adds an item at the end of its owners' line, the outermost owner first.
    fn push(&mut self, owners: &[u64], item: Self::Item);

    /// Takes the item whose turn it is.
    fn pop(&mut self) -> Option<Self::Item>;

    /// Takes the latest item of the owner that has the most.
    fn pop_latest(&mut self) -> Option<Self::Item>;

    /// Whether an item of these owners may have the place of another, whose owner has more of them.
    fn yields(&self, owners: &[u64]) -> bool;

    /// Takes the item that yields.
    fn pop_yielding(&mut self, owners: &[u64]) -> Option<Self::Item>;
}

/// Of one owner: first come, first served.
impl<T> Line for VecDeque<T> {
    type Item = T;

    fn waiting(&self) -> usize {
        self.len()
    }

    fn push(&mut self, _owners: &[u64], item: T) {
        self.push_back(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.pop_front()
    }

    fn pop_latest(&mut self) -> Option<T> {
        self.pop_back()
    }

    fn yields(&self, _owners: &[u64]) -> bool {
        false
    }

    fn pop_yielding(&mut self, _owners: &[u64]) -> Option<T> {
        None
    }
}

/// The lines of several owners.
#[derive(Debug)]
pub(super) struct Turns<L> {
    of: HashMap<u64, L>,
    /// The owners, the next one first.
    order: VecDeque<u64>,
    waiting: usize,
}

impl<L> Default for Turns<L> {
    fn default() -> Self {
        Self { of: HashMap::new(), order: VecDeque::new(), waiting: 0 }
    }
}

impl<L: Line> Turns<L> {
    /// How many items of `owner` wait.
    pub(super) fn waiting_of(&self, owner: u64) -> usize {
        self.of.get(&owner).map_or(0, L::waiting)
    }

    /// The line of `owner`.
    pub(super) fn line(&self, owner: u64) -> Option<&L> {
        self.of.get(&owner)
    }

    /// Takes an item out of the line of `owner` as `take` does.
    pub(super) fn take_from(
        &mut self,
        owner: u64,
        take: impl FnOnce(&mut L) -> Option<L::Item>,
    ) -> Option<L::Item> {
        let line = self.of.get_mut(&owner)?;
        let item = take(line)?;
        if line.waiting() == 0 {
            self.of.remove(&owner);
            self.order.retain(|other| *other != owner);
        }
        self.waiting -= 1;
        Some(item)
    }

    /// Takes the whole line of `owner` out.
    pub(super) fn remove(&mut self, owner: u64) -> Option<L> {
        let line = self.of.remove(&owner)?;
        self.order.retain(|other| *other != owner);
        self.waiting -= line.waiting();
        Some(line)
    }

    /// Puts the whole line of an owner in that has none here, behind the others.
    pub(super) fn insert(&mut self, owner: u64, line: L) {
        self.waiting += line.waiting();
        self.order.push_back(owner);
        self.of.insert(owner, line);
    }

    /// Takes the latest item of `owner`.
    pub(super) fn pop_latest_of(&mut self, owner: u64) -> Option<L::Item> {
        self.take_from(owner, L::pop_latest)
    }

    /// The owner with the most items, the latest of several.
    fn longest(&self) -> Option<u64> {
        self.order.iter().copied().max_by_key(|owner| self.waiting_of(*owner))
    }
}

impl<L: Line> Line for Turns<L> {
    type Item = L::Item;

    fn waiting(&self) -> usize {
        self.waiting
    }

    fn push(&mut self, owners: &[u64], item: L::Item) {
        // As many owners are named as there are lines within lines.
        let (owner, rest) = owners.split_first().map_or((0, owners), |(owner, rest)| (*owner, rest));
        let line = self.of.entry(owner).or_default();
        if line.waiting() == 0 {
            self.order.push_back(owner);
        }
        line.push(rest, item);
        self.waiting += 1;
    }

    fn pop(&mut self) -> Option<L::Item> {
        while let Some(owner) = self.order.pop_front() {
            let Some(line) = self.of.get_mut(&owner) else { continue };
            let item = line.pop();
            if line.waiting() == 0 {
                self.of.remove(&owner);
            } else {
                self.order.push_back(owner);
            }
            if item.is_some() {
                self.waiting -= 1;
                return item;
            }
        }
        None
    }

    fn pop_latest(&mut self) -> Option<L::Item> {
        self.pop_latest_of(self.longest()?)
    }

    fn yields(&self, owners: &[u64]) -> bool {
        let (Some(longest), Some((owner, rest))) = (self.longest(), owners.split_first()) else {
            return false;
        };
        if longest != *owner && self.waiting_of(longest) > self.waiting_of(*owner) + 1 {
            return true;
        }
        self.of.get(owner).is_some_and(|line| line.yields(rest))
    }

    fn pop_yielding(&mut self, owners: &[u64]) -> Option<L::Item> {
        let (longest, (owner, rest)) = (self.longest()?, owners.split_first()?);
        if longest != *owner && self.waiting_of(longest) > self.waiting_of(*owner) + 1 {
            return self.pop_latest_of(longest);
        }
        self.take_from(*owner, |line| line.pop_yielding(rest))
    }
}

/// The lines of the users of one network: those who failed of late come after the others, but for one turn in so
/// many, and give up their places first.
#[derive(Debug, Default)]
pub(super) struct ClearFirst<L> {
    clear: L,
    failed: L,
    turns: u32,
}

/// The owner that stands for the users without recent failures.
pub(super) const CLEAR: u64 = 0;

/// The owner that stands for the others.
pub(super) const FAILED: u64 = 1;

/// One turn in so many is one of those who failed while others wait.
const TURN_OF_FAILED: u32 = 4;

impl<L: Line> ClearFirst<L> {
    /// Whether somebody who failed of late waits.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.waiting() > 0
    }

    /// Takes the latest item of those who failed of late.
    pub(super) fn pop_failed(&mut self) -> Option<L::Item> {
        self.failed.pop_latest()
    }
}

impl<L: Line> Line for ClearFirst<L> {
    type Item = L::Item;

    fn waiting(&self) -> usize {
        self.clear.waiting() + self.failed.waiting()
    }

    fn push(&mut self, owners: &[u64], item: L::Item) {
        match owners.split_first() {
            Some((&FAILED, rest)) => self.failed.push(rest, item),
            Some((_, rest)) => self.clear.push(rest, item),
            None => self.clear.push(owners, item),
        }
    }

    fn pop(&mut self) -> Option<L::Item> {
        let is_turn_of_failed = self.turns % TURN_OF_FAILED == TURN_OF_FAILED - 1;
        self.turns = self.turns.wrapping_add(1);
        match is_turn_of_failed {
            true => self.failed.pop().or_else(|| self.clear.pop()),
            false => self.clear.pop().or_else(|| self.failed.pop()),
        }
    }

    fn pop_latest(&mut self) -> Option<L::Item> {
        self.failed.pop_latest().or_else(|| self.clear.pop_latest())
    }

    fn yields(&self, owners: &[u64]) -> bool {
        match owners.split_first() {
            Some((&FAILED, rest)) => self.failed.yields(rest),
            Some((_, rest)) => self.has_failed() || self.clear.yields(rest),
            None => false,
        }
    }

    fn pop_yielding(&mut self, owners: &[u64]) -> Option<L::Item> {
        match owners.split_first()? {
            (&FAILED, rest) => self.failed.pop_yielding(rest),
            (_, rest) => self.pop_failed().or_else(|| self.clear.pop_yielding(rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Owners of items, and of their owners.
    type Lines = Turns<Turns<VecDeque<&'static str>>>;

    fn lines(items: &[(u64, u64, &'static str)]) -> Lines {
        let mut lines = Lines::default();
        items.iter().for_each(|(outer, inner, item)| lines.push(&[*outer, *inner], item));
        lines
    }

    #[test]
    fn owners_take_turns_and_so_do_those_within() {
        let mut lines = lines(&[(1, 1, "a"), (1, 1, "b"), (1, 2, "c"), (2, 1, "d"), (2, 1, "e")]);
        let order: Vec<_> = std::iter::from_fn(|| lines.pop()).collect();
        assert_eq!(order, ["a", "d", "c", "e", "b"]);
        assert_eq!((lines.waiting(), lines.of.len(), lines.order.len()), (0, 0, 0));
    }

    #[test]
    fn users_who_failed_have_one_turn_in_four_and_yield_to_the_others() {
        let mut users = ClearFirst::<Turns<VecDeque<&'static str>>>::default();
        for (owner, user, item) in [(FAILED, 1, "x"), (FAILED, 2, "y"), (FAILED, 1, "z")] {
            users.push(&[owner, user], item);
        }
        assert!(users.yields(&[CLEAR, 3, 0]) && !users.yields(&[FAILED, 2, 0]));
        for (user, item) in (3..).zip(["a", "b", "c", "d", "e"]) {
            users.push(&[CLEAR, user], item);
        }
        assert_eq!(users.pop_yielding(&[CLEAR, 9, 0]), Some("z"));
        let order: Vec<_> = std::iter::from_fn(|| users.pop()).collect();
        assert_eq!(order, ["a", "b", "c", "x", "d", "e", "y"]);
        assert_eq!(users.waiting(), 0);
    }

    #[test]
    fn the_latest_of_the_longest_yields_to_an_owner_with_fewer_by_two() {
        let mut lines = lines(&[(1, 1, "a"), (1, 1, "b"), (1, 2, "c"), (2, 1, "d"), (2, 2, "e")]);
        assert!(lines.yields(&[3, 1]));
        assert!(!lines.yields(&[2, 1]), "one more is no more than its due");
        assert!(lines.yields(&[1, 3]), "within an owner too");
        assert!(!lines.yields(&[1, 2]));
        assert_eq!(lines.pop_yielding(&[1, 3]), Some("b"));
        assert_eq!(lines.pop_yielding(&[3, 1]), Some("e"));
        assert_eq!(lines.pop_latest(), Some("c"));
        assert_eq!(lines.waiting(), 2);
    }
}
