//! The log of verdicts: one line for each denied request, within budgets. The budgets prevent attackers from filling
//! the disk and from hiding other clients; see `budget`. Requests that are not logged are reported with a count for
//! each client network. The report follows ten seconds after the first such request, and is repeated while there are
//! more.
//!
//! Most clients send the first request without credentials (docker does so with each command), so such a request is
//! logged only at level debug. Allowed requests are logged only with `log.allowed_requests`, because a line costs
//! more than the whole check.

mod budget;
pub(super) mod issued_token;
pub(super) mod line;

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::budget::{LogBudget, LogDecision, SuppressedCounts};
use self::line::{RequestLine, VerdictLogEntry, VerdictLogLine, address_for_log, is_from_trusted_proxy};
use super::AppState;
use super::response::TokenRequestError;
use super::subrequest::ReceivedSubrequest;
use crate::clock::{Clock, Moment};
use crate::pipeline::challenge::ChallengeReason;
use crate::pipeline::verdict::{Reason, Verdict};
use crate::request::header::RequestHeader;
use crate::request::subrequest::ClientAddress;
use crate::request::subrequest::Subrequest;

/// Delay between the first request that is not logged and the report.
const REPORT_DELAY: Duration = Duration::from_secs(10);

/// Number of consecutive denied requests with the address of the proxy as client address, after which a warning is
/// logged. Fewer requests can come from an operator who tests the configuration on the host of the proxy.
const OWN_ADDRESS_THRESHOLD: u32 = 10;

/// The effect of a client address that does not distinguish clients.
const SHARED_NETWORK_EFFECT: &str =
    "all clients share one network, so one client that guesses passwords locks out the others";

/// The log of verdicts, with its budgets and its warnings about the proxy.
#[derive(Debug)]
pub struct VerdictLog {
    shared: Arc<VerdictLogState>,
    hasher: RandomState,
    /// Number of suppressed lines that belong to no client.
    suppressed_count: AtomicU64,
    /// True after the warning that the proxy sends no client address.
    has_warned_of_missing_client: AtomicBool,
    /// Number of denied requests with the address of the proxy as client address. It is [`u32::MAX`] after a request
    /// with another address, and after the warning.
    own_address_count: AtomicU32,
}

#[derive(Debug)]
struct VerdictLogState {
    budget: Mutex<LogBudget<LastDenial>>,
    clock: Clock,
    /// Time of the next report, in milliseconds of the clock; 0 if none is scheduled.
    report_due_at_millis: AtomicU64,
}

/// The last request of a network that was not logged, for the report.
#[derive(Clone, Debug)]
struct LastDenial {
    client: String,
    user: String,
    reason: Reason,
}

impl VerdictLog {
    /// Creates a log with a budget of this many lines per second.
    pub fn new(per_second: u32, clock: Clock) -> Self {
        let budget = Mutex::new(LogBudget::new(per_second, clock.now()));
        Self {
            shared: Arc::new(VerdictLogState { budget, clock, report_due_at_millis: AtomicU64::new(0) }),
            hasher: RandomState::new(),
            suppressed_count: AtomicU64::new(0),
            has_warned_of_missing_client: AtomicBool::new(false),
            own_address_count: AtomicU32::new(0),
        }
    }

    /// Changes how many lines are written in a second.
    pub fn set_lines_per_second(&self, per_second: u32) {
        self.shared.budget().set_lines_per_second(per_second);
    }

