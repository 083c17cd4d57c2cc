//! The metrics of `/metrics`. Counters are atomics, so that no request waits for a lock.
//!
//! No label contains a user name or an address. The number of series would have no bound, and people who read metrics
//! are often not allowed to see user names.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The labels of [`Metrics::verdicts`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct VerdictLabel {
    /// The name of the verdict, see `pipeline::verdict::Reason`.
    pub(crate) verdict: &'static str,
    /// The name of the reason; empty for an allowed request.
    pub(crate) reason: &'static str,
}

/// The label of [`Metrics::hash_checks`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct HashCheckLabel {
    /// `accepted` or `rejected`. A check that panicked is `rejected`.
    pub(crate) result: &'static str,
}

/// The labels of [`Metrics::authenticator_calls`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct AuthenticatorCallLabel {
    /// The `name` of the `[[authenticator]]`.
    pub(crate) authenticator: String,
    /// `accepted`, `rejected`, `unknown_user` or `error`.
    pub(crate) result: &'static str,
}

/// The label of metrics that each HTTP authenticator has.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct AuthenticatorLabel {
    /// The `name` of the `[[authenticator]]`.
    pub(crate) authenticator: String,
}

/// The label of metrics that each API key has.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ApiKeyLabel {
    /// The id of the API key, which is not secret.
    pub(crate) id: String,
}

/// The label of metrics that each upstream has.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct UpstreamLabel {
    /// The `name` of the `[[upstream]]`.
    pub(crate) upstream: String,
}

/// The labels of [`Metrics::upstream_token_fetches`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct TokenFetchLabel {
    /// The `name` of the `[[upstream]]`.
    pub(crate) upstream: String,
    /// `fetched` or `failed`.
    pub(crate) result: &'static str,
}

/// The label of [`Metrics::connections_rejected`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ListenerLabel {
    /// `auth`, `public` or `admin`.
    pub(crate) listener: &'static str,
}

