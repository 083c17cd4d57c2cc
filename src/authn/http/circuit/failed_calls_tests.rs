//! How many calls without an answer prove what.

use super::*;
use crate::authn::queue::Asker;

fn requester(user: u64, block: u64) -> Requester {
    let id = Asker { block, network: block, user: user * 1000 + block };
    Requester { id, user, accepted_before: false }
}

fn accepted(user: u64, block: u64) -> Requester {
    Requester { accepted_before: true, ..requester(user, block) }
}

fn at(seconds: u64) -> Moment {
    Moment::from_millis(seconds * 1000)
}

/// Calls that began at 10 s and ended at 14 s.
fn failed(who: &[Requester]) -> FailedCalls {
    let mut calls = FailedCalls::default();
    who.iter().for_each(|who| calls.add(*who, at(10), at(14)));
    calls
}

#[test]
fn several_requesters_in_several_blocks_make_an_outage_and_fewer_do_not() {
    let is_outage = |who: &[Requester]| failed(who).outage(at(14)).is_some();
    assert!(is_outage(&[requester(1, 1), requester(2, 1), requester(3, 2)]));
    assert!(!is_outage(&[requester(1, 1), requester(2, 2)]), "two requesters");
    assert!(!is_outage(&[requester(1, 1), requester(2, 1), requester(3, 1)]), "one block");
    assert!(!is_outage(&[requester(1, 1), requester(1, 2), requester(1, 3)]), "one user");
    // Where all clients are in one block, users do that had been accepted.
    assert!(is_outage(&[accepted(1, 1), accepted(2, 1), accepted(3, 1)]));
    assert!(!is_outage(&[accepted(1, 1), accepted(2, 1), requester(3, 1)]));
}

#[test]
fn failures_within_a_moment_are_no_outage_yet() {
    let mut calls = FailedCalls::default();
    let who = [requester(1, 1), requester(2, 2), requester(3, 3)];
    who.iter().for_each(|who| calls.add(*who, at(10), at(10)));
    assert_eq!(calls.outage(at(10).plus(SPAN - Duration::from_millis(1))), None);
    assert_eq!(
        calls.outage(at(10).plus(SPAN)),
        Some(Saw { requesters: 3, users: 3, blocks: 3, is_proved: false })
    );
}

#[test]
fn an_outage_is_seen_however_many_calls_fail_in_a_second() {
    let mut calls = FailedCalls::default();
    for n in 0..=1000 {
        let now = at(10).plus(Duration::from_millis(n));
        calls.add(requester(n, n), now, now);
        assert_eq!(calls.outage(now).is_some(), n == 1000, "{n} ms");
    }
}

#[test]
fn an_answer_to_anybody_ends_it() {
    let mut calls = failed(&[accepted(1, 1), accepted(2, 2), accepted(3, 3), accepted(4, 4)]);
    assert!(calls.outage(at(14)).is_some() && calls.seen_by_others(1, at(14)));
    calls.clear();
    assert!(calls.outage(at(14)).is_none() && !calls.seen_by_others(1, at(14)));
}

#[test]
fn what_is_long_ago_proves_nothing() {
    let calls = failed(&[accepted(1, 1), accepted(2, 2), accepted(3, 3), accepted(4, 4)]);
    let later = at(14).plus(PROVES_FOR);
    assert!(calls.outage(later).is_none() && !calls.seen_by_others(1, later));
}

#[test]
fn an_answer_of_before_takes_others_that_had_been_accepted() {
    let seen = |who: &[Requester]| failed(who).seen_by_others(1, at(14));
    assert!(seen(&[accepted(2, 2), accepted(3, 3), accepted(4, 4)]));
    assert!(!seen(&[accepted(1, 1), accepted(2, 2), accepted(3, 3)]), "one of them is the same user");
    assert!(!seen(&[accepted(1, 2), accepted(1, 3), accepted(1, 4)]), "the same user from elsewhere");
    assert!(!seen(&[requester(2, 2), requester(3, 3), requester(4, 4), requester(5, 5)]), "guesses");
}

#[test]
fn one_block_proves_nothing_to_others_unless_all_are_in_one() {
    let mut calls = failed(&[accepted(2, 1), accepted(3, 1), accepted(4, 1)]);
    calls.accepted(&requester(1, 1), at(5));
    assert!(calls.seen_by_others(1, at(14)));
    calls.accepted(&requester(9, 2), at(6));
    assert!(!calls.seen_by_others(1, at(14)));
}

#[test]
fn the_more_users_there_are_the_more_must_have_seen_it() {
    let who: Vec<Requester> = (2..7).map(|user| accepted(user, user)).collect();
    let mut calls = failed(&who);
    (0..59).for_each(|user| calls.accepted(&requester(user, user), at(5)));
    assert!(calls.seen_by_others(1, at(14)), "five of 59");
    calls.accepted(&requester(60, 60), at(5));
    assert!(!calls.seen_by_others(1, at(14)), "five of 60");
    // The next day the others count no more.
    let tomorrow = at(5).plus(DAY);
    who.iter().for_each(|who| calls.add(*who, tomorrow, tomorrow.plus(SPAN)));
    assert!(calls.seen_by_others(1, tomorrow.plus(SPAN)));
}

#[test]
fn guesses_push_no_other_evidence_out_and_all_is_bounded() {
    let mut calls = failed(&[accepted(2, 2), accepted(3, 3), accepted(4, 4)]);
    (100..10_000).for_each(|user| calls.add(requester(user, user), at(10), at(14)));
    assert!(calls.seen_by_others(1, at(14)));
    (100..10_000).for_each(|user| calls.add(accepted(user, user), at(10), at(14)));
    (100..10_000).for_each(|user| calls.accepted(&accepted(user, user), at(14)));
    assert_eq!((calls.strangers.last.len(), calls.accepted.last.len()), (STRANGERS_MAX, ACCEPTED_MAX));
    assert_eq!(calls.users.len(), COUNTED_MAX);
}