    /// Takes a line that belongs to no client from the budget. Returns the number of such lines suppressed since the
    /// last one, or `None` if this line must be suppressed.
    pub(super) fn take_line(&self) -> Option<u64> {
        if self.shared.budget().take_line(self.shared.clock.now()) {
            return Some(self.suppressed_count.swap(0, Ordering::Relaxed));
        }
        self.suppressed_count.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Counts a verdict, and logs it unless the configuration or a budget suppresses the line.
    pub(super) fn log_verdict(&self, state: &AppState, received: &ReceivedSubrequest<'_>, verdict: &Verdict) {
        match verdict {
            Verdict::Allow(allowed) => {
                self.warn_if_client_missing(received, Reason::Allowed);
                state.allowed_counter.inc();
                if state.is_allowed_logged() {
                    let entry = VerdictLogEntry::from_verdict(verdict);
                    VerdictLogLine::for_entry(state, received, None, &entry).write(&entry, 0);
                } else if allowed.is_stale() {
                    self.write_within_budget(state, received, None, &VerdictLogEntry::from_verdict(verdict));
                }
            }
            Verdict::Challenge(ChallengeReason::NoCredentials)
                if !tracing::enabled!(tracing::Level::DEBUG) =>
            {
                self.count_verdict(state, received, Reason::NoCredentials);
            }
            Verdict::Challenge(_)
            | Verdict::Forbid(_)
            | Verdict::Limited(_)
            | Verdict::Unavailable(_)
            | Verdict::NoUpstreamCredentials(_) => {
                self.write_within_budget(state, received, None, &VerdictLogEntry::from_verdict(verdict));
                self.count_verdict(state, received, verdict.to_reason());
            }
        }
    }

    /// Counts and logs a token request that was denied. The headers of the proxy do not contain its method and path.
    pub(super) fn log_token_error(
        &self,
        state: &AppState,
        received: &ReceivedSubrequest<'_>,
        request_line: RequestLine<'_>,
        error: &TokenRequestError,
    ) {
        let entry = VerdictLogEntry::from_token_error(error);
        let reason = entry.reason;
        if reason != Reason::NoCredentials || tracing::enabled!(tracing::Level::DEBUG) {
            self.write_within_budget(state, received, Some(request_line), &entry);
        }
        self.count_verdict(state, received, reason);
    }

    fn count_verdict(&self, state: &AppState, received: &ReceivedSubrequest<'_>, reason: Reason) {
        self.warn_if_client_missing(received, reason);
        self.warn_if_client_is_proxy(&received.subrequest, reason);
        state.metrics.verdicts.get_or_create(&crate::http::verdict_label(reason)).inc();
    }

    fn write_within_budget(
        &self,
        state: &AppState,
        received: &ReceivedSubrequest<'_>,
        request_line: Option<RequestLine<'_>>,
        entry: &VerdictLogEntry,
    ) {
        let line = VerdictLogLine::for_entry(state, received, request_line, entry);
        let signature = self.repetition_key(&line, received, entry);
        if let Some(suppressed) = self.decide(state, &line, entry.reason, signature) {
            line.write(entry, suppressed);
        }
    }

    /// Returns the number of requests of the network that were not logged since its last line, or `None` if this line
    /// must be suppressed.
    fn decide(&self, state: &AppState, line: &VerdictLogLine, reason: Reason, signature: u64) -> Option<u64> {
        let shared = &self.shared;
        let last = || LastDenial { client: line.client.clone(), user: line.user.clone(), reason };
        let decision = shared.budget().decide(line.network, signature, shared.clock.now(), last);
        match decision {
            LogDecision::Log(suppressed) => Some(suppressed),
            LogDecision::Suppress => {
                state.metrics.log_lines_suppressed.inc();
                shared.schedule_report();
                None
            }
        }
    }

    /// Returns a key that is equal for requests that were denied for the same cause. Each wrong credential has a key
    /// of its own, whatever the path, because each one is a guess.
    fn repetition_key(
        &self,
        line: &VerdictLogLine,
        received: &ReceivedSubrequest<'_>,
        entry: &VerdictLogEntry,
    ) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        (entry.reason, &line.client, &entry.detail).hash(&mut hasher);
        match entry.reason {
            Reason::NoCredentials
            | Reason::MalformedCredentials
            | Reason::UnsupportedScheme
            | Reason::WrongCredentials
            | Reason::InvalidApiKey
            | Reason::InvalidToken
            | Reason::InsufficientScope => match received.subrequest.authorization {
                RequestHeader::Once(value) => value.hash(&mut hasher),
                RequestHeader::Absent | RequestHeader::Repeated | RequestHeader::Invalid => {}
            },
            Reason::Throttled | Reason::Busy => line.user.hash(&mut hasher),
            Reason::Allowed
            | Reason::Policy
            | Reason::MalformedReference
            | Reason::InvalidProxyHeaders
            | Reason::ProxySecret
            | Reason::AuthenticatorUnavailable
            | Reason::TokenSigning
            | Reason::UpstreamCredentials
            | Reason::TokenRequest
            | Reason::RefreshToken => {
                (&line.user, &line.method, &line.host, &line.path).hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    /// Warns once that the proxy sends no client address. All clients then share one network, and one client that
    /// guesses passwords throttles all others.
    fn warn_if_client_missing(&self, received: &ReceivedSubrequest<'_>, reason: Reason) {
        let is_nameless =
            received.subrequest.client == ClientAddress::Missing && is_from_trusted_proxy(reason);
        if is_nameless && !self.has_warned_of_missing_client.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                effect = SHARED_NETWORK_EFFECT,
                remedy = "send the address of the client (nginx: proxy_set_header X-Real-IP $remote_addr)",
                "X-Real-IP missing in requests from the proxy"
            );
        }
    }

    /// Warns once that the proxy sends its own address as the client address.
    fn warn_if_client_is_proxy(&self, request: &Subrequest<'_>, reason: Reason) {
        let count = self.own_address_count.load(Ordering::Relaxed);
        if count == u32::MAX || !is_from_trusted_proxy(reason) || request.client == ClientAddress::Missing {
            return;
        }
        let client = request.client_address().ok().flatten().map(|address| address.to_canonical());
        if client.is_none() || client != request.peer.map(|address| address.to_canonical()) {
            self.own_address_count.store(u32::MAX, Ordering::Relaxed);
        } else if self.own_address_count.fetch_add(1, Ordering::Relaxed) == OWN_ADDRESS_THRESHOLD - 1 {
            self.own_address_count.store(u32::MAX, Ordering::Relaxed);
            tracing::warn!(
                address = %address_for_log(client),
                effect = SHARED_NETWORK_EFFECT,
                remedy = "behind another proxy or a load balancer, configure set_real_ip_from in nginx",
                "X-Real-IP always equal to the address of the proxy"
            );
        }
    }
}

impl VerdictLogState {
    fn budget(&self) -> MutexGuard<'_, LogBudget<LastDenial>> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Schedules a report, unless one is scheduled.
    fn schedule_report(self: &Arc<Self>) {
        let (now, due) = (self.clock.now(), self.report_due_at_millis.load(Ordering::Acquire));
        // A report that is long overdue was lost with the worker that had to write it.
        if due != 0 && now.as_millis() < Moment::from_millis(due).plus(REPORT_DELAY).as_millis() {
            return;
        }
        let next = now.plus(REPORT_DELAY).as_millis();
        if self.report_due_at_millis.compare_exchange(due, next, Ordering::AcqRel, Ordering::Acquire).is_err()
        {
            return;
        }
        let shared = Arc::clone(self);
        // Unit tests have no runtime.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            tokio::time::sleep(REPORT_DELAY).await;
            shared.report_due_at_millis.store(0, Ordering::Release);
            shared.write_report();
        });
    }

    fn write_report(&self) {
        let mut budget = self.budget();
        if budget.is_disabled() {
            return;
        }
        let report = budget.take_report();
        drop(budget);
        for (network, SuppressedCounts { repeated, over_budget }, last) in report.networks {
            let Some(last) = last else { continue };
            tracing::warn!(
                network = %network,
                repeated,
                over_budget,
                last_client = last.client,
                last_user = last.user,
                last_verdict = last.reason.verdict_name(),
                last_reason = last.reason.name(),
                "denied requests not logged"
            );
        }
        let (networks, SuppressedCounts { repeated, over_budget }) = report.others;
        if networks > 0 {
            tracing::warn!(networks, repeated, over_budget, "denied requests of other networks not logged");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_without_client_are_limited_and_counted() {
        let clock = Clock::manual();
        let log = VerdictLog::new(2, clock.clone());
        let written = (0..100).filter(|_| log.take_line().is_some()).count();
        assert_eq!(written, 20);
        clock.advance(Duration::from_secs(1));
        assert_eq!(log.take_line(), Some(80));
        assert_eq!(log.take_line(), Some(0));
        assert_eq!(log.take_line(), None);
    }
}
