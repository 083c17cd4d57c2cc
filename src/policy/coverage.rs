//! Warnings for push grants without a pull grant. A push also requires pull, so such a grant permits nothing by itself
//! (distribution/distribution#2932). The rules are evaluated for examples of the subjects and repositories of a grant.
//! The result is a warning and not an error, because an example can miss the intention.

use super::groups::GroupMemberships;
use super::rule::{Effect, Rule, RuleWho, Subject};
use super::rules::{PolicyRules, RegistryHosts};
use crate::permissions::actions::Actions;
use crate::permissions::glob::PlaceholderValues;
use crate::permissions::host::HostPattern;
use crate::permissions::resource::{Resource, ResourcePattern};

/// Maximum number of example subjects of a rule. A group can have a million users.
const SUBJECTS_MAX: usize = 100;

/// Maximum number of warnings for one file.
const WARNINGS_MAX: usize = 20;

/// The name of an example user that no file contains.
const EXAMPLE_USER: &[u8] = b"example-user";

/// The name of an example group that no file contains.
const EXAMPLE_GROUP: &[u8] = b"example-group";

/// An example of a subject of a rule.
struct ExampleSubject {
    user: Option<Vec<u8>>,
    groups: Vec<Vec<u8>>,
}

impl PolicyRules {
    /// Returns the lines of push grants for subjects that have no pull grant on the same repositories.
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
        let has_push = !actions.intersection(Actions::PUSH).is_empty();
        if !has_push || !actions.intersection(Actions::PULL).is_empty() {
            return false;
        }
        let host = self.example_host(rule);
        let client_address = rule.networks.first().map(|network| network.addr());
        let examples = example_subjects(rule, groups);
        examples.iter().take(SUBJECTS_MAX).any(|example| {
            let groups: Vec<&[u8]> = example.groups.iter().map(Vec::as_slice).collect();
            let user = example.user.as_deref();
            let names = PlaceholderValues { user, groups: &groups };
            let example_repositories = if repositories.is_empty() {
                vec![vec!["example".to_owned()]]
            } else {
                repositories.iter().map(|glob| glob.example_segments(names)).collect()
            };
            let subject = Subject { user, groups: &groups, client_address, api_key_scope: None };
            example_repositories.iter().any(|segments| self.has_push_but_no_pull(&subject, &host, segments))
        })
    }

    /// Returns true if a subject may push to a repository but not pull from it.
    fn has_push_but_no_pull(&self, subject: &Subject<'_>, host: &str, segments: &[String]) -> bool {
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let both = Actions::PULL.union(Actions::PUSH);
        let granted = self.permitted_actions(subject, host, &Resource::Repository(&segments), both);
        granted == Actions::PUSH
    }

    /// Returns an example of a host that a rule applies to.
    fn example_host(&self, rule: &Rule) -> String {
        match (rule.hosts.first(), self.registries()) {
            (Some(HostPattern::Literal(name)), _) => name.to_string(),
            (Some(HostPattern::SubdomainsOf(end)), _) => format!("example{end}"),
            (None, RegistryHosts::Hosts(hosts)) => hosts.first().map(ToString::to_string).unwrap_or_default(),
            (
                None,
                RegistryHosts::All
                | RegistryHosts::None
                | RegistryHosts::FromProxy
                | RegistryHosts::FromProxyOrBoth,
            ) => "localhost".to_owned(),
        }
    }
}

/// Returns examples of the subjects of a rule: the users that it names, and the members of its groups. A group without
/// known members has one example user.
fn example_subjects(rule: &Rule, groups: &GroupMemberships) -> Vec<ExampleSubject> {
    let known_user = |user: &[u8]| ExampleSubject {
        user: Some(user.to_vec()),
        groups: groups.of_user(user).groups().iter().map(|group| group.to_vec()).collect(),
    };
    let mut examples: Vec<ExampleSubject> =
        rule.users.iter().take(SUBJECTS_MAX).map(|user| known_user(user)).collect();
    for group in &rule.groups {
        let members: Vec<&[u8]> = groups.members(group).take(SUBJECTS_MAX).collect();
        examples.extend(members.iter().map(|user| known_user(user)));
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
        // The pull grants are for other repositories, for another user and for another host. A denial overrides the
        // last one.
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
        assert_eq!(lines(&(push + &each), ""), [1], "any user can be a member of a group from a service");
        let own = grant("who = \"authenticated\"\nrepositories = [\"home/{user}/**\"]\nactions = [\"push\"]")
            + &grant("who = \"authenticated\"\nrepositories = [\"home/{user}/**\"]\nactions = [\"pull\"]");
        assert_eq!(lines(&own, ""), [0_usize; 0]);
    }
}
