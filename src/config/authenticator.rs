//! Reads the `[[authenticator]]` tables: the authenticators and their order.
//!
//! A table is first deserialized into texts and numbers with their places, and then checked, so that every error has its
//! line.

mod http;
mod http_table;
mod remote;
mod response_rules;
mod value_reader;

use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use self::remote::{KindReader, RemoteTable};
use super::ConfigOrigin;
use super::array_of_tables::{TableErrors, deserialize, offset, read_name};
use crate::authn::chain::{AUTHENTICATORS_MAX, AuthenticatorSet};
use crate::authn::remote::RemoteSourceSpec;

/// The values of `type` for remote sources, with the reader of each.
const REMOTE_TYPES: &[(&str, KindReader)] = &[("http", http::read_table)];

/// The settings of one authenticator.
#[derive(Clone, Debug)]
pub(crate) struct AuthenticatorConfig {
    /// The name.
    pub(crate) name: Arc<str>,
    /// The earlier authenticators for which it is the fallback when they fail.
    pub(crate) fallback_for: AuthenticatorSet,
    /// The settings, which depend on the type.
    pub(crate) settings: AuthenticatorType,
    /// The place of its table.
    pub(crate) origin: ConfigOrigin,
}

/// The settings that one type of authenticator has.
#[derive(Clone, Debug)]
pub(crate) enum AuthenticatorType {
    /// The htpasswd file, which has settings of its own.
    Htpasswd,
    /// A remote source.
    Remote(Box<RemoteSourceSpec>),
    /// The API key file, which has settings of its own. It has no position in the order.
    ApiKeys,
}

/// The table of type `htpasswd`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HtpasswdTable {
    name: Option<Spanned<String>>,
    #[serde(default)]
    fallback_for: Vec<Spanned<String>>,
}

/// The table of type `api_keys`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApiKeysTable {
    name: Option<Spanned<String>>,
}

/// Reads the value of the key `authenticator`, which begins at the offset `place`.
pub(super) fn read_authenticators(
    value: &DeValue<'_>,
    place: usize,
    origin: &dyn Fn(usize) -> ConfigOrigin,
    errors: &mut TableErrors,
) -> Vec<AuthenticatorConfig> {
    let DeValue::Array(tables) = value else {
        errors.push((place, "not a list of tables; write [[authenticator]]".into()));
        return Vec::new();
    };
    let mut chain: Vec<AuthenticatorConfig> = Vec::new();
    // The API keys have no position in the order, and come last.
    let mut api_keys: Option<AuthenticatorConfig> = None;
    let before = errors.len();
    for table in tables {
        let place = table.span().start;
        let DeValue::Table(fields) = table.get_ref() else {
            errors.push((place, "not a table; write [[authenticator]]".into()));
            continue;
        };
        let Some(mut authenticator) = read_authenticator(fields, place, &chain, errors) else { continue };
        authenticator.origin = origin(place);
        for other in chain.iter().chain(&api_keys) {
            check_pair(other, &authenticator, place, errors);
        }
        match authenticator.settings {
            AuthenticatorType::ApiKeys => api_keys = Some(authenticator),
            AuthenticatorType::Htpasswd | AuthenticatorType::Remote(_) => chain.push(authenticator),
        }
    }
    chain.extend(api_keys);
    if chain.len() > AUTHENTICATORS_MAX {
        errors.push((place, format!("more than {AUTHENTICATORS_MAX} authenticators; remove some")));
    }
    if chain.is_empty() && errors.len() == before {
        errors.push((place, "empty list; remove it to use the htpasswd file alone".into()));
    }
    chain
}

/// Adds an error if two authenticators have one name, or use one file.
fn check_pair(
    other: &AuthenticatorConfig,
    authenticator: &AuthenticatorConfig,
    place: usize,
    errors: &mut TableErrors,
) {
    if other.name == authenticator.name {
        let message = format!("two authenticators are named {}; set different names", other.name);
        errors.push((place, message));
    }
    let duplicate = match (&other.settings, &authenticator.settings) {
        (AuthenticatorType::Htpasswd, AuthenticatorType::Htpasswd) => "htpasswd",
        (AuthenticatorType::ApiKeys, AuthenticatorType::ApiKeys) => "api_keys",
        (
            AuthenticatorType::Htpasswd | AuthenticatorType::ApiKeys | AuthenticatorType::Remote(_),
            AuthenticatorType::Htpasswd | AuthenticatorType::ApiKeys | AuthenticatorType::Remote(_),
        ) => return,
    };
    errors.push((place, format!("two authenticators of type {duplicate}, which has one file; remove one")));
}