/// The counters and gauges. A clone of a counter or gauge shares its value.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Verdicts on requests to `/auth`, and requests to `/token` that got no token.
    pub(crate) verdicts: Family<VerdictLabel, Counter>,
    /// Requests that were answered with an accepted answer from the cache.
    pub(crate) cache_hits: Counter,
    /// Requests that were rejected again without a check.
    pub(crate) cache_rejected_hits: Counter,
    /// Requests without an answer in the cache.
    pub(crate) cache_misses: Counter,
    /// Cache misses that joined a check in flight.
    pub(crate) cache_coalesced: Counter,
    /// Accepted answers in the cache.
    pub(crate) cache_entries: Gauge,
    /// Password checks that the hash pool finished. Equal requests share one check.
    pub(crate) hash_checks: Family<HashCheckLabel, Counter>,
    /// Seconds that the threads of the hash pool spent on checks.
    pub(crate) hash_check_seconds: Counter<f64, AtomicU64>,
    /// Checks in the hash queue.
    pub(crate) hash_queue_length: Gauge,
    /// The number of checks that the hash queue holds: as many as the pool can do in the time that a request waits.
    pub(crate) hash_queue_capacity: Gauge,
    /// Requests that were rejected because the hash queue, or the share of the client, was full.
    pub(crate) hash_queue_full: Counter,
    /// Checks that left the hash queue without a result. Their deadline passed, or they were evicted for a network
    /// with fewer checks in the queue.
    pub(crate) hash_queue_evicted: Counter,
    /// Calls to remote authenticators.
    pub(crate) authenticator_calls: Family<AuthenticatorCallLabel, Counter>,
    /// Seconds spent on these calls.
    pub(crate) authenticator_call_seconds: Family<AuthenticatorLabel, Counter<f64, AtomicU64>>,
    /// 1 while a remote authenticator is called, 0 while it counts as down.
    pub(crate) authenticator_up: Family<AuthenticatorLabel, Gauge>,
    /// Queries that wait for a remote authenticator.
    pub(crate) authenticator_queue_length: Family<AuthenticatorLabel, Gauge>,
    /// Queries rejected because the queue, or the requester's share of it, was full.
    pub(crate) authenticator_queue_full: Family<AuthenticatorLabel, Counter>,
    /// Queries that left the queue without a call, and calls that were ended early for other requesters. The deadline
    /// passed, or the query was evicted for a network with fewer queries in the queue.
    pub(crate) authenticator_queue_evicted: Family<AuthenticatorLabel, Counter>,
    /// Queries rejected because the requester's last calls got no response.
    pub(crate) authenticator_held_back: Family<AuthenticatorLabel, Counter>,
    /// Requests that were answered with the last accepted answer because the authenticator was unavailable.
    pub(crate) stale_answers: Counter,
    /// Distinct failed attempts that the throttle counted.
    pub(crate) throttle_failures: Counter,
    /// Records in the tables of the throttle.
    pub(crate) throttle_entries: Gauge,
    /// Users in the htpasswd file in force.
    pub(crate) htpasswd_users: Gauge,
    /// Invalid lines in the htpasswd file in force.
    pub(crate) htpasswd_invalid_lines: Gauge,
    /// Successful reloads of the htpasswd file.
    pub(crate) htpasswd_reloads: Counter,
    /// Failed reloads of the htpasswd file.
    pub(crate) htpasswd_reload_failures: Counter,
    /// 1 while the htpasswd file on disk is unusable and the last valid one is in force, otherwise 0.
    pub(crate) htpasswd_outdated: Gauge,
    /// API keys in force.
    pub(crate) api_keys: Gauge,
    /// Invalid lines in the API key file in force.
    pub(crate) api_keys_invalid_lines: Gauge,
    /// Successful reloads of the API key file.
    pub(crate) api_keys_reloads: Counter,
    /// Failed reloads of the API key file.
    pub(crate) api_keys_reload_failures: Counter,
    /// 1 while the API key file on disk is unusable and the last valid one is in force, otherwise 0.
    pub(crate) api_keys_outdated: Gauge,
    /// Uses of each API key since the start. Only the most recently used API keys have a series.
    pub(crate) api_key_uses: Family<ApiKeyLabel, Gauge>,
    /// The time at which each of these API keys was last used, in seconds since 1970.
    pub(crate) api_key_last_used_timestamp: Family<ApiKeyLabel, Gauge>,
    /// Successful reloads of the policy file and the group file.
    pub(crate) policy_reloads: Counter,
    /// Failed reloads of the policy file and the group file.
    pub(crate) policy_reload_failures: Counter,
    /// The number of these two files whose last valid version is in force because the file on disk is unusable.
    pub(crate) policy_outdated_files: Gauge,
    /// The age of the token that is sent to an upstream, in seconds.
    pub(crate) upstream_token_age: Family<UpstreamLabel, Gauge>,
    /// The time until that token expires, in seconds; 0 if there is no valid token.
    pub(crate) upstream_token_remaining: Family<UpstreamLabel, Gauge>,
    /// Attempts to fetch a token for an upstream.
    pub(crate) upstream_token_fetches: Family<TokenFetchLabel, Counter>,
    /// Requests whose credentials an upstream refused.
    pub(crate) upstream_refused: Family<UpstreamLabel, Counter>,
    /// Registry tokens that were issued.
    pub(crate) tokens_issued: Counter,
    /// Token requests that wait for a signature.
    pub(crate) token_signing_queue_length: Gauge,
    /// Token requests that left this queue without a signature. Their deadline passed, or they were evicted for a
    /// network with fewer requests in the queue.
    pub(crate) token_signing_queue_evicted: Counter,
    /// Connections that were closed because the peer is not trusted.
    pub(crate) connections_rejected: Family<ListenerLabel, Counter>,
    /// Requests that the admin listener rejected: foreign host or origin, untrusted peer, missing or wrong token.
    pub(crate) admin_requests_rejected: Counter,
    /// Denied requests that were not logged, to limit the size of the log.
    pub(crate) log_lines_suppressed: Counter,
}

