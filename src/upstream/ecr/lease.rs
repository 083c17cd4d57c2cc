//! The token in force, as requests look at it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{Notify, watch};

use super::schedule::Instant;
use crate::clock::{Clock, Moment};
use crate::metrics::{FetchLabel, Metrics, UpstreamLabel};
use crate::upstream::authorization::Authorization;

/// How long before its end a token is no longer given out: what a request may take to reach ECR behind nginx,
/// which looks at it when the request begins.
const EXPIRY_MARGIN: Duration = Duration::from_secs(10);

/// The least time between two tokens that are fetched because ECR refused one: it refuses for other reasons
/// too, which a new token does not mend. Any client can bring that about, by a repository that ECR refuses.
const REFUSED_EVERY: Duration = Duration::from_secs(60);

/// The longest time until the refusals of one network block have a token fetched again. It doubles each time, since
/// the token of before did not mend them; refusals of other blocks are not affected.
const REFUSED_MAX: Duration = Duration::from_secs(12 * 3600);

/// The network blocks whose refusals are remembered; with more, the oldest is forgotten.
const REFUSED_BLOCKS: usize = 256;

struct Held {
    authorization: Authorization,
    fetched: Moment,
    /// By the time since the machine was started: a date that is set, forward or back, is no reason to
    /// withhold a token, nor to give one out for longer.
    until: Moment,
}

/// See the top of this file.
pub struct Lease {
    name: Arc<str>,
    held: ArcSwapOption<Held>,
    /// Why the last fetch failed; empty where it did not.
    fault: ArcSwap<String>,
    tried: watch::Sender<bool>,
    /// Has the token fetched now.
    wanted: Notify,
    refused: Mutex<Refused>,
    clock: Clock,
    figures: Figures,
}

/// The refusals that had a token fetched.
#[derive(Debug, Default)]
struct Refused {
    last: Option<Moment>,
    /// By network block: when its refusals had a token fetched last, and how long they do not after that.
    blocks: HashMap<u128, (Moment, Duration)>,
}

impl Refused {
    /// Whether a refusal to a client of `block` has a token fetched now.
    fn fetches(&mut self, block: u128, now: Moment) -> bool {
        let known = self.blocks.get(&block).copied();
        let since = |at: Moment, span: Duration| now.since(at) >= span;
        if self.last.is_some_and(|last| !since(last, REFUSED_EVERY))
            || known.is_some_and(|(at, span)| !since(at, span))
        {
            return false;
        }
        if known.is_none() && self.blocks.len() >= REFUSED_BLOCKS {
            let oldest = self.blocks.iter().min_by_key(|(_, (at, _))| *at).map(|(block, _)| *block);
            oldest.and_then(|oldest| self.blocks.remove(&oldest));
        }
        let span = match known {
            // Long after the last time it is another matter.
            Some((at, span)) if !since(at, REFUSED_MAX) => span.saturating_mul(2).min(REFUSED_MAX),
            Some(_) | None => REFUSED_EVERY,
        };
        self.blocks.insert(block, (now, span));
        self.last = Some(now);
        true
    }
}

