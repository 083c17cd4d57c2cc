//! When a service is asked, for whom, and when it is left alone.

use reqwest::StatusCode;

use super::*;
use crate::authn::queue::Asker;

const SECOND: Duration = Duration::from_secs(1);

fn circuit() -> (Circuit, Clock) {
    let clock = Clock::manual();
    // Beyond the time in which a timeout may be due to a service that is full.
    clock.advance(60 * SECOND);
    (Circuit::new("api".into(), clock.clone(), 16, Figures::default()), clock)
}

/// A user in a block of his own.
fn user(number: u64) -> Requester {
    let id = Asker { block: number, network: number, user: number };
    Requester { id, user: number, accepted_before: false }
}

fn accepted(number: u64) -> Requester {
    Requester { accepted_before: true, ..user(number) }
}

fn broken() -> Fault {
    Fault::Broken("cut".into())
}

fn refused() -> Fault {
    Fault::Connect("refused".into())
}

fn status(code: u16) -> Fault {
    Fault::Status(StatusCode::from_u16(code).unwrap())
}

fn later(code: u16, seconds: u64) -> Fault {
    Fault::Throttled(StatusCode::from_u16(code).unwrap(), Some(Duration::from_secs(seconds)))
}

fn fail(circuit: &Circuit, who: Requester, fault: &Fault) -> Cause {
    circuit.enter(who).unwrap_or_else(|(fault, _)| panic!("{fault}")).failed(fault)
}

fn answer(circuit: &Circuit, who: Requester) {
    circuit.enter(who).unwrap_or_else(|(fault, _)| panic!("{fault}")).answered(true);
}

/// Whether a call may be made now; it is dropped without a word.
fn may(circuit: &Circuit, who: Requester) -> bool {
    circuit.enter(who).is_ok()
}

fn cause(circuit: &Circuit, who: Requester) -> Cause {
    circuit.enter(who).err().expect("no call").1
}

/// Fails for four users that had been accepted, with a second in between.
fn outage(circuit: &Circuit, clock: &Clock, fault: &Fault) {
    fail(circuit, accepted(101), fault);
    fail(circuit, accepted(102), fault);
    fail(circuit, accepted(103), fault);
    clock.advance(SECOND);
    fail(circuit, accepted(104), fault);
}

#[test]
fn three_calls_in_a_row_without_a_connection_are_a_service_that_is_down_for_everyone() {
    for fault in [refused(), Fault::Name("none".into()), Fault::Tls("bad".into()), Fault::ConnectTime(SECOND)]
    {
        let (circuit, clock) = circuit();
        assert_eq!(fail(&circuit, user(1), &fault), Cause::Outage, "nobody can bring that about");
        fail(&circuit, user(1), &fault);
        answer(&circuit, user(2));
        clock.advance(FULL_FOR);
        fail(&circuit, user(1), &fault);
        fail(&circuit, user(1), &fault);
        assert_eq!(circuit.outage(), None);
        fail(&circuit, user(1), &fault);
        assert_eq!(circuit.outage().as_deref(), Some("no connection, 3 times in a row"));
        // The places of a class are taken at once, and then there is one a second.
        let probes: Vec<_> = (0..9).map_while(|n| circuit.enter(user(n)).ok()).collect();
        assert_eq!(probes.len(), 3);
        assert_eq!(cause(&circuit, user(50)), Cause::Outage);
        drop(probes);
        clock.advance(NO_CONNECTION_FOR);
        let _probes: Vec<_> = (0..9).map_while(|n| circuit.enter(user(n)).ok()).collect();
        assert_eq!(cause(&circuit, user(50)), Cause::Unclear, "nobody has looked lately");
    }
}

#[test]
fn a_connection_refutes_that_there_is_none_whatever_comes_of_it() {
    let (circuit, _) = circuit();
    for _ in 0..3 {
        fail(&circuit, user(1), &refused());
    }
    fail(&circuit, user(2), &broken());
    let _probes: Vec<_> = (10..19).map_while(|n| circuit.enter(user(n)).ok()).collect();
    assert_eq!(cause(&circuit, user(50)), Cause::Unclear);
}

#[test]
fn a_service_that_is_full_of_calls_is_not_one_without_a_connection() {
    let (circuit, clock) = circuit();
    fail(&circuit, user(1), &Fault::Time(SECOND));
    for _ in 0..5 {
        assert_eq!(fail(&circuit, user(2), &Fault::ConnectTime(SECOND)), Cause::Unclear);
    }
    assert_eq!(circuit.outage(), None);
    clock.advance(FULL_FOR);
    assert_eq!(fail(&circuit, user(2), &Fault::ConnectTime(SECOND)), Cause::Outage);
}

