//! Items that wait, whose owners take turns; an owner's items may themselves be owners' that take turns.

use std::collections::{HashMap, VecDeque};

/// A line of waiting items.
pub(super) trait OwnerQueue: Default {
    /// What waits.
    type Item;

    /// How many wait.
    fn waiting_count(&self) -> usize;

    /// Adds an item at the end of its owners' line, the outermost owner first.
    fn push(&mut self, owners: &[u64], item: Self::Item);

    /// Takes the item whose turn it is.
    fn pop(&mut self) -> Option<Self::Item>;

    /// Takes the latest item of the owner that has the most.
    fn pop_latest(&mut self) -> Option<Self::Item>;

    /// Whether an item of these owners may have the place of another, whose owner has more of them.
    fn can_evict_for(&self, owners: &[u64]) -> bool;

    /// Takes the item that yields.
    fn evict_for(&mut self, owners: &[u64]) -> Option<Self::Item>;
}

/// Of one owner: first come, first served.
impl<T> OwnerQueue for VecDeque<T> {
    type Item = T;

    fn waiting_count(&self) -> usize {
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

    fn can_evict_for(&self, _owners: &[u64]) -> bool {
        false
    }

    fn evict_for(&mut self, _owners: &[u64]) -> Option<T> {
        None
    }
}

/// The lines of several owners.
#[derive(Debug)]
pub(super) struct RoundRobin<L> {
    queues: HashMap<u64, L>,
    /// The owners, the next one first.
    order: VecDeque<u64>,
    waiting_count: usize,
}

impl<L> Default for RoundRobin<L> {
    fn default() -> Self {
        Self { queues: HashMap::new(), order: VecDeque::new(), waiting_count: 0 }
    }
}

impl<L: OwnerQueue> RoundRobin<L> {
    /// How many items of `owner` wait.
    pub(super) fn waiting_count_of(&self, owner: u64) -> usize {
        self.queues.get(&owner).map_or(0, L::waiting_count)
    }

    /// The line of `owner`.
    pub(super) fn queue_of(&self, owner: u64) -> Option<&L> {
        self.queues.get(&owner)
    }

    /// Takes an item out of the line of `owner` as `take` does.
    pub(super) fn pop_from(
        &mut self,
        owner: u64,
        take: impl FnOnce(&mut L) -> Option<L::Item>,
    ) -> Option<L::Item> {
        let line = self.queues.get_mut(&owner)?;
        let item = take(line)?;
        if line.waiting_count() == 0 {
            self.queues.remove(&owner);
            self.order.retain(|other| *other != owner);
        }
        self.waiting_count -= 1;
        Some(item)
    }

    /// Takes the whole line of `owner` out.
    pub(super) fn remove_owner(&mut self, owner: u64) -> Option<L> {
        let line = self.queues.remove(&owner)?;
        self.order.retain(|other| *other != owner);
        self.waiting_count -= line.waiting_count();
        Some(line)
    }

    /// Puts the whole line of an owner in that has none here, behind the others.
    pub(super) fn insert_owner(&mut self, owner: u64, line: L) {
        self.waiting_count += line.waiting_count();
        self.order.push_back(owner);
        self.queues.insert(owner, line);
    }

    /// Takes the latest item of `owner`.
    pub(super) fn pop_latest_of(&mut self, owner: u64) -> Option<L::Item> {
        self.pop_from(owner, L::pop_latest)
    }

    /// The owner with the most items, the latest of several.
    fn longest_owner(&self) -> Option<u64> {
        self.order.iter().copied().max_by_key(|owner| self.waiting_count_of(*owner))
    }
}

impl<L: OwnerQueue> OwnerQueue for RoundRobin<L> {
    type Item = L::Item;

    fn waiting_count(&self) -> usize {
        self.waiting_count
    }

    fn push(&mut self, owners: &[u64], item: L::Item) {
        // As many owners are named as there are lines within lines.
        let (owner, rest) = owners.split_first().map_or((0, owners), |(owner, rest)| (*owner, rest));
        let line = self.queues.entry(owner).or_default();
        if line.waiting_count() == 0 {
            self.order.push_back(owner);
        }
        line.push(rest, item);
        self.waiting_count += 1;
    }

    fn pop(&mut self) -> Option<L::Item> {
        while let Some(owner) = self.order.pop_front() {
            let Some(line) = self.queues.get_mut(&owner) else { continue };
            let item = line.pop();
            if line.waiting_count() == 0 {
                self.queues.remove(&owner);
            } else {
                self.order.push_back(owner);
            }
            if item.is_some() {
                self.waiting_count -= 1;
                return item;
            }
        }
        None
    }

    fn pop_latest(&mut self) -> Option<L::Item> {
        self.pop_latest_of(self.longest_owner()?)
    }

    fn can_evict_for(&self, owners: &[u64]) -> bool {
        let (Some(longest), Some((owner, rest))) = (self.longest_owner(), owners.split_first()) else {
            return false;
        };
        if longest != *owner && self.waiting_count_of(longest) > self.waiting_count_of(*owner) + 1 {
            return true;
        }
        self.queues.get(owner).is_some_and(|line| line.can_evict_for(rest))
    }

