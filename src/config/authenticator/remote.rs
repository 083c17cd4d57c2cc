//! The keys that the tables of all remote sources have.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;
use toml::de::DeTable;

use super::value_reader::ValueReader;
use crate::authn::AnswerLifetime;
use crate::authn::queue::job::QueueLimits;
use crate::authn::remote::RemoteSourceSpec;
use crate::authn::remote::kind::RemoteKind;
use crate::config::array_of_tables::{TableErrors, deserialize, offset};

/// The longest lifetime of an answer.
const ANSWER_LIFETIME_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// The shortest timeout: a call over a network takes some milliseconds.
pub(super) const TIMEOUT_MIN: Duration = Duration::from_millis(50);

/// The longest timeout: nginx waits a minute by default.
pub(super) const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// Reads the keys of one kind of remote source. It gets the table without [`SHARED_KEYS`], the offset of the table, and
/// the timeout of a call.
pub(super) type KindReader = fn(DeTable<'_>, usize, Duration, &mut TableErrors) -> Option<RemoteKind>;

/// The keys of [`RemoteTable`].
pub(super) const SHARED_KEYS: [&str; 9] = [
    "name",
    "fallback_for",
    "timeout",
    "max_connections",
    "queue_limit",
    "per_network_limit",
    "per_user_limit",
    "cache_ttl",
    "stale_if_unavailable",
];

/// The keys that the table of every remote source has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoteTable {
    pub(super) name: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) fallback_for: Vec<Spanned<String>>,
    timeout: Option<Spanned<String>>,
    max_connections: Option<Spanned<usize>>,
    queue_limit: Option<Spanned<usize>>,
    per_network_limit: Option<Spanned<usize>>,
    per_user_limit: Option<Spanned<usize>>,
    cache_ttl: Option<Spanned<String>>,
    stale_if_unavailable: Option<Spanned<String>>,
}

impl RemoteTable {
    /// Removes the shared keys from `fields` and reads them.
    pub(super) fn take(fields: &mut DeTable<'_>, place: usize, errors: &mut TableErrors) -> Option<Self> {
        let mut shared = DeTable::new();
        for key in SHARED_KEYS {
            if let Some((key, value)) = fields.remove_entry(key) {
                shared.insert(key, value);
            }
        }
        deserialize(shared, place, errors)
    }

    /// Reads the rest of the table with `read_kind`. Returns `None` if there is an error.
    pub(super) fn read_spec(
        &self,
        fields: DeTable<'_>,
        place: usize,
        name: Arc<str>,
        read_kind: KindReader,
        errors: &mut TableErrors,
    ) -> Option<Box<RemoteSourceSpec>> {
        let before = errors.len();
        let mut values = ValueReader::new(errors);
        let timeout =
            values.read_duration(self.timeout.as_ref(), Duration::from_secs(4), TIMEOUT_MIN, TIMEOUT_MAX);
        let lifetime = self.read_answer_lifetime(&mut values);
        let connections_max = values.read_count("max_connections", self.max_connections.as_ref(), 16, 1024);
        let queue_limits = self.read_queue_limits(&mut values);
        let kind = read_kind(fields, place, timeout, errors)?;
        let spec = RemoteSourceSpec { name, timeout, connections_max, queue_limits, lifetime, kind };
        (errors.len() == before).then(|| Box::new(spec))
    }

    fn read_answer_lifetime(&self, values: &mut ValueReader<'_>) -> AnswerLifetime {
        let (low, high) = (Duration::ZERO, ANSWER_LIFETIME_MAX);
        let cache_ttl = values.read_duration(self.cache_ttl.as_ref(), Duration::from_secs(300), low, high);
        let stale_ttl = values.read_duration(self.stale_if_unavailable.as_ref(), low, low, high);
        if let Some(text) =
            self.stale_if_unavailable.as_ref().filter(|_| !stale_ttl.is_zero() && stale_ttl <= cache_ttl)
        {
            values.add_error(
                offset(text),
                "stale_if_unavailable counts from the answer, so it must be longer than cache_ttl",
            );
        }
        AnswerLifetime { cache_ttl: Some(cache_ttl), stale_ttl: Some(stale_ttl) }
    }

    fn read_queue_limits(&self, values: &mut ValueReader<'_>) -> QueueLimits {
        let total = values.read_count("queue_limit", self.queue_limit.as_ref(), 512, 100_000);
        let network_share =
            values.read_count("per_network_limit", self.per_network_limit.as_ref(), total.min(256), total);
        let user_share = values.read_count(
            "per_user_limit",
            self.per_user_limit.as_ref(),
            network_share.min(4),
            network_share,
        );
        QueueLimits { total, network_share, user_share }
    }
}