#[test]
fn what_one_requester_brings_about_holds_back_that_requester_alone_field_s1() {
    let faults = [
        broken(),
        Fault::Time(SECOND),
        status(500),
        status(502),
        later(503, 60),
        later(429, 60),
        Fault::Page,
    ];
    for fault in faults {
        let (circuit, clock) = circuit();
        fail(&circuit, user(1), &fault);
        answer(&circuit, accepted(7));
        clock.advance(61 * SECOND);
        for _ in 0..20 {
            clock.advance(SECOND);
            // The requester tries whenever it may, from one network, and others are answered all the while.
            if let Ok(permit) = circuit.enter(user(1)) {
                assert_ne!(permit.failed(&fault), Cause::Outage, "{fault}");
            }
            assert!(matches!(circuit.enter(user(1)), Err((Fault::HeldBack(_), Cause::Unclear))), "{fault}");
            answer(&circuit, user(2));
        }
        assert_eq!(circuit.outage(), None, "{fault}");
    }
}

#[test]
fn several_users_in_several_blocks_make_an_outage_while_nobody_is_answered() {
    for fault in [broken(), Fault::Time(SECOND), status(500), status(503), later(503, 20), Fault::Page] {
        let (circuit, clock) = circuit();
        fail(&circuit, user(1), &fault);
        fail(&circuit, user(2), &fault);
        clock.advance(SECOND);
        assert_eq!(circuit.outage(), None);
        fail(&circuit, user(3), &fault);
        let evidence = "no answer to 3 requesters, of 3 users in 3 network blocks";
        assert_eq!(circuit.outage().as_deref(), Some(evidence), "{fault}");
        // Whoever comes from elsewhere is asked about at once; the one that was told waits as it was told.
        assert!(may(&circuit, user(9)));
        answer(&circuit, user(9));
        assert!(circuit.outage().is_none() && may(&circuit, user(3)));
    }
}

#[test]
fn too_many_requests_is_never_an_outage_for_others() {
    let (circuit, clock) = circuit();
    for number in 1..30 {
        clock.advance(SECOND);
        assert_eq!(fail(&circuit, accepted(number), &later(429, 20)), Cause::Unclear);
    }
    assert_eq!(circuit.outage(), None, "a guesser may be at many users");
}

#[test]
fn a_strange_answer_is_an_answer_and_a_call_that_was_not_made_is_nothing() {
    let (circuit, clock) = circuit();
    for fault in [status(418), Fault::Large(1), Fault::Content("x".into())] {
        clock.advance(SECOND);
        outage(&circuit, &clock, &broken());
        assert!(circuit.outage().is_some());
        clock.advance(2 * SECOND);
        assert_eq!(fail(&circuit, user(1), &fault), Cause::Unclear);
        assert_eq!(circuit.outage(), None, "{fault}");
    }
    for fault in [Fault::Internal, Fault::Local("no descriptor".into())] {
        for number in 0..9 {
            fail(&circuit, user(number), &fault);
        }
        assert_eq!(circuit.outage(), None);
    }
}

#[test]
fn the_last_answer_may_be_given_to_whom_others_saw_the_outage() {
    let (circuit, clock) = circuit();
    assert_eq!(fail(&circuit, accepted(101), &broken()), Cause::Unclear);
    assert_eq!(fail(&circuit, accepted(102), &broken()), Cause::Unclear);
    assert_eq!(fail(&circuit, accepted(103), &broken()), Cause::Unclear);
    clock.advance(SECOND);
    // Three others, for a second.
    assert_eq!(fail(&circuit, accepted(104), &broken()), Cause::Outage);
    assert_eq!(fail(&circuit, accepted(104), &broken()), Cause::Outage);
    assert_eq!(cause(&circuit, accepted(104)), Cause::Outage, "held back after its probe");
    answer(&circuit, user(1));
    assert_eq!(circuit.outage(), None);
    clock.advance(SECOND);
    assert_eq!(fail(&circuit, accepted(104), &broken()), Cause::Unclear);
    answer(&circuit, user(1));
    clock.advance(SECOND);
    assert_eq!(fail(&circuit, accepted(104), &broken()), Cause::Requester);
}

#[test]
fn a_call_that_began_in_an_outage_is_held_against_nobody_when_that_is_over() {
    let (circuit, clock) = circuit();
    outage(&circuit, &clock, &broken());
    let hanging = circuit.enter(user(9)).unwrap_or_else(|(fault, _)| panic!("{fault}"));
    answer(&circuit, user(1));
    clock.advance(SECOND);
    assert_eq!(hanging.failed(&Fault::Time(SECOND)), Cause::Unclear);
    assert!(may(&circuit, user(9)) && !circuit.is_suspect(&user(9)));
}

