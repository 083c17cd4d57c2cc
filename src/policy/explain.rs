//! Why a request is permitted or not: what [`Rules::judge`] says, and which rule would have had to
//! say otherwise.

use std::borrow::Cow;

use super::denial::Refused;
use super::judge::Reading;
use super::rule::{Effect, Everybody, Rule, Subject};
use super::rules::{Judgement, Rules};
use crate::permissions::host::HostPattern;
use crate::permissions::{Actions, Object, On};
use crate::request::original::OriginalRequest;
use crate::request::registry::Target;

/// What there is to say of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The judgement, as `/auth` comes to it.
    pub judgement: Judgement,
    /// What the request takes, in words; empty if there is no policy.
    pub needs: String,
    /// The lines of the rules that decided: all grants that permit a part of it, or the denial.
    pub lines: Vec<usize>,
    /// For a refusal for want of a grant: the line of the grant that was nearest, and all that it lacked.
    pub nearest: Option<(usize, Vec<String>)>,
}

impl Explanation {
    /// The explanation if there is no policy.
    pub(super) fn without_policy(judgement: Judgement) -> Self {
        Self { judgement, needs: String::new(), lines: Vec::new(), nearest: None }
    }
}

impl Rules {
    /// Judges a request as `/auth` does, and says why.
    pub fn explain(&self, subject: &Subject<'_>, request: &OriginalRequest<'_>) -> Explanation {
        let judgement = self.judge(subject, request);
        let (mut lines, mut nearest) = (Vec::new(), None);
        match &judgement {
            Judgement::Allowed { .. } => lines = self.granting(subject, request),
            Judgement::Refused(refused) => {
                let denied =
                    refused.denied_by.and_then(|number| self.all().get(usize::try_from(number).ok()?));
                lines.extend(denied.map(|rule| rule.line));
                if refused.denied_by.is_none() && refused.unreadable.is_none() && !refused.for_want_of_scope {
                    nearest = self.nearest(subject, request, refused);
                }
            }
        }
        Explanation { needs: self.needs(request), judgement, lines, nearest }
    }

    fn needs(&self, request: &OriginalRequest<'_>) -> String {
        let site = || format!("{} of {} at {}", request.method, request.uri, request.host);
        match (self.reading_of(request), request.registry()) {
            (Reading::Site, _) | (Reading::Either, Err(_)) => site(),
            (Reading::Registry, Err(why)) => format!("it can't be told: {why}"),
            (Reading::Registry | Reading::Either, Ok(asked)) => {
                let mut needs = match asked.target {
                    Target::Ping => "a user".to_owned(),
                    Target::Catalog => "catalog".to_owned(),
                    Target::Repository(name) => format!("{} in {name}", listed(asked.actions)),
                };
                if let Some(source) = &asked.source {
                    needs.push_str(&format!(", and pull in {} for the mount", source.repository));
                }
                if let Some(malformed) = &asked.malformed {
                    needs.push_str(&format!("; {}", malformed.why));
                }
                needs
            }
        }
    }

    /// As what the request is judged; as a site's if the host is not one.
    fn reading_of(&self, request: &OriginalRequest<'_>) -> Reading {
        request.host().map_or(Reading::Site, |host| self.reading(host, request.backend))
    }

    /// Every grant that permits a part of what is asked.
    fn granting(&self, subject: &Subject<'_>, request: &OriginalRequest<'_>) -> Vec<usize> {
        let found = with_object(self, request, None, |host, object, wanted| {
            let grants = self.all().iter().filter(|rule| rule.effect == Effect::Grant);
            let permits = |rule: &&Rule| {
                rule.applies(subject, host, object).is_ok_and(|actions| !actions.common(wanted).is_empty())
            };
            grants.filter(permits).map(|rule| rule.line).collect()
        });
        found.unwrap_or_default()
    }

    /// The grant that lacks least. Of two that lack as much, one of the wanted actions is nearer than one of others,
    /// and one about this subject nearer than one about others.
    fn nearest(
        &self,
        subject: &Subject<'_>,
        request: &OriginalRequest<'_>,
        refused: &Refused,
    ) -> Option<(usize, Vec<String>)> {
        with_object(self, request, refused.repository.as_deref(), |host, object, _| {
            let grants = self.all().iter().filter(|rule| rule.effect == Effect::Grant);
            // Of several the first.
            let nearest = grants
                .map(|rule| (rule, lacks(rule, subject, host, object, refused.actions)))
                .min_by_key(|(rule, lacks)| {
                    let is_of_others = !grants_any(rule, object, refused.actions);
                    (2 * lacks.len() + usize::from(is_of_others), !rule.is_about(subject))
                });
            nearest.map(|(rule, lacks)| (rule.line, lacks))
        })?
    }
}