impl Metrics {
    /// Creates the metrics, with every series whose labels are known here at zero. The series of the verdicts are
    /// created by `http`, which can import the reasons.
    pub(crate) fn with_initial_series() -> Self {
        let metrics = Self::default();
        for listener in ["auth", "public", "admin"] {
            drop(metrics.connections_rejected.get_or_create(&ListenerLabel { listener }));
        }
        for result in ["accepted", "rejected"] {
            drop(metrics.hash_checks.get_or_create(&HashCheckLabel { result }));
        }
        metrics
    }

    /// Returns the metrics in the text format of Prometheus (OpenMetrics 1.0).
    pub(crate) fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::with_prefix("doorward");
        for register in [
            Self::register_request_metrics,
            Self::register_hash_metrics,
            Self::register_authenticator_metrics,
            Self::register_user_file_metrics,
            Self::register_policy_and_upstream_metrics,
            Self::register_token_and_listener_metrics,
        ] {
            register(self, &mut registry);
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }

    fn register_request_metrics(&self, r: &mut Registry) {
        r.register("verdicts", "Verdicts, by verdict and reason", self.verdicts.clone());
        r.register(
            "cache_hits",
            "Requests answered with an accepted answer from the cache",
            self.cache_hits.clone(),
        );
        r.register(
            "cache_rejected_hits",
            "Requests rejected again without a check",
            self.cache_rejected_hits.clone(),
        );
        r.register("cache_misses", "Requests without an answer in the cache", self.cache_misses.clone());
        r.register(
            "cache_coalesced",
            "Cache misses that joined a check in flight",
            self.cache_coalesced.clone(),
        );
        r.register("cache_entries", "Accepted answers in the cache", self.cache_entries.clone());
        r.register(
            "stale_answers",
            "Requests answered with the last accepted answer while the authenticator was unavailable",
            self.stale_answers.clone(),
        );
        r.register(
            "throttle_failures",
            "Distinct failed attempts counted by the throttle",
            self.throttle_failures.clone(),
        );
        r.register(
            "throttle_entries",
            "Records in the tables of the throttle",
            self.throttle_entries.clone(),
        );
        r.register(
            "log_lines_suppressed",
            "Denied requests that were not logged",
            self.log_lines_suppressed.clone(),
        );
    }

    fn register_hash_metrics(&self, r: &mut Registry) {
        r.register(
            "hash_checks",
            "Finished password checks, by result (accepted, rejected)",
            self.hash_checks.clone(),
        );
        r.register(
            "hash_check_seconds",
            "Time spent on password checks, in seconds",
            self.hash_check_seconds.clone(),
        );
        r.register("hash_queue_length", "Password checks in the hash queue", self.hash_queue_length.clone());
        r.register(
            "hash_queue_capacity",
            "Capacity of the hash queue, in password checks",
            self.hash_queue_capacity.clone(),
        );
        r.register(
            "hash_queue_full",
            "Requests rejected because the hash queue was full",
            self.hash_queue_full.clone(),
        );
        r.register(
            "hash_queue_evicted",
            "Password checks evicted from the hash queue or expired in it",
            self.hash_queue_evicted.clone(),
        );
    }

    fn register_authenticator_metrics(&self, r: &mut Registry) {
        r.register(
            "authenticator_calls",
            "Calls to remote authenticators, by result (accepted, rejected, unknown_user, error)",
            self.authenticator_calls.clone(),
        );
        r.register(
            "authenticator_call_seconds",
            "Duration of calls to remote authenticators in seconds, by authenticator",
            self.authenticator_call_seconds.clone(),
        );
        r.register(
            "authenticator_up",
            "State of remote authenticators (1 up, 0 down), by authenticator",
            self.authenticator_up.clone(),
        );
        r.register(
            "authenticator_queue_length",
            "Queries in the queues of remote authenticators, by authenticator",
            self.authenticator_queue_length.clone(),
        );
        r.register(
            "authenticator_queue_full",
            "Queries rejected because the queue of a remote authenticator was full, by authenticator",
            self.authenticator_queue_full.clone(),
        );
        r.register(
            "authenticator_queue_evicted",
            "Queries evicted from the queues of remote authenticators, expired in them or ended early, by authenticator",
            self.authenticator_queue_evicted.clone(),
        );
        r.register(
            "authenticator_held_back",
            "Queries rejected because earlier calls for the requester got no response, by authenticator",
            self.authenticator_held_back.clone(),
        );
    }

