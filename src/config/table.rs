//! The table of settings: for each its key, default, help, parser, and when a change takes effect.
//!
//! The structs of the values, the flags, the variables, the keys of the file and the defaults follow from the table.
//! A test compares the README with it. To add a setting, add a row.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::authenticator::AuthenticatorConfig;
use super::reader::SettingReader;
use super::setting::{Setting, config_table, setting_row};
use super::upstream::UpstreamConfig;
use super::value::{
    self, parse_boolean, parse_bytes, parse_challenge_parameter, parse_duration, parse_host_name,
    parse_listen_address, parse_network, parse_number, parse_path, parse_socket_mode, parse_thread_count,
};
use super::{ApiKeyOwners, InsecureFormat, ListenAddress, LogFormat, LogLevel, TableHashes, TokenChallenge};
use crate::dialect::Dialect;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// The longest that a request can wait for its password check. nginx stops waiting before that.
const HASH_WAIT_TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// The largest file of users or keys that can be allowed.
const FILE_BYTES_MAX: u64 = 1 << 31;

config_table! {
    /// The values of all settings, as far as they could be read. A [`Config`](super::Config) holds values without
    /// errors.
    pub(crate) struct ConfigValues {
        list listen: Vec<ListenAddress> = "127.0.0.1:8000", "ADDR", restart, parse_listen_address,
            "addresses of the auth listener: IP:PORT, unix:/path or systemd:NAME";
        list trusted_peers: Vec<IpNet> = "127.0.0.0/8,::1", "NET", restart, parse_network,
            "addresses or networks from which nginx can use the auth listener over TCP";
        one socket_mode: u32 = "0660", "MODE", restart, parse_socket_mode,
            "mode of unix sockets of the auth listener";
        optional proxy_secret_file: Option<PathBuf> = "", "FILE", restart, parse_path,
            "file with the secret that nginx must send; required if an upstream has credentials";
        list dialects: Vec<Dialect> = "nginx", "NAME", restart, value::parse_dialect,
            "kinds of proxy that are served, each at its own path; only nginx exists";
        one realm: String = "Registry", "TEXT", restart, value::parse_realm,
            "realm that a client shows when it asks for a password";
        one proxy_read_timeout: Duration = "10s", "TIME", restart, |text| parse_duration(text, SECOND, HOUR),
            "proxy_read_timeout of nginx in the auth location; the timeouts of an authenticator chain must fit into it";
    }

    /// The listener for clients.
    section public: PublicListenerConfig {
        list listen: Vec<ListenAddress> = "", "ADDR", restart, parse_listen_address,
            "addresses of the listener for /token and /jwks, to which nginx passes clients; required with token.signing_keys";
        list trusted_peers: Vec<IpNet> = "127.0.0.0/8,::1", "NET", restart, parse_network,
            "addresses or networks that can use the public listener over TCP";
        one socket_mode: u32 = "0660", "MODE", restart, parse_socket_mode,
            "mode of unix sockets of the public listener";
    }

    /// The listener for monitors and administrators.
    section admin: AdminListenerConfig {
        list listen: Vec<ListenAddress> = "127.0.0.1:8001", "ADDR", restart, parse_listen_address,
            "addresses of the admin listener: /livez, /readyz, /metrics, /flush, /api-keys";
        list trusted_peers: Vec<IpNet> = "127.0.0.0/8,::1", "NET", restart, parse_network,
            "addresses or networks that can read /metrics over TCP; /livez and /readyz answer every peer";
        list allowed_hosts: Vec<String> = "", "NAME", restart, parse_host_name,
            "names, besides localhost and IP addresses, that Host can have in a request to the admin listener";
        optional token_file: Option<PathBuf> = "", "FILE", restart, parse_path,
            "file with the token that /flush and /api-keys require over TCP; a unix socket requires none";
        one socket_mode: u32 = "0600", "MODE", restart, parse_socket_mode,
            "mode of unix sockets of the admin listener";
    }

    /// The htpasswd file.
    section htpasswd: HtpasswdConfig {
        optional file: Option<PathBuf> = "", "FILE", restart, parse_path, "the htpasswd file";
        one max_bytes: u64 = "256MiB", "BYTES", restart, |text| parse_bytes(text, 1 << 10, FILE_BYTES_MAX),
            "size limit of the htpasswd file";
        list insecure_formats: Vec<InsecureFormat> = "", "FORMAT", restart, value::parse_insecure_format,
            "insecure formats to allow: plain";
    }

    /// The file of API keys.
    section api_keys: ApiKeysConfig {
        optional file: Option<PathBuf> = "", "FILE", restart, parse_path, "the file of API keys";
        one username: String = "token", "NAME", restart, value::parse_username,
            "user name with which every API key can be presented, for clients that require one";
        one owners: ApiKeyOwners = "htpasswd", "OWNERS", restart, value::parse_api_key_owners,
            "users whose API keys are valid: htpasswd (users listed in the htpasswd file, if there is one) or any";
        one max_bytes: u64 = "64MiB", "BYTES", restart, |text| parse_bytes(text, 1 << 10, FILE_BYTES_MAX),
            "size limit of the file of API keys";
    }

    /// The policy.
    section policy: PolicyConfig {
        optional file: Option<PathBuf> = "", "FILE", restart, parse_path,
            "the policy; without one every user is allowed everything";
    }

    /// The group file.
    section groups: GroupsConfig {
        optional file: Option<PathBuf> = "", "FILE", restart, parse_path,
            "the group file, in Apache's format: GROUP: USER USER";
    }

    /// Registry tokens.
    section token: TokenConfig {
        optional signing_keys: Option<PathBuf> = "", "FILE", restart, parse_path,
            "file with the keys that sign registry tokens; doorward signing-key init creates it";
        optional service: Option<String> = "", "NAME", restart, parse_challenge_parameter,
            "the registry's service name, for which tokens are issued";
        one issuer: String = "doorward", "NAME", restart, parse_challenge_parameter,
            "issuer name in tokens, as in the registry's configuration";
        optional realm: Option<String> = "", "URL", restart, value::parse_token_url,
            "URL of /token for clients, for the Bearer challenge";
        one lifetime: Duration = "15m", "TIME", restart, |text| parse_duration(text, SECOND * 60, HOUR * 24),
            "lifetime of a token; a token cannot be revoked";
        one challenge: TokenChallenge = "basic", "KIND", restart, value::parse_token_challenge,
            "challenge of /auth: basic or bearer";
    }

    /// The cache of accepted answers.
    section cache: CacheConfig {
        one max_entries: u64 = "100000", "N", restart, |text| parse_number(text, 1, 10_000_000),
            "accepted answers in the cache; about 600 bytes each";
        one idle_timeout: Duration = "12h", "TIME", reload, |text| parse_duration(text, SECOND, HOUR * 24 * 30),
            "a cached answer that is not used for this long is evicted";
        one rejection_ttl: Duration = "10s", "TIME", reload, |text| parse_duration(text, Duration::ZERO, HOUR),
            "time for which a service's rejection is repeated to the same client network without a call";
    }

    /// Password hashing.
    section hash: HashConfig {
        one threads: usize = "cores", "N", restart, parse_thread_count, "threads that check passwords";
        one per_user_limit: usize = "4", "N", restart, |text| parse_number(text, 1, 100_000),
            "simultaneous password checks of one user from one client network";
        one wait_timeout: Duration = "5s", "TIME", restart,
            |text| parse_duration(text, Duration::from_millis(100), HASH_WAIT_TIMEOUT_MAX),
            "time that a request waits for its password check, which also limits the queue; keep it below proxy_read_timeout";
    }

    /// The throttle for failed logins.
    section throttle: ThrottleConfig {
        one user_failures: u32 = "10", "N", reload, parse_failures,
            "different wrong passwords of one user from one client network within the window";
        one network_failures: u32 = "50", "N", reload, parse_failures,
            "different failures from one client network within the window; users who failed there are throttled from half of it on";
        one block_user_failures: u32 = "40", "N", reload, parse_failures,
            "different wrong passwords of one user from one block (IPv4 /24, IPv6 /48) within the window; at least user_failures";
        one block_failures: u32 = "400", "N", reload, parse_failures,
            "different failures from one block within the window; at least network_failures; an IPv6 /32 can have a hundred times as many";
        one cached_answer_attempts: u32 = "1000", "N", reload, parse_failures,
            "different wrong passwords of one user that a throttled network can try against cached answers within the window";
        one window: Duration = "10m", "TIME", reload, |text| parse_duration(text, SECOND, HOUR * 24),
            "time in which a full count of failures decreases to zero";
        one max_entries: usize = "32768", "N", restart, |text| parse_number(text, 16, 10_000_000),
            "records in each of the seven tables; about 60 bytes each, and 40 for each wrong password";
        one ipv4_prefix: u8 = "32", "BITS", restart, |text| parse_number(text, 8, 32),
            "leading bits of an IPv4 address that identify a client network";
        one ipv6_prefix: u8 = "64", "BITS", restart, |text| parse_number(text, 32, 128),
            "leading bits of an IPv6 address that identify a client network";
    }

    /// Limits of the listeners.
    section limits: LimitsConfig {
        one workers: usize = "cores", "N", restart, parse_thread_count, "threads that serve requests";
        one max_connections: usize = "4096", "N", restart, |text| parse_number(text, 1, 1_000_000),
            "open connections of the auth listener; further ones wait to be accepted";
        one max_header_bytes: usize = "16KiB", "BYTES", restart, parse_header_bytes,
            "length limit of a header value; nginx itself accepts 8k by default";
        one header_timeout: Duration = "5s", "TIME", restart, |text| parse_duration(text, SECOND, HOUR),
            "time in which a client must send the request head";
        one keepalive_timeout: Duration = "75s", "TIME", restart, |text| parse_duration(text, SECOND, HOUR),
            "time after which an idle connection is closed; keep it above the 60s of nginx, which would use closed connections otherwise";
        one shutdown_delay: Duration = "0s", "TIME", restart, |text| parse_duration(text, Duration::ZERO, HOUR),
            "time for which /readyz answers 503 before a shutdown closes the listeners";
        one shutdown_timeout: Duration = "10s", "TIME", restart, |text| parse_duration(text, SECOND, HOUR),
            "time that a shutdown waits for requests in flight";
    }

    /// The watched files.
    section reload: ReloadConfig {
        one poll_interval: Duration = "500ms", "TIME", restart,
            |text| parse_duration(text, Duration::from_millis(100), HOUR),
            "interval at which each watched file is checked for changes";
    }

    /// The log.
    section log: LogConfig {
        one level: LogLevel = "info", "LEVEL", reload, value::parse_log_level, "error, warn, info or debug";
        one format: LogFormat = "text", "FORMAT", restart, value::parse_log_format, "text or json";
        one allowed_requests: bool = "false", "BOOL", reload, parse_boolean, "true to log allowed requests";
        one denials_per_second: u32 = "10", "N", reload, |text| parse_number(text, 0, 100_000),
            "refused requests logged per second, and ten times as many in a burst";
    }
}

/// Parses a limit of the throttle.
fn parse_failures(text: &str) -> Result<u32, String> {
    parse_number(text, 1, 1_000_000)
}

fn parse_header_bytes(text: &str) -> Result<usize, String> {
    let bytes = parse_bytes(text, 1 << 10, 1 << 17)?;
    Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
}

/// Returns the setting with this key.
pub(crate) fn find_setting(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}