/// Calls `with` with the host, what is asked for there, and the actions that it takes. `repository` is the
/// one that matters, where it is not the request's own: the source of a mount.
fn with_object<T>(
    rules: &Rules,
    request: &OriginalRequest<'_>,
    repository: Option<&str>,
    with: impl FnOnce(&str, &Object<'_>, Actions) -> T,
) -> Option<T> {
    let host = request.host().ok()?;
    let asked = match (rules.reading_of(request), request.registry()) {
        (Reading::Registry | Reading::Either, Ok(asked)) => asked,
        (Reading::Registry, Err(_)) => return None,
        (Reading::Site, _) | (Reading::Either, Err(_)) => {
            let parts: Vec<&str> = request.segments().ok()?.iter().map(Cow::as_ref).collect();
            return Some(with(host, &Object::Path(&parts, request.method), Actions::PULL));
        }
    };
    Some(match (repository, asked.target) {
        (Some(name), _) | (None, Target::Repository(name)) => {
            let parts: Vec<&str> = name.split('/').collect();
            with(host, &Object::Repository(&parts), asked.actions)
        }
        (None, Target::Catalog) => with(host, &Object::Catalog, asked.actions),
        // No grant is needed, and none would help.
        (None, Target::Ping) => return None,
    })
}

/// Whether a grant is of the kind that is wanted: one of the actions, or for a site any.
fn grants_any(rule: &Rule, object: &Object<'_>, wanted: Actions) -> bool {
    match (&rule.on, object) {
        (On::Everything, _) => true,
        (On::Registry { .. }, Object::Path(..)) => false,
        (On::Registry { actions, .. }, Object::Ping | Object::Catalog | Object::Repository(_)) => {
            !actions.common(wanted).is_empty()
        }
        (On::Site { methods, .. }, Object::Path(_, method)) => {
            methods.is_empty() || methods.iter().any(|one| **one == **method)
        }
        (On::Site { .. }, Object::Ping | Object::Catalog | Object::Repository(_)) => false,
    }
}

fn lacks(
    rule: &Rule,
    subject: &Subject<'_>,
    host: &str,
    object: &Object<'_>,
    missing: Actions,
) -> Vec<String> {
    let mut lacks = Vec::new();
    if !rule.is_about(subject) {
        lacks.push(format!("it is for {}", whom(rule)));
    }
    if !rule.is_for(subject.client) {
        let networks: Vec<String> = rule.networks.iter().map(ToString::to_string).collect();
        lacks.push(format!("it is for clients from {}", networks.join(", ")));
    }
    if !rule.is_at(host) {
        let hosts: Vec<String> = rule.hosts.iter().map(shown_host).collect();
        lacks.push(format!("it is for the hosts {}", hosts.join(", ")));
    }
    match rule.on(subject, object) {
        None => lacks.push("it is on something else".to_owned()),
        Some(actions) => {
            let missing = missing.without(actions);
            if !missing.is_empty() {
                lacks.push(format!("it does not grant {}", listed(missing)));
            }
        }
    }
    lacks
}

fn shown_host(host: &HostPattern) -> String {
    match host {
        HostPattern::Literal(name) => name.to_string(),
        HostPattern::Below(end) => format!("*{end}"),
    }
}

fn whom(rule: &Rule) -> String {
    let shown = |kind: &str, names: &[Box<[u8]>]| {
        let names: Vec<String> = names.iter().map(|name| crate::identity::shown(name)).collect();
        (!names.is_empty()).then(|| format!("{kind} {}", names.join(", ")))
    };
    let everybody = match rule.everybody {
        Everybody::No => None,
        Everybody::Authenticated => Some("whoever is authenticated".to_owned()),
        Everybody::Anyone => Some("anyone".to_owned()),
    };
    let all = [shown("users", &rule.users), shown("groups", &rule.groups), everybody];
    all.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn listed(actions: Actions) -> String {
    actions.names().collect::<Vec<_>>().join(" and ")
}
