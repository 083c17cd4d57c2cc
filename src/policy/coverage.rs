//! Push grants that no pull grant covers: a push requires pull as well, so they permit nothing by themselves
//! (distribution/distribution#2932). The rules are asked about examples of what a grant is on; a warning is never an
//! error, since an example can miss what is meant.

use super::groups::GroupMemberships;
use super::rule::{Effect, Rule, RuleWho, Subject};
use super::rules::{PolicyRules, RegistryHosts};
use crate::permissions::glob::PlaceholderValues;
use crate::permissions::host::HostPattern;
use crate::permissions::{Actions, Resource, ResourcePattern};

/// Subjects of one rule that are tried; a group can have a million users.
const SUBJECTS_MAX: usize = 100;

/// Warnings of one file.
const WARNINGS_MAX: usize = 20;

/// A user and a group that no file names.
const EXAMPLE_USER: &[u8] = b"example-user";
const EXAMPLE_GROUP: &[u8] = b"example-group";

/// The subject of an example.
struct ExampleSubject {
    user: Option<Vec<u8>>,
    groups: Vec<Vec<u8>>,
}

impl PolicyRules {
    /// The lines of grants of push whose subjects nobody grants pull on the same repositories.
    pub fn push_without_pull_lines(&self, groups: &GroupMemberships) -> Vec<usize> {
        let grants = self.rules().iter().filter(|rule| rule.effect == Effect::Grant);
        grants
            .filter(|rule| self.has_push_without_pull(rule, groups))
            .map(|rule| rule.line)
            .take(WARNINGS_MAX)
            .collect()
    }

    fn has_push_without_pull(&self, rule: &Rule, groups: &GroupMemberships) -> bool {
        let ResourcePattern::Registry { repositories, actions } = &rule.resource else { return false };
        let pushes = !actions.intersection(Actions::PUSH).is_empty();
        if !pushes || !actions.intersection(Actions::PULL).is_empty() {
            return false;
        }
        let host = self.example_host(rule);
        let client = rule.networks.first().map(|network| network.addr());
        let examples = example_subjects(rule, groups);
        examples.iter().take(SUBJECTS_MAX).any(|example| {
            let groups: Vec<&[u8]> = example.groups.iter().map(Vec::as_slice).collect();
            let user = example.user.as_deref();
            let names = PlaceholderValues { user, groups: &groups };
            let on = if repositories.is_empty() {
                vec![vec!["example".to_owned()]]
            } else {
                repositories.iter().map(|glob| glob.example_segments(names)).collect()
            };
            let subject = Subject { user, groups: &groups, client_address: client, api_key_scope: None };
            on.iter().any(|segments| self.has_push_but_no_pull(&subject, &host, segments))
        })
    }

    /// Whether a subject has push there and not pull.
    fn has_push_but_no_pull(&self, subject: &Subject<'_>, host: &str, segments: &[String]) -> bool {
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let both = Actions::PULL.union(Actions::PUSH);
        let granted = self.permitted_actions(subject, host, &Resource::Repository(&segments), both);
        granted == Actions::PUSH
    }

    /// A host that a rule is at.
    fn example_host(&self, rule: &Rule) -> String {
        match (rule.hosts.first(), self.registries()) {
            (Some(HostPattern::Literal(name)), _) => name.to_string(),
            (Some(HostPattern::SubdomainsOf(end)), _) => format!("example{end}"),
            (None, RegistryHosts::Hosts(hosts)) => hosts.first().map(ToString::to_string).unwrap_or_default(),
            (None, RegistryHosts::All(_) | RegistryHosts::FromProxy | RegistryHosts::FromProxyOrBoth) => {
                "localhost".to_owned()
            }
        }
    }
}

