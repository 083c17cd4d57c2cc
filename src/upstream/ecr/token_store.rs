//! The current token of ECR, as requests read it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{Notify, watch};

use super::schedule::ClockReading;
use crate::clock::{Clock, Moment};
use crate::metrics::{Metrics, TokenFetchLabel, UpstreamLabel};
use crate::upstream::secret_header::SecretHeaderValue;

/// Time before the expiry after which a token is no longer used. nginx reads the token at the start of a request,
/// which must reach ECR within this time.
const EXPIRY_MARGIN: Duration = Duration::from_secs(10);

/// Minimum time between two fetches that are caused by refusals. ECR also refuses requests for reasons that a new
/// token does not change, and any client can cause them with a repository that ECR denies.
const REFUSAL_FETCH_INTERVAL: Duration = Duration::from_secs(60);

/// Maximum delay until refusals for one network block cause another fetch. The delay doubles each time, because the
/// last fetch did not help. Refusals for other blocks are not affected.
const REFUSAL_BACKOFF_MAX: Duration = Duration::from_secs(12 * 3600);

/// Maximum number of stored network blocks. If there are more, the oldest is evicted.
const REFUSAL_BLOCKS_MAX: usize = 256;

struct StoredToken {
    authorization: SecretHeaderValue,
    fetched_at: Moment,
    /// The end of use, by the monotonic clock. A changed date must not withhold a token or extend its use.
    usable_until: Moment,
}

/// The current token, the last error, and the limits of fetches after refusals.
pub(crate) struct TokenStore {
    name: Arc<str>,
    current: ArcSwapOption<StoredToken>,
    /// The error of the last fetch; empty if it succeeded.
    last_error: ArcSwap<String>,
    has_been_tried: watch::Sender<bool>,
    /// Requests an immediate fetch.
    fetch_request: Notify,
    refusals: Mutex<RefusalBackoff>,
    clock: Clock,
    metrics: TokenMetrics,
}

/// The fetches that were caused by refusals.
#[derive(Debug, Default)]
struct RefusalBackoff {
    last_fetch_at: Option<Moment>,
    /// The time of the last fetch that a network block caused, and the delay until the next.
    blocks: HashMap<u128, (Moment, Duration)>,
}

impl RefusalBackoff {
    /// Returns true if a refusal for a client of `block` must cause a fetch now.
    fn should_fetch(&mut self, block: u128, now: Moment) -> bool {
        let known = self.blocks.get(&block).copied();
        let has_elapsed = |at: Moment, span: Duration| now.since(at) >= span;
        if self.last_fetch_at.is_some_and(|last| !has_elapsed(last, REFUSAL_FETCH_INTERVAL))
            || known.is_some_and(|(at, span)| !has_elapsed(at, span))
        {
            return false;
        }
        if known.is_none() && self.blocks.len() >= REFUSAL_BLOCKS_MAX {
            let oldest = self.blocks.iter().min_by_key(|(_, (at, _))| *at).map(|(block, _)| *block);
            oldest.and_then(|oldest| self.blocks.remove(&oldest));
        }
        let span = match known {
            // A refusal long after the last one has another cause.
            Some((at, span)) if !has_elapsed(at, REFUSAL_BACKOFF_MAX) => {
                span.saturating_mul(2).min(REFUSAL_BACKOFF_MAX)
            }
            Some(_) | None => REFUSAL_FETCH_INTERVAL,
        };
        self.blocks.insert(block, (now, span));
        self.last_fetch_at = Some(now);
        true
    }
}

struct TokenMetrics {
    metrics: Arc<Metrics>,
    age: Gauge,
    remaining: Gauge,
}

impl fmt::Debug for TokenStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenStore").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The state of a token store, for `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenState {
    /// No token has been fetched yet.
    NoTokenYet(String),
    /// The last fetch failed, or the token has expired.
    Degraded(String),
    /// The token is valid, and the last fetch succeeded.
    Healthy(String),
}

impl TokenStore {
    /// Creates a token store without a token. `name` is the name of the table.
    pub(crate) fn new(name: Arc<str>, clock: Clock, metrics: Arc<Metrics>) -> Self {
        let label = UpstreamLabel { upstream: name.to_string() };
        let age = metrics.upstream_token_age.get_or_create(&label).clone();
        let remaining = metrics.upstream_token_remaining.get_or_create(&label).clone();
        for result in ["fetched", "failed"] {
            drop(
                metrics
                    .upstream_token_fetches
                    .get_or_create(&TokenFetchLabel { upstream: name.to_string(), result }),
            );
        }
        Self {
            name,
            current: ArcSwapOption::empty(),
            last_error: ArcSwap::default(),
            has_been_tried: watch::Sender::new(false),
            fetch_request: Notify::new(),
            refusals: Mutex::default(),
            clock,
            metrics: TokenMetrics { metrics, age, remaining },
        }
    }

    /// Returns the name of the table.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Returns the time of both clocks.
    pub(crate) fn now(&self) -> ClockReading {
        ClockReading { monotonic: self.clock.now(), unix_seconds: self.clock.unix_seconds() }
    }

    /// Returns the header value for the upstream.
    ///
    /// # Errors
    /// Returns the reason why no token is valid.
    pub(crate) fn authorization(&self) -> Result<SecretHeaderValue, String> {
        match self.current.load().as_deref() {
            Some(token) if self.clock.now() < token.usable_until => Ok(token.authorization.clone()),
            Some(_) => {
                Err(format!("the token has expired, and no new one was fetched{}", self.error_suffix()))
            }
            None => Err(format!("no token was fetched yet{}", self.error_suffix())),
        }
    }

