//! The compiled policy: from who asks for what to yes or no, and to the rule that said so.

use std::collections::BTreeSet;

use super::backend_uri::backend_uri;
use super::denial::Refused;
use super::index::Index;
use super::rule::{Effect, Everybody, Rule, Subject};
use crate::permissions::{Actions, Object, On};
use crate::request::grammar::is_name;
use crate::request::registry::{Asked, Target};
use crate::request::site;

/// Which hosts are registries; the others are sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registries {
    /// All of them, or none.
    All(bool),
    /// Nothing tells: those of which the proxy says so.
    Unsaid,
    /// There is no policy: those of which the proxy says so. If it says nothing, a request is judged both as a
    /// registry's and as a site's, and one of the two must be permitted.
    Either,
    /// These, in lower case.
    Hosts(Box<[Box<str>]>),
}

/// What the rules say of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is permitted.
    Allowed {
        /// What the backend must be asked for instead.
        uri: Option<String>,
    },
    /// It is not.
    Refused(Box<Refused>),
}

/// Rules that were read without a fault.
#[derive(Debug)]
pub struct Rules {
    rules: Vec<Rule>,
    index: Index,
    registries: Registries,
}

struct Sum {
    granted: Actions,
    denied: Option<(u32, Actions)>,
}

impl Rules {
    /// Compiles them.
    ///
    /// # Errors
    /// The line of the rule with which there are too many, see [`crate::policy::index::PLACES_MAX`].
    pub fn new(rules: Vec<Rule>, registries: Registries) -> Result<Self, usize> {
        Ok(Self { index: Index::build(&rules)?, rules, registries })
    }

    /// What is in force without a policy: every user may do everything.
    pub fn open() -> Self {
        let rule = Rule {
            line: 0,
            effect: Effect::Grant,
            users: Box::default(),
            groups: Box::default(),
            everybody: Everybody::Authenticated,
            networks: Box::default(),
            hosts: Box::default(),
            on: On::Everything,
        };
        // One rule has two places.
        let index = Index::build(std::slice::from_ref(&rule)).unwrap_or_default();
        Self { rules: vec![rule], index, registries: Registries::Either }
    }

    /// In the order of the file.
    pub fn all(&self) -> &[Rule] {
        &self.rules
    }

    /// Which hosts are registries.
    pub fn registries(&self) -> &Registries {
        &self.registries
    }

    /// Whether a host is a registry; `said` is what the proxy says.
    pub fn is_registry(&self, host: &str, said: bool) -> bool {
        match &self.registries {
            Registries::All(all) => *all,
            Registries::Unsaid | Registries::Either => said,
            Registries::Hosts(hosts) => hosts.iter().any(|known| **known == *host),
        }
    }

    /// Both readings of an encoded slash have to be permitted.
    pub(super) fn judge_path(
        &self,
        subject: &Subject<'_>,
        host: &str,
        segments: &[&str],
        method: &str,
    ) -> Decided {
        let judge =
            |segments| self.judge_actions(subject, host, &Object::Path(segments, method), Actions::PULL);
        judge(segments)?;
        if !segments.iter().any(|segment| segment.contains(site::SLASH)) {
            return Ok(());
        }
        let parted: Vec<&str> = segments.iter().flat_map(|segment| segment.split(site::SLASH)).collect();
        judge(&parted)
    }

    /// The URI to ask for instead, if it has to be another.
    pub(super) fn judge_registry(
        &self,
        subject: &Subject<'_>,
        host: &str,
        asked: &Asked<'_>,
        rewrites: bool,
    ) -> Result<Option<String>, Box<Refused>> {
        match asked.target {
            Target::Ping => self.judge_ping(subject, host)?,
            Target::Catalog => self.judge_actions(subject, host, &Object::Catalog, asked.actions)?,
            Target::Repository(name) => self.judge_repository(subject, host, name, asked.actions)?,
        }
        let mount = match &asked.source {
            Some(source) => self.judge_repository(subject, host, &source.repository, Actions::PULL),
            None => Ok(()),
        };
        backend_uri(asked, host, mount, rewrites)
    }

    /// The denial that is about this, whatever is granted.
    pub(super) fn denied(
        &self,
        subject: &Subject<'_>,
        host: &str,
        on: &Object<'_>,
        wanted: Actions,
    ) -> Decided {
        let Some((rule, actions)) = self.sum(subject, host, on, wanted).denied else { return Ok(()) };
        Err(self.denied_by(rule, actions))
    }

