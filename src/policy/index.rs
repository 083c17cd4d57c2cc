//! The index of the rules, which finds the candidates for a request without a check of all rules.
//!
//! The key of an entry consists of a user or group, a host if the rule has one, and the literal segments at the start of
//! a pattern. A request is looked up under its user, each of its groups and each prefix of its resource. The number of
//! lookups does not grow with the number of rules. A rule that is found is only a candidate; its own check decides.

use std::hash::{BuildHasher, Hash, Hasher};

use hashbrown::{DefaultHashBuilder, HashMap};

use super::rule::{Effect, Rule, RuleWho, Subject};
use crate::permissions::host::HostPattern;
use crate::permissions::resource::{Resource, ResourcePattern};

/// Maximum number of entries in the index. A rule with a thousand users and a thousand patterns has a million.
pub const INDEX_ENTRIES_MAX: usize = 1 << 20;

/// The part of an entry's key that identifies the subject.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum SubjectKey<'n> {
    User(&'n [u8]),
    Group(&'n [u8]),
    Authenticated,
    Anyone,
}

/// The part of an entry's key that separates rules for registries from rules for sites.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum ResourceType {
    Registry,
    Site,
}

/// The rules by the hash of their keys. If two keys have the same hash, their rules are candidates for both.
#[derive(Debug, Default)]
pub struct RuleIndex {
    hasher: DefaultHashBuilder,
    buckets: HashMap<u64, Vec<u32>>,
    entry_count: usize,
    /// The maximum number of literal segments at the start of a pattern.
    max_prefix_segments: usize,
    has_host_rules: bool,
}

impl RuleIndex {
    /// Builds the index of the rules.
    ///
    /// # Errors
    /// Returns the line of the rule that exceeds [`INDEX_ENTRIES_MAX`].
    pub fn build(rules: &[Rule]) -> Result<Self, usize> {
        let mut index = Self::default();
        for (number, rule) in (0u32..).zip(rules) {
            index.insert(number, rule).ok_or(rule.line)?;
        }
        Ok(index)
    }

    fn insert(&mut self, number: u32, rule: &Rule) -> Option<()> {
        let users = rule.users.iter().map(|user| SubjectKey::User(user));
        let groups = rule.groups.iter().map(|group| SubjectKey::Group(group));
        let unnamed = match rule.who {
            RuleWho::NamedOnly => None,
            RuleWho::Authenticated => Some(SubjectKey::Authenticated),
            RuleWho::Anyone => Some(SubjectKey::Anyone),
        };
        let literal = |host: &HostPattern| match host {
            HostPattern::Literal(name) => Some(name.to_string()),
            HostPattern::SubdomainsOf(_) => None,
        };
        let mut hosts: Vec<Option<String>> = rule.hosts.iter().map(literal).collect();
        if hosts.is_empty() || hosts.contains(&None) {
            hosts = vec![None];
        }
        self.has_host_rules |= hosts != [None];
        let prefixes = index_prefixes(rule);
        for subject in users.chain(groups).chain(unnamed) {
            for host in &hosts {
                for (resource_type, prefix) in &prefixes {
                    self.entry_count += 1;
                    if self.entry_count > INDEX_ENTRIES_MAX {
                        return None;
                    }
                    self.max_prefix_segments = self.max_prefix_segments.max(prefix.len());
                    let mut hasher = self.start_hash(*resource_type, subject, host.as_deref());
                    prefix.iter().for_each(|segment| segment.hash(&mut hasher));
                    self.buckets.entry(hasher.finish()).or_default().push(number);
                }
            }
        }
        Some(())
    }

    fn start_hash(
        &self,
        resource_type: ResourceType,
        subject: SubjectKey<'_>,
        host: Option<&str>,
    ) -> impl Hasher + Clone + use<> {
        let mut hasher = self.hasher.build_hasher();
        (resource_type, subject, host).hash(&mut hasher);
        hasher
    }

    /// Calls `visit` with the numbers of all rules that can apply to a request. A number can be repeated.
    pub fn for_each_candidate(
        &self,
        subject: &Subject<'_>,
        host: &str,
        resource: &Resource<'_>,
        mut visit: impl FnMut(u32),
    ) {
        let (resource_type, segments): (_, &[&str]) = match resource {
            Resource::Ping | Resource::Catalog => (ResourceType::Registry, &[]),
            Resource::Repository(segments) => (ResourceType::Registry, segments),
            Resource::Path(segments, _) => (ResourceType::Site, segments),
        };
        let user =
            subject.user.into_iter().flat_map(|user| [SubjectKey::User(user), SubjectKey::Authenticated]);
        let groups = subject.groups.iter().map(|group| SubjectKey::Group(group));
        for subject_key in user.chain(groups).chain([SubjectKey::Anyone]) {
            for host in [None, self.has_host_rules.then_some(host)]
                .into_iter()
                .take(1 + usize::from(self.has_host_rules))
            {
                let mut hasher = self.start_hash(resource_type, subject_key, host);
                let mut visit_bucket =
                    |hash: u64| self.buckets.get(&hash).into_iter().flatten().for_each(|n| visit(*n));
                visit_bucket(hasher.clone().finish());
                for segment in segments.iter().take(self.max_prefix_segments) {
                    segment.hash(&mut hasher);
                    visit_bucket(hasher.clone().finish());
                }
            }
        }
    }
}

/// Returns the resource types and literal prefixes under which a rule is in the index, without duplicates.
fn index_prefixes(rule: &Rule) -> Vec<(ResourceType, Vec<&str>)> {
    let (resource_type, globs) = match &rule.resource {
        ResourcePattern::Everything => {
            return vec![(ResourceType::Registry, Vec::new()), (ResourceType::Site, Vec::new())];
        }
        ResourcePattern::Registry { repositories, .. } => (ResourceType::Registry, repositories),
        ResourcePattern::Site { paths, .. } => (ResourceType::Site, paths),
    };
    // A denial applies to a path with and without a trailing slash.
    let is_in_prefix = |segment: &&str| rule.effect == Effect::Grant || !segment.is_empty();
    let mut prefixes: Vec<Vec<&str>> =
        globs.iter().map(|glob| glob.literal_prefix().take_while(is_in_prefix).collect()).collect();
    // A rule with the catalog action can also name repositories, for its other actions.
    if prefixes.is_empty()
        || matches!(&rule.resource, ResourcePattern::Registry { actions, .. } if actions.has_catalog())
    {
        prefixes.push(Vec::new());
    }
    prefixes.sort_unstable();
    prefixes.dedup();
    prefixes.into_iter().map(|prefix| (resource_type, prefix)).collect()
}
