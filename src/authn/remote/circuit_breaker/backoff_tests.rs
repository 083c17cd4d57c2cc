//! Tests of the backoff: the requesters that are held back, and for how long.

use super::*;

fn requester(user: u64, block: u64) -> Requester {
    let id = RequesterId { block_tag: block, network_tag: block, network_user_tag: user * 1000 + block };
    Requester { id, user_tag: user, has_been_accepted: false }
}

fn at(seconds: u64) -> Moment {
    Moment::from_millis(seconds * 1000)
}

/// Returns a call that took four seconds and ends at `now`.
fn call(now: u64, answered: Option<u64>) -> UnansweredCall {
    UnansweredCall {
        began_at: at(now.saturating_sub(4)),
        ended_at: at(now),
        is_probe: false,
        answered_at: answered.map(at),
    }
}

fn fail(requesters: &mut RequesterBackoff, requester: &Requester, call: UnansweredCall) -> bool {
    requesters.record_unanswered(requester, call, None)
}

#[test]
fn wait_doubles_if_other_requesters_are_answered() {
    let (mut requesters, ann) = (RequesterBackoff::default(), requester(1, 1));
    let mut now = 10;
    for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
        assert!(fail(&mut requesters, &ann, call(now, Some(now - 1))));
        assert_eq!(requesters.remaining_wait(&ann, None, at(now)), Some(Duration::from_secs(wait)));
        assert_eq!(requesters.remaining_wait(&ann, None, at(now + wait)), None);
        now += wait + 4;
    }
}

#[test]
fn wait_stays_one_second_if_no_requester_is_answered() {
    let (mut requesters, ann) = (RequesterBackoff::default(), requester(1, 1));
    for now in [10, 15, 20, 25, 30] {
        assert!(!fail(&mut requesters, &ann, call(now, Some(2))));
        // After the first one it may try again at once.
        let wait = (now > 10).then_some(HOLD_BACK_MIN);
        assert_eq!(requesters.remaining_wait(&ann, Some(at(2)), at(now)), wait);
        assert_eq!(requesters.remaining_wait(&ann, Some(at(now)), at(now)), None, "somebody was answered");
    }
}

#[test]
fn immediate_failures_are_provoked_if_others_were_answered_between() {
    let (mut requesters, ann) = (RequesterBackoff::default(), requester(1, 1));
    let reset = |now: u64, answered: u64| UnansweredCall {
        began_at: at(now),
        ended_at: at(now),
        is_probe: false,
        answered_at: Some(at(answered)),
    };
    assert!(!fail(&mut requesters, &ann, reset(10, 9)), "that was before");
    assert!(fail(&mut requesters, &ann, reset(12, 11)));
    assert!(!fail(&mut requesters, &ann, reset(14, 11)), "nobody since");
}

#[test]
fn failure_holds_back_no_neighbour_but_marks_the_block_suspect() {
    let (mut requesters, ann) = (RequesterBackoff::default(), requester(1, 1));
    let (neighbour, elsewhere) = (requester(2, 1), requester(1, 2));
    fail(&mut requesters, &ann, call(10, Some(8)));
    for other in [&neighbour, &elsewhere] {
        assert_eq!(requesters.remaining_wait(other, None, at(10)), None);
    }
    assert!(requesters.is_suspect(&neighbour, at(10)));
    assert!(!requesters.is_suspect(&elsewhere, at(10)));
    assert!(!requesters.is_suspect(&Requester { has_been_accepted: true, ..neighbour }, at(10)));
    assert!(!requesters.is_suspect(&neighbour, at(10).plus(FAILURE_TTL)));
}

#[test]
fn guesses_do_not_hold_back_previously_accepted_credentials() {
    let (mut requesters, guess) = (RequesterBackoff::default(), requester(1, 1));
    let right = Requester { has_been_accepted: true, ..guess };
    fail(&mut requesters, &guess, call(10, Some(8)));
    assert!(requesters.remaining_wait(&guess, None, at(10)).is_some());
    assert!(
        requesters.remaining_wait(&right, None, at(10)).is_none() && !requesters.is_suspect(&right, at(10))
    );
}

#[test]
fn retry_after_is_applied_to_its_requester_within_limits() {
    let (mut requesters, ann) = (RequesterBackoff::default(), requester(1, 1));
    for (told, waits) in [(0, 1), (20, 20), (100_000, 60)] {
        requesters.record_unanswered(&ann, call(10, None), Some(Duration::from_secs(told)));
        assert_eq!(requesters.remaining_wait(&ann, None, at(10)), Some(Duration::from_secs(waits)));
    }
}

#[test]
fn answer_ends_the_wait_but_keeps_the_failure_count() {
    let (mut requesters, ann) = (RequesterBackoff::default(), requester(1, 1));
    fail(&mut requesters, &ann, call(10, Some(9)));
    fail(&mut requesters, &ann, call(20, Some(19)));
    requesters.record_answer(&ann, at(21));
    assert_eq!(requesters.remaining_wait(&ann, None, at(21)), None);
    assert!(requesters.is_suspect(&ann, at(21)), "an account of one's own is no way to start anew");
    fail(&mut requesters, &ann, call(30, Some(29)));
    assert_eq!(requesters.remaining_wait(&ann, None, at(30)), Some(Duration::from_secs(4)));
}

#[test]
fn recovery_clears_waits_caused_by_the_outage() {
    let (mut requesters, ann, eve) = (RequesterBackoff::default(), requester(1, 1), requester(2, 2));
    requesters.record_unanswered(&ann, call(10, None), Some(HOLD_BACK_MAX));
    fail(&mut requesters, &eve, call(10, Some(9)));
    requesters.clear_after_outage(at(11));
    assert_eq!(requesters.remaining_wait(&ann, None, at(11)), None);
    assert!(!requesters.is_suspect(&requester(3, 1), at(11)));
    assert!(requesters.is_suspect(&requester(3, 2), at(11)), "the service answered others meanwhile");
}

#[test]
fn full_table_evicts_the_oldest_entry() {
    let mut requesters = RequesterBackoff::default();
    for n in 0..ENTRIES_MAX as u64 + 10 {
        let now = at(10).plus(Duration::from_millis(n));
        fail(
            &mut requesters,
            &requester(n, n),
            UnansweredCall { began_at: now, ended_at: now, is_probe: false, answered_at: None },
        );
    }
    assert_eq!((requesters.held_back.len(), requesters.suspect_blocks.len()), (ENTRIES_MAX, ENTRIES_MAX));
    assert!(
        requesters.is_suspect(&requester(20, 20), at(10)) && !requesters.is_suspect(&requester(0, 0), at(10))
    );
}
