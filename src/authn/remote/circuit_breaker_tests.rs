//! Tests of the circuit breaker: when and for which requesters calls are made.

use reqwest::StatusCode;

use super::*;
use crate::authn::http::error::HttpResponseError;
use crate::authn::queue::job::RequesterId;

const SECOND: Duration = Duration::from_secs(1);

fn circuit() -> (CircuitBreaker, Clock) {
    let clock = Clock::manual();
    // After this time a connection timeout does not mean an overloaded service.
    clock.advance(60 * SECOND);
    (CircuitBreaker::new("api".into(), clock.clone(), 16, CircuitMetrics::default()), clock)
}

/// Returns a user in a network block without other users.
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

fn fail(circuit: &CircuitBreaker, requester: Requester, error: &CallError) -> FailureCause {
    circuit.acquire_permit(requester).unwrap_or_else(|(error, _)| panic!("{error}")).record_failure(error)
}

fn answer(circuit: &CircuitBreaker, requester: Requester) {
    circuit.acquire_permit(requester).unwrap_or_else(|(error, _)| panic!("{error}")).record_answer(true);
}

/// Returns whether a call is permitted now. The permit is dropped.
fn is_call_permitted(circuit: &CircuitBreaker, requester: Requester) -> bool {
    circuit.acquire_permit(requester).is_ok()
}

fn cause(circuit: &CircuitBreaker, requester: Requester) -> FailureCause {
    circuit.acquire_permit(requester).err().expect("no call").1
}

/// Records failures for four users that were accepted before, within a second.
fn cause_outage(circuit: &CircuitBreaker, clock: &Clock, error: &CallError) {
    fail(circuit, accepted(101), error);
    fail(circuit, accepted(102), error);
    fail(circuit, accepted(103), error);
    clock.advance(SECOND);
    fail(circuit, accepted(104), error);
}

