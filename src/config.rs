//! The configuration: which settings exist, where they can be set, and their values.
//!
//! A setting has one key. It can be set on the command line (`--cache-max-entries`), in the environment
//! (`DOORWARD_CACHE_MAX_ENTRIES`) and in the TOML file (`[cache] max_entries`). The first of these that has a value
//! is used, then the default. All values are parsed by the function that [`table`] names, and all errors are
//! reported at once. To add a setting, add a row to the table.

mod array_of_tables;
pub(crate) mod authenticator;
mod chain_checks;
mod combination_errors;
pub(crate) mod environment;
mod error;
pub(crate) mod file;
pub(crate) mod layers;
mod listener_checks;
pub(crate) mod raw_table;
pub(crate) mod reader;
pub(crate) mod setting;
pub(crate) mod table;
pub(crate) mod unknown_setting;
pub(crate) mod upstream;
pub(crate) mod value;

use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;

use tracing::level_filters::LevelFilter;

use self::combination_errors::CombinationErrors;
pub(crate) use self::error::{ConfigError, ConfigOrigin};
use self::setting::Setting;
use self::table::{CacheConfig, ConfigValues, HashConfig, HtpasswdConfig, ThrottleConfig, TokenConfig};
use crate::authn::hash::AllowedFormats;
use crate::authn::hash_pool::HashPoolSizing;
use crate::network::NetworkPrefixes;
use crate::pipeline::cache::CacheLimits;
use crate::pipeline::throttle::ThrottleLimits;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListenAddress {
    /// A TCP address and port.
    Tcp(SocketAddr),
    /// A unix socket at this path.
    Unix(PathBuf),
    /// The sockets of this name that systemd passes (`FileDescriptorName=`).
    Systemd(String),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Systemd(name) => write!(f, "systemd:{name}"),
        }
    }
}

/// The users whose API keys are valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ApiKeyOwners {
    /// Users listed in the htpasswd file, if there is one.
    #[default]
    Htpasswd,
    /// All users.
    Any,
}

/// The challenge of `/auth` if tokens are issued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TokenChallenge {
    /// `Basic`: clients send a user name and a password.
    #[default]
    Basic,
    /// `Bearer`: clients get a token from `/token`.
    Bearer,
}

/// A format of the htpasswd file that must be allowed by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InsecureFormat {
    /// `{PLAIN}`.
    Plain,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Text for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// The lowest severity that is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[allow(clippy::missing_docs_in_private_items, reason = "the names say it")]
pub(crate) enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
        }
    }
}

/// A valid configuration.
///
/// [`ConfigLayers::into_config`](layers::ConfigLayers::into_config) alone makes one, and its values cannot be changed
/// afterwards.
#[derive(Clone, Debug)]
pub(crate) struct Config(ConfigValues);

impl Deref for Config {
    type Target = ConfigValues;

    fn deref(&self) -> &ConfigValues {
        &self.0
    }
}

impl Config {
    /// Returns the settings whose values differ, in the order of the table.
    pub(crate) fn differing_settings(&self, other: &Self) -> Vec<&'static Setting> {
        self.0.differing_settings(other)
    }

    /// Returns the names of the tables (`authenticator`, `upstream`) that differ.
    pub(crate) fn differing_tables(&self, other: &Self) -> impl Iterator<Item = &'static str> {
        let (ours, theirs) = (&self.table_hashes, &other.table_hashes);
        let differs = [
            (file::AUTHENTICATOR_KEY, ours.authenticators != theirs.authenticators),
            (file::UPSTREAM_KEY, ours.upstreams != theirs.upstreams),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name)
    }
}

/// Hashes of the tables of a file as they are written, without their places. A changed place is not a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TableHashes {
    authenticators: Option<blake3::Hash>,
    upstreams: Option<blake3::Hash>,
}

impl ConfigValues {
    /// Checks what no single value shows: that settings fit together.
    fn check_combinations(&self, errors: &mut CombinationErrors<'_>) {
        self.check_listeners(errors);
        if let Some((key, required, message)) = self.token.find_error(!self.public.listen.is_empty()) {
            errors.add(key, required, message);
        }
        if self.throttle.user_failures > self.throttle.network_failures {
            errors.add(
                "throttle.user_failures",
                "throttle.network_failures",
                "the value is above throttle.network_failures, which would always be reached first",
            );
        }
    }
}

impl TokenConfig {
    /// Returns the key of a setting that requires another one, the key of this other one, and the error.
    fn find_error(&self, has_public_listener: bool) -> Option<(&'static str, &'static str, &'static str)> {
        let is_bearer = self.challenge == TokenChallenge::Bearer;
        let has_keys = self.signing_keys.is_some();
        if has_keys && self.service.is_none() {
            return Some((
                "token.signing_keys",
                "token.service",
                "token.service is missing: set it to the `service` of the registry's configuration, which every token names",
            ));
        }
        if has_keys && !has_public_listener {
            return Some((
                "token.signing_keys",
                "public.listen",
                "public.listen is missing: set it to the address to which nginx passes requests for /token, e.g. 127.0.0.1:8002",
            ));
        }
        if is_bearer && self.realm.is_none() {
            return Some((
                "token.challenge",
                "token.realm",
                "token.realm is missing: set it to the URL of /token for clients, e.g. https://registry.example.com/token",
            ));
        }
        (is_bearer && !has_keys).then_some((
            "token.challenge",
            "token.signing_keys",
            "token.signing_keys is missing: without it no token can be issued",
        ))
    }
}

impl HtpasswdConfig {
    /// Returns the formats that are allowed by name.
    pub(crate) fn allowed_formats(&self) -> AllowedFormats {
        AllowedFormats { plain: self.insecure_formats.contains(&InsecureFormat::Plain) }
    }
}

impl HashConfig {
    /// Returns the values that determine the length of the hash queue.
    pub(crate) fn pool_sizing(&self) -> HashPoolSizing {
        HashPoolSizing { threads: self.threads, wait_max: self.wait_timeout, user_share: self.per_user_limit }
    }
}

impl CacheConfig {
    /// Returns the limits of the answer cache.
    pub(crate) fn limits(&self) -> CacheLimits {
        CacheLimits {
            entries_max: self.max_entries,
            idle_timeout: self.idle_timeout,
            rejection_ttl: self.rejection_ttl,
        }
    }
}

impl ThrottleConfig {
    /// Returns the limits of the throttle.
    pub(crate) fn limits(&self) -> ThrottleLimits {
        ThrottleLimits {
            user_failures: self.user_failures,
            network_failures: self.network_failures,
            block_user_failures: self.block_user_failures,
            block_failures: self.block_failures,
            cached_answer_attempts: self.cached_answer_attempts,
            window: self.window,
            entries_max: self.max_entries,
        }
    }

    /// Returns the prefix lengths that identify a client network.
    pub(crate) fn network_prefixes(&self) -> NetworkPrefixes {
        NetworkPrefixes { ipv4: self.ipv4_prefix, ipv6: self.ipv6_prefix }
    }
}
