//! The `[[authenticator]]` tables: who is asked who somebody is, and in which order.
//!
//! Each is read by serde into plain texts and numbers with their places (`raw.rs`), and then checked
//! (`http.rs`, `reading.rs`), so that every fault of a table is told with its line.

mod http;
mod raw;
mod response_rules;

use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::ConfigOrigin;
use super::array_of_tables::{TableErrors, deserialize, offset, read_name};
use crate::authn::chain::{AUTHENTICATORS_MAX, AuthenticatorSet};
use crate::authn::http::AuthBackendSpec;

/// One authenticator, as it is set.
#[derive(Clone, Debug)]
pub struct AuthenticatorConfig {
    /// Its name.
    pub name: Arc<str>,
    /// For which earlier ones it is asked when they are in trouble.
    pub fallback_for: AuthenticatorSet,
    /// How it finds out.
    pub kind: AuthenticatorType,
    /// Where its table begins.
    pub origin: ConfigOrigin,
}

/// How an authenticator finds out.
#[derive(Clone, Debug)]
pub enum AuthenticatorType {
    /// By the htpasswd file, which is a setting of its own.
    Htpasswd,
    /// By asking a service.
    Http(Box<AuthBackendSpec>),
    /// By the file of keys, which is a setting of its own; its place does not matter.
    ApiKeys,
}

/// Reads the value of the key `authenticator`.
pub(super) fn read_authenticators(
    value: &DeValue<'_>,
    place: usize,
    origin: &dyn Fn(usize) -> ConfigOrigin,
    faults: &mut TableErrors,
) -> Vec<AuthenticatorConfig> {
    let DeValue::Array(tables) = value else {
        faults.push((place, "write a list of tables: [[authenticator]]".into()));
        return Vec::new();
    };
    let mut chain: Vec<AuthenticatorConfig> = Vec::new();
    // Asked alone, and so without a place among the others.
    let mut keys: Option<AuthenticatorConfig> = None;
    let before = faults.len();
    for table in tables {
        let place = table.span().start;
        let DeValue::Table(fields) = table.get_ref() else {
            faults.push((place, "write a table: [[authenticator]]".into()));
            continue;
        };
        let Some(mut one) = read_authenticator(fields, place, &chain, faults) else { continue };
        one.origin = origin(place);
        if chain.iter().chain(&keys).any(|other| other.name == one.name) {
            faults
                .push((place, format!("there are two authenticators called {}; give each a name", one.name)));
        }
        let alike =
            |kind: &AuthenticatorType| std::mem::discriminant(kind) == std::mem::discriminant(&one.kind);
        if !matches!(one.kind, AuthenticatorType::Http(_))
            && chain.iter().chain(&keys).any(|other| alike(&other.kind))
        {
            let kind = if matches!(one.kind, AuthenticatorType::ApiKeys) { "api_keys" } else { "htpasswd" };
            faults.push((place, format!("there are two of type {kind}, and it has one file")));
        }
        if matches!(one.kind, AuthenticatorType::ApiKeys) { keys = Some(one) } else { chain.push(one) }
    }
    chain.extend(keys);
    if chain.len() > AUTHENTICATORS_MAX {
        faults.push((place, format!("there are more than {AUTHENTICATORS_MAX} authenticators")));
    }
    if chain.is_empty() && faults.len() == before {
        faults.push((
            place,
            "there is no authenticator in it; leave it out for the htpasswd file alone".into(),
        ));
    }
    chain
}

fn read_authenticator(
    fields: &DeTable<'_>,
    place: usize,
    earlier: &[AuthenticatorConfig],
    faults: &mut TableErrors,
) -> Option<AuthenticatorConfig> {
    let mut fields = fields.clone();
    let kind = match fields.remove("type") {
        Some(kind) => kind,
        None => {
            faults.push((place, "type is missing; it is \"htpasswd\", \"http\" or \"api_keys\"".into()));
            return None;
        }
    };
    match kind.get_ref().as_str() {
        Some("htpasswd") => {
            let raw: raw::RawHtpasswdTable = deserialize(fields, place, faults)?;
            let name = read_name(raw.name.as_ref(), "htpasswd", faults);
            let covers = read_fallback_for(&raw.fallback_for, earlier, faults);
            Some(AuthenticatorConfig {
                name,
                fallback_for: covers,
                kind: AuthenticatorType::Htpasswd,
                origin: ConfigOrigin::Unset,
            })
        }
        Some("api_keys") => {
            let raw: raw::RawApiKeysTable = deserialize(fields, place, faults)?;
            let name = read_name(raw.name.as_ref(), "api_keys", faults);
            let (covers, origin) = (AuthenticatorSet::default(), ConfigOrigin::Unset);
            Some(AuthenticatorConfig { name, fallback_for: covers, kind: AuthenticatorType::ApiKeys, origin })
        }
        Some("http") => {
            let raw: raw::RawHttpTable = deserialize(fields, place, faults)?;
            let name = read_name(raw.name.as_ref(), "http", faults);
            let covers = read_fallback_for(&raw.fallback_for, earlier, faults);
            let spec = http::read_http_table(&raw, Arc::clone(&name), faults)?;
            Some(AuthenticatorConfig {
                name,
                fallback_for: covers,
                kind: AuthenticatorType::Http(Box::new(spec)),
                origin: ConfigOrigin::Unset,
            })
        }
        _ => {
            faults.push((kind.span().start, "the type is \"htpasswd\", \"http\" or \"api_keys\"".into()));
            None
        }
    }
}

fn read_fallback_for(
    given: &[Spanned<String>],
    earlier: &[AuthenticatorConfig],
    faults: &mut TableErrors,
) -> AuthenticatorSet {
    let covers = find_earlier_authenticators(given, earlier, faults);
    let covered = |one: &AuthenticatorConfig| given.iter().any(|name| **name.get_ref() == *one.name);
    for name in given {
        let between = earlier.iter().skip_while(|one| *one.name != **name.get_ref()).skip(1);
        let in_the_way =
            between.filter(|one| matches!(one.kind, AuthenticatorType::Http(_)) && !covered(one));
        let Some(place) = earlier.iter().position(|one| *one.name == **name.get_ref()) else { continue };
        let itself = AuthenticatorSet::default().with(place);
        if let Some(one) = in_the_way.into_iter().find(|one| !one.fallback_for.contains_all(itself)) {
            let what = format!(
                "{} stands between, and could have said no: cover for it too, or have it cover for {}",
                one.name,
                name.get_ref()
            );
            faults.push((offset(name), what));
        }
    }
    covers
}

fn find_earlier_authenticators(
    given: &[Spanned<String>],
    earlier: &[AuthenticatorConfig],
    faults: &mut TableErrors,
) -> AuthenticatorSet {
    given.iter().fold(AuthenticatorSet::default(), |covers, one| {
        match earlier.iter().position(|other| *other.name == **one.get_ref()) {
            Some(place) => covers.with(place),
            None => {
                faults.push((offset(one), "covers names authenticators that are asked before".into()));
                covers
            }
        }
    })
}

#[cfg(test)]
#[path = "authenticator_tests.rs"]
mod tests;