#[test]
fn three_connect_failures_in_a_row_open_the_circuit_for_all_requesters() {
    for error in [
        refused(),
        CallError::NameNotResolved("none".into()),
        CallError::TlsHandshakeFailed("bad".into()),
        CallError::ConnectTimeout(SECOND),
    ] {
        let (circuit, clock) = circuit();
        assert_eq!(fail(&circuit, user(1), &error), FailureCause::Service, "no requester can cause it");
        fail(&circuit, user(1), &error);
        answer(&circuit, user(2));
        clock.advance(OVERLOAD_WINDOW);
        fail(&circuit, user(1), &error);
        fail(&circuit, user(1), &error);
        assert_eq!(circuit.outage_evidence(), None);
        fail(&circuit, user(1), &error);
        assert_eq!(circuit.outage_evidence().as_deref(), Some("no connection, 3 times in a row"));
        // The slots of a class are used at once, and then there is one probe per second.
        let probes: Vec<_> = (0..9).map_while(|n| circuit.acquire_permit(user(n)).ok()).collect();
        assert_eq!(probes.len(), 3);
        assert_eq!(cause(&circuit, user(50)), FailureCause::Service);
        drop(probes);
        clock.advance(CONNECT_FAILURE_WINDOW);
        let _probes: Vec<_> = (0..9).map_while(|n| circuit.acquire_permit(user(n)).ok()).collect();
        assert_eq!(cause(&circuit, user(50)), FailureCause::Undetermined, "no recent evidence");
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
    assert_eq!(fail(&circuit, user(2), &CallError::ConnectTimeout(SECOND)), FailureCause::Service);
}

#[test]
fn failures_of_one_requester_hold_back_only_that_requester_field_s1() {
    let errors = [
        broken(),
        CallError::Timeout(SECOND),
        status(500),
        status(502),
        retry_later(503, 60),
        retry_later(429, 60),
        HttpResponseError::WebPage.into(),
    ];
    for error in errors {
        let (circuit, clock) = circuit();
        fail(&circuit, user(1), &error);
        answer(&circuit, accepted(7));
        clock.advance(61 * SECOND);
        for _ in 0..20 {
            clock.advance(SECOND);
            // The requester calls whenever it can, and others are answered meanwhile.
            if let Ok(permit) = circuit.acquire_permit(user(1)) {
                assert_ne!(permit.record_failure(&error), FailureCause::Service, "{error}");
            }
            assert!(
                matches!(
                    circuit.acquire_permit(user(1)),
                    Err((CallError::RequesterHeldBack(_), FailureCause::Undetermined))
                ),
                "{error}"
            );
            answer(&circuit, user(2));
        }
        assert_eq!(circuit.outage_evidence(), None, "{error}");
    }
}

#[test]
fn unanswered_users_in_several_blocks_are_an_outage() {
    for error in [
        broken(),
        CallError::Timeout(SECOND),
        status(500),
        status(503),
        retry_later(503, 20),
        HttpResponseError::WebPage.into(),
    ] {
        let (circuit, clock) = circuit();
        fail(&circuit, user(1), &error);
        fail(&circuit, user(2), &error);
        clock.advance(SECOND);
        assert_eq!(circuit.outage_evidence(), None);
        fail(&circuit, user(3), &error);
        let evidence = "no response for 3 requesters, of 3 users in 3 network blocks";
        assert_eq!(circuit.outage_evidence().as_deref(), Some(evidence), "{error}");
        // A requester from another block gets a call at once.
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
    assert_eq!(circuit.outage_evidence(), None, "one client can guess at many users");
}

#[test]
fn unexpected_response_ends_an_outage_and_local_error_is_no_evidence() {
    let (circuit, clock) = circuit();
    for error in [status(418), CallError::ResponseTooLarge(1), CallError::UnexpectedContent("x".into())] {
        clock.advance(SECOND);
        cause_outage(&circuit, &clock, &broken());
        assert!(circuit.outage_evidence().is_some());
        clock.advance(2 * SECOND);
        assert_eq!(fail(&circuit, user(1), &error), FailureCause::Undetermined);
        assert_eq!(circuit.outage_evidence(), None, "{error}");
    }
    for error in [CallError::Internal, CallError::LocalResourcesExhausted("no descriptor".into())] {
        for number in 0..9 {
            fail(&circuit, user(number), &error);
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
    // Three other users saw it for a second.
    assert_eq!(fail(&circuit, accepted(104), &broken()), FailureCause::Service);
    assert_eq!(fail(&circuit, accepted(104), &broken()), FailureCause::Service);
    assert_eq!(cause(&circuit, accepted(104)), FailureCause::Service, "held back after its probe");
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
    let hanging = circuit.acquire_permit(user(9)).unwrap_or_else(|(error, _)| panic!("{error}"));
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
    // All their probes hang, and each requester failed before.
    for requester in &attackers {
        let call = UnansweredCall {
            began_at: clock.now(),
            ended_at: clock.now(),
            is_probe: false,
            answered_at: None,
        };
        circuit.lock().backoff.record_unanswered(requester, call, None);
    }
    clock.advance(SECOND);
    let held: Vec<_> =
        attackers.iter().filter_map(|requester| circuit.acquire_permit(*requester).ok()).collect();
    assert_eq!(held.len(), 1);
    for _ in 0..2 {
        assert!(is_call_permitted(&circuit, accepted(300)) && is_call_permitted(&circuit, user(301)));
    }
    assert!(!is_call_permitted(&circuit, attackers[20]));
    // After a failed probe, others are served first.
    let Ok(probe) = circuit.acquire_permit(user(200)) else { panic!("no slot") };
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
        hanging.push(circuit.acquire_permit(user(number)).unwrap_or_else(|(error, _)| panic!("{error}")));
        if number % 10 == 9 {
            clock.advance(SECOND);
            hanging.drain(..10).for_each(|permit| {
                assert_eq!(permit.record_failure(&CallError::Timeout(SECOND)), FailureCause::Undetermined)
            });
        }
    }
    assert!(circuit.outage_evidence().is_some(), "it is reported");
    assert!(
        (2000..2100).all(|number| is_call_permitted(&circuit, user(number))),
        "and holds back no requester"
    );
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