    /// What of `wanted` would be permitted, each action by itself, as it is judged for a request.
    pub fn granted(
        &self,
        subject: &Subject<'_>,
        host: &str,
        object: &Object<'_>,
        wanted: Actions,
    ) -> Actions {
        if !self.is_registry(host, true) {
            return Actions::default();
        }
        let alone = Actions::NAMES.into_iter().map(|(action, _)| action.common(wanted));
        alone
            .filter(|action| self.judge_actions(subject, host, object, *action).is_ok())
            .fold(Actions::default(), Actions::and)
    }

    fn judge_repository(&self, subject: &Subject<'_>, host: &str, name: &str, actions: Actions) -> Decided {
        let segments: Vec<&str> = name.split('/').collect();
        self.judge_actions(subject, host, &Object::Repository(&segments), actions).map_err(|mut refused| {
            // A malformed name could not stand in a scope.
            refused.repository = is_name(name).then(|| name.to_owned());
            refused
        })
    }

    /// Whether the credentials are good is told to all who have any, but for those to whom all is
    /// denied.
    fn judge_ping(&self, subject: &Subject<'_>, host: &str) -> Decided {
        let sum = self.sum(subject, host, &Object::Ping, Actions::PULL);
        match sum.denied {
            Some((rule, _)) => Err(self.denied_by(rule, Actions::default())),
            None if subject.user.is_none() => Err(Box::default()),
            None => Ok(()),
        }
    }

    fn denied_by(&self, rule: u32, actions: Actions) -> Box<Refused> {
        let denied_at = usize::try_from(rule).ok().and_then(|at| self.rules.get(at)).map(|rule| rule.line);
        Box::new(Refused { denied_by: Some(rule), denied_at, actions, ..Refused::default() })
    }

    fn judge_actions(
        &self,
        subject: &Subject<'_>,
        host: &str,
        object: &Object<'_>,
        wanted: Actions,
    ) -> Decided {
        let sum = self.sum(subject, host, object, wanted);
        if let Some((rule, actions)) = sum.denied {
            return Err(self.denied_by(rule, actions));
        }
        let missing = wanted.without(sum.granted);
        // Without an action there is nothing that could have been granted.
        if wanted.is_empty() || !missing.is_empty() {
            return Err(Box::new(Refused { actions: missing, ..Refused::default() }));
        }
        let beyond = subject.scope.map_or(Actions::default(), |scope| wanted.without(scope.actions(object)));
        if !beyond.is_empty() {
            return Err(Box::new(Refused { actions: beyond, for_want_of_scope: true, ..Refused::default() }));
        }
        Ok(())
    }

    fn sum(&self, subject: &Subject<'_>, host: &str, object: &Object<'_>, wanted: Actions) -> Sum {
        let mut sum = Sum { granted: Actions::default(), denied: None };
        self.index.candidates(subject, host, object, |number| {
            let Some(rule) = usize::try_from(number).ok().and_then(|at| self.rules.get(at)) else { return };
            let Ok(actions) = rule.applies(subject, host, object) else { return };
            let actions = actions.common(wanted);
            match rule.effect {
                _ if actions.is_empty() => {}
                Effect::Grant => sum.granted = sum.granted.and(actions),
                Effect::Deny => sum.denied = sum.denied.or(Some((number, actions))),
            }
        });
        sum
    }

    /// Whether anything is granted to who has not proved to be anybody.
    pub fn grants_to_anyone(&self) -> bool {
        let open = |rule: &Rule| {
            rule.effect == Effect::Grant && rule.everybody == crate::policy::rule::Everybody::Anyone
        };
        self.rules.iter().any(open)
    }

    /// The line of a denial that names a group, if there is one.
    pub fn denies_groups(&self) -> Option<usize> {
        let denies = |rule: &&Rule| rule.effect == Effect::Deny && !rule.groups.is_empty();
        self.rules.iter().find(denies).map(|rule| rule.line)
    }

    /// Every group that a rule names, once.
    pub fn groups(&self) -> BTreeSet<&[u8]> {
        self.rules.iter().flat_map(|rule| rule.groups.iter().map(|group| &**group)).collect()
    }

    /// Whether a rule about this subject asks where he is.
    pub fn asks_where(&self, subject: &Subject<'_>) -> bool {
        self.rules.iter().any(|rule| !rule.networks.is_empty() && rule.is_about(subject))
    }
}

/// Permitted, or not.
pub(super) type Decided = Result<(), Box<Refused>>;

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
