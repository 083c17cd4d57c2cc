//! Every figure that `/metrics` shows, counted without a lock on the path of a request.
//!
//! No label ever holds a user name or an address: their number has no bound, and metrics are often
//! readable by people who must not know who logs in.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The label of [`Metrics::verdicts`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct VerdictLabel {
    /// The verdict's stable name, see `gate::verdict::Reason`.
    pub verdict: &'static str,
    /// The reason's stable name; empty for an allowed request.
    pub reason: &'static str,
}

/// The label of [`Metrics::hashes`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HashCheckLabel {
    /// `accepted` or `refused`.
    pub result: &'static str,
}

/// The labels of [`Metrics::authenticator_calls`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AuthenticatorCallLabel {
    /// The authenticator's name, of the settings.
    pub authenticator: String,
    /// `accepted`, `rejected`, `unknown_user` or `error`.
    pub result: &'static str,
}

/// The label of figures that each authenticator has.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AuthenticatorLabel {
    /// The authenticator's name, of the settings.
    pub authenticator: String,
}

/// The label of figures that each key has.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ApiKeyLabel {
    /// The key's public part.
    pub id: String,
}

/// The label of figures that each upstream has.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct UpstreamLabel {
    /// Its name, of the settings.
    pub upstream: String,
}

/// The label of [`Metrics::upstream_fetches`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TokenFetchLabel {
    /// Its name, of the settings.
    pub upstream: String,
    /// `fetched` or `failed`.
    pub result: &'static str,
}

/// The label of [`Metrics::connections_refused`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ListenerLabel {
    /// `auth`, `public` or `admin`.
    pub listener: &'static str,
}

/// The counters and gauges. Cloning one of them shares it.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Answers given to nginx.
    pub verdicts: Family<VerdictLabel, Counter>,
    /// Answers that were given from the cache, good ones.
    pub cache_hits: Counter,
    /// Refusals that were given again without a check.
    pub cache_rejected_hits: Counter,
    /// Questions that the cache could not answer.
    pub cache_misses: Counter,
    /// Misses that waited for a check that was under way already.
    pub cache_coalesced: Counter,
    /// Good answers in the cache now.
    pub cache_entries: Gauge,
    /// Password checks done by the hash pool, one for each question.
    pub hash_checks: Family<HashCheckLabel, Counter>,
    /// Seconds that the hash pool's threads spent on checks.
    pub hash_check_seconds: Counter<f64, AtomicU64>,
    /// Checks waiting for a hash thread now.
    pub hash_queue_length: Gauge,
    /// Checks that may wait: as many as the threads do within the time that a request waits.
    pub hash_queue_capacity: Gauge,
    /// Questions turned away because a share of the hash queue, or all of it, was full.
    pub hash_queue_full: Counter,
    /// Checks dropped unhashed: the asker's time was up, or a network with fewer of them came.
    pub hash_queue_evicted: Counter,
    /// Calls to remote authenticators.
    pub authenticator_calls: Family<AuthenticatorCallLabel, Counter>,
    /// Seconds spent on these calls.
    pub authenticator_call_seconds: Family<AuthenticatorLabel, Counter<f64, AtomicU64>>,
    /// 1 while a remote authenticator is called, 0 while it counts as down.
    pub authenticator_up: Family<AuthenticatorLabel, Gauge>,
    /// Queries that wait for a remote authenticator.
    pub authenticator_queue_length: Family<AuthenticatorLabel, Gauge>,
    /// Queries refused because the queue, or the requester's share of it, was full.
    pub authenticator_queue_full: Family<AuthenticatorLabel, Counter>,
    /// Queries dropped without an answer: their time ended, or a network with fewer queries needed the place, or others
    /// needed the connection.
    pub authenticator_queue_evicted: Family<AuthenticatorLabel, Counter>,
    /// Queries refused because the requester's last calls got no response.
    pub authenticator_held_back: Family<AuthenticatorLabel, Counter>,
    /// Acceptances given although nobody could be asked.
    pub stale_answers: Counter,
    /// Distinct failures that the throttle counted.
    pub throttle_failures: Counter,
    /// Records in the throttle's tables now.
    pub throttle_entries: Gauge,
    /// Users in the htpasswd file in force.
    pub htpasswd_users: Gauge,
    /// Lines of the htpasswd file in force that can't be used.
    pub htpasswd_invalid_lines: Gauge,
    /// Changes of the htpasswd file taken into force.
    pub htpasswd_reloads: Counter,
    /// Changes of the htpasswd file that could not be taken.
    pub htpasswd_reload_failures: Counter,
    /// 1 while the file on disk can't be used and the last good one is in force.
    pub htpasswd_outdated: Gauge,
    /// Keys in force.
    pub api_keys: Gauge,
    /// Lines of the file of keys in force that can't be used.
    pub api_keys_invalid_lines: Gauge,
    /// Changes of the file of keys that were taken.
    pub api_keys_reloads: Counter,
    /// Changes of it that could not be taken.
    pub api_keys_reload_failures: Counter,
    /// 1 while the file of keys can't be used and the last good one is in force.
    pub api_keys_outdated: Gauge,
    /// How often each key was good; of those that were used last.
    pub api_key_uses: Family<ApiKeyLabel, Gauge>,
    /// When each was good last, in seconds since 1970.
    pub api_key_last_used_timestamp: Family<ApiKeyLabel, Gauge>,
    /// Changes of the policy and group files that were taken.
    pub policy_reloads: Counter,
    /// Changes of them that could not be taken.
    pub policy_reload_failures: Counter,
    /// How many of the two are in force as they were last good.
    pub policy_outdated_files: Gauge,
    /// How old the token is that an upstream is shown, in seconds.
    pub upstream_token_age: Family<UpstreamLabel, Gauge>,
    /// For how long it is good still, in seconds; 0 where it is not.
    pub upstream_token_remaining: Family<UpstreamLabel, Gauge>,
    /// Tokens that were asked for.
    pub upstream_token_fetches: Family<TokenFetchLabel, Counter>,
    /// Requests whose credentials an upstream refused.
    pub upstream_refused: Family<UpstreamLabel, Counter>,
    /// Tokens of the registry's that were given out.
    pub tokens_issued: Counter,
    /// Requests for a token that wait for a signature now.
    pub token_signing_queue_length: Gauge,
    /// Requests for a token that waited in vain: their time was up, or a network with fewer of them came.
    pub token_signing_queue_evicted: Counter,
    /// Connections that were closed at once: the peer may not use the listener.
    pub connections_rejected: Family<ListenerLabel, Counter>,
    /// Requests that the admin listener refused: a foreign host or origin, or no token.
    pub admin_requests_rejected: Counter,
    /// Refusals that were not logged, to spare the disk.
    pub log_lines_suppressed: Counter,
}

