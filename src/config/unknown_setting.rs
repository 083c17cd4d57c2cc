//! What to say of a name that is no setting's.

use super::setting::Setting;
use super::table::SETTINGS;

/// Keys that people bring along from other programs, from earlier states of doorward, or from their own guess, and the
/// right ones.
pub const RENAMED: &[(&str, &str)] = &[
    ("addr", "listen"),
    ("address", "listen"),
    ("admin.hosts", "admin.allowed_hosts"),
    ("admin.peers", "admin.trusted_peers"),
    ("auth_basic_user_file", "htpasswd.file"),
    ("bind", "listen"),
    ("cache.idle", "cache.idle_timeout"),
    ("cache.rejected", "cache.rejection_ttl"),
    ("cache.size", "cache.max_entries"),
    ("cache.ttl", "cache.idle_timeout"),
    ("groups", "groups.file"),
    ("hash.user_share", "hash.per_user_limit"),
    ("hash.wait", "hash.wait_timeout"),
    ("host", "listen"),
    ("htpasswd", "htpasswd.file"),
    ("htpasswd_allow", "htpasswd.insecure_formats"),
    ("htpasswd_file", "htpasswd.file"),
    ("htpasswd_max_bytes", "htpasswd.max_bytes"),
    ("htpasswd_poll", "reload.poll_interval"),
    ("keys", "api_keys.file"),
    ("keys_max_bytes", "api_keys.max_bytes"),
    ("keys_owners", "api_keys.owners"),
    ("keys_username", "api_keys.username"),
    ("limits.connections", "limits.max_connections"),
    ("limits.drain", "limits.shutdown_delay"),
    ("limits.head_timeout", "limits.header_timeout"),
    ("limits.header_bytes", "limits.max_header_bytes"),
    ("limits.keep_alive", "limits.keepalive_timeout"),
    ("log.allowed", "log.allowed_requests"),
    ("log.refusals_per_second", "log.denials_per_second"),
    ("log_level", "log.level"),
    ("metrics_listen", "admin.listen"),
    ("policy", "policy.file"),
    ("port", "listen"),
    ("proxy", "dialects"),
    ("public.peers", "public.trusted_peers"),
    ("throttle.entries", "throttle.max_entries"),
    ("throttle.familiar_failures", "throttle.cached_answer_attempts"),
    ("token.expires", "token.lifetime"),
    ("token.keys", "token.signing_keys"),
    ("trusted_proxies", "trusted_peers"),
    ("upstream_secret_file", "proxy_secret_file"),
    ("users_file", "htpasswd.file"),
    ("workers", "limits.workers"),
];

/// Settings that there were, and what is in their place.
const REMOVED: &[(&str, &str)] = &[
    ("hash.queue", "how many logins may wait follows from hash.wait_timeout"),
    ("hash.network_share", "one network may use all places that are free"),
    (
        "cache.rejected_max_entries",
        "rejections are kept with the throttle's records, see throttle.max_entries",
    ),
];

/// Returns whether a name, as a flag, a variable or a key of the file has it, is this key.
fn matches_key(name: &str, key: &str) -> bool {
    let plain = |c: char| if matches!(c, '.' | '-') { '_' } else { c };
    name.chars().map(plain).eq(key.chars().map(plain))
}

/// What is known of a name that is no setting's.
enum NameSuggestion {
    /// The key that is meant.
    UseSetting(&'static str),
    /// A setting that is gone, and what is in its place.
    Removed(&'static str),
}

fn suggest(key: &str) -> Option<NameSuggestion> {
    let bare = key.rsplit('.').next().unwrap_or(key);
    if let Some((_, instead)) = REMOVED.iter().find(|(old, _)| matches_key(key, old)) {
        return Some(NameSuggestion::Removed(instead));
    }
    let exact = RENAMED.iter().find(|(old, _)| matches_key(key, old));
    if let Some((_, new)) = exact.or_else(|| RENAMED.iter().find(|(old, _)| *old == bare)) {
        return Some(NameSuggestion::UseSetting(new));
    }
    let alike = |s: &&Setting| (strsim::jaro_winkler(key, s.key) * 1000.0) as u32;
    SETTINGS.iter().max_by_key(alike).filter(|s| alike(s) > 800).map(|s| NameSuggestion::UseSetting(s.key))
}

/// Whether something is known of a name: it is of an earlier setting, or resembles one.
pub fn has_suggestion(name: &str) -> bool {
    suggest(name).is_some()
}

/// What to say of a key that there is not. `written` writes a key as it is written in that place.
pub fn unknown_setting_message(key: &str, written: &dyn Fn(&str) -> String) -> String {
    match suggest(key) {
        Some(NameSuggestion::UseSetting(right)) => {
            format!("there is no such setting; you may mean {}", written(right))
        }
        Some(NameSuggestion::Removed(instead)) => format!("this setting is gone: {instead}; leave it out"),
        None => "there is no such setting; doorward serve --help lists them all".into(),
    }
}

/// A key for a message: as it is written if it resembles one, and by its length otherwise, since the line may be one of
/// another file.
pub fn displayable_key(key: &str) -> String {
    match suggest(key) {
        Some(_) => key.to_owned(),
        None => format!("a key of {} bytes", key.len()),
    }
}
