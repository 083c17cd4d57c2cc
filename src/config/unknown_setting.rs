//! Errors for names that are not settings.

use super::setting::Setting;
use super::table::SETTINGS;

/// A table of settings, with what is known about names that are not in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SettingNames {
    /// The settings.
    pub(crate) settings: &'static [&'static [Setting]],
    /// Names that are not settings, and the settings to use.
    pub(crate) renamed: &'static [(&'static str, &'static str)],
    /// Settings that were removed, and what replaces them.
    pub(crate) removed: &'static [(&'static str, &'static str)],
    /// The prefix of the environment variables.
    pub(crate) variable_prefix: &'static str,
    /// The command that lists all settings, for messages.
    pub(crate) list: &'static str,
}

/// The settings of the service.
pub(crate) const SERVICE_SETTINGS: SettingNames = SettingNames {
    settings: &[SETTINGS],
    renamed: RENAMED,
    removed: REMOVED,
    variable_prefix: "DOORWARD_",
    list: "doorward serve --help lists all settings",
};

/// Keys that are not settings, and the settings to use: former names, and names of other programs.
pub(crate) const RENAMED: &[(&str, &str)] = &[
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

/// Settings that were removed, and what replaces them.
const REMOVED: &[(&str, &str)] = &[
    ("hash.queue", "the length of the queue follows from hash.wait_timeout"),
    ("hash.network_share", "one network can use all free places"),
    (
        "cache.rejected_max_entries",
        "rejections are kept in the tables of the throttle, see throttle.max_entries",
    ),
];

/// The similarity, in thousandths, from which a setting is suggested for an unknown name.
const SUGGESTED_SIMILARITY_MIN: u32 = 800;

/// Returns whether a name, as written in a flag, a variable or the file, means this key.
fn matches_key(name: &str, key: &str) -> bool {
    let normalize = |c: char| if matches!(c, '.' | '-') { '_' } else { c };
    name.chars().map(normalize).eq(key.chars().map(normalize))
}

/// A suggestion for a name that is not a setting.
enum NameSuggestion {
    /// The setting that was probably meant: the replacement in [`RENAMED`], or a similar name.
    Meant(&'static str),
    /// The reason why the setting was removed, from [`REMOVED`].
    Removed(&'static str),
}

/// The place in which an unknown name is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NamePlace {
    /// The settings file.
    File,
    /// The environment. The place of the error names the variable.
    Environment,
    /// The command line.
    CommandLine,
}

impl SettingNames {
    /// Returns all settings.
    pub(crate) fn all(self) -> impl Iterator<Item = &'static Setting> {
        self.settings.iter().copied().flatten()
    }

    fn suggest(self, name: &str) -> Option<NameSuggestion> {
        if let Some((_, explanation)) = self.removed.iter().find(|(old, _)| matches_key(name, old)) {
            return Some(NameSuggestion::Removed(explanation));
        }
        let last_part = name.rsplit('.').next().unwrap_or(name);
        let exact = self.renamed.iter().find(|(old, _)| matches_key(name, old));
        let renamed = exact.or_else(|| self.renamed.iter().find(|(old, _)| *old == last_part));
        if let Some((_, new)) = renamed {
            return Some(NameSuggestion::Meant(new));
        }
        let similarity = |s: &&Setting| (strsim::jaro_winkler(name, s.key) * 1000.0) as u32;
        let nearest = self.all().max_by_key(similarity);
        nearest.filter(|s| similarity(s) > SUGGESTED_SIMILARITY_MIN).map(|s| NameSuggestion::Meant(s.key))
    }

    /// Returns whether a name was renamed or removed, or resembles a setting. Suggestions of keys that are not
    /// `available` do not count.
    pub(crate) fn has_suggestion(self, name: &str, available: impl Fn(&str) -> bool) -> bool {
        match self.suggest(name) {
            Some(NameSuggestion::Meant(key)) => available(key),
            Some(NameSuggestion::Removed(_)) => true,
            None => false,
        }
    }

    /// Returns the error for a name that is not a setting. The name is quoted only if there is a suggestion for it,
    /// since the text may come from a file of secrets.
    pub(crate) fn unknown_message(self, name: &str, place: NamePlace) -> String {
        let (noun, quoted) = match place {
            NamePlace::File => ("key", Some(name.to_owned())),
            NamePlace::Environment => ("variable", None),
            NamePlace::CommandLine => ("flag", Some(format!("--{name}"))),
        };
        match self.suggest(name) {
            Some(NameSuggestion::Meant(key)) => {
                let quoted = quoted.map(|name| format!(" \"{name}\"")).unwrap_or_default();
                format!("unknown {noun}{quoted}; did you mean \"{}\"?", self.write_key(key, place))
            }
            Some(NameSuggestion::Removed(explanation)) => {
                let quoted = quoted.map(|name| format!("{name}: ")).unwrap_or_default();
                format!("{quoted}this setting was removed: {explanation}; delete it")
            }
            None => {
                let length = quoted.map(|name| format!(" of {} bytes", name.len())).unwrap_or_default();
                format!("unknown {noun}{length}; {}", self.list)
            }
        }
    }

    /// Returns the key of a setting as it is written in this place.
    fn write_key(self, key: &str, place: NamePlace) -> String {
        let Some(setting) = self.all().find(|setting| setting.key == key) else { return key.to_owned() };
        match place {
            NamePlace::File => key.to_owned(),
            NamePlace::Environment => setting.variable_with_prefix(self.variable_prefix),
            NamePlace::CommandLine => format!("--{}", setting.flag()),
        }
    }
}