impl Metrics {
    /// All at zero, and all there; the front starts the series of the verdicts, which the gate knows.
    pub fn with_initial_series() -> Self {
        let metrics = Self::default();
        for listener in ["auth", "public", "admin"] {
            drop(metrics.connections_rejected.get_or_create(&ListenerLabel { listener }));
        }
        for result in ["accepted", "refused"] {
            drop(metrics.hash_checks.get_or_create(&HashCheckLabel { result }));
        }
        metrics
    }

    fn register_file_metrics(&self, r: &mut Registry) {
        r.register("htpasswd_users", "Users in the htpasswd file in force", self.htpasswd_users.clone());
        r.register("htpasswd_invalid_lines", "Lines that can't be used", self.htpasswd_invalid_lines.clone());
        r.register("htpasswd_reloads", "Changes of the file taken", self.htpasswd_reloads.clone());
        r.register(
            "htpasswd_reload_failures",
            "Changes that could not be taken",
            self.htpasswd_reload_failures.clone(),
        );
        r.register(
            "htpasswd_outdated",
            "1 while the last good file is in force",
            self.htpasswd_outdated.clone(),
        );
        r.register("api_keys", "Keys in force", self.api_keys.clone());
        r.register(
            "api_keys_invalid_lines",
            "Lines of keys that can't be used",
            self.api_keys_invalid_lines.clone(),
        );
        r.register("api_keys_reloads", "Files of keys taken", self.api_keys_reloads.clone());
        r.register(
            "api_keys_reload_failures",
            "Files of keys not taken",
            self.api_keys_reload_failures.clone(),
        );
        r.register(
            "api_keys_outdated",
            "1 while the last good keys are in force",
            self.api_keys_outdated.clone(),
        );
        r.register("api_key_uses", "How often a key was good since the start", self.api_key_uses.clone());
        r.register(
            "api_key_last_used_timestamp_seconds",
            "When it was good last",
            self.api_key_last_used_timestamp.clone(),
        );
        r.register("policy_reloads", "Policy and group files taken", self.policy_reloads.clone());
        r.register(
            "policy_reload_failures",
            "Policy and group files that could not be taken",
            self.policy_reload_failures.clone(),
        );
        r.register(
            "policy_outdated_files",
            "Policy and group files not in force as they are",
            self.policy_outdated_files.clone(),
        );
    }

