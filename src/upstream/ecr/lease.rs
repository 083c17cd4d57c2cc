//! The token in force, as requests look at it.

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

/// How long before its end a token is no longer given out: what a request may take to reach ECR behind nginx,
/// which looks at it when the request begins.
const EXPIRY_MARGIN: Duration = Duration::from_secs(10);

/// The least time between two tokens that are fetched because ECR refused one: it refuses for other reasons
/// too, which a new token does not mend. Any client can bring that about, by a repository that ECR refuses.
const REFUSAL_FETCH_INTERVAL: Duration = Duration::from_secs(60);

/// The longest time until the refusals of one network block have a token fetched again. It doubles each time, since
/// the token of before did not mend them; refusals of other blocks are not affected.
const REFUSAL_BACKOFF_MAX: Duration = Duration::from_secs(12 * 3600);

/// The network blocks whose refusals are remembered; with more, the oldest is forgotten.
const REFUSAL_BLOCKS_MAX: usize = 256;

struct HeldToken {
    authorization: SecretHeaderValue,
    fetched_at: Moment,
    /// By the time since the machine was started: a date that is set, forward or back, is no reason to
    /// withhold a token, nor to give one out for longer.
    held_until: Moment,
}

/// See the top of this file.
pub struct Lease {
    name: Arc<str>,
    current: ArcSwapOption<HeldToken>,
    /// Why the last fetch failed; empty where it did not.
    last_error: ArcSwap<String>,
    has_been_tried: watch::Sender<bool>,
    /// Has the token fetched now.
    fetch_request: Notify,
    refusals: Mutex<RefusalBackoff>,
    clock: Clock,
    metrics: LeaseMetrics,
}

/// The refusals that had a token fetched.
#[derive(Debug, Default)]
struct RefusalBackoff {
    last_fetch_at: Option<Moment>,
    /// By network block: when its refusals had a token fetched last, and how long they do not after that.
    blocks: HashMap<u128, (Moment, Duration)>,
}

impl RefusalBackoff {
    /// Whether a refusal to a client of `block` has a token fetched now.
    fn should_fetch(&mut self, block: u128, now: Moment) -> bool {
        let known = self.blocks.get(&block).copied();
        let since = |at: Moment, span: Duration| now.since(at) >= span;
        if self.last_fetch_at.is_some_and(|last| !since(last, REFUSAL_FETCH_INTERVAL))
            || known.is_some_and(|(at, span)| !since(at, span))
        {
            return false;
        }
        if known.is_none() && self.blocks.len() >= REFUSAL_BLOCKS_MAX {
            let oldest = self.blocks.iter().min_by_key(|(_, (at, _))| *at).map(|(block, _)| *block);
            oldest.and_then(|oldest| self.blocks.remove(&oldest));
        }
        let span = match known {
            // Long after the last time it is another matter.
            Some((at, span)) if !since(at, REFUSAL_BACKOFF_MAX) => {
                span.saturating_mul(2).min(REFUSAL_BACKOFF_MAX)
            }
            Some(_) | None => REFUSAL_FETCH_INTERVAL,
        };
        self.blocks.insert(block, (now, span));
        self.last_fetch_at = Some(now);
        true
    }
}