    fn evict_for(&mut self, owners: &[u64]) -> Option<L::Item> {
        let (longest, (owner, rest)) = (self.longest_owner()?, owners.split_first()?);
        if longest != *owner && self.waiting_count_of(longest) > self.waiting_count_of(*owner) + 1 {
            return self.pop_latest_of(longest);
        }
        self.pop_from(*owner, |line| line.evict_for(rest))
    }
}

/// The lines of the users of one network: those who failed of late come after the others, but for one turn in so
/// many, and give up their places first.
#[derive(Debug, Default)]
pub(super) struct CleanUsersFirst<L> {
    clean: L,
    failed: L,
    turn_count: u32,
}

/// The owner that stands for the users without recent failures.
pub(super) const CLEAN_USERS: u64 = 0;

/// The owner that stands for the others.
pub(super) const FAILED_USERS: u64 = 1;

/// One turn in so many is one of those who failed while others wait.
const FAILED_TURN_INTERVAL: u32 = 4;

impl<L: OwnerQueue> CleanUsersFirst<L> {
    /// Whether somebody who failed of late waits.
    pub(super) fn has_failed_waiting(&self) -> bool {
        self.failed.waiting_count() > 0
    }

    /// Takes the latest item of those who failed of late.
    pub(super) fn pop_latest_failed(&mut self) -> Option<L::Item> {
        self.failed.pop_latest()
    }
}

impl<L: OwnerQueue> OwnerQueue for CleanUsersFirst<L> {
    type Item = L::Item;

    fn waiting_count(&self) -> usize {
        self.clean.waiting_count() + self.failed.waiting_count()
    }

    fn push(&mut self, owners: &[u64], item: L::Item) {
        match owners.split_first() {
            Some((&FAILED_USERS, rest)) => self.failed.push(rest, item),
            Some((_, rest)) => self.clean.push(rest, item),
            None => self.clean.push(owners, item),
        }
    }

    fn pop(&mut self) -> Option<L::Item> {
        let is_turn_of_failed = self.turn_count % FAILED_TURN_INTERVAL == FAILED_TURN_INTERVAL - 1;
        self.turn_count = self.turn_count.wrapping_add(1);
        match is_turn_of_failed {
            true => self.failed.pop().or_else(|| self.clean.pop()),
            false => self.clean.pop().or_else(|| self.failed.pop()),
        }
    }

    fn pop_latest(&mut self) -> Option<L::Item> {
        self.failed.pop_latest().or_else(|| self.clean.pop_latest())
    }

    fn can_evict_for(&self, owners: &[u64]) -> bool {
        match owners.split_first() {
            Some((&FAILED_USERS, rest)) => self.failed.can_evict_for(rest),
            Some((_, rest)) => self.has_failed_waiting() || self.clean.can_evict_for(rest),
            None => false,
        }
    }

    fn evict_for(&mut self, owners: &[u64]) -> Option<L::Item> {
        match owners.split_first()? {
            (&FAILED_USERS, rest) => self.failed.evict_for(rest),
            (_, rest) => self.pop_latest_failed().or_else(|| self.clean.evict_for(rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Owners of items, and of their owners.
    type NestedRoundRobin = RoundRobin<RoundRobin<VecDeque<&'static str>>>;

    fn lines(items: &[(u64, u64, &'static str)]) -> NestedRoundRobin {
        let mut lines = NestedRoundRobin::default();
        items.iter().for_each(|(outer, inner, item)| lines.push(&[*outer, *inner], item));
        lines
    }

    #[test]
    fn outer_and_inner_owners_alternate() {
        let mut lines = lines(&[(1, 1, "a"), (1, 1, "b"), (1, 2, "c"), (2, 1, "d"), (2, 1, "e")]);
        let order: Vec<_> = std::iter::from_fn(|| lines.pop()).collect();
        assert_eq!(order, ["a", "d", "c", "e", "b"]);
        assert_eq!((lines.waiting_count(), lines.queues.len(), lines.order.len()), (0, 0, 0));
    }

    #[test]
    fn failed_users_get_one_turn_in_four_and_are_evicted_first() {
        let mut users = CleanUsersFirst::<RoundRobin<VecDeque<&'static str>>>::default();
        for (owner, user, item) in [(FAILED_USERS, 1, "x"), (FAILED_USERS, 2, "y"), (FAILED_USERS, 1, "z")] {
            users.push(&[owner, user], item);
        }
        assert!(users.can_evict_for(&[CLEAN_USERS, 3, 0]) && !users.can_evict_for(&[FAILED_USERS, 2, 0]));
        for (user, item) in (3..).zip(["a", "b", "c", "d", "e"]) {
            users.push(&[CLEAN_USERS, user], item);
        }
        assert_eq!(users.evict_for(&[CLEAN_USERS, 9, 0]), Some("z"));
        let order: Vec<_> = std::iter::from_fn(|| users.pop()).collect();
        assert_eq!(order, ["a", "b", "c", "x", "d", "e", "y"]);
        assert_eq!(users.waiting_count(), 0);
    }

    #[test]
    fn owner_with_two_more_items_loses_its_latest_item() {
        let mut lines = lines(&[(1, 1, "a"), (1, 1, "b"), (1, 2, "c"), (2, 1, "d"), (2, 2, "e")]);
        assert!(lines.can_evict_for(&[3, 1]));
        assert!(!lines.can_evict_for(&[2, 1]), "one more is no more than its due");
        assert!(lines.can_evict_for(&[1, 3]), "within an owner too");
        assert!(!lines.can_evict_for(&[1, 2]));
        assert_eq!(lines.evict_for(&[1, 3]), Some("b"));
        assert_eq!(lines.evict_for(&[3, 1]), Some("e"));
        assert_eq!(lines.pop_latest(), Some("c"));
        assert_eq!(lines.waiting_count(), 2);
    }
}