    fn register_listener_metrics(&self, r: &mut Registry) {
        r.register(
            "connections_rejected",
            "Connections of untrusted peers that were closed at once",
            self.connections_rejected.clone(),
        );
        r.register(
            "admin_requests_rejected",
            "Requests that the admin listener refused",
            self.admin_requests_rejected.clone(),
        );
    }

    /// The text that Prometheus reads (OpenMetrics 1.0).
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::with_prefix("doorward");
        let r = &mut registry;
        r.register("verdicts", "Answers given to nginx", self.verdicts.clone());
        r.register("cache_hits", "Accepted answers from the cache", self.cache_hits.clone());
        r.register(
            "cache_rejected_hits",
            "Refusals given again without a check",
            self.cache_rejected_hits.clone(),
        );
        r.register("cache_misses", "Questions the cache could not answer", self.cache_misses.clone());
        r.register("cache_coalesced", "Misses that joined a check under way", self.cache_coalesced.clone());
        r.register("cache_entries", "Accepted answers in the cache", self.cache_entries.clone());
        r.register("hash_checks", "Password checks done", self.hash_checks.clone());
        r.register("hash_check_seconds", "Seconds spent checking passwords", self.hash_check_seconds.clone());
        r.register("hash_queue_length", "Password checks waiting", self.hash_queue_length.clone());
        r.register("hash_queue_capacity", "Password checks that may wait", self.hash_queue_capacity.clone());
        r.register(
            "hash_queue_full",
            "Questions turned away, the hash queue being full",
            self.hash_queue_full.clone(),
        );
        r.register("hash_queue_evicted", "Queued checks dropped unhashed", self.hash_queue_evicted.clone());
        r.register("authenticator_calls", "Calls to remote authenticators", self.authenticator_calls.clone());
        r.register(
            "authenticator_call_seconds",
            "Seconds spent on calls to remote authenticators",
            self.authenticator_call_seconds.clone(),
        );
        r.register(
            "authenticator_up",
            "0 while a remote authenticator counts as down",
            self.authenticator_up.clone(),
        );
        r.register(
            "authenticator_queue_length",
            "Queries that wait for a remote authenticator",
            self.authenticator_queue_length.clone(),
        );
        r.register(
            "authenticator_queue_full",
            "Queries refused because the queue was full",
            self.authenticator_queue_full.clone(),
        );
        r.register(
            "authenticator_queue_evicted",
            "Queued queries dropped without an answer",
            self.authenticator_queue_evicted.clone(),
        );
        r.register(
            "authenticator_held_back",
            "Queries refused because the requester is held back",
            self.authenticator_held_back.clone(),
        );
        r.register(
            "stale_answers",
            "Acceptances given while nobody could be asked",
            self.stale_answers.clone(),
        );
        r.register("throttle_failures", "Distinct failures counted", self.throttle_failures.clone());
        r.register("throttle_entries", "Records in the throttle's tables", self.throttle_entries.clone());
        self.register_file_metrics(r);
        r.register("upstream_token_age_seconds", "Age of a token", self.upstream_token_age.clone());
        r.register(
            "upstream_token_remaining_seconds",
            "For how long it is good",
            self.upstream_token_remaining.clone(),
        );
        r.register("upstream_token_fetches", "Tokens asked for", self.upstream_token_fetches.clone());
        r.register("upstream_refused", "Requests that an upstream refused", self.upstream_refused.clone());
        r.register("tokens_issued", "Tokens given out", self.tokens_issued.clone());
        r.register(
            "token_signing_queue_length",
            "Tokens waiting for a signature",
            self.token_signing_queue_length.clone(),
        );
        r.register(
            "token_signing_queue_evicted",
            "Tokens whose signature was waited for in vain",
            self.token_signing_queue_evicted.clone(),
        );
        self.register_listener_metrics(r);
        r.register("log_lines_suppressed", "Refusals not logged", self.log_lines_suppressed.clone());
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}
