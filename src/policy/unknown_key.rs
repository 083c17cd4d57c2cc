//! The error message for an unknown key of the policy file, with the key that was probably meant.

/// Keys of other programs, and the key of the policy file that has this meaning.
const KEY_ALIASES: &[(&str, &str)] = &[
    ("access", "actions"),
    ("allow", "grant"),
    ("block", "deny"),
    ("cidr", "networks"),
    ("forbid", "deny"),
    ("from", "networks"),
    ("images", "repositories"),
    ("ips", "networks"),
    ("permissions", "actions"),
    ("projects", "repositories"),
    ("rule", "grant"),
    ("subjects", "users"),
    ("urls", "paths"),
    ("verbs", "methods"),
];

/// The keys at the top level of a policy file.
pub(super) const FILE_KEYS: [&str; 3] = ["grant", "deny", "registries"];
/// The keys of a rule.
pub(super) const RULE_KEYS: [&str; 9] =
    ["users", "groups", "who", "networks", "hosts", "repositories", "actions", "paths", "methods"];

/// Maximum length of a key that a message quotes. A longer text is not a misspelt key.
const QUOTED_KEY_MAX: usize = 40;

/// Returns the message for an unknown key in a place where the `known` keys are valid. A text that does not look like a
/// key is not quoted: it can be a secret from another file.
pub(super) fn describe_unknown_key(key: &str, known: &[&str]) -> String {
    let known_keys = || known.join(", ");
    let is_key_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if key.len() > QUOTED_KEY_MAX || !key.bytes().all(is_key_byte) {
        return format!("unknown key; the keys are {}", known_keys());
    }
    let lower = key.to_ascii_lowercase();
    let meaning =
        KEY_ALIASES.iter().find(|(alias, new)| *alias == lower && known.contains(new)).map(|(_, new)| *new);
    let similarity = |candidate: &&str| (strsim::jaro_winkler(&lower, candidate) * 1000.0) as u32;
    let nearest =
        || known.iter().copied().max_by_key(similarity).filter(|candidate| similarity(candidate) > 800);
    let right_place = match (RULE_KEYS.contains(&key), FILE_KEYS.contains(&key)) {
        (true, false) => Some("move it into a [[grant]] or a [[deny]]"),
        (false, true) => Some("move it before the first rule"),
        (_, _) => None,
    };
    match (right_place, meaning.or_else(nearest)) {
        (Some(place), _) => format!("misplaced key \"{key}\"; {place}"),
        (None, Some(meant)) => format!("unknown key \"{key}\"; did you mean \"{meant}\"?"),
        (None, None) => format!("unknown key \"{key}\"; the keys are {}", known_keys()),
    }
}
