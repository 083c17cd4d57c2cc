//! Who is held back after calls without an answer, and for how long.

use super::*;

fn requester(user: u64, block: u64) -> Requester {
    let id = Asker { block, network: block, user: user * 1000 + block };
    Requester { id, user, accepted_before: false }
}

fn at(seconds: u64) -> Moment {
    Moment::from_millis(seconds * 1000)
}

/// A call that took four seconds and ended now.
fn call(now: u64, answered: Option<u64>) -> Call {
    Call { began: at(now.saturating_sub(4)), now: at(now), is_probe: false, answered: answered.map(at) }
}

fn fail(requesters: &mut Requesters, who: &Requester, call: Call) -> bool {
    requesters.unanswered(who, call, None)
}

#[test]
fn a_requester_waits_longer_each_time_that_others_are_answered_meanwhile() {
    let (mut requesters, ann) = (Requesters::default(), requester(1, 1));
    let mut now = 10;
    for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
        assert!(fail(&mut requesters, &ann, call(now, Some(now - 1))));
        assert_eq!(requesters.wait(&ann, None, at(now)), Some(Duration::from_secs(wait)));
        assert_eq!(requesters.wait(&ann, None, at(now + wait)), None);
        now += wait + 4;
    }
}

#[test]
fn a_requester_waits_a_second_each_time_while_nobody_is_answered() {
    let (mut requesters, ann) = (Requesters::default(), requester(1, 1));
    for now in [10, 15, 20, 25, 30] {
        assert!(!fail(&mut requesters, &ann, call(now, Some(2))));
        // After the first one it may try again at once.
        let wait = (now > 10).then_some(HOLD_FIRST);
        assert_eq!(requesters.wait(&ann, Some(at(2)), at(now)), wait);
        assert_eq!(requesters.wait(&ann, Some(at(now)), at(now)), None, "somebody was answered");
    }
}

#[test]
fn failures_at_once_are_the_requesters_if_others_were_answered_in_between() {
    let (mut requesters, ann) = (Requesters::default(), requester(1, 1));
    let reset = |now: u64, answered: u64| Call {
        began: at(now),
        now: at(now),
        is_probe: false,
        answered: Some(at(answered)),
    };
    assert!(!fail(&mut requesters, &ann, reset(10, 9)), "that was before");
    assert!(fail(&mut requesters, &ann, reset(12, 11)));
    assert!(!fail(&mut requesters, &ann, reset(14, 11)), "nobody since");
}

#[test]
fn nobody_else_waits_and_the_block_comes_last_for_a_while() {
    let (mut requesters, ann) = (Requesters::default(), requester(1, 1));
    let (neighbour, elsewhere) = (requester(2, 1), requester(1, 2));
    fail(&mut requesters, &ann, call(10, Some(8)));
    for other in [&neighbour, &elsewhere] {
        assert_eq!(requesters.wait(other, None, at(10)), None);
    }
    assert!(requesters.is_suspect(&neighbour, at(10)));
    assert!(!requesters.is_suspect(&elsewhere, at(10)));
    assert!(!requesters.is_suspect(&Requester { accepted_before: true, ..neighbour }, at(10)));
    assert!(!requesters.is_suspect(&neighbour, at(10).plus(REMEMBERED)));
}

#[test]
fn guesses_at_a_name_do_not_hold_back_the_credentials_that_were_accepted_before() {
    let (mut requesters, guess) = (Requesters::default(), requester(1, 1));
    let right = Requester { accepted_before: true, ..guess };
    fail(&mut requesters, &guess, call(10, Some(8)));
    assert!(requesters.wait(&guess, None, at(10)).is_some());
    assert!(requesters.wait(&right, None, at(10)).is_none() && !requesters.is_suspect(&right, at(10)));
}

#[test]
fn retry_after_is_believed_for_the_requester_that_was_told_within_reason() {
    let (mut requesters, ann) = (Requesters::default(), requester(1, 1));
    for (told, waits) in [(0, 1), (20, 20), (100_000, 60)] {
        requesters.unanswered(&ann, call(10, None), Some(Duration::from_secs(told)));
        assert_eq!(requesters.wait(&ann, None, at(10)), Some(Duration::from_secs(waits)));
    }
}

#[test]
fn an_answer_ends_the_wait_and_not_the_memory() {
    let (mut requesters, ann) = (Requesters::default(), requester(1, 1));
    fail(&mut requesters, &ann, call(10, Some(9)));
    fail(&mut requesters, &ann, call(20, Some(19)));
    requesters.answered(&ann, at(21));
    assert_eq!(requesters.wait(&ann, None, at(21)), None);
    assert!(requesters.is_suspect(&ann, at(21)), "an account of one's own is no way to start anew");
    fail(&mut requesters, &ann, call(30, Some(29)));
    assert_eq!(requesters.wait(&ann, None, at(30)), Some(Duration::from_secs(4)));
}

#[test]
fn after_an_outage_nobody_waits_for_what_it_did() {
    let (mut requesters, ann, eve) = (Requesters::default(), requester(1, 1), requester(2, 2));
    requesters.unanswered(&ann, call(10, None), Some(HOLD_MAX));
    fail(&mut requesters, &eve, call(10, Some(9)));
    requesters.recovered(at(11));
    assert_eq!(requesters.wait(&ann, None, at(11)), None);
    assert!(!requesters.is_suspect(&requester(3, 1), at(11)));
    assert!(requesters.is_suspect(&requester(3, 2), at(11)), "the service answered others meanwhile");
}

#[test]
fn the_tables_are_bounded_and_the_oldest_goes() {
    let mut requesters = Requesters::default();
    for n in 0..ENTRIES_MAX as u64 + 10 {
        let now = at(10).plus(Duration::from_millis(n));
        fail(&mut requesters, &requester(n, n), Call { began: now, now, is_probe: false, answered: None });
    }
    assert_eq!((requesters.held.len(), requesters.blocks.len()), (ENTRIES_MAX, ENTRIES_MAX));
    assert!(
        requesters.is_suspect(&requester(20, 20), at(10)) && !requesters.is_suspect(&requester(0, 0), at(10))
    );
}
