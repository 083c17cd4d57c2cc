//! When a service is asked, for whom, and when it is left alone.

use reqwest::StatusCode;

use super::*;
use crate::authn::http::error::HttpResponseError;
use crate::authn::queue::RequesterId;

const SECOND: Duration = Duration::from_secs(1);

fn circuit() -> (CircuitBreaker, Clock) {
    let clock = Clock::manual();
    // Beyond the time in which a timeout may be due to a service that is full.
    clock.advance(60 * SECOND);
    (CircuitBreaker::new("api".into(), clock.clone(), 16, CircuitMetrics::default()), clock)
}

/// A user in a block of his own.
fn user(number: u64) -> Requester {
    let id = RequesterId { block_tag: number, network_tag: number, network_user_tag: number };
    Requester { id, user_tag: number, has_been_accepted: false }
}

fn accepted(number: u64) -> Requester {
    Requester { has_been_accepted: true, ..user(number) }
}

fn broken() -> CallError {
    CallError::ConnectionBroken("cut".into())
}

fn refused() -> CallError {
    CallError::ConnectFailed("refused".into())
}

fn status(code: u16) -> CallError {
    HttpResponseError::UnexpectedStatus(StatusCode::from_u16(code).unwrap()).into()
}

fn retry_later(code: u16, seconds: u64) -> CallError {
    let wait = Some(Duration::from_secs(seconds));
    HttpResponseError::Throttled(StatusCode::from_u16(code).unwrap(), wait).into()
}

fn fail(circuit: &CircuitBreaker, who: Requester, fault: &CallError) -> FailureCause {
    circuit.acquire_permit(who).unwrap_or_else(|(fault, _)| panic!("{fault}")).record_failure(fault)
}

fn answer(circuit: &CircuitBreaker, who: Requester) {
    circuit.acquire_permit(who).unwrap_or_else(|(fault, _)| panic!("{fault}")).record_answer(true);
}

/// Whether a call may be made now; it is dropped without a word.
fn is_call_permitted(circuit: &CircuitBreaker, who: Requester) -> bool {
    circuit.acquire_permit(who).is_ok()
}

fn cause(circuit: &CircuitBreaker, who: Requester) -> FailureCause {
    circuit.acquire_permit(who).err().expect("no call").1
}

/// Fails for four users that had been accepted, with a second in between.
fn cause_outage(circuit: &CircuitBreaker, clock: &Clock, fault: &CallError) {
    fail(circuit, accepted(101), fault);
    fail(circuit, accepted(102), fault);
    fail(circuit, accepted(103), fault);
    clock.advance(SECOND);
    fail(circuit, accepted(104), fault);
}

#[test]
fn three_connect_failures_in_a_row_open_the_circuit_for_all_requesters() {
    for fault in [
        refused(),
        CallError::NameNotResolved("none".into()),
        CallError::TlsHandshakeFailed("bad".into()),
        CallError::ConnectTimeout(SECOND),
    ] {
        let (circuit, clock) = circuit();
        assert_eq!(fail(&circuit, user(1), &fault), FailureCause::Outage, "nobody can bring that about");
        fail(&circuit, user(1), &fault);
        answer(&circuit, user(2));
        clock.advance(OVERLOAD_WINDOW);
        fail(&circuit, user(1), &fault);
        fail(&circuit, user(1), &fault);
        assert_eq!(circuit.outage_evidence(), None);
        fail(&circuit, user(1), &fault);
        assert_eq!(circuit.outage_evidence().as_deref(), Some("no connection, 3 times in a row"));
        // The places of a class are taken at once, and then there is one a second.
        let probes: Vec<_> = (0..9).map_while(|n| circuit.acquire_permit(user(n)).ok()).collect();
        assert_eq!(probes.len(), 3);
        assert_eq!(cause(&circuit, user(50)), FailureCause::Outage);
        drop(probes);
        clock.advance(CONNECT_FAILURE_WINDOW);
        let _probes: Vec<_> = (0..9).map_while(|n| circuit.acquire_permit(user(n)).ok()).collect();
        assert_eq!(cause(&circuit, user(50)), FailureCause::Undetermined, "nobody has looked lately");
    }
}

#[test]
fn broken_call_resets_connect_failures() {
    let (circuit, _) = circuit();
    for _ in 0..3 {
        fail(&circuit, user(1), &refused());
    }
    fail(&circuit, user(2), &broken());
    let _probes: Vec<_> = (10..19).map_while(|n| circuit.acquire_permit(user(n)).ok()).collect();
    assert_eq!(cause(&circuit, user(50)), FailureCause::Undetermined);
}

#[test]
fn connect_timeout_of_overloaded_backend_is_not_a_connect_failure() {
    let (circuit, clock) = circuit();
    fail(&circuit, user(1), &CallError::Timeout(SECOND));
    for _ in 0..5 {
        assert_eq!(fail(&circuit, user(2), &CallError::ConnectTimeout(SECOND)), FailureCause::Undetermined);
    }
    assert_eq!(circuit.outage_evidence(), None);
    clock.advance(OVERLOAD_WINDOW);
    assert_eq!(fail(&circuit, user(2), &CallError::ConnectTimeout(SECOND)), FailureCause::Outage);
}