/// Subjects that a rule is about: those that it names, and of a group its users, or one if none is known.
fn example_subjects(rule: &Rule, groups: &GroupMemberships) -> Vec<ExampleSubject> {
    let of = |user: &[u8]| ExampleSubject {
        user: Some(user.to_vec()),
        groups: groups.of_user(user).groups().iter().map(|group| group.to_vec()).collect(),
    };
    let mut examples: Vec<ExampleSubject> =
        rule.users.iter().take(SUBJECTS_MAX).map(|user| of(user)).collect();
    for group in &rule.groups {
        let members: Vec<&[u8]> = groups.members(group).take(SUBJECTS_MAX).collect();
        examples.extend(members.iter().map(|user| of(user)));
        if members.is_empty() {
            examples.push(ExampleSubject { user: Some(EXAMPLE_USER.to_vec()), groups: vec![group.to_vec()] });
        }
    }
    match rule.who {
        RuleWho::NamedOnly => {}
        RuleWho::Authenticated => {
            examples.push(ExampleSubject {
                user: Some(EXAMPLE_USER.to_vec()),
                groups: vec![EXAMPLE_GROUP.to_vec()],
            });
        }
        RuleWho::Anyone => examples.push(ExampleSubject { user: None, groups: Vec::new() }),
    }
    examples
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::read::read_policy;

    fn lines(policy: &str, groups: &str) -> Vec<usize> {
        let groups = GroupMemberships::parse(groups.as_bytes()).unwrap();
        read_policy(policy).unwrap().push_without_pull_lines(&groups)
    }

    fn grant(keys: &str) -> String {
        format!("[[grant]]\n{keys}\n")
    }

    #[test]
    fn push_grant_without_pull_grant_is_reported_field_d6() {
        let push = grant("users = [\"ci\"]\nrepositories = [\"team/**\"]\nactions = [\"push\"]");
        assert_eq!(lines(&push, ""), [1]);
        let pull_all = grant("who = \"authenticated\"\nrepositories = [\"**\"]\nactions = [\"pull\"]");
        assert_eq!(lines(&(push.clone() + &pull_all), ""), [0_usize; 0]);
        // Elsewhere, for others, at another host, and taken away again.
        for other in [
            grant("users = [\"ci\"]\nrepositories = [\"other/**\"]\nactions = [\"pull\"]"),
            grant("users = [\"ann\"]\nrepositories = [\"team/**\"]\nactions = [\"pull\"]"),
            grant("users = [\"ci\"]\nhosts = [\"r.example.com\"]\nactions = [\"pull\"]"),
            pull_all.clone()
                + "[[deny]]\nusers = [\"ci\"]\nrepositories = [\"team/**\"]\nactions = [\"pull\"]\n",
        ] {
            assert_eq!(lines(&(push.clone() + &other), ""), [1], "{other}");
        }
        let both = grant("users = [\"ci\"]\nrepositories = [\"team/**\"]\nactions = [\"push\", \"pull\"]");
        assert_eq!(lines(&both, ""), [0_usize; 0]);
    }

    #[test]
    fn push_without_pull_check_expands_groups_and_placeholders_field_d6() {
        let push = grant("groups = [\"devs\"]\nrepositories = [\"{group}/*-app/**\"]\nactions = [\"push\"]");
        let each = grant("users = [\"ann\", \"bob\"]\nrepositories = [\"devs/**\"]\nactions = [\"pull\"]");
        assert_eq!(lines(&(push.clone() + &each), "devs: ann bob\n"), [0_usize; 0]);
        assert_eq!(lines(&(push.clone() + &each), "devs: ann bob carl\n"), [1]);
        assert_eq!(lines(&(push + &each), ""), [1], "of a service's group anybody may be a member");
        let own = grant("who = \"authenticated\"\nrepositories = [\"home/{user}/**\"]\nactions = [\"push\"]")
            + &grant("who = \"authenticated\"\nrepositories = [\"home/{user}/**\"]\nactions = [\"pull\"]");
        assert_eq!(lines(&own, ""), [0_usize; 0]);
    }
}