struct LeaseMetrics {
    metrics: Arc<Metrics>,
    age: Gauge,
    remaining: Gauge,
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How a lease stands, for `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// There has been no token yet.
    NoTokenYet(String),
    /// The last fetch failed, or what there was has expired.
    Degraded(String),
    /// All is well.
    Healthy(String),
}

impl Lease {
    /// Without a token so far. `name` is the table's.
    pub fn new(name: Arc<str>, clock: Clock, metrics: Arc<Metrics>) -> Self {
        let label = UpstreamLabel { upstream: name.to_string() };
        let age = metrics.upstream_token_age.get_or_create(&label).clone();
        let life = metrics.upstream_token_remaining.get_or_create(&label).clone();
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
            metrics: LeaseMetrics { metrics, age, remaining: life },
        }
    }

    /// The table's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The time by both clocks.
    pub fn now(&self) -> ClockReading {
        ClockReading { monotonic: self.clock.now(), unix_seconds: self.clock.unix_seconds() }
    }

    /// The value for the upstream.
    ///
    /// # Errors
    /// Why there is none that is good.
    pub fn authorization(&self) -> Result<SecretHeaderValue, String> {
        match self.current.load().as_deref() {
            Some(held) if self.clock.now() < held.held_until => Ok(held.authorization.clone()),
            Some(_) => Err(format!("its token has expired, and there is no new one{}", self.error_suffix())),
            None => Err(format!("there has been no token yet{}", self.error_suffix())),
        }
    }

    /// Whether there is a token that is good.
    pub fn has_valid_token(&self) -> bool {
        self.current.load().as_deref().is_some_and(|held| self.clock.now() < held.held_until)
    }

    fn error_suffix(&self) -> String {
        let fault = self.last_error.load();
        if fault.is_empty() { String::new() } else { format!(": {fault}") }
    }

    /// Puts a token in force, which is good for `life` from when it was asked for.
    pub fn store_token(&self, authorization: SecretHeaderValue, life: Duration, asked: Moment) {
        let until = asked.plus(life.saturating_sub(EXPIRY_MARGIN));
        self.current.store(Some(Arc::new(HeldToken { authorization, fetched_at: asked, held_until: until })));
        self.last_error.store(Arc::default());
        self.count_fetch("fetched");
        let good_for = format_duration(life);
        tracing::info!(upstream = &*self.name, good_for, "upstream token fetched");
        self.has_been_tried.send_replace(true);
    }

    /// No token could be fetched; the one in force stays.
    pub fn record_failure(&self, fault: &str) {
        self.last_error.store(Arc::new(fault.to_owned()));
        self.count_fetch("failed");
        let left = self.remaining_lifetime();
        match left {
            Some(left) => tracing::warn!(
                upstream = &*self.name,
                fault,
                good_for = format_duration(left),
                "upstream token not renewed, the last one goes on"
            ),
            None => tracing::error!(
                upstream = &*self.name,
                fault,
                "there is no upstream token: requests are answered 503"
            ),
        }
        self.has_been_tried.send_replace(true);
    }

    fn count_fetch(&self, result: &'static str) {
        let label = TokenFetchLabel { upstream: self.name.to_string(), result };
        self.metrics.metrics.upstream_token_fetches.get_or_create(&label).inc();
    }

    /// For how long the token in force is good; `None` where it is not.
    fn remaining_lifetime(&self) -> Option<Duration> {
        let (held, now) = (self.current.load(), self.clock.now());
        held.as_deref().filter(|held| now < held.held_until).map(|held| held.held_until.since(now))
    }

    /// The upstream refused the token to a client of this network block: another one is fetched, but not all the
    /// time.
    pub fn report_refusal(&self, block: u128) {
        let now = self.clock.now();
        if self.refusals.lock().unwrap_or_else(PoisonError::into_inner).should_fetch(block, now) {
            self.fetch_request.notify_one();
        }
    }

    /// No token could be fetched in place of one that is good, but was refused. That is nothing which any client's
    /// refusal may turn into a fault of the token in force: it stays, and so does its schedule.
    pub fn record_failure_after_refusal(&self, fault: &str) {
        self.count_fetch("failed");
        tracing::warn!(upstream = &*self.name, fault, "upstream token not fetched after a refusal");
    }

    /// Waits until a token is wanted out of turn.
    pub async fn wait_for_fetch_request(&self) {
        self.fetch_request.notified().await;
    }

    /// Waits until a token was asked for once, whatever came of it.
    pub async fn wait_for_first_attempt(&self) {
        // The sender lives as long as this does.
        let _ = self.has_been_tried.subscribe().wait_for(|tried| *tried).await;
    }

    /// For `/readyz`.
    pub fn state(&self) -> LeaseState {
        let (name, held) = (&self.name, self.current.load());
        let Some(held) = held.as_deref() else {
            return LeaseState::NoTokenYet(format!(
                "upstream {name} has had no token yet{}",
                self.error_suffix()
            ));
        };
        let age = format_duration(self.clock.now().since(held.fetched_at));
        match (self.remaining_lifetime(), self.last_error.load().is_empty()) {
            (None, _) => LeaseState::Degraded(format!(
                "the token of upstream {name} has expired, {age} after it was fetched{}",
                self.error_suffix()
            )),
            (Some(left), false) => LeaseState::Degraded(format!(
                "the token of upstream {name} is {age} old and good for {}, and was not renewed{}",
                format_duration(left),
                self.error_suffix()
            )),
            (Some(left), true) => LeaseState::Healthy(format!(
                "upstream {name}: its token is {age} old, and good for {}",
                format_duration(left)
            )),
        }
    }

    /// Brings the gauges up to date: seconds, 0 of what is not there.
    pub fn update_metrics(&self) {
        let held = self.current.load();
        let age = held.as_deref().map_or(Duration::ZERO, |held| self.clock.now().since(held.fetched_at));
        let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        self.metrics.age.set(seconds(age));
        self.metrics.remaining.set(self.remaining_lifetime().map_or(0, seconds));
    }
}

/// A span for people: its two largest units.
fn format_duration(span: Duration) -> String {
    let seconds = span.as_secs();
    let whole = match seconds {
        0..3600 => seconds,
        3600..86_400 => seconds / 60 * 60,
        _ => seconds / 3600 * 3600,
    };
    humantime::format_duration(Duration::from_secs(whole)).to_string()
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
