//! Which of many rules can be about a request, without looking at the others.
//!
//! A rule is filed under whom it is about, its host if it has one, and the literal segments that
//! its pattern begins with. A request is looked up under each of its users and groups and each
//! beginning of what it asks for: a number of look-ups that does not grow with the number of rules.
//! What is found is only a candidate; the rule itself decides.

use std::hash::{BuildHasher, Hash, Hasher};

use hashbrown::{DefaultHashBuilder, HashMap};

use super::rule::{Effect, Everybody, Rule, Subject};
use crate::permissions::host::HostPattern;
use crate::permissions::{Object, On};

/// The most places that rules may be filed under, together: a rule with a thousand users and a
/// thousand patterns has a million of them.
pub const PLACES_MAX: usize = 1 << 20;

/// Whom a place is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Whom<'w> {
    User(&'w [u8]),
    Group(&'w [u8]),
    Authenticated,
    Anyone,
}

/// What a place is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Space {
    Registry,
    Site,
}

/// The places, by their hash. Two that share one are candidates for both.
#[derive(Debug, Default)]
pub struct Index {
    hasher: DefaultHashBuilder,
    places: HashMap<u64, Vec<u32>>,
    count: usize,
    /// The longest literal beginning of any pattern, in segments.
    depth: usize,
    hosts: bool,
}

impl Index {
    /// Files the rules.
    ///
    /// # Errors
    /// The line of the rule with which there are more than [`PLACES_MAX`] places.
    pub fn build(rules: &[Rule]) -> Result<Self, usize> {
        let mut index = Self::default();
        for (number, rule) in (0u32..).zip(rules) {
            index.file(number, rule).ok_or(rule.line)?;
        }
        Ok(index)
    }

    fn file(&mut self, number: u32, rule: &Rule) -> Option<()> {
        let users = rule.users.iter().map(|user| Whom::User(user));
        let groups = rule.groups.iter().map(|group| Whom::Group(group));
        let everybody = match rule.everybody {
            Everybody::No => None,
            Everybody::Authenticated => Some(Whom::Authenticated),
            Everybody::Anyone => Some(Whom::Anyone),
        };
        let literal = |host: &HostPattern| match host {
            HostPattern::Literal(name) => Some(name.to_string()),
            HostPattern::Below(_) => None,
        };
        let mut hosts: Vec<Option<String>> = rule.hosts.iter().map(literal).collect();
        if hosts.is_empty() || hosts.contains(&None) {
            hosts = vec![None];
        }
        self.hosts |= hosts != [None];
        let places = prefixes(rule);
        for whom in users.chain(groups).chain(everybody) {
            for host in &hosts {
                for (space, prefix) in &places {
                    self.count += 1;
                    if self.count > PLACES_MAX {
                        return None;
                    }
                    self.depth = self.depth.max(prefix.len());
                    let mut hasher = self.start(*space, whom, host.as_deref());
                    prefix.iter().for_each(|segment| segment.hash(&mut hasher));
                    self.places.entry(hasher.finish()).or_default().push(number);
                }
            }
        }
        Some(())
    }

    fn start(&self, space: Space, whom: Whom<'_>, host: Option<&str>) -> impl Hasher + Clone + use<> {
        let mut hasher = self.hasher.build_hasher();
        (space, whom, host).hash(&mut hasher);
        hasher
    }

    /// Calls `visit` with the numbers of all rules that can be about a request; with some twice.
    pub fn candidates(
        &self,
        subject: &Subject<'_>,
        host: &str,
        object: &Object<'_>,
        mut visit: impl FnMut(u32),
    ) {
        let (space, segments): (_, &[&str]) = match object {
            Object::Ping | Object::Catalog => (Space::Registry, &[]),
            Object::Repository(segments) => (Space::Registry, segments),
            Object::Path(segments, _) => (Space::Site, segments),
        };
        let user = subject.user.into_iter().flat_map(|user| [Whom::User(user), Whom::Authenticated]);
        let groups = subject.groups.iter().map(|group| Whom::Group(group));
        for whom in user.chain(groups).chain([Whom::Anyone]) {
            for host in [None, self.hosts.then_some(host)].into_iter().take(1 + usize::from(self.hosts)) {
                let mut hasher = self.start(space, whom, host);
                let mut look =
                    |hash: u64| self.places.get(&hash).into_iter().flatten().for_each(|n| visit(*n));
                look(hasher.clone().finish());
                for segment in segments.iter().take(self.depth) {
                    segment.hash(&mut hasher);
                    look(hasher.clone().finish());
                }
            }
        }
    }
}

/// Where a rule is filed: each space and each beginning once.
fn prefixes(rule: &Rule) -> Vec<(Space, Vec<&str>)> {
    let (space, globs) = match &rule.on {
        On::Everything => return vec![(Space::Registry, Vec::new()), (Space::Site, Vec::new())],
        On::Registry { repositories, .. } => (Space::Registry, repositories),
        On::Site { paths, .. } => (Space::Site, paths),
    };
    // A denial is of a path with and without a slash at its end.
    let whole = |segment: &&str| rule.effect == Effect::Grant || !segment.is_empty();
    let mut prefixes: Vec<Vec<&str>> =
        globs.iter().map(|glob| glob.prefix().take_while(whole).collect()).collect();
    // A rule on the catalogue may name repositories too, for its other actions.
    if prefixes.is_empty() || matches!(&rule.on, On::Registry { actions, .. } if actions.has_catalog()) {
        prefixes.push(Vec::new());
    }
    prefixes.sort_unstable();
    prefixes.dedup();
    prefixes.into_iter().map(|prefix| (space, prefix)).collect()
}