struct Figures {
    metrics: Arc<Metrics>,
    age: Gauge,
    life: Gauge,
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How a lease stands, for `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There has been no token yet.
    Never(String),
    /// The last fetch failed, or what there was has expired.
    Degraded(String),
    /// All is well.
    Well(String),
}

impl Lease {
    /// Without a token so far. `name` is the table's.
    pub fn new(name: Arc<str>, clock: Clock, metrics: Arc<Metrics>) -> Self {
        let label = UpstreamLabel { upstream: name.to_string() };
        let age = metrics.upstream_token_age.get_or_create(&label).clone();
        let life = metrics.upstream_token_life.get_or_create(&label).clone();
        for result in ["fetched", "failed"] {
            drop(metrics.upstream_fetches.get_or_create(&FetchLabel { upstream: name.to_string(), result }));
        }
        Self {
            name,
            held: ArcSwapOption::empty(),
            fault: ArcSwap::default(),
            tried: watch::Sender::new(false),
            wanted: Notify::new(),
            refused: Mutex::default(),
            clock,
            figures: Figures { metrics, age, life },
        }
    }

    /// The table's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The time by both clocks.
    pub fn now(&self) -> Instant {
        Instant { moment: self.clock.now(), date: self.clock.unix() }
    }

    /// The value for the upstream.
    ///
    /// # Errors
    /// Why there is none that is good.
    pub fn authorization(&self) -> Result<Authorization, String> {
        match self.held.load().as_deref() {
            Some(held) if self.clock.now() < held.until => Ok(held.authorization.clone()),
            Some(_) => Err(format!("its token has expired, and there is no new one{}", self.because())),
            None => Err(format!("there has been no token yet{}", self.because())),
        }
    }

    /// Whether there is a token that is good.
    pub fn is_good(&self) -> bool {
        self.held.load().as_deref().is_some_and(|held| self.clock.now() < held.until)
    }

    fn because(&self) -> String {
        let fault = self.fault.load();
        if fault.is_empty() { String::new() } else { format!(": {fault}") }
    }

    /// Puts a token in force, which is good for `life` from when it was asked for.
    pub fn renew(&self, authorization: Authorization, life: Duration, asked: Moment) {
        let until = asked.plus(life.saturating_sub(EXPIRY_MARGIN));
        self.held.store(Some(Arc::new(Held { authorization, fetched: asked, until })));
        self.fault.store(Arc::default());
        self.count("fetched");
        let good_for = shown(life);
        tracing::info!(upstream = &*self.name, good_for, "upstream token fetched");
        self.tried.send_replace(true);
    }

    /// No token could be fetched; the one in force stays.
    pub fn fail(&self, fault: &str) {
        self.fault.store(Arc::new(fault.to_owned()));
        self.count("failed");
        let left = self.left();
        match left {
            Some(left) => tracing::warn!(
                upstream = &*self.name,
                fault,
                good_for = shown(left),
                "upstream token not renewed, the last one goes on"
            ),
            None => tracing::error!(
                upstream = &*self.name,
                fault,
                "there is no upstream token: requests are answered 503"
            ),
        }
        self.tried.send_replace(true);
    }

    fn count(&self, result: &'static str) {
        let label = FetchLabel { upstream: self.name.to_string(), result };
        self.figures.metrics.upstream_fetches.get_or_create(&label).inc();
    }

    /// For how long the token in force is good; `None` where it is not.
    fn left(&self) -> Option<Duration> {
        let (held, now) = (self.held.load(), self.clock.now());
        held.as_deref().filter(|held| now < held.until).map(|held| held.until.since(now))
    }

    /// The upstream refused the token to a client of this network block: another one is fetched, but not all the
    /// time.
    pub fn refused(&self, block: u128) {
        let now = self.clock.now();
        if self.refused.lock().unwrap_or_else(PoisonError::into_inner).fetches(block, now) {
            self.wanted.notify_one();
        }
    }

    /// No token could be fetched in place of one that is good, but was refused. That is nothing which any client's
    /// refusal may turn into a fault of the token in force: it stays, and so does its schedule.
    pub fn fail_refused(&self, fault: &str) {
        self.count("failed");
        tracing::warn!(upstream = &*self.name, fault, "upstream token not fetched after a refusal");
    }

    /// Waits until a token is wanted out of turn.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Waits until a token was asked for once, whatever came of it.
    pub async fn tried(&self) {
        // The sender lives as long as this does.
        let _ = self.tried.subscribe().wait_for(|tried| *tried).await;
    }

    /// For `/readyz`.
    pub fn standing(&self) -> Standing {
        let (name, held) = (&self.name, self.held.load());
        let Some(held) = held.as_deref() else {
            return Standing::Never(format!("upstream {name} has had no token yet{}", self.because()));
        };
        let age = shown(self.clock.now().since(held.fetched));
        match (self.left(), self.fault.load().is_empty()) {
            (None, _) => Standing::Degraded(format!(
                "the token of upstream {name} has expired, {age} after it was fetched{}",
                self.because()
            )),
            (Some(left), false) => Standing::Degraded(format!(
                "the token of upstream {name} is {age} old and good for {}, and was not renewed{}",
                shown(left),
                self.because()
            )),
            (Some(left), true) => Standing::Well(format!(
                "upstream {name}: its token is {age} old, and good for {}",
                shown(left)
            )),
        }
    }

    /// Brings the gauges up to date: seconds, 0 of what is not there.
    pub fn measure(&self) {
        let held = self.held.load();
        let age = held.as_deref().map_or(Duration::ZERO, |held| self.clock.now().since(held.fetched));
        let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        self.figures.age.set(seconds(age));
        self.figures.life.set(self.left().map_or(0, seconds));
    }
}

/// A span for people: its two largest units.
fn shown(span: Duration) -> String {
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