    /// Returns true if there is a valid token.
    pub(crate) fn has_valid_token(&self) -> bool {
        self.current.load().as_deref().is_some_and(|token| self.clock.now() < token.usable_until)
    }

    fn error_suffix(&self) -> String {
        let error = self.last_error.load();
        if error.is_empty() { String::new() } else { format!(": {error}") }
    }

    /// Replaces the token. Its `lifetime` starts at the time of the request.
    pub(crate) fn replace_token(
        &self,
        authorization: SecretHeaderValue,
        lifetime: Duration,
        requested_at: Moment,
    ) {
        let usable_until = requested_at.plus(lifetime.saturating_sub(EXPIRY_MARGIN));
        self.current.store(Some(Arc::new(StoredToken {
            authorization,
            fetched_at: requested_at,
            usable_until,
        })));
        self.last_error.store(Arc::default());
        self.count_fetch("fetched");
        let lifetime = format_duration(lifetime);
        tracing::info!(upstream = &*self.name, lifetime, "upstream token fetched");
        self.has_been_tried.send_replace(true);
    }

    /// Records a failed fetch. The current token remains in use.
    pub(crate) fn record_failure(&self, error: &str) {
        self.last_error.store(Arc::new(error.to_owned()));
        self.count_fetch("failed");
        let remaining = self.remaining_lifetime();
        match remaining {
            Some(remaining) => tracing::warn!(
                upstream = &*self.name,
                error,
                remaining = format_duration(remaining),
                "upstream token not renewed"
            ),
            None => tracing::error!(
                upstream = &*self.name,
                error,
                effect = "requests get status 503",
                "no valid upstream token"
            ),
        }
        self.has_been_tried.send_replace(true);
    }

    fn count_fetch(&self, result: &'static str) {
        let label = TokenFetchLabel { upstream: self.name.to_string(), result };
        self.metrics.metrics.upstream_token_fetches.get_or_create(&label).inc();
    }

    /// Returns the remaining lifetime of the current token; `None` if it is not valid.
    fn remaining_lifetime(&self) -> Option<Duration> {
        let (token, now) = (self.current.load(), self.clock.now());
        token.as_deref().filter(|token| now < token.usable_until).map(|token| token.usable_until.since(now))
    }

    /// Reports that the upstream refused the token for a client of this network block. A new token is fetched,
    /// within the limits of [`RefusalBackoff`].
    pub(crate) fn report_refusal(&self, block: u128) {
        let now = self.clock.now();
        if self.refusals.lock().unwrap_or_else(PoisonError::into_inner).should_fetch(block, now) {
            self.fetch_request.notify_one();
        }
    }

    /// Records a failed fetch after a refusal, while the current token is valid. Any client can cause this, so
    /// neither the state of the token store nor its schedule changes.
    pub(crate) fn record_failure_after_refusal(&self, error: &str) {
        self.count_fetch("failed");
        tracing::warn!(upstream = &*self.name, error, "upstream token not fetched after refusal");
    }

    /// Waits for a request of an immediate fetch.
    pub(crate) async fn wait_for_fetch_request(&self) {
        self.fetch_request.notified().await;
    }

    /// Waits until the first fetch has succeeded or failed.
    pub(crate) async fn wait_for_first_attempt(&self) {
        // An error is impossible: the sender is a field of this token store.
        let _ = self.has_been_tried.subscribe().wait_for(|tried| *tried).await;
    }

    /// Returns the state for `/readyz`.
    pub(crate) fn state(&self) -> TokenState {
        let (name, token) = (&self.name, self.current.load());
        let Some(token) = token.as_deref() else {
            return TokenState::NoTokenYet(format!(
                "upstream {name} has no token yet{}",
                self.error_suffix()
            ));
        };
        let age = format_duration(self.clock.now().since(token.fetched_at));
        match (self.remaining_lifetime(), self.last_error.load().is_empty()) {
            (None, _) => TokenState::Degraded(format!(
                "the token of upstream {name} has expired, {age} after it was fetched{}",
                self.error_suffix()
            )),
            (Some(remaining), false) => TokenState::Degraded(format!(
                "the token of upstream {name} is {age} old and valid for {}, but was not renewed{}",
                format_duration(remaining),
                self.error_suffix()
            )),
            (Some(remaining), true) => TokenState::Healthy(format!(
                "upstream {name}: the token is {age} old, and valid for {}",
                format_duration(remaining)
            )),
        }
    }

    /// Updates the gauges: seconds, or 0 without a token.
    pub(crate) fn update_metrics(&self) {
        let token = self.current.load();
        let age = token.as_deref().map_or(Duration::ZERO, |token| self.clock.now().since(token.fetched_at));
        let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        self.metrics.age.set(seconds(age));
        self.metrics.remaining.set(self.remaining_lifetime().map_or(0, seconds));
    }
}

/// Formats a duration with its two largest units.
fn format_duration(span: Duration) -> String {
    let seconds = span.as_secs();
    let rounded = match seconds {
        0..3600 => seconds,
        3600..86_400 => seconds / 60 * 60,
        _ => seconds / 3600 * 3600,
    };
    humantime::format_duration(Duration::from_secs(rounded)).to_string()
}

#[cfg(test)]
#[path = "token_store_tests.rs"]
mod tests;
