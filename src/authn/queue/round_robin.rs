//! Queues in which owners take turns. They can be nested: the queue of one owner can be a queue of inner owners.

use std::collections::{HashMap, VecDeque};

/// A queue of items that have owners.
pub(super) trait OwnerQueue: Default {
    /// The type of a waiting item.
    type Item;

    /// Returns the number of waiting items.
    fn waiting_count(&self) -> usize;

    /// Adds an item at the end of the queue of its owners. `owners` starts with the outermost owner.
    fn push(&mut self, owners: &[u64], item: Self::Item);

    /// Removes and returns the item whose turn it is.
    fn pop(&mut self) -> Option<Self::Item>;

    /// Removes and returns the latest item of the owner with the most items.
    fn pop_latest(&mut self) -> Option<Self::Item>;

    /// Returns true if an item of `owners` can evict an item of another owner that has more items.
    fn can_evict_for(&self, owners: &[u64]) -> bool;

    /// Removes and returns the item that an item of `owners` evicts.
    fn evict_for(&mut self, owners: &[u64]) -> Option<Self::Item>;
}

/// The queue of one owner: first in, first out.
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

/// The queues of several owners, which take turns.
#[derive(Debug)]
pub(super) struct RoundRobin<L> {
    queues: HashMap<u64, L>,
    /// The owners in the order of their turns.
    order: VecDeque<u64>,
    waiting_count: usize,
}

impl<L> Default for RoundRobin<L> {
    fn default() -> Self {
        Self { queues: HashMap::new(), order: VecDeque::new(), waiting_count: 0 }
    }
}

impl<L: OwnerQueue> RoundRobin<L> {
    /// Returns the number of waiting items of `owner`.
    pub(super) fn waiting_count_of(&self, owner: u64) -> usize {
        self.queues.get(&owner).map_or(0, L::waiting_count)
    }

    /// Returns the queue of `owner`.
    pub(super) fn queue_of(&self, owner: u64) -> Option<&L> {
        self.queues.get(&owner)
    }

    /// Removes an item from the queue of `owner` with `pop`, and returns it.
    pub(super) fn pop_from(
        &mut self,
        owner: u64,
        pop: impl FnOnce(&mut L) -> Option<L::Item>,
    ) -> Option<L::Item> {
        let queue = self.queues.get_mut(&owner)?;
        let item = pop(queue)?;
        if queue.waiting_count() == 0 {
            self.queues.remove(&owner);
            self.order.retain(|other| *other != owner);
        }
        self.waiting_count -= 1;
        Some(item)
    }

    /// Removes and returns the queue of `owner`.
    pub(super) fn remove_owner(&mut self, owner: u64) -> Option<L> {
        let queue = self.queues.remove(&owner)?;
        self.order.retain(|other| *other != owner);
        self.waiting_count -= queue.waiting_count();
        Some(queue)
    }

    /// Adds the queue of an owner that has none here. Its turn comes after the other owners.
    pub(super) fn insert_owner(&mut self, owner: u64, queue: L) {
        self.waiting_count += queue.waiting_count();
        self.order.push_back(owner);
        self.queues.insert(owner, queue);
    }

    /// Removes and returns the latest item of `owner`.
    pub(super) fn pop_latest_of(&mut self, owner: u64) -> Option<L::Item> {
        self.pop_from(owner, L::pop_latest)
    }

    /// Returns the owner with the most items. If there are several, the one whose turn comes last is returned.
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
        // `owners` has one element for each level of nesting.
        let (owner, rest) = owners.split_first().map_or((0, owners), |(owner, rest)| (*owner, rest));
        let queue = self.queues.entry(owner).or_default();
        if queue.waiting_count() == 0 {
            self.order.push_back(owner);
        }
        queue.push(rest, item);
        self.waiting_count += 1;
    }

    fn pop(&mut self) -> Option<L::Item> {
        while let Some(owner) = self.order.pop_front() {
            let Some(queue) = self.queues.get_mut(&owner) else { continue };
            let item = queue.pop();
            if queue.waiting_count() == 0 {
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
        self.queues.get(owner).is_some_and(|queue| queue.can_evict_for(rest))
    }

    fn evict_for(&mut self, owners: &[u64]) -> Option<L::Item> {
        let (longest, (owner, rest)) = (self.longest_owner()?, owners.split_first()?);
        if longest != *owner && self.waiting_count_of(longest) > self.waiting_count_of(*owner) + 1 {
            return self.pop_latest_of(longest);
        }
        self.pop_from(*owner, |queue| queue.evict_for(rest))
    }
}

/// The queues of the users of one network, in two groups. Users with recent failures come after the others, except for
/// every fourth turn, and their items are evicted first.
#[derive(Debug, Default)]
pub(super) struct CleanUsersFirst<L> {
    clean: L,
    failed: L,
    turn_count: u32,
}

/// The owner that represents the users without recent failures.
pub(super) const CLEAN_USERS: u64 = 0;

/// The owner that represents the users with recent failures.
pub(super) const FAILED_USERS: u64 = 1;

/// The interval of turns of users with recent failures, while other users wait.
const FAILED_TURN_INTERVAL: u32 = 4;

impl<L: OwnerQueue> CleanUsersFirst<L> {
    /// Returns true if an item of a user with recent failures waits.
    pub(super) fn has_failed_waiting(&self) -> bool {
        self.failed.waiting_count() > 0
    }

    /// Removes and returns the latest item of the users with recent failures.
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
        let is_failed_turn = self.turn_count % FAILED_TURN_INTERVAL == FAILED_TURN_INTERVAL - 1;
        self.turn_count = self.turn_count.wrapping_add(1);
        match is_failed_turn {
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

    /// A queue with two levels of owners.
    type NestedRoundRobin = RoundRobin<RoundRobin<VecDeque<&'static str>>>;

    fn queues_with(items: &[(u64, u64, &'static str)]) -> NestedRoundRobin {
        let mut queues = NestedRoundRobin::default();
        items.iter().for_each(|(outer, inner, item)| queues.push(&[*outer, *inner], item));
        queues
    }

    #[test]
    fn outer_and_inner_owners_alternate() {
        let mut queues = queues_with(&[(1, 1, "a"), (1, 1, "b"), (1, 2, "c"), (2, 1, "d"), (2, 1, "e")]);
        let order: Vec<_> = std::iter::from_fn(|| queues.pop()).collect();
        assert_eq!(order, ["a", "d", "c", "e", "b"]);
        assert_eq!((queues.waiting_count(), queues.queues.len(), queues.order.len()), (0, 0, 0));
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
        let mut queues = queues_with(&[(1, 1, "a"), (1, 1, "b"), (1, 2, "c"), (2, 1, "d"), (2, 2, "e")]);
        assert!(queues.can_evict_for(&[3, 1]));
        assert!(!queues.can_evict_for(&[2, 1]), "one more item is a fair share");
        assert!(queues.can_evict_for(&[1, 3]), "also within one outer owner");
        assert!(!queues.can_evict_for(&[1, 2]));
        assert_eq!(queues.evict_for(&[1, 3]), Some("b"));
        assert_eq!(queues.evict_for(&[3, 1]), Some("e"));
        assert_eq!(queues.pop_latest(), Some("c"));
        assert_eq!(queues.waiting_count(), 2);
    }
}
