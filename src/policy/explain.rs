//! Explains the decision of [`PolicyRules::evaluate`] on a request: the rules that decided, or the grant that is nearest
//! to permitting the request.

use std::borrow::Cow;

use super::denial::PolicyDenial;
use super::evaluate::RequestProtocol;
use super::rule::{Effect, Rule, RuleWho, Subject};
use super::rules::{PolicyDecision, PolicyRules};
use crate::permissions::actions::Actions;
use crate::permissions::host::HostPattern;
use crate::permissions::resource::{Resource, ResourcePattern};
use crate::request::endpoint::RegistryTarget;
use crate::request::original::OriginalRequest;

/// The explanation of the decision on a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Explanation {
    /// The decision, which is the same as for `/auth`.
    pub(crate) decision: PolicyDecision,
    /// A description of the permissions that the request requires; empty if there is no policy.
    pub(crate) requirement: String,
    /// The lines of the rules that decided: all grants that permit a part of the request, or the denial.
    pub(crate) deciding_rule_lines: Vec<usize>,
    /// The grant that is nearest to permitting the request. It is only set if no grant permits the request.
    pub(crate) nearest_grant: Option<NearestGrant>,
}

/// A grant that does not permit a request, and the reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NearestGrant {
    /// The line of the grant in the policy file.
    pub(crate) line: usize,
    /// Every part of the grant that does not match the request.
    pub(crate) mismatches: Vec<String>,
}

impl Explanation {
    /// Returns the explanation if there is no policy.
    pub(super) fn without_policy(decision: PolicyDecision) -> Self {
        Self { decision, requirement: String::new(), deciding_rule_lines: Vec::new(), nearest_grant: None }
    }
}

impl PolicyRules {
    /// Evaluates a request in the same way as `/auth`, and explains the decision.
    pub(crate) fn explain(&self, subject: &Subject<'_>, request: &OriginalRequest<'_>) -> Explanation {
        let decision = self.evaluate(subject, request);
        let (mut deciding_rule_lines, mut nearest_grant) = (Vec::new(), None);
        match &decision {
            PolicyDecision::Allowed { .. } => {
                deciding_rule_lines = self.granting_rule_lines(subject, request);
            }
            PolicyDecision::Denied(denial) => {
                let deny_rule =
                    denial.deny_rule_index.and_then(|number| self.rules().get(usize::try_from(number).ok()?));
                deciding_rule_lines.extend(deny_rule.map(|rule| rule.line));
                if denial.deny_rule_index.is_none()
                    && denial.request_error.is_none()
                    && !denial.is_outside_api_key_scope
                {
                    nearest_grant = self.find_nearest_grant(subject, request, denial);
                }
            }
        }
        Explanation {
            requirement: self.describe_requirement(request),
            decision,
            deciding_rule_lines,
            nearest_grant,
        }
    }

    fn describe_requirement(&self, request: &OriginalRequest<'_>) -> String {
        let site = || format!("{} of {} at {}", request.method, request.uri, request.host);
        match (self.request_protocol(request), request.registry_request()) {
            (RequestProtocol::Site, _) | (RequestProtocol::Either, Err(_)) => site(),
            (RequestProtocol::Registry, Err(error)) => format!("unknown: {error}"),
            (RequestProtocol::Registry | RequestProtocol::Either, Ok(registry)) => {
                let mut requirement = match registry.target {
                    RegistryTarget::Ping => "an authenticated user".to_owned(),
                    RegistryTarget::Catalog => "catalog".to_owned(),
                    RegistryTarget::Repository(name) => {
                        format!("{} in {name}", join_action_names(registry.required_actions))
                    }
                };
                if let Some(source) = &registry.mount_source {
                    requirement.push_str(&format!(", and pull in {} for the mount", source.repository));
                }
                if let Some(malformed) = &registry.malformed_reference {
                    requirement.push_str(&format!("; {}", malformed.message));
                }
                requirement
            }
        }
    }

    /// Returns the protocol by which a request is evaluated; [`RequestProtocol::Site`] if the host is invalid.
    fn request_protocol(&self, request: &OriginalRequest<'_>) -> RequestProtocol {
        request
            .host_name()
            .map_or(RequestProtocol::Site, |host| self.protocol_at(host, request.declared_upstream))
    }

    /// Returns the lines of all grants that permit a part of the request.
    fn granting_rule_lines(&self, subject: &Subject<'_>, request: &OriginalRequest<'_>) -> Vec<usize> {
        let lines = with_requested_resource(self, request, None, |host, resource, required| {
            let grants = self.rules().iter().filter(|rule| rule.effect == Effect::Grant);
            let permits = |rule: &&Rule| {
                rule.applicable_actions(subject, host, resource)
                    .is_ok_and(|actions| !actions.intersection(required).is_empty())
            };
            grants.filter(permits).map(|rule| rule.line).collect()
        });
        lines.unwrap_or_default()
    }