#[test]
fn failures_of_one_requester_hold_back_only_that_requester_field_s1() {
    let faults = [
        broken(),
        CallError::Timeout(SECOND),
        status(500),
        status(502),
        retry_later(503, 60),
        retry_later(429, 60),
        HttpResponseError::WebPage.into(),
    ];
    for fault in faults {
        let (circuit, clock) = circuit();
        fail(&circuit, user(1), &fault);
        answer(&circuit, accepted(7));
        clock.advance(61 * SECOND);
        for _ in 0..20 {
            clock.advance(SECOND);
            // The requester tries whenever it may, from one network, and others are answered all the while.
            if let Ok(permit) = circuit.acquire_permit(user(1)) {
                assert_ne!(permit.record_failure(&fault), FailureCause::Outage, "{fault}");
            }
            assert!(
                matches!(
                    circuit.acquire_permit(user(1)),
                    Err((CallError::RequesterHeldBack(_), FailureCause::Undetermined))
                ),
                "{fault}"
            );
            answer(&circuit, user(2));
        }
        assert_eq!(circuit.outage_evidence(), None, "{fault}");
    }
}

#[test]
fn unanswered_users_in_several_blocks_are_an_outage() {
    for fault in [
        broken(),
        CallError::Timeout(SECOND),
        status(500),
        status(503),
        retry_later(503, 20),
        HttpResponseError::WebPage.into(),
    ] {
        let (circuit, clock) = circuit();
        fail(&circuit, user(1), &fault);
        fail(&circuit, user(2), &fault);
        clock.advance(SECOND);
        assert_eq!(circuit.outage_evidence(), None);
        fail(&circuit, user(3), &fault);
        let evidence = "no answer to 3 requesters, of 3 users in 3 network blocks";
        assert_eq!(circuit.outage_evidence().as_deref(), Some(evidence), "{fault}");
        // Whoever comes from elsewhere is asked about at once; the one that was told waits as it was told.
        assert!(is_call_permitted(&circuit, user(9)));
        answer(&circuit, user(9));
        assert!(circuit.outage_evidence().is_none() && is_call_permitted(&circuit, user(3)));
    }
}

#[test]
fn status_429_is_never_an_outage() {
    let (circuit, clock) = circuit();
    for number in 1..30 {
        clock.advance(SECOND);
        assert_eq!(fail(&circuit, accepted(number), &retry_later(429, 20)), FailureCause::Undetermined);
    }
    assert_eq!(circuit.outage_evidence(), None, "a guesser may be at many users");
}

#[test]
fn unexpected_response_ends_an_outage_and_local_error_is_no_evidence() {
    let (circuit, clock) = circuit();
    for fault in [status(418), CallError::ResponseTooLarge(1), CallError::UnexpectedContent("x".into())] {
        clock.advance(SECOND);
        cause_outage(&circuit, &clock, &broken());
        assert!(circuit.outage_evidence().is_some());
        clock.advance(2 * SECOND);
        assert_eq!(fail(&circuit, user(1), &fault), FailureCause::Undetermined);
        assert_eq!(circuit.outage_evidence(), None, "{fault}");
    }
    for fault in [CallError::Internal, CallError::LocalResourcesExhausted("no descriptor".into())] {
        for number in 0..9 {
            fail(&circuit, user(number), &fault);
        }
        assert_eq!(circuit.outage_evidence(), None);
    }
}

#[test]
fn stale_answer_is_permitted_if_other_users_saw_the_outage() {
    let (circuit, clock) = circuit();
    assert_eq!(fail(&circuit, accepted(101), &broken()), FailureCause::Undetermined);
    assert_eq!(fail(&circuit, accepted(102), &broken()), FailureCause::Undetermined);
    assert_eq!(fail(&circuit, accepted(103), &broken()), FailureCause::Undetermined);
    clock.advance(SECOND);
    // Three others, for a second.
    assert_eq!(fail(&circuit, accepted(104), &broken()), FailureCause::Outage);
    assert_eq!(fail(&circuit, accepted(104), &broken()), FailureCause::Outage);
    assert_eq!(cause(&circuit, accepted(104)), FailureCause::Outage, "held back after its probe");
    answer(&circuit, user(1));
    assert_eq!(circuit.outage_evidence(), None);
    clock.advance(SECOND);
    assert_eq!(fail(&circuit, accepted(104), &broken()), FailureCause::Undetermined);
    answer(&circuit, user(1));
    clock.advance(SECOND);
    assert_eq!(fail(&circuit, accepted(104), &broken()), FailureCause::Requester);
}

#[test]
fn call_begun_during_an_outage_is_ignored_after_recovery() {
    let (circuit, clock) = circuit();
    cause_outage(&circuit, &clock, &broken());
    let hanging = circuit.acquire_permit(user(9)).unwrap_or_else(|(fault, _)| panic!("{fault}"));
    answer(&circuit, user(1));
    clock.advance(SECOND);
    assert_eq!(hanging.record_failure(&CallError::Timeout(SECOND)), FailureCause::Undetermined);
    assert!(is_call_permitted(&circuit, user(9)) && !circuit.is_suspect(&user(9)));
}