fn read_authenticator(
    fields: &DeTable<'_>,
    place: usize,
    earlier: &[AuthenticatorConfig],
    errors: &mut TableErrors,
) -> Option<AuthenticatorConfig> {
    let mut fields = fields.clone();
    let types = REMOTE_TYPES.iter().map(|(name, _)| *name).chain(["htpasswd", "api_keys"]);
    let types = types.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let Some(type_name) = fields.remove("type") else {
        errors.push((place, format!("type is missing; set it to one of {types}")));
        return None;
    };
    let (name, fallback_for, settings) = match type_name.get_ref().as_str() {
        Some("htpasswd") => {
            let table: HtpasswdTable = deserialize(fields, place, errors)?;
            let name = read_name(table.name.as_ref(), "htpasswd", errors);
            let fallback_for = read_fallback_for(&table.fallback_for, earlier, errors);
            (name, fallback_for, AuthenticatorType::Htpasswd)
        }
        Some("api_keys") => {
            let table: ApiKeysTable = deserialize(fields, place, errors)?;
            let name = read_name(table.name.as_ref(), "api_keys", errors);
            (name, AuthenticatorSet::default(), AuthenticatorType::ApiKeys)
        }
        Some("keys") => {
            errors.push((type_name.span().start, "unknown type \"keys\"; it is now \"api_keys\"".into()));
            return None;
        }
        other => {
            let remote = REMOTE_TYPES.iter().find(|(name, _)| other == Some(*name));
            let Some((default_name, read_kind)) = remote else {
                errors.push((type_name.span().start, format!("unknown type; set it to one of {types}")));
                return None;
            };
            let table = RemoteTable::take(&mut fields, place, errors)?;
            let name = read_name(table.name.as_ref(), default_name, errors);
            let fallback_for = read_fallback_for(&table.fallback_for, earlier, errors);
            let spec = table.read_spec(fields, place, Arc::clone(&name), *read_kind, errors)?;
            (name, fallback_for, AuthenticatorType::Remote(spec))
        }
    };
    Some(AuthenticatorConfig { name, fallback_for, settings, origin: ConfigOrigin::Unset })
}

/// Reads `fallback_for`, and checks that a remote source which a fallback would skip is in the list too, or is itself a
/// fallback: it could have rejected the user.
fn read_fallback_for(
    names: &[Spanned<String>],
    earlier: &[AuthenticatorConfig],
    errors: &mut TableErrors,
) -> AuthenticatorSet {
    let fallback_for = find_earlier_authenticators(names, earlier, errors);
    let is_listed = |other: &AuthenticatorConfig| names.iter().any(|name| **name.get_ref() == *other.name);
    for name in names {
        let Some(position) = earlier.iter().position(|other| *other.name == **name.get_ref()) else {
            continue;
        };
        let failed = AuthenticatorSet::default().with(position);
        let skipped = earlier.iter().skip(position + 1).find(|other| {
            matches!(other.settings, AuthenticatorType::Remote(_))
                && !is_listed(other)
                && !other.fallback_for.contains_all(failed)
        });
        if let Some(skipped) = skipped {
            let message = format!(
                "{} would be skipped, and could have rejected the user; add it to the list, or add \"{}\" to its own fallback_for",
                skipped.name,
                name.get_ref()
            );
            errors.push((offset(name), message));
        }
    }
    fallback_for
}

fn find_earlier_authenticators(
    names: &[Spanned<String>],
    earlier: &[AuthenticatorConfig],
    errors: &mut TableErrors,
) -> AuthenticatorSet {
    names.iter().fold(AuthenticatorSet::default(), |set, name| {
        match earlier.iter().position(|other| *other.name == **name.get_ref()) {
            Some(position) => set.with(position),
            None => {
                let message = "fallback_for can only name authenticators before this one, without api_keys";
                errors.push((offset(name), message.into()));
                set
            }
        }
    })
}

#[cfg(test)]
#[path = "authenticator_tests.rs"]
mod tests;
