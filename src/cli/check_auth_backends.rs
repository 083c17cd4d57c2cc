//! `doorward check` of the services that authenticate: whether they can be asked with what is set, and,
//! with `--probe`, whether they are there.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Runtime;
use zeroize::Zeroizing;

use super::{print_error, print_line};
use crate::authn::remote::RemoteSource;
use crate::authn::{Credentials, Outcome};
use crate::clock::Clock;
use crate::config::Config;
use crate::config::authenticator::AuthenticatorType;
use crate::metrics::Metrics;
use crate::server::components::build_auth_backends;

/// A user whom nobody has, so that a log on the other side tells what this was.
const PROBE_USERNAME: &str = "doorward-probe";

/// Says what is wrong with the services; with `ask`, also what each answers. Whether all is well.
pub(super) fn check_auth_backends(settings: &Config, ask: bool) -> bool {
    print_notes(settings);
    let services = match build_auth_backends(settings, &Clock::system(), &Arc::new(Metrics::default())) {
        Ok(services) => services,
        Err(fault) => {
            print_error(&fault.to_string());
            return false;
        }
    };
    if !ask || services.is_empty() {
        return true;
    }
    match runtime() {
        // Each is asked, so that every fault is told at once.
        Ok(runtime) => services.iter().filter(|service| !probe_auth_backend(&runtime, service)).count() == 0,
        Err(error) => {
            print_error(&format!("the services can't be asked: {error}"));
            false
        }
    }
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn probe_auth_backend(runtime: &Runtime, service: &RemoteSource) -> bool {
    let name = service.name();
    let Some(credentials) = made_up_credentials() else {
        print_error("the system gives no random numbers");
        return false;
    };
    let start = Instant::now();
    let asked = runtime.block_on(service.probe(&credentials));
    let millis = start.elapsed().as_millis();
    let response = match asked {
        Ok(response) => response,
        Err(trouble) => {
            print_line(&trouble.to_string());
            return false;
        }
    };
    let status = response.summary;
    let (well, told) = match response.outcome {
        Outcome::Rejected => (
            true,
            format!("it is there: it answered {status} in {millis} ms, which is a no to somebody made up"),
        ),
        Outcome::UnknownUser => (
            true,
            format!(
                "it is there: it answered {status} in {millis} ms, by which it does not know somebody made up"
            ),
        ),
        Outcome::Accepted(_) => (
            false,
            format!(
                "it accepted a user and a password that were made up, with {status}: anybody would be admitted; look at accepted, accepted_if and the URL"
            ),
        ),
    };
    print_line(&format!("authenticator {name}: {told}"));
    well
}

/// Credentials that nobody has.
fn made_up_credentials() -> Option<Credentials> {
    let mut password = [0; 16];
    getrandom::fill(&mut password).ok()?;
    let mut framed = Zeroizing::new(vec![0; Credentials::CACHE_KEY_HEADER_LENGTH]);
    framed.extend(format!("{PROBE_USERNAME}:{:032x}", u128::from_le_bytes(password)).bytes());
    Credentials::new(framed)
}

/// What is not wrong, and yet should be known.
fn print_notes(settings: &Config) {
    for one in &settings.authenticators {
        let AuthenticatorType::Remote(spec) = &one.kind else { continue };
        if let Some(host) = spec.kind.spec().unencrypted_host() {
            print_line(&format!(
                "authenticator {}: note: passwords go to {} without TLS; use https:// unless the network between is yours alone",
                one.name, host
            ));
        }
    }
}