#[test]
fn guesses_from_many_networks_do_not_bring_back_a_closed_account_field_s1() {
    let (circuit, clock) = circuit();
    for number in 1..60 {
        if let Ok(permit) = circuit.enter(user(number)) {
            assert_eq!(permit.failed(&Fault::Time(SECOND)), Cause::Unclear);
        }
        clock.advance(SECOND);
    }
    assert!(circuit.outage().is_some());
    for _ in 0..2 {
        assert_eq!(fail(&circuit, accepted(100), &Fault::Time(SECOND)), Cause::Unclear);
    }
    assert_eq!(cause(&circuit, accepted(100)), Cause::Unclear);
}

#[test]
fn while_attackers_hold_their_probes_others_have_places_and_the_last_to_fail_waits() {
    let (circuit, clock) = circuit();
    let attackers: Vec<Requester> = (1..40).map(user).collect();
    outage(&circuit, &clock, &Fault::Time(SECOND));
    assert!(circuit.outage().is_some());
    clock.advance(SECOND);
    assert!(may(&circuit, attackers[0]));
    // All of theirs hang; each has failed before.
    for who in &attackers {
        let call = Call { began: clock.now(), now: clock.now(), is_probe: false, answered: None };
        circuit.lock().requesters.unanswered(who, call, None);
    }
    clock.advance(SECOND);
    let held: Vec<_> = attackers.iter().filter_map(|who| circuit.enter(*who).ok()).collect();
    assert_eq!(held.len(), 1);
    for _ in 0..2 {
        assert!(may(&circuit, accepted(300)) && may(&circuit, user(301)));
    }
    assert!(!may(&circuit, attackers[20]));
    // One that fails lets others go first.
    let Ok(probe) = circuit.enter(user(200)) else { panic!("a place") };
    probe.failed(&broken());
    clock.advance(SECOND);
    assert!(!may(&circuit, user(200)) && may(&circuit, user(201)));
    clock.advance(SECOND);
    assert!(may(&circuit, user(200)));
}

#[test]
fn guesses_from_a_fresh_block_each_take_no_probes_from_others_field_s1() {
    let (circuit, clock) = circuit();
    let mut hanging = Vec::new();
    for number in 0..1000 {
        hanging.push(circuit.enter(user(number)).unwrap_or_else(|(fault, _)| panic!("{fault}")));
        if number % 10 == 9 {
            clock.advance(SECOND);
            hanging
                .drain(..10)
                .for_each(|permit| assert_eq!(permit.failed(&Fault::Time(SECOND)), Cause::Unclear));
        }
    }
    assert!(circuit.outage().is_some(), "it is told");
    assert!((2000..2100).all(|number| may(&circuit, user(number))), "and keeps out nobody");
}

#[test]
fn an_outage_that_nobody_has_proved_lately_keeps_out_nobody() {
    let (circuit, clock) = circuit();
    outage(&circuit, &clock, &broken());
    let probes: Vec<_> = (0..9).filter_map(|n| circuit.enter(user(n)).ok()).collect();
    assert_eq!(probes.len(), 3);
    drop(probes);
    clock.advance(HOLDS_FOR);
    assert!((0..50).all(|number| may(&circuit, user(number))));
    assert!(circuit.outage().is_some());
}

#[test]
fn an_outage_that_lasts_is_tried_once_a_second_in_each_class_and_its_end_is_seen() {
    let (circuit, clock) = circuit();
    outage(&circuit, &clock, &broken());
    for number in 0..20 {
        let asked = (0..10).filter(|n| match circuit.enter(user(1000 + number * 10 + n)) {
            Ok(permit) => {
                permit.failed(&broken());
                true
            }
            Err(_) => false,
        });
        assert_eq!(asked.count(), 1);
        clock.advance(SECOND);
    }
    answer(&circuit, user(9));
    assert_eq!(circuit.outage(), None);
    assert!((0..50).all(|number| may(&circuit, user(number))));
}

#[test]
fn probes_that_hang_leave_room_for_one_more_a_second() {
    let (circuit, clock) = circuit();
    outage(&circuit, &clock, &broken());
    let mut hanging = Vec::new();
    for second in 0..4 {
        let begun: Vec<_> = (0..9).filter_map(|n| circuit.enter(user(1000 + second * 10 + n)).ok()).collect();
        assert_eq!(begun.len(), if second == 0 { 3 } else { 1 }, "second {second}");
        hanging.extend(begun);
        clock.advance(SECOND);
    }
    assert!(!may(&circuit, user(9)), "of 16 connections, six");
}
