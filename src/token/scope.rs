//! What a client asks a token for: scopes, as the registry's token protocol writes them (distribution's
//! docs/content/spec/auth/scope.md).
//!
//! `repository:team/app:pull,push`. The type may have a class in brackets, which is deprecated and means
//! nothing here (`repository(plugin):…`); the name may begin with a host and its port
//! (`localhost:5000/team/app`); an action may be `*`. Registries compare names letter by letter, so on a name
//! that is none of theirs nothing is given.

use crate::permissions::actions::Actions;

/// The most scopes of one request: a push that mounts from every layer's own repository names some dozen.
pub const SCOPES_MAX: usize = 64;

/// The longest scope.
const SCOPE_BYTES_MAX: usize = 1024;

/// One scope that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenScope<'s> {
    /// As in `repository`, without its class.
    pub kind: &'s str,
    /// As it was written.
    pub name: &'s str,
    /// What it is about, and what is wanted of that; `None` where nobody here can grant anything.
    pub requested: Option<RequestedActions<'s>>,
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedActions<'s> {
    /// On what.
    pub resource: ScopeResource<'s>,
    /// What; `*` is all that there is.
    pub actions: Actions,
    /// Whether it was asked for by `*`.
    pub all: bool,
}

/// On what something is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeResource<'s> {
    /// A repository.
    Repository(&'s str),
    /// The list of all of them (`registry:catalog:*`).
    Catalog,
}

/// Reads one scope; `None` if its name is empty, as in zot's challenge for a request that names no repository
/// (`repository::pull`): nothing can be granted of it, and it spoils no other scope.
///
/// # Errors
/// What is wrong with it.
pub fn parse_scope(text: &str) -> Result<Option<TokenScope<'_>>, &'static str> {
    if text.len() > SCOPE_BYTES_MAX {
        return Err("a scope is longer than 1024 bytes");
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("a scope has a character that no scope has");
    }
    // The name has colons of its own, where it begins with a host.
    let shape = "a scope is TYPE:NAME:ACTIONS, as in repository:team/app:pull";
    let (kind, rest) = text.split_once(':').ok_or(shape)?;
    let (name, actions) = rest.rsplit_once(':').ok_or(shape)?;
    let kind = kind.split_once('(').map_or(Ok(kind), |(kind, class)| {
        let well = class.strip_suffix(')').is_some_and(|class| class.bytes().all(is_word));
        if well { Ok(kind) } else { Err(shape) }
    })?;
    if kind.is_empty() || !kind.bytes().all(is_word) || name.matches(':').count() > 1 {
        return Err(shape);
    }
    let known = |action: &str| action == "*" || action.bytes().all(|b| b.is_ascii_lowercase());
    if !actions.split(',').all(known) {
        return Err("an action is written in lower-case letters, or *");
    }
    Ok((!name.is_empty()).then(|| TokenScope {
        kind,
        name,
        requested: parse_requested_actions(kind, name, actions),
    }))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn parse_requested_actions<'s>(kind: &str, name: &'s str, actions: &str) -> Option<RequestedActions<'s>> {
    let all = actions.split(',').any(|action| action == "*");
    let (on, most) = match kind {
        "repository" => {
            (ScopeResource::Repository(name), Actions::PULL.union(Actions::PUSH).union(Actions::DELETE))
        }
        "registry" if name == "catalog" => (ScopeResource::Catalog, Actions::CATALOG),
        _ => return None,
    };
    let named = actions.split(',').filter_map(Actions::from_name);
    let named = named.fold(Actions::default(), Actions::union).intersection(most);
    Some(RequestedActions { resource: on, actions: if all { most } else { named }, all })
}

/// Reads the scopes of one request: of several parameters, each of which may hold several with spaces between
/// (oauth.md writes them so, token.md repeats the parameter). Each once, in their order.
///
/// # Errors
/// What is wrong with one of them, or that they are too many.
pub fn parse_scopes<'s>(
    parameters: impl Iterator<Item = &'s str>,
) -> Result<Vec<TokenScope<'s>>, &'static str> {
    let mut scopes: Vec<TokenScope<'s>> = Vec::new();
    for text in parameters.flat_map(|parameter| parameter.split(' ')).filter(|text| !text.is_empty()) {
        let Some(scope) = parse_scope(text)? else { continue };
        match scopes.iter_mut().find(|other| other.kind == scope.kind && other.name == scope.name) {
            Some(known) => merge_scope(known, scope),
            None => scopes.push(scope),
        }
        if scopes.len() > SCOPES_MAX {
            return Err("more than 64 scopes are asked for");
        }
    }
    Ok(scopes)
}

fn merge_scope(known: &mut TokenScope<'_>, other: TokenScope<'_>) {
    if let (Some(known), Some(other)) = (&mut known.requested, other.requested) {
        known.actions = known.actions.union(other.actions);
        known.all |= other.all;
    }
}

#[cfg(test)]
#[path = "scope_tests.rs"]
mod tests;
