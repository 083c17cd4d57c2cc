//! The check of the remote sources: their settings and, with `--probe`, one call with made-up credentials to each.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Runtime;
use zeroize::Zeroizing;

use crate::authn::remote::RemoteSource;
use crate::authn::{Credentials, Outcome};
use crate::cli::output::{print_error, print_line};
use crate::clock::Clock;
use crate::config::authenticator::AuthenticatorType;
use crate::config::table::ConfigValues;
use crate::metrics::Metrics;
use crate::server::components::build_remote_sources;

/// The user name of a probe. It identifies the call in the log of the auth backend.
const PROBE_USERNAME: &str = "doorward-probe";

/// Prints the errors of the remote sources; with `probe`, also their responses. Returns true if there are no errors.
pub(super) fn check_remote_sources(config: &ConfigValues, probe: bool) -> bool {
    print_notes(config);
    let sources = match build_remote_sources(config, &Clock::system(), &Arc::new(Metrics::default())) {
        Ok(sources) => sources,
        Err(error) => {
            print_error(&error.to_string());
            return false;
        }
    };
    if !probe || sources.is_empty() {
        return true;
    }
    match runtime() {
        // All are called, even if one fails.
        Ok(runtime) => sources.iter().filter(|source| !probe_remote_source(&runtime, source)).count() == 0,
        Err(error) => {
            print_error(&format!("auth backends cannot be called: {error}"));
            false
        }
    }
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn probe_remote_source(runtime: &Runtime, source: &RemoteSource) -> bool {
    let name = source.name();
    let Some(credentials) = made_up_credentials() else {
        print_error("no random numbers available from the operating system");
        return false;
    };
    let start = Instant::now();
    let response = runtime.block_on(source.probe(&credentials));
    let millis = start.elapsed().as_millis();
    let response = match response {
        Ok(response) => response,
        Err(error) => {
            print_line(&error.to_string());
            return false;
        }
    };
    let summary = response.summary;
    let (is_valid, result) = match response.outcome {
        Outcome::Rejected => {
            (true, format!("reachable: {summary} after {millis} ms, made-up credentials rejected"))
        }
        Outcome::UnknownUser => {
            (true, format!("reachable: {summary} after {millis} ms, made-up user unknown"))
        }
        Outcome::Accepted(_) => (
            false,
            format!(
                "made-up credentials accepted with {summary}, so every client would be admitted; check accepted_statuses, accepted_if and the URL"
            ),
        ),
    };
    print_line(&format!("authenticator {name}: {result}"));
    is_valid
}

/// Returns credentials with a random password, which no user has.
fn made_up_credentials() -> Option<Credentials> {
    let mut password = [0; 16];
    getrandom::fill(&mut password).ok()?;
    let mut framed = Zeroizing::new(vec![0; Credentials::CACHE_KEY_HEADER_LENGTH]);
    framed.extend(format!("{PROBE_USERNAME}:{:032x}", u128::from_le_bytes(password)).bytes());
    Credentials::new(framed)
}

/// Prints a note for each remote source that sends passwords over a network without TLS.
fn print_notes(config: &ConfigValues) {
    for authenticator in &config.authenticators {
        let AuthenticatorType::Remote(spec) = &authenticator.settings else { continue };
        if let Some(host) = spec.kind.spec().unencrypted_host() {
            print_line(&format!(
                "authenticator {}: note: passwords are sent to {host} without TLS; use https://, unless the network is private",
                authenticator.name
            ));
        }
    }
}
