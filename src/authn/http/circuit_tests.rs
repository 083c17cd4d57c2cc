//! When a service is asked, and when it is left alone.

use reqwest::StatusCode;

use super::*;

const ANN: u64 = 1;
const BOB: u64 = 2;

fn circuit() -> (Circuit, Clock) {
    let clock = Clock::manual();
    (Circuit::new("api".into(), clock.clone(), Gauge::default()), clock)
}

fn broken() -> Fault {
    Fault::Broken("cut".into())
}

fn later(status: u16, seconds: u64) -> Fault {
    Fault::Later(StatusCode::from_u16(status).unwrap(), Some(Duration::from_secs(seconds)))
}

fn fail(circuit: &Circuit, fault: &Fault) {
    circuit.enter(ANN).unwrap().fault(fault, ANN);
}

#[test]
fn three_outages_in_a_row_are_a_service_that_is_down() {
    let (circuit, clock) = circuit();
    fail(&circuit, &broken());
    fail(&circuit, &broken());
    circuit.enter(ANN).unwrap().well();
    fail(&circuit, &broken());
    fail(&circuit, &broken());
    assert!(!circuit.is_down());
    fail(&circuit, &broken());
    assert!(circuit.is_down());
    assert!(matches!(circuit.enter(ANN), Err(Fault::Down(_))));
    clock.advance(Duration::from_millis(999));
    assert!(circuit.enter(ANN).is_err());
}

#[test]
fn one_question_at_a_time_finds_out_whether_it_is_back() {
    let (circuit, clock) = circuit();
    (0..3).for_each(|_| fail(&circuit, &broken()));
    clock.advance(PROBE_EVERY);
    let probe = circuit.enter(ANN).unwrap();
    assert!(matches!(circuit.enter(BOB), Err(Fault::Down(_))));
    // One that is given up is no answer, and the next may try.
    drop(probe);
    circuit.enter(BOB).unwrap().fault(&broken(), BOB);
    assert!(circuit.enter(ANN).is_err());
    clock.advance(PROBE_EVERY);
    circuit.enter(ANN).unwrap().well();
    assert!(!circuit.is_down());
    assert!(circuit.enter(ANN).is_ok() && circuit.enter(BOB).is_ok());
}

#[test]
fn an_answer_that_makes_no_sense_is_no_outage() {
    let (circuit, _) = circuit();
    for fault in [Fault::Page, Fault::NotJson(1, 1), Fault::Large(1), Fault::Content("x".into())] {
        (0..5).for_each(|_| fail(&circuit, &fault));
    }
    (0..5).for_each(|_| fail(&circuit, &Fault::Status(StatusCode::IM_A_TEAPOT)));
    assert!(!circuit.is_down());
    // A client might know what makes it answer so.
    (0..5).for_each(|_| fail(&circuit, &Fault::Status(StatusCode::INTERNAL_SERVER_ERROR)));
    assert!(!circuit.is_down());
    (0..5).for_each(|_| fail(&circuit, &Fault::Short(PROBE_EVERY)));
    assert!(!circuit.is_down());
    (0..3).for_each(|_| fail(&circuit, &Fault::Status(StatusCode::BAD_GATEWAY)));
    assert!(circuit.is_down());
}

#[test]
fn retry_after_is_waited_for_within_reason() {
    let (circuit, clock) = circuit();
    fail(&circuit, &later(503, 20));
    assert!(circuit.is_down(), "it said so itself");
    clock.advance(Duration::from_secs(19));
    assert!(circuit.enter(ANN).is_err());
    clock.advance(Duration::from_secs(1));
    fail(&circuit, &later(503, 100_000));
    clock.advance(RETRY_AFTER_MAX);
    assert!(circuit.enter(ANN).is_ok());
}

#[test]
fn too_many_requests_about_one_user_hold_up_nobody_else() {
    let (circuit, clock) = circuit();
    fail(&circuit, &later(429, 20));
    assert!(matches!(circuit.enter(ANN), Err(Fault::Held(_))));
    assert!(circuit.enter(BOB).is_ok());
    assert!(!circuit.is_down());
    (3..30).for_each(|asker| circuit.enter(asker).unwrap().fault(&later(429, 20), asker));
    assert!(!circuit.is_down(), "a guesser may be at many users");
    clock.advance(Duration::from_secs(20));
    assert!(circuit.enter(ANN).is_ok());
}

#[test]
fn those_whom_it_wants_to_be_left_alone_with_are_bounded() {
    let (circuit, clock) = circuit();
    let hold = |asker: u64| circuit.lock().hold(asker, clock.now().plus(PROBE_EVERY), clock.now());
    (0..HELD_MAX as u64 + 10).for_each(hold);
    assert_eq!(circuit.lock().held.len(), HELD_MAX);
    clock.advance(PROBE_EVERY);
    hold(HELD_MAX as u64 + 11);
    assert_eq!(circuit.lock().held.len(), 1);
}
