//! What the policy makes of the registry's tokens: what goes into one, and what one permits that is shown to
//! doorward itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::backend_uri::backend_uri;
use super::denial::{Denied, Refused};
use super::rule::Subject;
use super::rules::Rules;
use super::{Grant, OPEN, Policy, as_subject, in_force, memberships};
use crate::authn::Identity;
use crate::permissions::{Actions, Object};
use crate::request::grammar::is_name;
use crate::request::registry::{Asked, CATALOG_SCOPE, Target};
use crate::request::subrequest::Subrequest;
use crate::token::claims::{Access, Claims};
use crate::token::scope::{On, Scope};

/// Why a token does not do for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lacking {
    /// The request is not let through, with another token either.
    Denied(Denied),
    /// A token that permits more would do.
    Scope(TokenLacks),
}

/// What a token lacks for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenLacks {
    /// The scope, as the registry's token protocol writes it; empty for `/v2/`, which needs none.
    pub scope: String,
    /// Whether the token is for another host, where all of it may be permitted.
    pub is_of_other_host: bool,
    /// Whether the token names a user. A client without a user is asked to log in.
    pub has_user: bool,
}

/// What is granted of what was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// What a token may say.
    pub access: Vec<Access>,
    /// What is not granted of it. What no request can be about is left out.
    pub denied: Vec<Access>,
}

impl Policy {
    /// What `identity`, or nobody, is given of what is asked for: never more than a request would be
    /// permitted.
    ///
    /// # Errors
    /// If the proxy does not say where the client is, or which host it asked.
    pub fn access(
        &self,
        identity: Option<&Identity>,
        request: &Subrequest<'_>,
        scopes: &[Scope<'_>],
    ) -> Result<Granted, Denied> {
        let host = request.host_name()?;
        let (file, rules) = (self.groups.load(), self.rules.load());
        // Without a policy every user may do everything, and nobody else anything.
        let open = identity.map(|_| &*OPEN);
        let rules = in_force(rules.as_deref(), identity).or(open);
        as_subject(memberships(&file, identity), identity, request, |subject| {
            let granted = |on: &On<'_>, wanted| match (rules, on) {
                (None, _) => Actions::default(),
                (Some(rules), On::Catalog) => rules.granted(subject, &host, &Object::Catalog, wanted),
                (Some(rules), On::Repository(name)) => granted_in(rules, subject, &host, name, wanted),
            };
            let mut all = Granted::default();
            for (scope, wanted) in scopes.iter().filter_map(|scope| Some((scope, scope.wanted.as_ref()?))) {
                let actions = granted(&wanted.on, wanted.actions);
                all.access.extend(access(scope, &wanted.on, actions));
                if is_object(&wanted.on) {
                    all.denied.extend(access(scope, &wanted.on, wanted.actions.without(actions)));
                }
            }
            Ok(all)
        })
    }

    /// What a token permits of a request that came with it. The policy was asked when it was issued, for one
    /// host; what it denies by now is denied all the same.
    pub fn authorize_token(
        &self,
        claims: &Claims,
        identity: Option<Arc<Identity>>,
        request: &Subrequest<'_>,
    ) -> Result<Grant, Lacking> {
        let (file, rules) = (self.groups.load(), self.rules.load());
        let original = request.original().map_err(|incomplete| Lacking::Denied(incomplete.into()))?;
        let host = original.host().map_err(unreadable)?;
        let rules: &Rules = rules.as_deref().unwrap_or(&OPEN);
        if !rules.is_registry(host, original.rewrites()) {
            return Err(unreadable("a token is for a registry, and this host is none"));
        }
        let asked = original.registry().map_err(unreadable)?;
        check_name(asked)?;
        let token = Token { claims, is_current: self.is_current(claims), is_here: claims.host == host };
        token.check(asked)?;
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
                None => Mount::Decided(Ok(())),
                Some(source) if token.grants(source, Actions::PULL) => {
                    Mount::Decided(of(source, Actions::PULL))
                }
                Some(source)
                    if !token.denies(source, Actions::PULL)
                        && !granted_in(rules, subject, host, source, Actions::PULL).is_empty() =>
                {
                    Mount::WithAnotherToken(source)
                }
                Some(source) => Mount::Decided(Err(Box::new(Refused {
                    repository: Some(source.to_owned()),
                    actions: Actions::PULL,
                    by_token: token.denies(source, Actions::PULL),
                    ..Refused::default()
                }))),
            })
        })
        .map_err(Lacking::Denied)?;
        let mount = match mount {
            Mount::Decided(mount) => mount,
            Mount::WithAnotherToken(source) => return Err(token.lacks(Some(source), Actions::PULL)),
        };
        let uri = backend_uri(asked, host, mount, original.rewrites()).map_err(|refused| {
            if refused.unreadable.is_some() || refused.by_token || refused.denied_by.is_some() {
                return Lacking::Denied(Denied::NotPermitted(refused));
            }
            token.lacks(asked.source.as_ref().map(|source| &*source.repository), Actions::PULL)
        })?;
        Ok(Grant { identity, groups: Box::default(), uri, stale: false, upstream: None })
    }

    /// Whether a token was issued under the rules and groups in force.
    fn is_current(&self, claims: &Claims) -> bool {
        let changed = self.changed.load(Ordering::Acquire);
        changed == 0 || claims.iat > changed
    }
}

