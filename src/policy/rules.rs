//! The compiled rules of a policy, and their evaluation for a subject and a resource.

use std::collections::BTreeSet;

use super::denial::PolicyDenial;
use super::index::RuleIndex;
use super::rule::{Effect, Rule, RuleWho, Subject};
use super::upstream_uri::rewrite_upstream_uri;
use crate::permissions::actions::Actions;
use crate::permissions::resource::{Resource, ResourcePattern};
use crate::request::endpoint::RegistryTarget;
use crate::request::grammar::is_repository_name;
use crate::request::registry::RegistryRequest;
use crate::request::site;

/// The hosts that are registries. All other hosts are sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RegistryHosts {
    /// Every host.
    All,
    /// No host.
    None,
    /// The hosts for which the proxy declares a registry.
    FromProxy,
    /// The hosts for which the proxy declares a registry, if there is no policy. If the proxy declares nothing, a
    /// request is evaluated both as a registry request and as a site request, and one of the two must be permitted.
    FromProxyOrBoth,
    /// The listed hosts, in lower case.
    Hosts(Box<[Box<str>]>),
}

/// The decision of the rules on a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PolicyDecision {
    /// The request is permitted.
    Allowed {
        /// The URI that the upstream must receive, if it differs from the client's URI.
        upstream_uri: Option<String>,
    },
    /// The request is denied.
    Denied(Box<PolicyDenial>),
}

/// The rules of a valid policy file, with their index.
#[derive(Debug)]
pub(crate) struct PolicyRules {
    rules: Vec<Rule>,
    index: RuleIndex,
    registries: RegistryHosts,
}

/// The actions that the matching rules grant and deny.
struct MatchedActions {
    granted: Actions,
    /// The number of the first matching denial, and the actions that it denies.
    denied: Option<(u32, Actions)>,
}

impl PolicyRules {
    /// Compiles the rules.
    ///
    /// # Errors
    /// Returns the line of the rule that exceeds [`crate::policy::index::INDEX_ENTRIES_MAX`].
    pub(crate) fn new(rules: Vec<Rule>, registries: RegistryHosts) -> Result<Self, usize> {
        Ok(Self { index: RuleIndex::build(&rules)?, rules, registries })
    }

    /// Returns the rules that apply without a policy: every user may do everything.
    pub(crate) fn allow_authenticated() -> Self {
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
        // One rule has two index entries, so the build cannot fail.
        let index = RuleIndex::build(std::slice::from_ref(&rule)).unwrap_or_default();
        Self { rules: vec![rule], index, registries: RegistryHosts::FromProxyOrBoth }
    }

    /// Returns the rules in the order of the file.
    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Returns the hosts that are registries.
    pub(crate) fn registries(&self) -> &RegistryHosts {
        &self.registries
    }

    /// Returns true if a host is a registry. `is_declared` is true if the proxy declares one.
    pub(crate) fn is_registry(&self, host: &str, is_declared: bool) -> bool {
        match &self.registries {
            RegistryHosts::All => true,
            RegistryHosts::None => false,
            RegistryHosts::FromProxy | RegistryHosts::FromProxyOrBoth => is_declared,
            RegistryHosts::Hosts(hosts) => hosts.iter().any(|known| **known == *host),
        }
    }

    /// Evaluates a request for a path of a site. If a segment has an encoded slash, the path must be permitted with the
    /// slash both encoded and decoded.
    pub(super) fn evaluate_path(
        &self,
        subject: &Subject<'_>,
        host: &str,
        segments: &[&str],
        method: &str,
    ) -> PermissionResult {
        let evaluate =
            |segments| self.evaluate_actions(subject, host, &Resource::Path(segments, method), Actions::PULL);
        evaluate(segments)?;
        if !segments.iter().any(|segment| segment.contains(site::ENCODED_SLASH)) {
            return Ok(());
        }
        let decoded: Vec<&str> =
            segments.iter().flat_map(|segment| segment.split(site::ENCODED_SLASH)).collect();
        evaluate(&decoded)
    }

    /// Evaluates a request to a registry. Returns the URI that the registry must receive, if it differs from the
    /// client's URI.
    pub(super) fn evaluate_registry(
        &self,
        subject: &Subject<'_>,
        host: &str,
        request: &RegistryRequest<'_>,
        can_rewrite: bool,
    ) -> Result<Option<String>, Box<PolicyDenial>> {
        match request.target {
            RegistryTarget::Ping => self.evaluate_ping(subject, host)?,
            RegistryTarget::Catalog => {
                self.evaluate_actions(subject, host, &Resource::Catalog, request.required_actions)?
            }
            RegistryTarget::Repository(name) => {
                self.evaluate_repository(subject, host, name, request.required_actions)?
            }
        }
        let mount = match &request.mount_source {
            Some(source) => self.evaluate_repository(subject, host, &source.repository, Actions::PULL),
            None => Ok(()),
        };
        rewrite_upstream_uri(request, host, mount, can_rewrite)
    }

