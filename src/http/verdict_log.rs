//! One log line for each refusal, within budgets that keep an attacker from filling the disk and from hiding
//! others: see `budget`. What was not logged one by one is reported with a count for each client network, ten
//! seconds after it began and as long as it goes on.
//!
//! A request without credentials is how every client opens (docker sends one with each command),
//! so it is noted at debug level only. An allowed one is logged where `log.allowed_requests` asks for it: a
//! line costs more than the whole check.

mod budget;
mod issued_token;
mod line;

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::budget::{LogBudget, LogDecision, SuppressedCounts};
pub(super) use self::issued_token::IssuedTokenEntry;
pub(super) use self::line::{RequestLine, header_for_log};
use self::line::{VerdictLogEntry, VerdictLogLine, address_for_log, is_from_trusted_proxy};
use super::AppState;
use super::response::TokenRequestError;
use super::subrequest::ReceivedSubrequest;
use crate::clock::{Clock, Moment};
use crate::pipeline::challenge::ChallengeReason;
use crate::pipeline::verdict::{Reason, Verdict};
use crate::request::header::RequestHeader;
use crate::request::subrequest::ClientAddress;
use crate::request::subrequest::Subrequest;

/// After this time refusals that were not logged one by one are reported.
const REPORT_DELAY: Duration = Duration::from_secs(10);

/// So many refusals in a row whose client has the proxy's own address, and none with another, say that the proxy
/// names itself. Fewer can be somebody who tries a configuration on the proxy's own host.
const OWN_ADDRESS_THRESHOLD: u32 = 10;

/// See the top of this file.
#[derive(Debug)]
pub struct VerdictLog {
    shared: Arc<VerdictLogState>,
    hasher: RandomState,
    /// What was not told of lines that are nobody's.
    suppressed_count: AtomicU64,
    /// Whether it was said that the proxy names no client.
    has_warned_of_missing_client: AtomicBool,
    /// Refusals whose client had the proxy's address; [`u32::MAX`] once another was seen, or it was said.
    own_address_count: AtomicU32,
}

#[derive(Debug)]
struct VerdictLogState {
    budget: Mutex<LogBudget<LastDenial>>,
    clock: Clock,
    /// When the report that is under way is due, in milliseconds of the clock; 0 if there is none.
    report_due_at_millis: AtomicU64,
}

/// What a report says of a network's last refusal.
#[derive(Clone, Debug)]
struct LastDenial {
    client: String,
    user: String,
    reason: Reason,
}

impl VerdictLog {
    /// Creates a log that writes so many lines in a second.
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

