//! The table of settings: for each its key, its default, what it means, and how it is read. The
//! command line, the environment and the file all follow from it; a test holds the README to it.

use std::time::Duration;

pub use super::setting::Setting;
use super::setting::setting;
use super::value;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// The longest that a request may wait for its password check. nginx gives up before.
const HASH_WAIT_TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// All of them, in the order in which the README lists them.
pub const SETTINGS: &[Setting] = &[
    setting!(list "listen", "ADDR", "127.0.0.1:8000", "where nginx asks: IP:PORT, unix:/path or systemd:NAME", |s, t| {
        s.listen.push(value::parse_listen_address(t)?);
        Ok(())
    }),
    setting!("htpasswd.file", "FILE", "", "the htpasswd file", |s, t| value::parse_path(t)
        .map(|v| s.htpasswd_file = Some(v))),
    setting!(
        "policy.file",
        "FILE",
        "",
        "who may do what; without it every user may do everything",
        |s, t| { value::parse_path(t).map(|v| s.policy_file = Some(v)) }
    ),
    setting!("groups.file", "FILE", "", "the group file, as Apache has it: GROUP: USER USER", |s, t| {
        value::parse_path(t).map(|v| s.groups_file = Some(v))
    }),
    setting!(list "trusted_peers", "NET", "127.0.0.0/8,::1", "who may ask over TCP: addresses or networks of nginx", |s, t| {
        s.trusted_peers.push(value::parse_network(t)?);
        Ok(())
    }),
    setting!(
        "proxy_secret_file",
        "FILE",
        "",
        "the secret by which nginx proves that it is the proxy; required if an [[upstream]] has credentials",
        |s, t| { value::parse_path(t).map(|v| s.proxy_secret_file = Some(v)) }
    ),
    setting!(list "dialects", "NAME", "nginx", "the kinds of proxy that may ask, each at its own path; nginx is the only one so far", |s, t| {
        s.dialects.push(value::parse_dialect(t)?);
        Ok(())
    }),
    setting!(
        "realm",
        "TEXT",
        "Registry",
        "the realm that a client shows when it asks for a password",
        |s, t| { value::parse_realm(t).map(|v| s.realm = v) }
    ),
    setting!("socket_mode", "MODE", "0660", "the mode of a unix socket", |s, t| value::parse_socket_mode(t)
        .map(|v| s.socket_mode = v)),
    setting!(
        "reload.poll_interval",
        "TIME",
        "500ms",
        "how often each file that is reloaded is looked at",
        |s, t| {
            value::parse_duration(t, Duration::from_millis(100), HOUR).map(|v| s.reload_poll_interval = v)
        }
    ),
    setting!("htpasswd.max_bytes", "BYTES", "256MiB", "the largest htpasswd file that is read", |s, t| {
        value::parse_bytes(t, 1 << 10, 1 << 31).map(|v| s.htpasswd_max_bytes = v)
    }),
    setting!(
        list "htpasswd.insecure_formats",
        "FORMAT",
        "",
        "formats that are taken only by name: plain",
        |s, t| match t {
            "plain" => {
                s.htpasswd_insecure_formats.plain = true;
                Ok(())
            }
            _ => Err("it is not a format that has to be allowed by name; plain is the only one".into()),
        }
    ),
    setting!("api_keys.file", "FILE", "", "the file of API keys", |s, t| value::parse_path(t)
        .map(|v| s.api_keys_file = Some(v))),
    setting!(
        "api_keys.username",
        "NAME",
        "token",
        "the user name with which any key may be presented, by clients that insist on one",
        |s, t| { value::parse_username(t).map(|v| s.api_keys_username = v) }
    ),
    setting!(
        "api_keys.owners",
        "WHO",
        "htpasswd",
        "whose keys count: of who has a line in the htpasswd file, where one is asked; or any",
        |s, t| { value::parse_api_key_owners(t).map(|v| s.api_keys_owners = v) }
    ),
    setting!("api_keys.max_bytes", "BYTES", "64MiB", "the largest file of keys that is read", |s, t| {
        value::parse_bytes(t, 1 << 10, 1 << 31).map(|v| s.api_keys_max_bytes = v)
    }),
    setting!(
        "token.signing_keys",
        "FILE",
        "",
        "the keys that sign the registry's tokens; doorward signing-key init makes it",
        |s, t| { value::parse_path(t).map(|v| s.token_signing_keys_file = Some(v)) }
    ),
    setting!("token.service", "NAME", "", "the registry's service, which tokens are for", |s, t| {
        value::parse_challenge_parameter(t).map(|v| s.token_service = v)
    }),
    setting!("token.issuer", "NAME", "doorward", "the registry's issuer, by whom tokens are", |s, t| {
        value::parse_challenge_parameter(t).map(|v| s.token_issuer = v)
    }),
    setting!("token.realm", "URL", "", "where clients get tokens, for the challenge of /auth", |s, t| {
        value::parse_token_url(t).map(|v| s.token_realm = v)
    }),
    setting!(
        "token.lifetime",
        "TIME",
        "15m",
        "how long a token is good for; it can't be taken back",
        |s, t| { value::parse_duration(t, SECOND * 60, HOUR * 24).map(|v| s.token_lifetime = v) }
    ),
    setting!("token.challenge", "KIND", "basic", "what /auth challenges with: basic or bearer", |s, t| {
        value::parse_token_challenge(t).map(|v| s.token_challenge = v)
    }),
    setting!("cache.max_entries", "N", "100000", "good answers kept; about 600 bytes each", |s, t| {
        value::parse_number(t, 1, 10_000_000).map(|v| s.cache.entries_max = v)
    }),
    setting!(
        "cache.idle_timeout",
        "TIME",
        "12h",
        "a good answer that nobody asked for in this time is forgotten",
        |s, t| { value::parse_duration(t, SECOND, HOUR * 24 * 30).map(|v| s.cache.idle_timeout = v) }
    ),
    setting!(
        "cache.rejection_ttl",
        "TIME",
        "10s",
        "how long a service's refusal is repeated to the same client network without asking the service",
        |s, t| { value::parse_duration(t, Duration::ZERO, HOUR).map(|v| s.cache.rejection_ttl = v) }
    ),
    setting!("hash.threads", "N", "cores", "threads that check passwords", |s, t| value::parse_thread_count(
        t
    )
    .map(|v| s.hash_threads = v)),
    setting!(
        "hash.per_user_limit",
        "N",
        "4",
        "password checks of one user from one client network at one time",
        |s, t| { value::parse_number(t, 1, 100_000).map(|v| s.hash_per_user_limit = v) }
    ),
    setting!(
        "hash.wait_timeout",
        "TIME",
        "5s",
        "how long a request waits for its check, and so how many may wait; keep it below nginx's proxy_read_timeout",
        |s, t| {
            value::parse_duration(t, Duration::from_millis(100), HASH_WAIT_TIMEOUT_MAX)
                .map(|v| s.hash_wait_timeout = v)
        }
    ),
    setting!(
        "proxy_read_timeout",
        "TIME",
        "10s",
        "nginx's own, in the auth location; the waits of a chain with services have to fit in",
        |s, t| { value::parse_duration(t, SECOND, HOUR).map(|v| s.proxy_read_timeout = v) }
    ),
    setting!(
        "throttle.user_failures",
        "N",
        "10",
        "different wrong passwords of one user from one client network in a window",
        |s, t| { value::parse_number(t, 1, 1_000_000).map(|v| s.throttle.user_failures = v) }
    ),
    setting!(
        "throttle.network_failures",
        "N",
        "50",
        "different failures from one client network in a window; users who failed there are throttled from half of it on",
        |s, t| { value::parse_number(t, 1, 1_000_000).map(|v| s.throttle.network_failures = v) }
    ),
    setting!(
        "throttle.block_user_failures",
        "N",
        "40",
        "different wrong passwords of one user from one block (an IPv4 /24, an IPv6 /48) in a window; not below user_failures",
        |s, t| { value::parse_number(t, 1, 1_000_000).map(|v| s.throttle.block_user_failures = v) }
    ),
    setting!(
        "throttle.block_failures",
        "N",
        "400",
        "different failures from one block in a window, not below network_failures; an IPv6 /32 bears a hundred times as many",
        |s, t| { value::parse_number(t, 1, 1_000_000).map(|v| s.throttle.block_failures = v) }
    ),
    setting!(
        "throttle.cached_answer_attempts",
        "N",
        "1000",
        "different wrong passwords of one user that a throttled network may try against answers it has had",
        |s, t| { value::parse_number(t, 1, 1_000_000).map(|v| s.throttle.cached_answer_attempts = v) }
    ),
    setting!(
        "throttle.window",
        "TIME",
        "10m",
        "the time in which a full count of failures leaks away",
        |s, t| { value::parse_duration(t, SECOND, HOUR * 24).map(|v| s.throttle.window = v) }
    ),
    setting!(
        "throttle.max_entries",
        "N",
        "32768",
        "records in each of the throttle's seven tables; about 60 bytes each, and 40 for each wrong password that is remembered",
        |s, t| { value::parse_number(t, 16, 10_000_000).map(|v| s.throttle.entries_max = v) }
    ),
    setting!(
        "throttle.ipv4_prefix",
        "BITS",
        "32",
        "leading bits of an IPv4 address that make a client network",
        |s, t| { value::parse_number(t, 8, 32).map(|v| s.network_prefixes.ipv4 = v) }
    ),
    setting!("throttle.ipv6_prefix", "BITS", "64", "the same for IPv6", |s, t| {
        value::parse_number(t, 32, 128).map(|v| s.network_prefixes.ipv6 = v)
    }),
    setting!("limits.workers", "N", "cores", "threads that answer requests", |s, t| {
        value::parse_thread_count(t).map(|v| s.workers = v)
    }),
    setting!(
        "limits.max_connections",
        "N",
        "4096",
        "open connections to the auth listener; more wait to be accepted",
        |s, t| { value::parse_number(t, 1, 1_000_000).map(|v| s.max_connections = v) }
    ),
    setting!(
        "limits.max_header_bytes",
        "BYTES",
        "16KiB",
        "the longest value of a header that is read; nginx itself passes 8k unless told otherwise",
        |s, t| {
            value::parse_bytes(t, 1 << 10, 1 << 17)
                .map(|v| s.max_header_bytes = usize::try_from(v).unwrap_or(usize::MAX))
        }
    ),
    setting!(
        "limits.header_timeout",
        "TIME",
        "5s",
        "how long a client may take to send the request head",
        |s, t| { value::parse_duration(t, SECOND, HOUR).map(|v| s.header_timeout = v) }
    ),
    setting!(
        "limits.keepalive_timeout",
        "TIME",
        "75s",
        "how long an idle connection is kept; above nginx's 60s, or nginx meets closed ones",
        |s, t| { value::parse_duration(t, SECOND, HOUR).map(|v| s.keepalive_timeout = v) }
    ),
    setting!(
        "limits.shutdown_delay",
        "TIME",
        "0s",
        "how long /readyz says 503 before a shutdown closes the listeners",
        |s, t| { value::parse_duration(t, Duration::ZERO, HOUR).map(|v| s.shutdown_delay = v) }
    ),
    setting!(
        "limits.shutdown_timeout",
        "TIME",
        "10s",
        "how long a shutdown waits for requests in flight",
        |s, t| { value::parse_duration(t, SECOND, HOUR).map(|v| s.shutdown_timeout = v) }
    ),
    setting!(list "public.listen", "ADDR", "", "the listener for /token and /jwks, which clients reach through the proxy; required with token.signing_keys", |s, t| {
        s.public_listen.push(value::parse_listen_address(t)?);
        Ok(())
    }),
    setting!(list "public.trusted_peers", "NET", "127.0.0.0/8,::1", "peers that may use the public listener over TCP", |s, t| {
        s.public_trusted_peers.push(value::parse_network(t)?);
        Ok(())
    }),
    setting!(
        "public.socket_mode",
        "MODE",
        "0660",
        "the mode of a unix socket of the public listener",
        |s, t| { value::parse_socket_mode(t).map(|v| s.public_socket_mode = v) }
    ),
    setting!(list "admin.listen", "ADDR", "127.0.0.1:8001", "the admin listener: /livez, /readyz, /metrics, /flush, /api-keys", |s, t| {
        s.admin_listen.push(value::parse_listen_address(t)?);
        Ok(())
    }),
    setting!(list "admin.trusted_peers", "NET", "127.0.0.0/8,::1", "peers that may read /metrics over TCP; /livez and /readyz answer every peer", |s, t| {
        s.admin_trusted_peers.push(value::parse_network(t)?);
        Ok(())
    }),
    setting!(list "admin.allowed_hosts", "NAME", "", "names besides localhost and IP addresses that a request to the admin listener may have as Host", |s, t| {
        s.admin_allowed_hosts.push(value::parse_host_name(t)?);
        Ok(())
    }),
    setting!(
        "admin.token_file",
        "FILE",
        "",
        "the token that /flush and /api-keys require over TCP; over a unix socket they require none",
        |s, t| { value::parse_path(t).map(|v| s.admin_token_file = Some(v)) }
    ),
    setting!(
        "admin.socket_mode",
        "MODE",
        "0600",
        "the mode of a unix socket of the admin listener",
        |s, t| { value::parse_socket_mode(t).map(|v| s.admin_socket_mode = v) }
    ),
    setting!("log.level", "LEVEL", "info", "error, warn, info or debug", |s, t| value::parse_log_level(t)
        .map(|v| s.log_level = v)),
    setting!("log.format", "FORMAT", "text", "text or json", |s, t| value::parse_log_format(t)
        .map(|v| s.log_format = v)),
    setting!("log.allowed_requests", "BOOL", "false", "whether allowed requests are logged too", |s, t| {
        value::parse_boolean(t).map(|v| s.log_allowed_requests = v)
    }),
    setting!(
        "log.denials_per_second",
        "N",
        "10",
        "refusals logged in a second, with ten times as many in a burst",
        |s, t| { value::parse_number(t, 0, 100_000).map(|v| s.log_refusals_per_second = v) }
    ),
];

/// The setting with this key.
pub fn find_setting(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}
