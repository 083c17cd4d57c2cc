//! Tests of the evidence of an outage.

use super::*;
use crate::authn::queue::job::RequesterId;

fn requester(user: u64, block: u64) -> Requester {
    let id = RequesterId { block_tag: block, network_tag: block, network_user_tag: user * 1000 + block };
    Requester { id, user_tag: user, has_been_accepted: false }
}

fn accepted(user: u64, block: u64) -> Requester {
    Requester { has_been_accepted: true, ..requester(user, block) }
}

fn at(seconds: u64) -> Moment {
    Moment::from_millis(seconds * 1000)
}

/// Returns calls that started at 10 s and ended at 14 s.
fn failed(requesters: &[Requester]) -> FailedCalls {
    let mut calls = FailedCalls::default();
    requesters.iter().for_each(|requester| calls.add(*requester, at(10), at(14)));
    calls
}

#[test]
fn outage_needs_three_requesters_in_two_blocks() {
    let is_outage = |requesters: &[Requester]| failed(requesters).outage_evidence(at(14)).is_some();
    assert!(is_outage(&[requester(1, 1), requester(2, 1), requester(3, 2)]));
    assert!(!is_outage(&[requester(1, 1), requester(2, 2)]), "two requesters");
    assert!(!is_outage(&[requester(1, 1), requester(2, 1), requester(3, 1)]), "one block");
    assert!(!is_outage(&[requester(1, 1), requester(1, 2), requester(1, 3)]), "one user");
    // If all clients are in one block, three users that were accepted before are enough.
    assert!(is_outage(&[accepted(1, 1), accepted(2, 1), accepted(3, 1)]));
    assert!(!is_outage(&[accepted(1, 1), accepted(2, 1), requester(3, 1)]));
}

#[test]
fn failures_within_one_second_are_not_an_outage() {
    let mut calls = FailedCalls::default();
    let who = [requester(1, 1), requester(2, 2), requester(3, 3)];
    who.iter().for_each(|who| calls.add(*who, at(10), at(10)));
    assert_eq!(calls.outage_evidence(at(10).plus(OUTAGE_DURATION_MIN - Duration::from_millis(1))), None);
    assert_eq!(
        calls.outage_evidence(at(10).plus(OUTAGE_DURATION_MIN)),
        Some(OutageEvidence { requesters: 3, users: 3, blocks: 3, is_proved: false })
    );
}

#[test]
fn outage_is_detected_after_one_second_at_any_failure_rate() {
    let mut calls = FailedCalls::default();
    for n in 0..=1000 {
        let now = at(10).plus(Duration::from_millis(n));
        calls.add(requester(n, n), now, now);
        assert_eq!(calls.outage_evidence(now).is_some(), n == 1000, "{n} ms");
    }
}

#[test]
fn any_answer_clears_the_evidence() {
    let mut calls = failed(&[accepted(1, 1), accepted(2, 2), accepted(3, 3), accepted(4, 4)]);
    assert!(calls.outage_evidence(at(14)).is_some() && calls.is_seen_by_others(1, at(14)));
    calls.clear();
    assert!(calls.outage_evidence(at(14)).is_none() && !calls.is_seen_by_others(1, at(14)));
}

#[test]
fn expired_calls_are_no_evidence() {
    let calls = failed(&[accepted(1, 1), accepted(2, 2), accepted(3, 3), accepted(4, 4)]);
    let later = at(14).plus(EVIDENCE_TTL);
    assert!(calls.outage_evidence(later).is_none() && !calls.is_seen_by_others(1, later));
}

#[test]
fn stale_answer_needs_evidence_from_other_accepted_users() {
    let seen = |who: &[Requester]| failed(who).is_seen_by_others(1, at(14));
    assert!(seen(&[accepted(2, 2), accepted(3, 3), accepted(4, 4)]));
    assert!(!seen(&[accepted(1, 1), accepted(2, 2), accepted(3, 3)]), "one of them is the same user");
    assert!(!seen(&[accepted(1, 2), accepted(1, 3), accepted(1, 4)]), "the same user from elsewhere");
    assert!(!seen(&[requester(2, 2), requester(3, 3), requester(4, 4), requester(5, 5)]), "guesses");
}

#[test]
fn one_block_is_evidence_only_if_all_users_are_in_it() {
    let mut calls = failed(&[accepted(2, 1), accepted(3, 1), accepted(4, 1)]);
    calls.record_accepted(&requester(1, 1), at(5));
    assert!(calls.is_seen_by_others(1, at(14)));
    calls.record_accepted(&requester(9, 2), at(6));
    assert!(!calls.is_seen_by_others(1, at(14)));
}

#[test]
fn required_evidence_grows_with_active_users() {
    let users: Vec<Requester> = (2..7).map(|user| accepted(user, user)).collect();
    let mut calls = failed(&users);
    (0..59).for_each(|user| calls.record_accepted(&requester(user, user), at(5)));
    assert!(calls.is_seen_by_others(1, at(14)), "five of 59");
    calls.record_accepted(&requester(60, 60), at(5));
    assert!(!calls.is_seen_by_others(1, at(14)), "five of 60");
    // On the next day the other users are not active.
    let tomorrow = at(5).plus(ACTIVE_USER_WINDOW);
    users.iter().for_each(|user| calls.add(*user, tomorrow, tomorrow.plus(OUTAGE_DURATION_MIN)));
    assert!(calls.is_seen_by_others(1, tomorrow.plus(OUTAGE_DURATION_MIN)));
}

#[test]
fn guesses_do_not_evict_accepted_calls_and_tables_are_bounded() {
    let mut calls = failed(&[accepted(2, 2), accepted(3, 3), accepted(4, 4)]);
    (100..10_000).for_each(|user| calls.add(requester(user, user), at(10), at(14)));
    assert!(calls.is_seen_by_others(1, at(14)));
    (100..10_000).for_each(|user| calls.add(accepted(user, user), at(10), at(14)));
    (100..10_000).for_each(|user| calls.record_accepted(&accepted(user, user), at(14)));
    assert_eq!(
        (calls.unverified.recent.len(), calls.accepted.recent.len()),
        (UNVERIFIED_CALLS_MAX, ACCEPTED_CALLS_MAX)
    );
    assert_eq!(calls.users_accepted_at.len(), ACTIVE_USERS_MAX);
}
