//! A stale answer ends with a rejection, and a user cannot cause a stale answer.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use crate::support::api::{Api, Reply};
use crate::support::client::{Answer, Request};
use crate::support::doorward::Doorward;
use crate::support::eventually;

/// Calls with wrong passwords, held back until they are released.
#[derive(Default)]
struct HeldCalls {
    released: Mutex<bool>,
    changed: Condvar,
}

impl HeldCalls {
    fn wait(&self) {
        let released = self.released.lock().unwrap();
        drop(self.changed.wait_while(released, |released| !*released).unwrap());
    }

    fn released(&self) {
        *self.released.lock().unwrap() = true;
        self.changed.notify_all();
    }
}

struct StaleAnswerSetup {
    backend: Api,
    doorward: Doorward,
    revoked: Arc<AtomicBool>,
    held_calls: Arc<HeldCalls>,
}

/// Starts a service that accepts the password of ann until it is revoked, and that rejects slowly. Its
/// answers are not cached, and they can be used for an hour if the service is unavailable.
fn start() -> StaleAnswerSetup {
    let (revoked, held_calls) = (Arc::new(AtomicBool::new(false)), Arc::new(HeldCalls::default()));
    let (no, slow) = (Arc::clone(&revoked), Arc::clone(&held_calls));
    let backend = Api::start(move |call| {
        let (_, password) = call.basic().unwrap();
        if password != "right" {
            slow.wait();
            return Reply::status(401);
        }
        Reply::status(if no.load(Ordering::SeqCst) { 401 } else { 200 })
    });
    let dir = tempfile::tempdir().unwrap();
    let settings = dir.path().join("doorward.toml");
    let text = format!(
        r#"
[cache]
rejection_ttl = "1s"

[[authenticator]]
type = "http"
url = "{}/check"
headers = {{ Authorization = "Basic {{basic}}" }}
timeout = "50s"
per_user_limit = 4
cache_ttl = "0s"
stale_if_unavailable = "1h"
"#,
        backend.url()
    );
    fs::write(&settings, text).unwrap();
    let flags = ["--config", settings.to_str().unwrap(), "--proxy-read-timeout", "200s"];
    let doorward = Doorward::start_in(dir, &flags);
    StaleAnswerSetup { backend, doorward, revoked, held_calls }
}

impl StaleAnswerSetup {
    fn ask(&self, password: &str) -> Answer {
        self.doorward.ask(&Request::auth().from("192.0.2.1").basic("ann", password))
    }
}

#[test]
fn stale_answer_is_used_during_an_outage_until_a_rejection() {
    let mut setup = start();
    assert_eq!(setup.ask("right").status, 200);
    setup.backend.go();
    let stale = setup.ask("right");
    assert_eq!((stale.status, stale.header("x-auth-stale")), (200, Some("true")));
    assert_eq!(setup.ask("wrong").status, 503, "of him nobody ever said yes");

    setup.revoked.store(true, Ordering::SeqCst);
    setup.backend.come();
    eventually("the service says no", || (setup.ask("right").status == 401).then_some(()));
    setup.backend.go();
    // A rejection is cached for a second. After that, the service is unavailable.
    let then = eventually("the refusal is forgotten", || {
        Some(setup.ask("right").status).filter(|status| *status != 401)
    });
    assert_eq!(then, 503);
}

#[test]
fn user_that_fills_its_queue_share_is_not_admitted_by_a_stale_answer() {
    let setup = start();
    assert_eq!(setup.ask("right").status, 200);
    setup.revoked.store(true, Ordering::SeqCst);
    let before = setup.backend.count();
    thread::scope(|scope| {
        let guesses: Vec<_> = (0..4)
            .map(|n| {
                let setup = &setup;
                scope.spawn(move || setup.ask(&format!("wrong-{n}")).status)
            })
            .collect();
        eventually("his share is full", || (setup.backend.count() == before + 4).then_some(()));
        // The service is available and would reject the password.
        let answers: Vec<Answer> = (0..3).map(|_| setup.ask("right")).collect();
        setup.held_calls.released();
        for answer in answers {
            let reason = answer.header("x-auth-reason");
            assert_eq!((answer.status, reason), (403, Some("busy")), "{answer:?}");
        }
        guesses.into_iter().for_each(|guess| assert_eq!(guess.join().unwrap(), 401));
    });
    assert_eq!(setup.ask("right").status, 401);
}
