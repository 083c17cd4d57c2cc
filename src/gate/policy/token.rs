//! What the policy makes of the registry's tokens: what goes into one, and what one permits that is shown to
//! doorward itself.

use std::sync::Arc;

use super::registry::{Asked, Target, backend_uri};
use super::rules::{Refused, Rules};
use super::{Grant, OPEN, Policy, Subrequest, as_subject, in_force, memberships};
use crate::authn::Identity;
use crate::gate::policy::grammar::is_name;
use crate::gate::verdict::Denied;
use crate::rights::{Actions, Object};
use crate::token::claims::{Access, Claims};
use crate::token::scope::{On, Scope};

/// Why a token does not do for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lacking {
    /// The request itself is not let through, whoever asks.
    Denied(Denied),
    /// A token that permits more would do.
    Scope,
}

impl Policy {
    /// What `identity`, or nobody, is given of what is asked for: never more than a request would be
    /// permitted. What nothing is given of is left out.
    ///
    /// # Errors
    /// If the proxy does not say where the client is, or which host it asked.
    pub fn access(
        &self,
        identity: Option<&Identity>,
        request: &Subrequest<'_>,
        scopes: &[Scope<'_>],
    ) -> Result<Vec<Access>, Denied> {
        let host = request.host_name()?;
        let (file, rules) = (self.groups.load(), self.rules.load());
        // Without a policy every user may do everything, and nobody else anything.
        let open = identity.map(|_| &*OPEN);
        let Some(rules) = in_force(rules.as_deref(), identity).or(open) else { return Ok(Vec::new()) };
        as_subject(memberships(&file, identity), identity, request, |subject| {
            let granted = |on: &On<'_>, wanted| match on {
                On::Catalog => rules.granted(subject, &host, &Object::Catalog, wanted),
                On::Repository(name) if is_name(name) => {
                    let segments: Vec<&str> = name.split('/').collect();
                    rules.granted(subject, &host, &Object::Repository(&segments), wanted)
                }
                On::Repository(_) => Actions::default(),
            };
            Ok(scopes.iter().filter_map(|scope| access(scope, granted)).collect())
        })
    }

    /// What a token permits of a request that came with it. The policy was asked when it was given out, for one
    /// host; what it denies by now is denied all the same.
    pub fn authorize_token(
        &self,
        claims: &Claims,
        identity: Option<Arc<Identity>>,
        request: &Subrequest<'_>,
    ) -> Result<Grant, Lacking> {
        let (file, rules) = (self.groups.load(), self.rules.load());
        let original = request.original().map_err(Lacking::Denied)?;
        let host = original.host().map_err(unreadable)?;
        let rules: &Rules = rules.as_deref().unwrap_or(&OPEN);
        if !rules.is_registry(host, original.rewrites()) {
            return Err(unreadable("a token is for a registry, and this host is none"));
        }
        let asked = original.registry().map_err(unreadable)?;
        // No token is for such a name.
        if let (Target::Repository(name), Some(malformed)) = (asked.target, asked.malformed)
            && !is_name(name)
        {
            return Err(unreadable(malformed.why));
        }
        if claims.host != host || !permits(claims, asked) {
            return Err(Lacking::Scope);
        }
        let who = identity.as_deref();
        let mount = as_subject(memberships(&file, who), who, request, |subject| {
            let of = |name: &str, wanted| {
                let segments: Vec<&str> = name.split('/').collect();
                let denied = rules.denied(subject, host, &Object::Repository(&segments), wanted);
                denied.map_err(|refused| Box::new(Refused { repository: Some(name.to_owned()), ..*refused }))
            };
            let denied = match asked.target {
                Target::Ping => rules.denied(subject, host, &Object::Ping, Actions::PULL),
                Target::Catalog => rules.denied(subject, host, &Object::Catalog, asked.actions),
                Target::Repository(name) => of(name, asked.actions),
            };
            denied.map_err(Denied::NotPermitted)?;
            // What may not be pulled any more may not be mounted from either.
            Ok(match asked.source.as_ref().map(|source| &*source.repository) {
                None => Ok(()),
                Some(source) if has(claims, "repository", source, Actions::PULL) => of(source, Actions::PULL),
                Some(_) => Err(Box::default()),
            })
        })
        .map_err(Lacking::Denied)?;
        let uri = backend_uri(asked, host, mount, original.rewrites()).map_err(|refused| {
            if refused.unreadable.is_some() {
                Lacking::Denied(Denied::NotPermitted(refused))
            } else {
                Lacking::Scope
            }
        })?;
        Ok(Grant { identity, groups: Box::default(), uri, stale: false, upstream: None })
    }
}

fn unreadable(why: &'static str) -> Lacking {
    Lacking::Denied(Denied::unreadable(why))
}

fn access(scope: &Scope<'_>, granted: impl Fn(&On<'_>, Actions) -> Actions) -> Option<Access> {
    let wanted = scope.wanted.as_ref()?;
    let actions = granted(&wanted.on, wanted.actions);
    if actions.is_empty() {
        return None;
    }
    let actions = match wanted.on {
        // Registries look for this word, and no other.
        On::Catalog => vec!["*".to_owned()],
        On::Repository(_) => actions.names().map(str::to_owned).collect(),
    };
    Some(Access { kind: scope.kind.to_owned(), name: scope.name.to_owned(), actions })
}

fn permits(claims: &Claims, asked: &Asked<'_>) -> bool {
    match asked.target {
        // Whoever has a token has been there.
        Target::Ping => true,
        Target::Catalog => {
            let all = |access: &Access| access.actions.iter().any(|action| action == "*");
            claims.access.iter().any(|one| one.kind == "registry" && one.name == "catalog" && all(one))
        }
        Target::Repository(name) => has(claims, "repository", name, asked.actions),
    }
}

fn has(claims: &Claims, kind: &str, name: &str, wanted: Actions) -> bool {
    let of = claims.access.iter().filter(|access| access.kind == kind && access.name == name);
    let known = of.flat_map(|access| &access.actions).filter_map(|action| Actions::named(action));
    wanted.without(known.fold(Actions::default(), Actions::and)).is_empty()
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
