//! The settings: what may be set, where it may be set, and what is in force.
//!
//! A setting has one key. It can be given on the command line (`--cache-max-entries`), in the
//! environment (`DOORWARD_CACHE_MAX_ENTRIES`) and in the TOML file (`[cache] max_entries`); the
//! first of these that speaks counts, and the default where none does. All of them go through the
//! one reader that [`table`] names, and every fault is found before any is reported.
//!
//! To add a setting: a field of [`Settings`], and a row of the table.

mod array_of_tables;
pub mod authenticator;
mod chain_checks;
mod error;
pub mod file;
pub mod layers;
mod listener_checks;
pub mod setting;
pub mod table;
pub mod unknown_setting;
pub mod upstream;
pub mod value;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use self::authenticator::AuthenticatorConfig;
pub use self::error::{ConfigError, ConfigOrigin};
use self::upstream::UpstreamConfig;
use crate::authn::hash::AllowedFormats;
use crate::authn::hash_pool::HashPoolSizing;
use crate::dialect::Dialect;
use crate::network::NetworkPrefixes;
use crate::pipeline::{cache, throttle};

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
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

/// Whose keys count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ApiKeyOwners {
    /// Of who has a line in the htpasswd file, where one is asked.
    #[default]
    Htpasswd,
    /// Anybody's.
    Any,
}

/// With what `/auth` challenges, where tokens are given out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenChallenge {
    /// For a user name and a password.
    #[default]
    Basic,
    /// For a token.
    Bearer,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Every setting, valid. What each means stands in [`table`], beside its key and its default.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the table says it, for the README and --help too")]
pub struct Config {
    pub listen: Vec<ListenAddress>,
    pub socket_mode: u32,
    pub trusted_peers: Vec<IpNet>,
    pub realm: String,
    pub htpasswd_file: Option<PathBuf>,
    pub authenticators: Vec<AuthenticatorConfig>,
    pub api_keys_file: Option<PathBuf>,
    pub api_keys_username: String,
    pub api_keys_owners: ApiKeyOwners,
    pub api_keys_max_bytes: u64,
    pub upstreams: Vec<UpstreamConfig>,
    pub proxy_secret_file: Option<PathBuf>,
    pub dialects: Vec<Dialect>,
    pub token_signing_keys_file: Option<PathBuf>,
    pub token_service: String,
    pub token_issuer: String,
    pub token_realm: String,
    pub token_lifetime: Duration,
    pub token_challenge: TokenChallenge,
    pub proxy_read_timeout: Duration,
    pub policy_file: Option<PathBuf>,
    pub groups_file: Option<PathBuf>,
    pub reload_poll_interval: Duration,
    pub htpasswd_max_bytes: u64,
    pub htpasswd_insecure_formats: AllowedFormats,
    pub cache: cache::CacheLimits,
    pub hash_per_user_limit: usize,
    pub hash_threads: usize,
    pub hash_wait_timeout: Duration,
    pub throttle: throttle::ThrottleLimits,
    pub network_prefixes: NetworkPrefixes,
    pub workers: usize,
    pub max_connections: usize,
    pub max_header_bytes: usize,
    pub header_timeout: Duration,
    pub keepalive_timeout: Duration,
    pub shutdown_delay: Duration,
    pub shutdown_timeout: Duration,
    pub public_listen: Vec<ListenAddress>,
    pub public_trusted_peers: Vec<IpNet>,
    pub public_socket_mode: u32,
    pub admin_listen: Vec<ListenAddress>,
    pub admin_trusted_peers: Vec<IpNet>,
    pub admin_allowed_hosts: Vec<String>,
    pub admin_token_file: Option<PathBuf>,
    pub admin_socket_mode: u32,
    pub log_format: LogFormat,
    pub log_level: tracing::level_filters::LevelFilter,
    pub log_allowed_requests: bool,
    pub log_refusals_per_second: u32,
}

