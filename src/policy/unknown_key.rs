//! What to say of a key of the policy file that does not exist: its name, and the key that is most like it.

/// Keys that people bring along from other programs, and the right ones.
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

/// The keys of a policy file.
pub(super) const FILE_KEYS: [&str; 3] = ["grant", "deny", "registries"];
/// The keys of a rule.
pub(super) const RULE_KEYS: [&str; 9] =
    ["users", "groups", "who", "networks", "hosts", "repositories", "actions", "paths", "methods"];

/// The longest key that is quoted: more is not a slip of the pen.
const QUOTED_MAX: usize = 40;

/// Describes an unknown key beside the `known` ones.
pub(super) fn describe_unknown_key(key: &str, known: &[&str]) -> String {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if key.len() > QUOTED_MAX || !key.bytes().all(is_word) {
        return format!("there is no such key; there are {}", known.join(", "));
    }
    let lower = key.to_ascii_lowercase();
    let renamed =
        KEY_ALIASES.iter().find(|(old, new)| *old == lower && known.contains(new)).map(|(_, new)| *new);
    let alike = |one: &&str| (strsim::jaro_winkler(&lower, one) * 1000.0) as u32;
    let near = || known.iter().copied().max_by_key(alike).filter(|one| alike(one) > 800);
    // A key of the other place: a rule's outside of a rule, or the file's within one.
    let misplaced = match (RULE_KEYS.contains(&key), FILE_KEYS.contains(&key)) {
        (true, false) => Some("it belongs into a [[grant]] or a [[deny]]"),
        (false, true) => Some("it stands before the first rule"),
        (_, _) => None,
    };
    match (misplaced, renamed.or_else(near)) {
        (Some(place), _) => format!("{key}: there is no such key here; {place}"),
        (None, Some(right)) => format!("{key}: there is no such key; you may mean {right}"),
        (None, None) => format!("{key}: there is no such key; there are {}", known.join(", ")),
    }
}
