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
const GONE: &[(&str, &str)] = &[
    ("hash.queue", "how many logins may wait follows from hash.wait"),
    ("hash.network_share", "one network may use all places that are free"),
    ("cache.rejected_max_entries", "rejections are kept with the throttle's records, see throttle.entries"),
];

/// Returns whether a name, as a flag, a variable or a key of the file has it, is this key.
fn is_key(name: &str, key: &str) -> bool {
    let plain = |c: char| if matches!(c, '.' | '-') { '_' } else { c };
    name.chars().map(plain).eq(key.chars().map(plain))
}

/// What is known of a name that is no setting's.
enum Known {
    /// The key that is meant.
    Meant(&'static str),
    /// A setting that is gone, and what is in its place.
    Gone(&'static str),
}

fn known(key: &str) -> Option<Known> {
    let bare = key.rsplit('.').next().unwrap_or(key);
    if let Some((_, instead)) = GONE.iter().find(|(old, _)| is_key(key, old)) {
        return Some(Known::Gone(instead));
    }
    if let Some((_, new)) = RENAMED.iter().find(|(old, _)| is_key(key, old) || *old == bare) {
        return Some(Known::Meant(new));
    }
    let alike = |s: &&Setting| (strsim::jaro_winkler(key, s.key) * 1000.0) as u32;
    SETTINGS.iter().max_by_key(alike).filter(|s| alike(s) > 800).map(|s| Known::Meant(s.key))
}

/// Whether something is known of a name: it is of an earlier setting, or resembles one.
pub fn is_known(name: &str) -> bool {
    known(name).is_some()
}

/// What to say of a key that there is not. `written` writes a key as it is written in that place.
pub fn unknown(key: &str, written: &dyn Fn(&str) -> String) -> String {
    match known(key) {
        Some(Known::Meant(right)) => format!("there is no such setting; you may mean {}", written(right)),
        Some(Known::Gone(instead)) => format!("this setting is gone: {instead}; leave it out"),
        None => "there is no such setting; doorward serve --help lists them all".into(),
    }
}

/// A key for a message: as it is written if it resembles one, and by its length otherwise, since the line may be one of
/// another file.
pub fn shown(key: &str) -> String {
    match known(key) {
        Some(_) => key.to_owned(),
        None => format!("a key of {} bytes", key.len()),
    }
}
