//! The compiled policy: from who asks for what to yes or no, and to the rule that said so.

use std::collections::BTreeSet;

use super::backend_uri::rewrite_upstream_uri;
use super::denial::PolicyDenial;
use super::index::RuleIndex;
use super::rule::{Effect, Rule, RuleWho, Subject};
use crate::permissions::{Actions, Resource, ResourcePattern};
use crate::request::grammar::is_repository_name;
use crate::request::registry::{RegistryRequest, RegistryTarget};
use crate::request::site;

/// Which hosts are registries; the others are sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryHosts {
    /// All of them, or none.
    All(bool),
    /// Nothing tells: those of which the proxy says so.
    FromProxy,
    /// There is no policy: those of which the proxy says so. If it says nothing, a request is judged both as a
    /// registry's and as a site's, and one of the two must be permitted.
    FromProxyOrBoth,
    /// These, in lower case.
    Hosts(Box<[Box<str>]>),
}

/// What the rules say of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyDecision {
    /// It is permitted.
    Allowed {
        /// What the backend must be asked for instead.
        upstream_uri: Option<String>,
    },
    /// It is not.
    Denied(Box<PolicyDenial>),
}

/// Rules that were read without a fault.
#[derive(Debug)]
pub struct PolicyRules {
    rules: Vec<Rule>,
    index: RuleIndex,
    registries: RegistryHosts,
}

struct MatchedActions {
    granted: Actions,
    denied: Option<(u32, Actions)>,
}

impl PolicyRules {
    /// Compiles them.
    ///
    /// # Errors
    /// The line of the rule with which there are too many, see [`crate::policy::index::PLACES_MAX`].
    pub fn new(rules: Vec<Rule>, registries: RegistryHosts) -> Result<Self, usize> {
        Ok(Self { index: RuleIndex::build(&rules)?, rules, registries })
    }

    /// What is in force without a policy: every user may do everything.
    pub fn allow_authenticated() -> Self {
        let rule = Rule {
            line: 0,
            effect: Effect::Grant,
            users: Box::default(),
            groups: Box::default(),
            who: RuleWho::Authenticated,
            networks: Box::default(),
            hosts: Box::default(),
            resource: ResourcePattern::Everything,
        };
        // One rule has two places.
        let index = RuleIndex::build(std::slice::from_ref(&rule)).unwrap_or_default();
        Self { rules: vec![rule], index, registries: RegistryHosts::FromProxyOrBoth }
    }

    /// In the order of the file.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Which hosts are registries.
    pub fn registries(&self) -> &RegistryHosts {
        &self.registries
    }

    /// Whether a host is a registry; `said` is what the proxy says.
    pub fn is_registry(&self, host: &str, said: bool) -> bool {
        match &self.registries {
            RegistryHosts::All(all) => *all,
            RegistryHosts::FromProxy | RegistryHosts::FromProxyOrBoth => said,
            RegistryHosts::Hosts(hosts) => hosts.iter().any(|known| **known == *host),
        }
    }

    /// Both readings of an encoded slash have to be permitted.
    pub(super) fn evaluate_path(
        &self,
        subject: &Subject<'_>,
        host: &str,
        segments: &[&str],
        method: &str,
    ) -> PermissionResult {
        let judge =
            |segments| self.evaluate_actions(subject, host, &Resource::Path(segments, method), Actions::PULL);
        judge(segments)?;
        if !segments.iter().any(|segment| segment.contains(site::ENCODED_SLASH)) {
            return Ok(());
        }
        let parted: Vec<&str> =
            segments.iter().flat_map(|segment| segment.split(site::ENCODED_SLASH)).collect();
        judge(&parted)
    }

    /// The URI to ask for instead, if it has to be another.
    pub(super) fn evaluate_registry(
        &self,
        subject: &Subject<'_>,
        host: &str,
        asked: &RegistryRequest<'_>,
        rewrites: bool,
    ) -> Result<Option<String>, Box<PolicyDenial>> {
        match asked.target {
            RegistryTarget::Ping => self.evaluate_ping(subject, host)?,
            RegistryTarget::Catalog => {
                self.evaluate_actions(subject, host, &Resource::Catalog, asked.required_actions)?
            }
            RegistryTarget::Repository(name) => {
                self.evaluate_repository(subject, host, name, asked.required_actions)?
            }
        }
        let mount = match &asked.mount_source {
            Some(source) => self.evaluate_repository(subject, host, &source.repository, Actions::PULL),
            None => Ok(()),
        };
        rewrite_upstream_uri(asked, host, mount, rewrites)
    }

    /// The denial that is about this, whatever is granted.
    pub(super) fn deny_header(
        &self,
        subject: &Subject<'_>,
        host: &str,
        on: &Resource<'_>,
        wanted: Actions,
    ) -> PermissionResult {
        let Some((rule, actions)) = self.match_rules(subject, host, on, wanted).denied else { return Ok(()) };
        Err(self.denial_by_rule(rule, actions))
    }

