//! The `[[authenticator]]` tables: who is asked who somebody is, and in which order.
//!
//! Each is read by serde into plain texts and numbers with their places (`raw.rs`), and then checked
//! (`http.rs`, `reading.rs`), so that every fault of a table is told with its line.

mod http;
mod raw;
mod reading;

use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Origin;
use super::tables::{Faults, at, deserialize, name};
use crate::authn::chain::{AUTHENTICATORS_MAX, Covers};
use crate::authn::http::Spec;

/// One authenticator, as it is set.
#[derive(Clone, Debug)]
pub struct Authenticator {
    /// Its name.
    pub name: Arc<str>,
    /// For which earlier ones it is asked when they are in trouble.
    pub covers: Covers,
    /// How it finds out.
    pub kind: Kind,
    /// Where its table begins.
    pub origin: Origin,
}

/// How an authenticator finds out.
#[derive(Clone, Debug)]
pub enum Kind {
    /// By the htpasswd file, which is a setting of its own.
    Htpasswd,
    /// By asking a service.
    Http(Box<Spec>),
    /// By the file of keys, which is a setting of its own; its place does not matter.
    Keys,
}

/// Reads the value of the key `authenticator`.
pub(super) fn read(
    value: &DeValue<'_>,
    place: usize,
    origin: &dyn Fn(usize) -> Origin,
    faults: &mut Faults,
) -> Vec<Authenticator> {
    let DeValue::Array(tables) = value else {
        faults.push((place, "write a list of tables: [[authenticator]]".into()));
        return Vec::new();
    };
    let mut chain: Vec<Authenticator> = Vec::new();
    // Asked alone, and so without a place among the others.
    let mut keys: Option<Authenticator> = None;
    let before = faults.len();
    for table in tables {
        let place = table.span().start;
        let DeValue::Table(fields) = table.get_ref() else {
            faults.push((place, "write a table: [[authenticator]]".into()));
            continue;
        };
        let Some(mut one) = one(fields, place, &chain, faults) else { continue };
        one.origin = origin(place);
        if chain.iter().chain(&keys).any(|other| other.name == one.name) {
            faults
                .push((place, format!("there are two authenticators called {}; give each a name", one.name)));
        }
        let alike = |kind: &Kind| std::mem::discriminant(kind) == std::mem::discriminant(&one.kind);
        if !matches!(one.kind, Kind::Http(_)) && chain.iter().chain(&keys).any(|other| alike(&other.kind)) {
            let kind = if matches!(one.kind, Kind::Keys) { "keys" } else { "htpasswd" };
            faults.push((place, format!("there are two of type {kind}, and it has one file")));
        }
        if matches!(one.kind, Kind::Keys) { keys = Some(one) } else { chain.push(one) }
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

fn one(
    fields: &DeTable<'_>,
    place: usize,
    earlier: &[Authenticator],
    faults: &mut Faults,
) -> Option<Authenticator> {
    let mut fields = fields.clone();
    let kind = match fields.remove("type") {
        Some(kind) => kind,
        None => {
            faults.push((place, "type is missing; it is \"htpasswd\", \"http\" or \"keys\"".into()));
            return None;
        }
    };
    match kind.get_ref().as_str() {
        Some("htpasswd") => {
            let raw: raw::Htpasswd = deserialize(fields, place, faults)?;
            let name = name(raw.name.as_ref(), "htpasswd", faults);
            let covers = covers(&raw.covers, earlier, faults);
            Some(Authenticator { name, covers, kind: Kind::Htpasswd, origin: Origin::Nowhere })
        }
        Some("keys") => {
            let raw: raw::Keys = deserialize(fields, place, faults)?;
            let name = name(raw.name.as_ref(), "keys", faults);
            let (covers, origin) = (Covers::default(), Origin::Nowhere);
            Some(Authenticator { name, covers, kind: Kind::Keys, origin })
        }
        Some("http") => {
            let raw: raw::Http = deserialize(fields, place, faults)?;
            let name = name(raw.name.as_ref(), "http", faults);
            let covers = covers(&raw.covers, earlier, faults);
            let spec = http::spec(&raw, Arc::clone(&name), faults)?;
            Some(Authenticator { name, covers, kind: Kind::Http(Box::new(spec)), origin: Origin::Nowhere })
        }
        _ => {
            faults.push((kind.span().start, "the type is \"htpasswd\", \"http\" or \"keys\"".into()));
            None
        }
    }
}

fn covers(given: &[Spanned<String>], earlier: &[Authenticator], faults: &mut Faults) -> Covers {
    let covers = places(given, earlier, faults);
    let covered = |one: &Authenticator| given.iter().any(|name| **name.get_ref() == *one.name);
    for name in given {
        let between = earlier.iter().skip_while(|one| *one.name != **name.get_ref()).skip(1);
        let in_the_way = between.filter(|one| matches!(one.kind, Kind::Http(_)) && !covered(one));
        let Some(place) = earlier.iter().position(|one| *one.name == **name.get_ref()) else { continue };
        let itself = Covers::default().with(place);
        if let Some(one) = in_the_way.into_iter().find(|one| !one.covers.holds(itself)) {
            let what = format!(
                "{} stands between, and could have said no: cover for it too, or have it cover for {}",
                one.name,
                name.get_ref()
            );
            faults.push((at(name), what));
        }
    }
    covers
}

fn places(given: &[Spanned<String>], earlier: &[Authenticator], faults: &mut Faults) -> Covers {
    given.iter().fold(Covers::default(), |covers, one| {
        match earlier.iter().position(|other| *other.name == **one.get_ref()) {
            Some(place) => covers.with(place),
            None => {
                faults.push((at(one), "covers names authenticators that are asked before".into()));
                covers
            }
        }
    })
}

#[cfg(test)]
#[path = "authenticator_tests.rs"]
mod tests;