#[test]
fn guesses_from_many_networks_do_not_permit_stale_answers_field_s1() {
    let (circuit, clock) = circuit();
    for number in 1..60 {
        if let Ok(permit) = circuit.acquire_permit(user(number)) {
            assert_eq!(permit.record_failure(&CallError::Timeout(SECOND)), FailureCause::Undetermined);
        }
        clock.advance(SECOND);
    }
    assert!(circuit.outage_evidence().is_some());
    for _ in 0..2 {
        assert_eq!(fail(&circuit, accepted(100), &CallError::Timeout(SECOND)), FailureCause::Undetermined);
    }
    assert_eq!(cause(&circuit, accepted(100)), FailureCause::Undetermined);
}

#[test]
fn hanging_suspect_probes_leave_slots_for_other_requesters() {
    let (circuit, clock) = circuit();
    let attackers: Vec<Requester> = (1..40).map(user).collect();
    cause_outage(&circuit, &clock, &CallError::Timeout(SECOND));
    assert!(circuit.outage_evidence().is_some());
    clock.advance(SECOND);
    assert!(is_call_permitted(&circuit, attackers[0]));
    // All of theirs hang; each has failed before.
    for who in &attackers {
        let call = UnansweredCall {
            began_at: clock.now(),
            ended_at: clock.now(),
            is_probe: false,
            answered_at: None,
        };
        circuit.lock().backoff.record_unanswered(who, call, None);
    }
    clock.advance(SECOND);
    let held: Vec<_> = attackers.iter().filter_map(|who| circuit.acquire_permit(*who).ok()).collect();
    assert_eq!(held.len(), 1);
    for _ in 0..2 {
        assert!(is_call_permitted(&circuit, accepted(300)) && is_call_permitted(&circuit, user(301)));
    }
    assert!(!is_call_permitted(&circuit, attackers[20]));
    // One that fails lets others go first.
    let Ok(probe) = circuit.acquire_permit(user(200)) else { panic!("a place") };
    probe.record_failure(&broken());
    clock.advance(SECOND);
    assert!(!is_call_permitted(&circuit, user(200)) && is_call_permitted(&circuit, user(201)));
    clock.advance(SECOND);
    assert!(is_call_permitted(&circuit, user(200)));
}

#[test]
fn guesses_from_fresh_blocks_block_no_other_requester_field_s1() {
    let (circuit, clock) = circuit();
    let mut hanging = Vec::new();
    for number in 0..1000 {
        hanging.push(circuit.acquire_permit(user(number)).unwrap_or_else(|(fault, _)| panic!("{fault}")));
        if number % 10 == 9 {
            clock.advance(SECOND);
            hanging.drain(..10).for_each(|permit| {
                assert_eq!(permit.record_failure(&CallError::Timeout(SECOND)), FailureCause::Undetermined)
            });
        }
    }
    assert!(circuit.outage_evidence().is_some(), "it is told");
    assert!((2000..2100).all(|number| is_call_permitted(&circuit, user(number))), "and keeps out nobody");
}

#[test]
fn outage_without_recent_proof_permits_all_calls() {
    let (circuit, clock) = circuit();
    cause_outage(&circuit, &clock, &broken());
    let probes: Vec<_> = (0..9).filter_map(|n| circuit.acquire_permit(user(n)).ok()).collect();
    assert_eq!(probes.len(), 3);
    drop(probes);
    clock.advance(OUTAGE_PROOF_WINDOW);
    assert!((0..50).all(|number| is_call_permitted(&circuit, user(number))));
    assert!(circuit.outage_evidence().is_some());
}

#[test]
fn lasting_outage_is_probed_once_a_second_until_recovery() {
    let (circuit, clock) = circuit();
    cause_outage(&circuit, &clock, &broken());
    for number in 0..20 {
        let asked = (0..10).filter(|n| match circuit.acquire_permit(user(1000 + number * 10 + n)) {
            Ok(permit) => {
                permit.record_failure(&broken());
                true
            }
            Err(_) => false,
        });
        assert_eq!(asked.count(), 1);
        clock.advance(SECOND);
    }
    answer(&circuit, user(9));
    assert_eq!(circuit.outage_evidence(), None);
    assert!((0..50).all(|number| is_call_permitted(&circuit, user(number))));
}

#[test]
fn hanging_probes_allow_one_more_probe_a_second() {
    let (circuit, clock) = circuit();
    cause_outage(&circuit, &clock, &broken());
    let mut hanging = Vec::new();
    for second in 0..4 {
        let begun: Vec<_> =
            (0..9).filter_map(|n| circuit.acquire_permit(user(1000 + second * 10 + n)).ok()).collect();
        assert_eq!(begun.len(), if second == 0 { 3 } else { 1 }, "second {second}");
        hanging.extend(begun);
        clock.advance(SECOND);
    }
    assert!(!is_call_permitted(&circuit, user(9)), "of 16 connections, six");
}
