//! What to say of a name that is no setting's.

use super::table::{SETTINGS, Setting};

/// Keys that people bring along from other programs, from earlier states of doorward, or from their own guess, and the
/// right ones.
pub const RENAMED: &[(&str, &str)] = &[
    ("addr", "listen"),
    ("address", "listen"),
    ("auth_basic_user_file", "htpasswd"),
    ("bind", "listen"),
    ("cache.size", "cache.max_entries"),
    ("cache.ttl", "cache.idle"),
    ("host", "listen"),
    ("htpasswd_file", "htpasswd"),
    ("log_level", "log.level"),
    ("metrics_listen", "admin.listen"),
    ("port", "listen"),
    ("proxy", "dialects"),
    ("trusted_proxies", "trusted_peers"),
    ("upstream_secret_file", "proxy_secret_file"),
    ("users_file", "htpasswd"),
    ("workers", "limits.workers"),
];

/// Settings that there were, and what is in their place.
const REMOVED: &[(&str, &str)] = &[
    ("hash.queue", "how many logins may wait follows from hash.wait"),
    ("hash.network_share", "one network may use all places that are free"),
    ("cache.rejected_max_entries", "rejections are kept with the throttle's records, see throttle.entries"),
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
    if let Some((_, new)) = RENAMED.iter().find(|(old, _)| matches_key(key, old) || *old == bare) {
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
