//! What to say of a name that is no setting's.

use super::table::{SETTINGS, Setting};

/// Keys that people bring along from other programs, or from their own guess, and the right ones.
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

/// What to say of a key that there is not.
pub fn unknown(key: &str, written: &dyn Fn(&str) -> String) -> String {
    let bare = key.rsplit('.').next().unwrap_or(key);
    let renamed = RENAMED.iter().find(|(old, _)| *old == key || *old == bare).map(|(_, new)| *new);
    let near = || {
        let alike = |s: &&Setting| (strsim::jaro_winkler(key, s.key) * 1000.0) as u32;
        SETTINGS.iter().max_by_key(alike).filter(|s| alike(s) > 800).map(|s| s.key)
    };
    match renamed.or_else(near) {
        Some(right) => format!("there is no such setting; you may mean {}", written(right)),
        None => "there is no such setting; doorward serve --help lists them all".into(),
    }
}
