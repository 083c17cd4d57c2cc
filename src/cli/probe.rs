//! `doorward check` of the services that authenticate: whether they can be asked with what is set, and,
//! with `--probe`, whether they are there.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Runtime;
use zeroize::Zeroizing;

use super::{complain, say};
use crate::authn::http::Service;
use crate::authn::{Credentials, Outcome};
use crate::clock::Clock;
use crate::config::Settings;
use crate::config::authenticator::Kind;
use crate::metrics::Metrics;
use crate::server::components::services;

/// A user whom nobody has, so that a log on the other side tells what this was.
const NOBODY: &str = "doorward-probe";

/// Says what is wrong with the services; with `ask`, also what each answers. Whether all is well.
pub(super) fn run(settings: &Settings, ask: bool) -> bool {
    notes(settings);
    let services = match services(settings, &Clock::system(), &Arc::new(Metrics::default())) {
        Ok(services) => services,
        Err(fault) => {
            complain(&fault.to_string());
            return false;
        }
    };
    if !ask || services.is_empty() {
        return true;
    }
    match runtime() {
        // Each is asked, so that every fault is told at once.
        Ok(runtime) => services.iter().filter(|service| !probe(&runtime, service)).count() == 0,
        Err(error) => {
            complain(&format!("the services can't be asked: {error}"));
            false
        }
    }
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn probe(runtime: &Runtime, service: &Service) -> bool {
    let name = service.name();
    let Some(credentials) = nobody() else {
        complain("the system gives no random numbers");
        return false;
    };
    let start = Instant::now();
    let asked = runtime.block_on(service.probe(&credentials));
    let millis = start.elapsed().as_millis();
    let (well, told) = match asked {
        Ok((status, Outcome::Rejected)) => (
            true,
            format!("it is there: it answered {status} in {millis} ms, which is a no to somebody made up"),
        ),
        Ok((status, Outcome::Unknown)) => (
            true,
            format!(
                "it is there: it answered {status} in {millis} ms, by which it does not know somebody made up"
            ),
        ),
        Ok((status, Outcome::Accepted(_))) => (
            false,
            format!(
                "it accepted a user and a password that were made up, with {status}: anybody would be admitted; look at accepted, accepted_if and the URL"
            ),
        ),
        Err(trouble) => {
            say(&trouble.to_string());
            return false;
        }
    };
    say(&format!("authenticator {name}: {told}"));
    well
}

/// Credentials that nobody has.
fn nobody() -> Option<Credentials> {
    let mut password = [0; 16];
    getrandom::fill(&mut password).ok()?;
    let mut framed = Zeroizing::new(vec![0; Credentials::FRAME]);
    framed.extend(format!("{NOBODY}:{:032x}", u128::from_le_bytes(password)).bytes());
    Credentials::new(framed)
}

/// What is not wrong, and yet should be known.
fn notes(settings: &Settings) {
    for one in &settings.authenticators {
        let Kind::Http(spec) = &one.kind else { continue };
        if !spec.question.target.is_https() && !spec.question.target.is_loopback() {
            say(&format!(
                "authenticator {}: note: passwords go to {} without TLS; use https:// unless the network between is yours alone",
                one.name,
                spec.question.target.host()
            ));
        }
    }
}