impl Default for Config {
    /// The blank sheet that the table's defaults are written on; not a valid configuration.
    fn default() -> Self {
        let none = Duration::ZERO;
        Self {
            listen: Vec::new(),
            socket_mode: 0,
            trusted_peers: Vec::new(),
            realm: String::new(),
            htpasswd_file: None,
            authenticators: Vec::new(),
            api_keys_file: None,
            api_keys_username: String::new(),
            api_keys_owners: ApiKeyOwners::default(),
            api_keys_max_bytes: 0,
            upstreams: Vec::new(),
            proxy_secret_file: None,
            dialects: Vec::new(),
            token_signing_keys_file: None,
            token_service: String::new(),
            token_issuer: String::new(),
            token_realm: String::new(),
            token_lifetime: none,
            token_challenge: TokenChallenge::default(),
            proxy_read_timeout: none,
            policy_file: None,
            groups_file: None,
            reload_poll_interval: none,
            htpasswd_max_bytes: 0,
            htpasswd_insecure_formats: AllowedFormats::default(),
            cache: cache::CacheLimits { entries_max: 0, idle_timeout: none, rejection_ttl: none },
            hash_per_user_limit: 0,
            hash_threads: 0,
            hash_wait_timeout: none,
            throttle: throttle::ThrottleLimits {
                user_failures: 0,
                network_failures: 0,
                block_user_failures: 0,
                block_failures: 0,
                cached_answer_attempts: 0,
                window: none,
                entries_max: 0,
            },
            network_prefixes: NetworkPrefixes { ipv4: 0, ipv6: 0 },
            workers: 0,
            max_connections: 0,
            max_header_bytes: 0,
            header_timeout: none,
            keepalive_timeout: none,
            shutdown_delay: none,
            shutdown_timeout: none,
            public_listen: Vec::new(),
            public_trusted_peers: Vec::new(),
            public_socket_mode: 0,
            admin_listen: Vec::new(),
            admin_trusted_peers: Vec::new(),
            admin_allowed_hosts: Vec::new(),
            admin_token_file: None,
            admin_socket_mode: 0,
            log_format: LogFormat::Text,
            log_level: tracing::level_filters::LevelFilter::INFO,
            log_allowed_requests: false,
            log_refusals_per_second: 0,
        }
    }
}

impl Config {
    /// What the places of the hash queue follow from.
    pub fn hash_timing(&self) -> HashPoolSizing {
        HashPoolSizing {
            threads: self.hash_threads,
            wait_max: self.hash_wait_timeout,
            user_share: self.hash_per_user_limit,
        }
    }

    /// What is missing for tokens, and at which setting that is told.
    fn find_token_setting_error(&self) -> Option<(&'static str, &'static str)> {
        let bearer = self.token_challenge == TokenChallenge::Bearer;
        if self.token_signing_keys_file.is_some() && self.token_service.is_empty() {
            return Some((
                "token.signing_keys",
                "set token.service too: the registry's `service`, which stands in every token",
            ));
        }
        if self.token_signing_keys_file.is_some() && self.public_listen.is_empty() {
            let what = "set public.listen too: the listener of /token and /jwks, to which nginx passes clients on, e.g. 127.0.0.1:8002";
            return Some(("token.signing_keys", what));
        }
        if bearer && self.token_realm.is_empty() {
            let what = "set token.realm too: where clients get tokens, https://registry.example.com/token";
            return Some(("token.challenge", what));
        }
        let nobody = bearer && self.token_signing_keys_file.is_none();
        nobody.then_some(("token.challenge", "set token.signing_keys too: nobody could get a token"))
    }

    /// What no single value can show: faults between settings.
    fn check_combinations(&self, origin_of: &dyn Fn(&str) -> ConfigOrigin, faults: &mut Vec<ConfigError>) {
        self.check_listeners(origin_of, faults);
        let mut fault =
            |key: &str, what: String| faults.push(ConfigError { origin: origin_of(key), message: what });
        if let Some((key, what)) = self.find_token_setting_error() {
            fault(key, what.to_owned());
        }
        if self.throttle.user_failures > self.throttle.network_failures {
            fault(
                "throttle.user_failures",
                "it is more than throttle.network_failures, which would always be reached first".into(),
            );
        }
    }
}
