//! Keys that had another name before the first release. Each is an error that contains the new name.

use toml::de::{DeTable, DeValue};

use crate::config::array_of_tables::TableErrors;

/// The old and new keys of an `[[authenticator]]` table.
const RENAMED: &[(&str, &str)] = &[
    ("accepted", "accepted_statuses"),
    ("connections", "max_connections"),
    ("covers", "fallback_for"),
    ("html", "allow_html"),
    ("max_body", "max_response_bytes"),
    ("network_share", "per_network_limit"),
    ("queue", "queue_limit"),
    ("rejected", "rejected_statuses"),
    ("trusted_for", "cache_ttl"),
    ("unknown", "unknown_user_statuses"),
    ("user_share", "per_user_limit"),
    ("username", "username_pointer"),
];

/// The old and new keys of an entry of `groups`.
const RENAMED_OF_GROUPS: &[(&str, &str)] = &[("member", "name_pointer")];

/// Gives renamed keys their new names, so that their values are checked too, and adds an error for each.
pub(super) fn rename_keys(fields: &mut DeTable<'_>, errors: &mut TableErrors) {
    rename(fields, RENAMED, errors);
    if let Some(DeValue::Array(groups)) = fields.get_mut("groups").map(|groups| groups.get_mut()) {
        for entry in groups.iter_mut() {
            if let DeValue::Table(entry) = entry.get_mut() {
                rename(entry, RENAMED_OF_GROUPS, errors);
            }
        }
    }
}

fn rename(fields: &mut DeTable<'_>, renamed: &[(&str, &'static str)], errors: &mut TableErrors) {
    for (old, new) in renamed {
        let Some((key, value)) = fields.remove_entry(*old) else { continue };
        errors.push((key.span().start, format!("unknown key \"{old}\"; it is now \"{new}\"")));
        if !fields.contains_key(*new) {
            fields.insert(toml::Spanned::new(key.span(), (*new).into()), value);
        }
    }
}