    /// Checks that no `[[deny]]` applies to a request, regardless of the grants.
    pub(super) fn check_not_denied(
        &self,
        subject: &Subject<'_>,
        host: &str,
        resource: &Resource<'_>,
        required: Actions,
    ) -> PermissionResult {
        match self.match_rules(subject, host, resource, required).denied {
            Some((rule, actions)) => Err(self.denial_by_rule(rule, actions)),
            None => Ok(()),
        }
    }

    /// Returns the actions of `requested` that are permitted. Each action is evaluated as for a request.
    pub(crate) fn permitted_actions(
        &self,
        subject: &Subject<'_>,
        host: &str,
        resource: &Resource<'_>,
        requested: Actions,
    ) -> Actions {
        if !self.is_registry(host, true) {
            return Actions::default();
        }
        Actions::NAMES
            .into_iter()
            .map(|(action, _)| action.intersection(requested))
            .filter(|action| self.evaluate_actions(subject, host, resource, *action).is_ok())
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
            |mut denial| {
                // A malformed name cannot be part of a scope.
                denial.repository = is_repository_name(name).then(|| name.to_owned());
                denial
            },
        )
    }

    /// Evaluates a request for `/v2/`. Every authenticated user is permitted, unless a denial without a resource applies.
    fn evaluate_ping(&self, subject: &Subject<'_>, host: &str) -> PermissionResult {
        let matched = self.match_rules(subject, host, &Resource::Ping, Actions::PULL);
        match matched.denied {
            Some((rule, _)) => Err(self.denial_by_rule(rule, Actions::default())),
            None if subject.user.is_none() => Err(Box::default()),
            None => Ok(()),
        }
    }

    fn denial_by_rule(&self, rule: u32, actions: Actions) -> Box<PolicyDenial> {
        let line = usize::try_from(rule).ok().and_then(|at| self.rules.get(at)).map(|rule| rule.line);
        Box::new(PolicyDenial {
            deny_rule_index: Some(rule),
            deny_rule_line: line,
            denied_actions: actions,
            ..PolicyDenial::default()
        })
    }

    fn evaluate_actions(
        &self,
        subject: &Subject<'_>,
        host: &str,
        resource: &Resource<'_>,
        required: Actions,
    ) -> PermissionResult {
        let matched = self.match_rules(subject, host, resource, required);
        if let Some((rule, actions)) = matched.denied {
            return Err(self.denial_by_rule(rule, actions));
        }
        let missing = required.difference(matched.granted);
        // An empty set of actions would otherwise be permitted without a grant.
        if required.is_empty() || !missing.is_empty() {
            return Err(Box::new(PolicyDenial { denied_actions: missing, ..PolicyDenial::default() }));
        }
        let outside_scope = subject
            .api_key_scope
            .map_or(Actions::default(), |scope| required.difference(scope.permitted_actions(resource)));
        if !outside_scope.is_empty() {
            return Err(Box::new(PolicyDenial {
                denied_actions: outside_scope,
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
        resource: &Resource<'_>,
        requested: Actions,
    ) -> MatchedActions {
        let mut matched = MatchedActions { granted: Actions::default(), denied: None };
        self.index.for_each_candidate(subject, host, resource, |number| {
            let Some(rule) = usize::try_from(number).ok().and_then(|at| self.rules.get(at)) else { return };
            let Ok(actions) = rule.applicable_actions(subject, host, resource) else { return };
            let actions = actions.intersection(requested);
            match rule.effect {
                _ if actions.is_empty() => {}
                Effect::Grant => matched.granted = matched.granted.union(actions),
                Effect::Deny => matched.denied = matched.denied.or(Some((number, actions))),
            }
        });
        matched
    }

    /// Returns true if a grant applies to anonymous requests.
    pub(crate) fn has_anonymous_grant(&self) -> bool {
        self.rules.iter().any(|rule| rule.effect == Effect::Grant && rule.who == RuleWho::Anyone)
    }

    /// Returns the line of the first denial that names a group.
    pub(crate) fn first_group_deny_line(&self) -> Option<usize> {
        let is_group_deny = |rule: &&Rule| rule.effect == Effect::Deny && !rule.groups.is_empty();
        self.rules.iter().find(is_group_deny).map(|rule| rule.line)
    }

    /// Returns the groups that rules name, without duplicates.
    pub(crate) fn referenced_groups(&self) -> BTreeSet<&[u8]> {
        self.rules.iter().flat_map(|rule| rule.groups.iter().map(|group| &**group)).collect()
    }

    /// Returns true if a rule with networks applies to this subject.
    pub(crate) fn has_network_rule_for(&self, subject: &Subject<'_>) -> bool {
        self.rules.iter().any(|rule| !rule.networks.is_empty() && rule.matches_subject(subject))
    }
}

/// The permission for a part of a request, or the denial.
pub(super) type PermissionResult = Result<(), Box<PolicyDenial>>;

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
