//! Why a request is permitted or not: what [`Rules::judge`] says, and which rule would have had to
//! say otherwise.

use std::borrow::Cow;

use super::denial::PolicyDenial;
use super::evaluate::EvaluatedAs;
use super::rule::{Effect, Rule, RuleWho, Subject};
use super::rules::{PolicyDecision, PolicyRules};
use crate::permissions::host::HostPattern;
use crate::permissions::{Actions, Resource, ResourcePattern};
use crate::request::original::OriginalRequest;
use crate::request::registry::RegistryTarget;

/// What there is to say of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The judgement, as `/auth` comes to it.
    pub decision: PolicyDecision,
    /// What the request takes, in words; empty if there is no policy.
    pub requirement: String,
    /// The lines of the rules that decided: all grants that permit a part of it, or the denial.
    pub deciding_rule_lines: Vec<usize>,
    /// For a refusal for want of a grant: the line of the grant that was nearest, and all that it lacked.
    pub nearest_grant: Option<(usize, Vec<String>)>,
}

impl Explanation {
    /// The explanation if there is no policy.
    pub(super) fn without_policy(judgement: PolicyDecision) -> Self {
        Self {
            decision: judgement,
            requirement: String::new(),
            deciding_rule_lines: Vec::new(),
            nearest_grant: None,
        }
    }
}

impl PolicyRules {
    /// Judges a request as `/auth` does, and says why.
    pub fn explain(&self, subject: &Subject<'_>, request: &OriginalRequest<'_>) -> Explanation {
        let judgement = self.evaluate(subject, request);
        let (mut lines, mut nearest) = (Vec::new(), None);
        match &judgement {
            PolicyDecision::Allowed { .. } => lines = self.granting_rule_lines(subject, request),
            PolicyDecision::Denied(refused) => {
                let denied = refused
                    .deny_rule_index
                    .and_then(|number| self.rules().get(usize::try_from(number).ok()?));
                lines.extend(denied.map(|rule| rule.line));
                if refused.deny_rule_index.is_none()
                    && refused.request_error.is_none()
                    && !refused.is_outside_api_key_scope
                {
                    nearest = self.find_nearest_grant(subject, request, refused);
                }
            }
        }
        Explanation {
            requirement: self.describe_requirement(request),
            decision: judgement,
            deciding_rule_lines: lines,
            nearest_grant: nearest,
        }
    }

    fn describe_requirement(&self, request: &OriginalRequest<'_>) -> String {
        let site = || format!("{} of {} at {}", request.method, request.uri, request.host);
        match (self.request_evaluated_as(request), request.registry_request()) {
            (EvaluatedAs::Site, _) | (EvaluatedAs::Either, Err(_)) => site(),
            (EvaluatedAs::Registry, Err(why)) => format!("it can't be told: {why}"),
            (EvaluatedAs::Registry | EvaluatedAs::Either, Ok(asked)) => {
                let mut needs = match asked.target {
                    RegistryTarget::Ping => "a user".to_owned(),
                    RegistryTarget::Catalog => "catalog".to_owned(),
                    RegistryTarget::Repository(name) => {
                        format!("{} in {name}", join_action_names(asked.required_actions))
                    }
                };
                if let Some(source) = &asked.mount_source {
                    needs.push_str(&format!(", and pull in {} for the mount", source.repository));
                }
                if let Some(malformed) = &asked.malformed_reference {
                    needs.push_str(&format!("; {}", malformed.message));
                }
                needs
            }
        }
    }

    /// As what the request is judged; as a site's if the host is not one.
    fn request_evaluated_as(&self, request: &OriginalRequest<'_>) -> EvaluatedAs {
        request
            .host_name()
            .map_or(EvaluatedAs::Site, |host| self.evaluated_as(host, request.declared_upstream))
    }

    /// Every grant that permits a part of what is asked.
    fn granting_rule_lines(&self, subject: &Subject<'_>, request: &OriginalRequest<'_>) -> Vec<usize> {
        let found = with_requested_resource(self, request, None, |host, object, wanted| {
            let grants = self.rules().iter().filter(|rule| rule.effect == Effect::Grant);
            let permits = |rule: &&Rule| {
                rule.applicable_actions(subject, host, object)
                    .is_ok_and(|actions| !actions.intersection(wanted).is_empty())
            };
            grants.filter(permits).map(|rule| rule.line).collect()
        });
        found.unwrap_or_default()
    }