    /// What of `wanted` would be permitted, each action by itself, as it is judged for a request.
    pub fn permitted_actions(
        &self,
        subject: &Subject<'_>,
        host: &str,
        object: &Resource<'_>,
        wanted: Actions,
    ) -> Actions {
        if !self.is_registry(host, true) {
            return Actions::default();
        }
        let alone = Actions::NAMES.into_iter().map(|(action, _)| action.intersection(wanted));
        alone
            .filter(|action| self.evaluate_actions(subject, host, object, *action).is_ok())
            .fold(Actions::default(), Actions::union)
    }

    fn evaluate_repository(
        &self,
        subject: &Subject<'_>,
        host: &str,
        name: &str,
        actions: Actions,
    ) -> PermissionResult {
        let segments: Vec<&str> = name.split('/').collect();
        self.evaluate_actions(subject, host, &Resource::Repository(&segments), actions).map_err(
            |mut refused| {
                // A malformed name could not stand in a scope.
                refused.repository = is_repository_name(name).then(|| name.to_owned());
                refused
            },
        )
    }

    /// Whether the credentials are good is told to all who have any, but for those to whom all is
    /// denied.
    fn evaluate_ping(&self, subject: &Subject<'_>, host: &str) -> PermissionResult {
        let sum = self.match_rules(subject, host, &Resource::Ping, Actions::PULL);
        match sum.denied {
            Some((rule, _)) => Err(self.denial_by_rule(rule, Actions::default())),
            None if subject.user.is_none() => Err(Box::default()),
            None => Ok(()),
        }
    }

    fn denial_by_rule(&self, rule: u32, actions: Actions) -> Box<PolicyDenial> {
        let denied_at = usize::try_from(rule).ok().and_then(|at| self.rules.get(at)).map(|rule| rule.line);
        Box::new(PolicyDenial {
            deny_rule_index: Some(rule),
            deny_rule_line: denied_at,
            denied_actions: actions,
            ..PolicyDenial::default()
        })
    }

    fn evaluate_actions(
        &self,
        subject: &Subject<'_>,
        host: &str,
        object: &Resource<'_>,
        wanted: Actions,
    ) -> PermissionResult {
        let sum = self.match_rules(subject, host, object, wanted);
        if let Some((rule, actions)) = sum.denied {
            return Err(self.denial_by_rule(rule, actions));
        }
        let missing = wanted.difference(sum.granted);
        // Without an action there is nothing that could have been granted.
        if wanted.is_empty() || !missing.is_empty() {
            return Err(Box::new(PolicyDenial { denied_actions: missing, ..PolicyDenial::default() }));
        }
        let beyond = subject
            .api_key_scope
            .map_or(Actions::default(), |scope| wanted.difference(scope.permitted_actions(object)));
        if !beyond.is_empty() {
            return Err(Box::new(PolicyDenial {
                denied_actions: beyond,
                is_outside_api_key_scope: true,
                ..PolicyDenial::default()
            }));
        }
        Ok(())
    }

    fn match_rules(
        &self,
        subject: &Subject<'_>,
        host: &str,
        object: &Resource<'_>,
        wanted: Actions,
    ) -> MatchedActions {
        let mut sum = MatchedActions { granted: Actions::default(), denied: None };
        self.index.for_each_candidate(subject, host, object, |number| {
            let Some(rule) = usize::try_from(number).ok().and_then(|at| self.rules.get(at)) else { return };
            let Ok(actions) = rule.applicable_actions(subject, host, object) else { return };
            let actions = actions.intersection(wanted);
            match rule.effect {
                _ if actions.is_empty() => {}
                Effect::Grant => sum.granted = sum.granted.union(actions),
                Effect::Deny => sum.denied = sum.denied.or(Some((number, actions))),
            }
        });
        sum
    }

    /// Whether anything is granted to who has not proved to be anybody.
    pub fn has_anonymous_grant(&self) -> bool {
        let open =
            |rule: &Rule| rule.effect == Effect::Grant && rule.who == crate::policy::rule::RuleWho::Anyone;
        self.rules.iter().any(open)
    }

    /// The line of a denial that names a group, if there is one.
    pub fn first_group_deny_line(&self) -> Option<usize> {
        let denies = |rule: &&Rule| rule.effect == Effect::Deny && !rule.groups.is_empty();
        self.rules.iter().find(denies).map(|rule| rule.line)
    }

    /// Every group that a rule names, once.
    pub fn referenced_groups(&self) -> BTreeSet<&[u8]> {
        self.rules.iter().flat_map(|rule| rule.groups.iter().map(|group| &**group)).collect()
    }

    /// Whether a rule about this subject asks where he is.
    pub fn has_network_rule_for(&self, subject: &Subject<'_>) -> bool {
        self.rules.iter().any(|rule| !rule.networks.is_empty() && rule.matches_subject(subject))
    }
}

/// Permitted, or not.
pub(super) type PermissionResult = Result<(), Box<PolicyDenial>>;

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
