//! Which of many rules can be about a request, without looking at the others.
//!
//! A rule is filed under whom it is about, its host if it has one, and the literal segments that
//! its pattern begins with. A request is looked up under each of its users and groups and each
//! beginning of what it asks for: a number of look-ups that does not grow with the number of rules.
//! What is found is only a candidate; the rule itself decides.

use std::hash::{BuildHasher, Hash, Hasher};

use hashbrown::{DefaultHashBuilder, HashMap};

use super::rule::{Effect, Rule, RuleWho, Subject};
use crate::permissions::host::HostPattern;
use crate::permissions::{Resource, ResourcePattern};

/// The most places that rules may be filed under, together: a rule with a thousand users and a
/// thousand patterns has a million of them.
pub const INDEX_ENTRIES_MAX: usize = 1 << 20;

/// Whom a place is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum SubjectKey<'w> {
    User(&'w [u8]),
    Group(&'w [u8]),
    Authenticated,
    Anyone,
}

/// What a place is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum ResourceType {
    Registry,
    Site,
}

/// The places, by their hash. Two that share one are candidates for both.
#[derive(Debug, Default)]
pub struct RuleIndex {
    hasher: DefaultHashBuilder,
    buckets: HashMap<u64, Vec<u32>>,
    entry_count: usize,
    /// The longest literal beginning of any pattern, in segments.
    max_prefix_segments: usize,
    has_host_rules: bool,
}

impl RuleIndex {
    /// Files the rules.
    ///
    /// # Errors
    /// The line of the rule with which there are more than [`PLACES_MAX`] places.
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
        let everybody = match rule.who {
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
        let places = index_prefixes(rule);
        for whom in users.chain(groups).chain(everybody) {
            for host in &hosts {
                for (space, prefix) in &places {
                    self.entry_count += 1;
                    if self.entry_count > INDEX_ENTRIES_MAX {
                        return None;
                    }
                    self.max_prefix_segments = self.max_prefix_segments.max(prefix.len());
                    let mut hasher = self.start_hash(*space, whom, host.as_deref());
                    prefix.iter().for_each(|segment| segment.hash(&mut hasher));
                    self.buckets.entry(hasher.finish()).or_default().push(number);
                }
            }
        }
        Some(())
    }

    fn start_hash(
        &self,
        space: ResourceType,
        whom: SubjectKey<'_>,
        host: Option<&str>,
    ) -> impl Hasher + Clone + use<> {
        let mut hasher = self.hasher.build_hasher();
        (space, whom, host).hash(&mut hasher);
        hasher
    }

    /// Calls `visit` with the numbers of all rules that can be about a request; with some twice.
    pub fn for_each_candidate(
        &self,
        subject: &Subject<'_>,
        host: &str,
        object: &Resource<'_>,
        mut visit: impl FnMut(u32),
    ) {
        let (space, segments): (_, &[&str]) = match object {
            Resource::Ping | Resource::Catalog => (ResourceType::Registry, &[]),
            Resource::Repository(segments) => (ResourceType::Registry, segments),
            Resource::Path(segments, _) => (ResourceType::Site, segments),
        };
        let user =
            subject.user.into_iter().flat_map(|user| [SubjectKey::User(user), SubjectKey::Authenticated]);
        let groups = subject.groups.iter().map(|group| SubjectKey::Group(group));
        for whom in user.chain(groups).chain([SubjectKey::Anyone]) {
            for host in [None, self.has_host_rules.then_some(host)]
                .into_iter()
                .take(1 + usize::from(self.has_host_rules))
            {
                let mut hasher = self.start_hash(space, whom, host);
                let mut look =
                    |hash: u64| self.buckets.get(&hash).into_iter().flatten().for_each(|n| visit(*n));
                look(hasher.clone().finish());
                for segment in segments.iter().take(self.max_prefix_segments) {
                    segment.hash(&mut hasher);
                    look(hasher.clone().finish());
                }
            }
        }
    }
}

/// Where a rule is filed: each space and each beginning once.
fn index_prefixes(rule: &Rule) -> Vec<(ResourceType, Vec<&str>)> {
    let (space, globs) = match &rule.resource {
        ResourcePattern::Everything => {
            return vec![(ResourceType::Registry, Vec::new()), (ResourceType::Site, Vec::new())];
        }
        ResourcePattern::Registry { repositories, .. } => (ResourceType::Registry, repositories),
        ResourcePattern::Site { paths, .. } => (ResourceType::Site, paths),
    };
    // A denial is of a path with and without a slash at its end.
    let whole = |segment: &&str| rule.effect == Effect::Grant || !segment.is_empty();
    let mut prefixes: Vec<Vec<&str>> =
        globs.iter().map(|glob| glob.literal_prefix().take_while(whole).collect()).collect();
    // A rule on the catalogue may name repositories too, for its other actions.
    if prefixes.is_empty()
        || matches!(&rule.resource, ResourcePattern::Registry { actions, .. } if actions.has_catalog())
    {
        prefixes.push(Vec::new());
    }
    prefixes.sort_unstable();
    prefixes.dedup();
    prefixes.into_iter().map(|prefix| (space, prefix)).collect()
}