    /// The grant that lacks least. Of two that lack as much, one of the wanted actions is nearer than one of others,
    /// and one about this subject nearer than one about others.
    fn find_nearest_grant(
        &self,
        subject: &Subject<'_>,
        request: &OriginalRequest<'_>,
        refused: &PolicyDenial,
    ) -> Option<(usize, Vec<String>)> {
        with_requested_resource(self, request, refused.repository.as_deref(), |host, object, _| {
            let grants = self.rules().iter().filter(|rule| rule.effect == Effect::Grant);
            // Of several the first.
            let nearest = grants
                .map(|rule| (rule, list_mismatches(rule, subject, host, object, refused.denied_actions)))
                .min_by_key(|(rule, lacks)| {
                    let is_of_others = !has_requested_action(rule, object, refused.denied_actions);
                    (2 * lacks.len() + usize::from(is_of_others), !rule.matches_subject(subject))
                });
            nearest.map(|(rule, lacks)| (rule.line, lacks))
        })?
    }
}

/// Calls `with` with the host, what is asked for there, and the actions that it takes. `repository` is the
/// one that matters, where it is not the request's own: the source of a mount.
fn with_requested_resource<T>(
    rules: &PolicyRules,
    request: &OriginalRequest<'_>,
    repository: Option<&str>,
    with: impl FnOnce(&str, &Resource<'_>, Actions) -> T,
) -> Option<T> {
    let host = request.host_name().ok()?;
    let asked = match (rules.request_evaluated_as(request), request.registry_request()) {
        (EvaluatedAs::Registry | EvaluatedAs::Either, Ok(asked)) => asked,
        (EvaluatedAs::Registry, Err(_)) => return None,
        (EvaluatedAs::Site, _) | (EvaluatedAs::Either, Err(_)) => {
            let parts: Vec<&str> = request.path_segments().ok()?.iter().map(Cow::as_ref).collect();
            return Some(with(host, &Resource::Path(&parts, request.method), Actions::PULL));
        }
    };
    Some(match (repository, asked.target) {
        (Some(name), _) | (None, RegistryTarget::Repository(name)) => {
            let parts: Vec<&str> = name.split('/').collect();
            with(host, &Resource::Repository(&parts), asked.required_actions)
        }
        (None, RegistryTarget::Catalog) => with(host, &Resource::Catalog, asked.required_actions),
        // No grant is needed, and none would help.
        (None, RegistryTarget::Ping) => return None,
    })
}

/// Whether a grant is of the kind that is wanted: one of the actions, or for a site any.
fn has_requested_action(rule: &Rule, object: &Resource<'_>, wanted: Actions) -> bool {
    match (&rule.resource, object) {
        (ResourcePattern::Everything, _) => true,
        (ResourcePattern::Registry { .. }, Resource::Path(..)) => false,
        (
            ResourcePattern::Registry { actions, .. },
            Resource::Ping | Resource::Catalog | Resource::Repository(_),
        ) => !actions.intersection(wanted).is_empty(),
        (ResourcePattern::Site { methods, .. }, Resource::Path(_, method)) => {
            methods.is_empty() || methods.iter().any(|one| **one == **method)
        }
        (ResourcePattern::Site { .. }, Resource::Ping | Resource::Catalog | Resource::Repository(_)) => false,
    }
}

fn list_mismatches(
    rule: &Rule,
    subject: &Subject<'_>,
    host: &str,
    object: &Resource<'_>,
    missing: Actions,
) -> Vec<String> {
    let mut lacks = Vec::new();
    if !rule.matches_subject(subject) {
        lacks.push(format!("it is for {}", describe_rule_subjects(rule)));
    }
    if !rule.matches_network(subject.client_address) {
        let networks: Vec<String> = rule.networks.iter().map(ToString::to_string).collect();
        lacks.push(format!("it is for clients from {}", networks.join(", ")));
    }
    if !rule.matches_host(host) {
        let hosts: Vec<String> = rule.hosts.iter().map(format_host_pattern).collect();
        lacks.push(format!("it is for the hosts {}", hosts.join(", ")));
    }
    match rule.actions_on(subject, object) {
        None => lacks.push("it is on something else".to_owned()),
        Some(actions) => {
            let missing = missing.difference(actions);
            if !missing.is_empty() {
                lacks.push(format!("it does not grant {}", join_action_names(missing)));
            }
        }
    }
    lacks
}

fn format_host_pattern(host: &HostPattern) -> String {
    match host {
        HostPattern::Literal(name) => name.to_string(),
        HostPattern::SubdomainsOf(end) => format!("*{end}"),
    }
}

fn describe_rule_subjects(rule: &Rule) -> String {
    let shown = |kind: &str, names: &[Box<[u8]>]| {
        let names: Vec<String> =
            names.iter().map(|name| crate::identity::sanitize_for_display(name)).collect();
        (!names.is_empty()).then(|| format!("{kind} {}", names.join(", ")))
    };
    let everybody = match rule.who {
        RuleWho::NamedOnly => None,
        RuleWho::Authenticated => Some("whoever is authenticated".to_owned()),
        RuleWho::Anyone => Some("anyone".to_owned()),
    };
    let all = [shown("users", &rule.users), shown("groups", &rule.groups), everybody];
    all.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn join_action_names(actions: Actions) -> String {
    actions.names().collect::<Vec<_>>().join(" and ")
}
