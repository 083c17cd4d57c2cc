//! A service that answers right passwords at once and fails for wrong ones, and a doorward that calls it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::api::{Api, Call, Reply};
use crate::support::client::Request;
use crate::support::doorward::Doorward;

/// The password of every user.
pub(super) const RIGHT: &str = "right";

/// Response time for a wrong password: longer than the timeout of doorward (4 s).
const TARPIT: Duration = Duration::from_secs(6);

/// Behaviour of the service for a wrong password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProvokedFailure {
    /// Answers 401 after a delay.
    Tarpit,
    /// Answers 503 with a `Retry-After` of a minute.
    RetryAfter,
    /// Closes the connection.
    Reset,
    /// Answers with a text that is not JSON.
    Text,
    /// Answers 500.
    Error,
    /// Never answers.
    Hang,
}

impl ProvokedFailure {
    fn reply(self) -> Reply {
        match self {
            Self::Tarpit => {
                thread::sleep(TARPIT);
                Reply::status(401)
            }
            Self::RetryAfter => Reply::status(503).with("Retry-After", 60),
            Self::Reset => Reply::Break,
            Self::Text => Reply::json("closed"),
            Self::Error => Reply::status(500),
            Self::Hang => Reply::Hang,
        }
    }
}

/// The service and doorward.
pub(super) struct OutageSetup {
    pub(super) doorward: Doorward,
    pub(super) service: Api,
    closed: Arc<AtomicBool>,
    fails: Arc<Mutex<Option<ProvokedFailure>>>,
}

impl OutageSetup {
    pub(super) fn start(failure: ProvokedFailure) -> Self {
        let closed = Arc::new(AtomicBool::new(false));
        let is_closed = Arc::clone(&closed);
        let fails = Arc::new(Mutex::new(None));
        let failing = Arc::clone(&fails);
        let service = Api::start(move |call: &Call| {
            let (user, password) = call.basic().unwrap();
            let down: Option<ProvokedFailure> = *failing.lock().unwrap();
            if let Some(down) = down {
                return down.reply();
            }
            let is_open = !(user.starts_with("closed") && is_closed.load(Ordering::SeqCst));
            if password == RIGHT && is_open { Reply::json("{\"ok\": true}") } else { failure.reply() }
        });
        let doorward = before(&service, "accepted_if = { \"/ok\" = true }");
        Self { doorward, service, closed, fails }
    }

    /// Makes the passwords of these accounts wrong for all later requests.
    pub(super) fn close_accounts(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Makes the service fail in this way for all users until [`OutageSetup::recover`].
    pub(super) fn fail(&self, how: ProvokedFailure) {
        *self.fails.lock().unwrap() = Some(how);
    }

    pub(super) fn recover(&self) {
        *self.fails.lock().unwrap() = None;
    }

    pub(super) fn log_in(&self, user: &str, password: &str, network: &str) -> u16 {
        self.doorward.ask(&Request::auth().basic(user, password).from(network)).status
    }
}

/// Starts doorward with this service. Answers are cached for a second, and in an outage they can be used for
/// an hour.
pub(super) fn before(service: &Api, more: &str) -> Doorward {
    let dir = tempfile::tempdir().unwrap();
    let settings = dir.path().join("doorward.toml");
    let text = format!(
        r#"
proxy_read_timeout = "5m"

[[authenticator]]
type = "http"
name = "vendor"
url = "{}/check"
headers = {{ Authorization = "Basic {{basic}}" }}
cache_ttl = "1s"
stale_if_unavailable = "1h"
{more}
"#,
        service.url()
    );
    std::fs::write(&settings, text).unwrap();
    let flags = ["--config", settings.to_str().unwrap()];
    Doorward::start_in(dir, &flags)
}

/// Returns the address of an attacker in one of `networks` networks, each in another block.
pub(super) fn network_of(number: usize, networks: usize) -> String {
    format!("198.51.{}.66", number % networks)
}

/// Returns the address of a user in a block without other users.
pub(super) fn own_network(number: usize) -> String {
    format!("10.{}.{}.7", number / 250, number % 250)
}

/// Prints the results of a test.
#[expect(clippy::print_stdout, reason = "the figures are what the full size is run for")]
pub(super) fn print_results(figures: &str) {
    println!("{figures}");
}