    fn register_user_file_metrics(&self, r: &mut Registry) {
        r.register("htpasswd_users", "Users in the htpasswd file in force", self.htpasswd_users.clone());
        r.register(
            "htpasswd_invalid_lines",
            "Invalid lines in the htpasswd file in force",
            self.htpasswd_invalid_lines.clone(),
        );
        r.register(
            "htpasswd_reloads",
            "Successful reloads of the htpasswd file",
            self.htpasswd_reloads.clone(),
        );
        r.register(
            "htpasswd_reload_failures",
            "Failed reloads of the htpasswd file",
            self.htpasswd_reload_failures.clone(),
        );
        r.register(
            "htpasswd_outdated",
            "State of the htpasswd file (1 if the file on disk is unusable, otherwise 0)",
            self.htpasswd_outdated.clone(),
        );
        r.register("api_keys", "API keys in force", self.api_keys.clone());
        r.register(
            "api_keys_invalid_lines",
            "Invalid lines in the API key file in force",
            self.api_keys_invalid_lines.clone(),
        );
        r.register(
            "api_keys_reloads",
            "Successful reloads of the API key file",
            self.api_keys_reloads.clone(),
        );
        r.register(
            "api_keys_reload_failures",
            "Failed reloads of the API key file",
            self.api_keys_reload_failures.clone(),
        );
        r.register(
            "api_keys_outdated",
            "State of the API key file (1 if the file on disk is unusable, otherwise 0)",
            self.api_keys_outdated.clone(),
        );
        r.register(
            "api_key_uses",
            "Uses of recently used API keys since the start, by id",
            self.api_key_uses.clone(),
        );
        r.register(
            "api_key_last_used_timestamp_seconds",
            "Time of the last use of recently used API keys in seconds since 1970, by id",
            self.api_key_last_used_timestamp.clone(),
        );
    }

    fn register_policy_and_upstream_metrics(&self, r: &mut Registry) {
        r.register(
            "policy_reloads",
            "Successful reloads of the policy file and the group file",
            self.policy_reloads.clone(),
        );
        r.register(
            "policy_reload_failures",
            "Failed reloads of the policy file and the group file",
            self.policy_reload_failures.clone(),
        );
        r.register(
            "policy_outdated_files",
            "Policy and group files whose version on disk is unusable",
            self.policy_outdated_files.clone(),
        );
        r.register(
            "upstream_token_age_seconds",
            "Age of upstream tokens in seconds, by upstream",
            self.upstream_token_age.clone(),
        );
        r.register(
            "upstream_token_remaining_seconds",
            "Time until upstream tokens expire in seconds, by upstream",
            self.upstream_token_remaining.clone(),
        );
        r.register(
            "upstream_token_fetches",
            "Attempts to fetch an upstream token, by upstream and result (fetched, failed)",
            self.upstream_token_fetches.clone(),
        );
        r.register(
            "upstream_refused",
            "Requests whose credentials an upstream refused, by upstream",
            self.upstream_refused.clone(),
        );
    }

    fn register_token_and_listener_metrics(&self, r: &mut Registry) {
        r.register(
            "connections_rejected",
            "Connections closed because the peer is not trusted, by listener (auth, public, admin)",
            self.connections_rejected.clone(),
        );
        r.register(
            "admin_requests_rejected",
            "Requests rejected by the admin listener",
            self.admin_requests_rejected.clone(),
        );
        r.register("tokens_issued", "Registry tokens issued", self.tokens_issued.clone());
        r.register(
            "token_signing_queue_length",
            "Token requests that wait for a signature",
            self.token_signing_queue_length.clone(),
        );
        r.register(
            "token_signing_queue_evicted",
            "Token requests evicted from the signing queue or expired in it",
            self.token_signing_queue_evicted.clone(),
        );
    }
}