/// What becomes of a mount.
enum Mount<'r> {
    /// It goes on, or goes on as an upload.
    Decided(Result<(), Box<Refused>>),
    /// The policy grants this user a pull on the source, and the token does not say so.
    WithAnotherToken(&'r str),
}

/// A token that came with a request.
struct Token<'t> {
    claims: &'t Claims,
    /// Whether it was issued under the rules in force.
    is_current: bool,
    /// Whether it is for the host that was asked.
    is_here: bool,
}

impl Token<'_> {
    /// Checks that the token permits what is asked for, the source of a mount aside.
    ///
    /// # Errors
    /// What it lacks. If just this was not granted when the token was issued, another token would lack it too: the
    /// client is denied, rather than sent to `/token` for ever.
    fn check(&self, asked: &Asked<'_>) -> Result<(), Lacking> {
        let (name, granted) = match asked.target {
            // Whoever has a token has been there.
            Target::Ping if self.is_here => return Ok(()),
            Target::Ping => (None, Actions::default()),
            Target::Catalog => (None, catalog(&self.claims.access)),
            Target::Repository(name) => (Some(name), on(&self.claims.access, name)),
        };
        let granted = if self.is_here { granted } else { Actions::default() };
        let missing = asked.actions.without(granted);
        if missing.is_empty() && self.is_here {
            return Ok(());
        }
        let denied = match name {
            None => catalog(&self.claims.denied).common(missing),
            Some(name) => on(&self.claims.denied, name).common(missing),
        };
        if denied.is_empty() || !self.is_here || !self.is_current || !self.has_user() {
            return Err(self.lacks(name, missing));
        }
        let repository = name.map(str::to_owned);
        let refused = Refused { repository, actions: denied, by_token: true, ..Refused::default() };
        Err(Lacking::Denied(Denied::NotPermitted(Box::new(refused))))
    }

    fn has_user(&self) -> bool {
        !self.claims.sub.is_empty()
    }

    fn grants(&self, repository: &str, wanted: Actions) -> bool {
        wanted.without(on(&self.claims.access, repository)).is_empty()
    }

    /// Whether one of these actions was not granted when the token was issued, under the rules in force.
    fn denies(&self, repository: &str, wanted: Actions) -> bool {
        self.is_current && !on(&self.claims.denied, repository).common(wanted).is_empty()
    }

    /// The answer to a client that lacks these actions in a repository, or else in the list of all of them.
    fn lacks(&self, repository: Option<&str>, missing: Actions) -> Lacking {
        let scope = match repository {
            Some(name) => format!("repository:{name}:{}", missing.names().collect::<Vec<_>>().join(",")),
            None if missing == Actions::CATALOG => CATALOG_SCOPE.to_owned(),
            None => String::new(),
        };
        Lacking::Scope(TokenLacks { scope, has_user: self.has_user(), is_of_other_host: !self.is_here })
    }
}

/// Refuses a malformed repository name: no token is for one.
fn check_name(asked: &Asked<'_>) -> Result<(), Lacking> {
    match (asked.target, asked.malformed) {
        (Target::Repository(name), Some(malformed)) if !is_name(name) => Err(unreadable(malformed.why)),
        (Target::Ping | Target::Catalog | Target::Repository(_), _) => Ok(()),
    }
}

fn unreadable(why: &'static str) -> Lacking {
    Lacking::Denied(Denied::unreadable(why))
}

fn granted_in(rules: &Rules, subject: &Subject<'_>, host: &str, name: &str, wanted: Actions) -> Actions {
    if !is_name(name) {
        return Actions::default();
    }
    let segments: Vec<&str> = name.split('/').collect();
    rules.granted(subject, host, &Object::Repository(&segments), wanted)
}

/// Whether a request can be about this.
fn is_object(on: &On<'_>) -> bool {
    match on {
        On::Catalog => true,
        On::Repository(name) => is_name(name),
    }
}

fn access(scope: &Scope<'_>, on: &On<'_>, actions: Actions) -> Option<Access> {
    if actions.is_empty() {
        return None;
    }
    let actions = match on {
        // Registries look for this word, and no other.
        On::Catalog => vec!["*".to_owned()],
        On::Repository(_) => actions.names().map(str::to_owned).collect(),
    };
    Some(Access { kind: scope.kind.to_owned(), name: scope.name.to_owned(), actions })
}

/// What `access` has of the list of all repositories.
fn catalog(access: &[Access]) -> Actions {
    let is_all = |one: &Access| {
        one.kind == "registry" && one.name == "catalog" && one.actions.iter().any(|action| action == "*")
    };
    if access.iter().any(is_all) { Actions::CATALOG } else { Actions::default() }
}

/// What `access` has of a repository.
fn on(access: &[Access], repository: &str) -> Actions {
    let of = access.iter().filter(|access| access.kind == "repository" && access.name == repository);
    let known = of.flat_map(|access| &access.actions).filter_map(|action| Actions::named(action));
    known.fold(Actions::default(), Actions::and)
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