    /// Takes a line that is no client's out of the budget: how many were suppressed since the last one, or
    /// `None` if this one is.
    pub(super) fn take_line(&self) -> Option<u64> {
        if self.shared.budget().take_line(self.shared.clock.now()) {
            return Some(self.suppressed_count.swap(0, Ordering::Relaxed));
        }
        self.suppressed_count.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Counts the verdict, and logs it if it is to be logged.
    pub(super) fn log_verdict(&self, front: &AppState, received: &ReceivedSubrequest<'_>, verdict: &Verdict) {
        match verdict {
            Verdict::Allow(grant) => {
                self.warn_if_client_missing(received, Reason::Allowed);
                front.allowed_counter.inc();
                if front.is_allowed_logged() {
                    let entry = VerdictLogEntry::from_verdict(verdict);
                    VerdictLogLine::for_entry(front, received, None, &entry).write(&entry, 0);
                } else if grant.is_stale() {
                    self.write_within_budget(front, received, None, &VerdictLogEntry::from_verdict(verdict));
                }
            }
            Verdict::Challenge(ChallengeReason::NoCredentials)
                if !tracing::enabled!(tracing::Level::DEBUG) =>
            {
                self.count_verdict(front, received, Reason::NoCredentials);
            }
            Verdict::Challenge(_)
            | Verdict::Forbid(_)
            | Verdict::Limited(_)
            | Verdict::Unavailable(_)
            | Verdict::NoUpstreamCredentials(_) => {
                self.write_within_budget(front, received, None, &VerdictLogEntry::from_verdict(verdict));
                self.count_verdict(front, received, verdict.to_reason());
            }
        }
    }

    /// The same of a request for a token that was not issued, whose method and path the proxy's headers do not name.
    pub(super) fn log_token_error(
        &self,
        front: &AppState,
        received: &ReceivedSubrequest<'_>,
        seen: RequestLine<'_>,
        fault: &TokenRequestError,
    ) {
        let entry = VerdictLogEntry::from_token_error(fault);
        let reason = entry.reason;
        if reason != Reason::NoCredentials || tracing::enabled!(tracing::Level::DEBUG) {
            self.write_within_budget(front, received, Some(seen), &entry);
        }
        self.count_verdict(front, received, reason);
    }

    fn count_verdict(&self, front: &AppState, received: &ReceivedSubrequest<'_>, reason: Reason) {
        self.warn_if_client_missing(received, reason);
        self.warn_if_client_is_proxy(&received.subrequest, reason);
        front.metrics.verdicts.get_or_create(&crate::http::verdict_label(reason)).inc();
    }

    fn write_within_budget(
        &self,
        front: &AppState,
        received: &ReceivedSubrequest<'_>,
        seen: Option<RequestLine<'_>>,
        entry: &VerdictLogEntry,
    ) {
        let line = VerdictLogLine::for_entry(front, received, seen, entry);
        let signature = self.repetition_key(&line, received, entry);
        if let Some(suppressed) = self.decide(front, &line, entry.reason, signature) {
            line.write(entry, suppressed);
        }
    }

    /// Whether a line may be written, and how many of its network's were not since the last one.
    fn decide(&self, front: &AppState, line: &VerdictLogLine, reason: Reason, signature: u64) -> Option<u64> {
        let shared = &self.shared;
        let last = || LastDenial { client: line.client.clone(), user: line.user.clone(), reason };
        let decision = shared.budget().decide(line.network, signature, shared.clock.now(), last);
        match decision {
            LogDecision::Log(suppressed) => Some(suppressed),
            LogDecision::Suppress => {
                front.metrics.log_lines_suppressed.inc();
                shared.schedule_report();
                None
            }
        }
    }

    /// Equal for refusals that say the same. Wrong credentials differ if they are other ones: each is a guess of
    /// its own, whatever path it was tried at.
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
            | Reason::UntrustedPeer
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

    /// Says once that the proxy does not name the client: all clients are then one network, and the first
    /// that guesses throttles them all.
    fn warn_if_client_missing(&self, received: &ReceivedSubrequest<'_>, reason: Reason) {
        let is_nameless =
            received.subrequest.client == ClientAddress::Missing && is_from_trusted_proxy(reason);
        if is_nameless && !self.has_warned_of_missing_client.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the proxy sends no X-Real-IP, so all clients count as one network, and one that guesses locks out the others: set it to the client's address (nginx: proxy_set_header X-Real-IP $remote_addr)"
            );
        }
    }

    /// Says once that the proxy names itself where it should name the client.
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
                "X-Real-IP has been the proxy's own address so far, so all clients count as one network, and one that guesses locks out the others: behind another proxy or a balancer let nginx find the client's address (set_real_ip_from)"
            );
        }
    }
}

impl VerdictLogState {
    fn budget(&self) -> MutexGuard<'_, LogBudget<LastDenial>> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports after a while what is not logged until then, unless a report is under way already.
    fn schedule_report(self: &Arc<Self>) {
        let (now, due) = (self.clock.now(), self.report_due_at_millis.load(Ordering::Acquire));
        // One that is long overdue was lost with the worker that was to make it.
        if due != 0 && now.as_millis() < Moment::from_millis(due).plus(REPORT_DELAY).as_millis() {
            return;
        }
        let next = now.plus(REPORT_DELAY).as_millis();
        if self.report_due_at_millis.compare_exchange(due, next, Ordering::AcqRel, Ordering::Acquire).is_err()
        {
            return;
        }
        let shared = Arc::clone(self);
        // There is no runtime in unit tests.
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
        for (network, SuppressedCounts { repeated, over_budget: over }, last) in report.networks {
            let LastDenial { client, user, reason } = match last {
                Some(last) => last,
                None => continue,
            };
            tracing::warn!(
                network = %network,
                repeated,
                over,
                client,
                user,
                verdict = reason.verdict_name(),
                reason = reason.name(),
                "refusals that were not logged one by one; client, user and reason are the last one's"
            );
        }
        let (networks, SuppressedCounts { repeated, over_budget: over }) = report.others;
        if networks > 0 {
            tracing::warn!(
                networks,
                repeated,
                over,
                "refusals of other networks that were not logged one by one"
            );
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