    /// Returns the grant with the fewest mismatches. If several have as few, a grant of the required actions is
    /// preferred, then a grant that applies to this subject, then the first one in the file.
    fn find_nearest_grant(
        &self,
        subject: &Subject<'_>,
        request: &OriginalRequest<'_>,
        denial: &PolicyDenial,
    ) -> Option<NearestGrant> {
        with_requested_resource(self, request, denial.repository.as_deref(), |host, resource, _| {
            let grants = self.rules().iter().filter(|rule| rule.effect == Effect::Grant);
            let nearest = grants
                .map(|rule| (rule, list_mismatches(rule, subject, host, resource, denial.denied_actions)))
                .min_by_key(|(rule, mismatches)| {
                    let has_other_actions = !has_requested_action(rule, resource, denial.denied_actions);
                    let mismatch_score = 2 * mismatches.len() + usize::from(has_other_actions);
                    (mismatch_score, !rule.matches_subject(subject))
                });
            nearest.map(|(rule, mismatches)| NearestGrant { line: rule.line, mismatches })
        })?
    }
}

/// Calls `visit` with the host, the requested resource and the required actions. `repository` replaces the repository
/// of the request: it is the one that was denied, which can be the source of a mount.
fn with_requested_resource<T>(
    rules: &PolicyRules,
    request: &OriginalRequest<'_>,
    repository: Option<&str>,
    visit: impl FnOnce(&str, &Resource<'_>, Actions) -> T,
) -> Option<T> {
    let host = request.host_name().ok()?;
    let registry = match (rules.request_protocol(request), request.registry_request()) {
        (RequestProtocol::Registry | RequestProtocol::Either, Ok(registry)) => registry,
        (RequestProtocol::Registry, Err(_)) => return None,
        (RequestProtocol::Site, _) | (RequestProtocol::Either, Err(_)) => {
            let segments: Vec<&str> = request.path_segments().ok()?.iter().map(Cow::as_ref).collect();
            return Some(visit(host, &Resource::Path(&segments, request.method), Actions::PULL));
        }
    };
    Some(match (repository, registry.target) {
        (Some(name), _) | (None, RegistryTarget::Repository(name)) => {
            let segments: Vec<&str> = name.split('/').collect();
            visit(host, &Resource::Repository(&segments), registry.required_actions)
        }
        (None, RegistryTarget::Catalog) => visit(host, &Resource::Catalog, registry.required_actions),
        // A ping requires a user and no grant.
        (None, RegistryTarget::Ping) => return None,
    })
}

/// Returns true if a grant has one of the required actions of a registry, or the method of a request to a site.
fn has_requested_action(rule: &Rule, resource: &Resource<'_>, required: Actions) -> bool {
    match (&rule.resource, resource) {
        (ResourcePattern::Everything, _) => true,
        (ResourcePattern::Registry { .. }, Resource::Path(..)) => false,
        (
            ResourcePattern::Registry { actions, .. },
            Resource::Ping | Resource::Catalog | Resource::Repository(_),
        ) => !actions.intersection(required).is_empty(),
        (ResourcePattern::Site { methods, .. }, Resource::Path(_, method)) => {
            methods.is_empty() || methods.iter().any(|known| **known == **method)
        }
        (ResourcePattern::Site { .. }, Resource::Ping | Resource::Catalog | Resource::Repository(_)) => false,
    }
}

/// Describes every part of a grant that does not match a request.
fn list_mismatches(
    rule: &Rule,
    subject: &Subject<'_>,
    host: &str,
    resource: &Resource<'_>,
    missing: Actions,
) -> Vec<String> {
    let mut mismatches = Vec::new();
    if !rule.matches_subject(subject) {
        mismatches.push(format!("it applies to {}", describe_rule_subjects(rule)));
    }
    if !rule.matches_network(subject.client_address) {
        let networks: Vec<String> = rule.networks.iter().map(ToString::to_string).collect();
        mismatches.push(format!("it applies to clients in {}", networks.join(", ")));
    }
    if !rule.matches_host(host) {
        let hosts: Vec<String> = rule.hosts.iter().map(format_host_pattern).collect();
        mismatches.push(format!("it applies to the hosts {}", hosts.join(", ")));
    }
    match rule.actions_on(subject, resource) {
        None => mismatches.push("it applies to other resources".to_owned()),
        Some(actions) => {
            let missing = missing.difference(actions);
            if !missing.is_empty() {
                mismatches.push(format!("it does not grant {}", join_action_names(missing)));
            }
        }
    }
    mismatches
}

fn format_host_pattern(host: &HostPattern) -> String {
    match host {
        HostPattern::Literal(name) => name.to_string(),
        HostPattern::SubdomainsOf(end) => format!("*{end}"),
    }
}

fn describe_rule_subjects(rule: &Rule) -> String {
    let listed = |kind: &str, names: &[Box<[u8]>]| {
        let names: Vec<String> =
            names.iter().map(|name| crate::identity::sanitize_for_display(name)).collect();
        (!names.is_empty()).then(|| format!("{kind} {}", names.join(", ")))
    };
    let unnamed = match rule.who {
        RuleWho::NamedOnly => None,
        RuleWho::Authenticated => Some("every authenticated user".to_owned()),
        RuleWho::Anyone => Some("anyone".to_owned()),
    };
    let all = [listed("users", &rule.users), listed("groups", &rule.groups), unnamed];
    all.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn join_action_names(actions: Actions) -> String {
    actions.names().collect::<Vec<_>>().join(" and ")
}
