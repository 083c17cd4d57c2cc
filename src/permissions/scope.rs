//! The scope of a key: rights that are never more than its owner's, and may be fewer.
//!
//! `pull:team/**`, `pull,push:team/app`, `catalog`; for a site `GET,HEAD:/docs/**`, or `/docs/**` with any
//! method. Several add up.

use super::glob::{Glob, Names};
use super::read::{action, method, path, repository};
use super::{Actions, Object, On};

/// The most rights in a scope.
pub const RIGHTS_MAX: usize = 32;

/// See the top of this file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope(Box<[On]>);

impl Scope {
    /// Reads the texts of a scope's rights; without any there is nothing that it permits.
    ///
    /// # Errors
    /// The text that is no right, and what would do.
    pub fn parse<'t>(texts: impl Iterator<Item = &'t str>) -> Result<Self, String> {
        let rights = (1..)
            .zip(texts)
            .map(|(number, text): (usize, &str)| {
                right(text).map_err(|what| format!("right {number}: {what}"))
            })
            .collect::<Result<Box<[On]>, String>>()?;
        if rights.len() > RIGHTS_MAX {
            return Err(format!("there are more than {RIGHTS_MAX} rights in the scope"));
        }
        Ok(Self(rights))
    }

    /// Whether any of the rights is about a registry.
    pub fn names_registries(&self) -> bool {
        self.0.iter().any(|on| matches!(on, On::Registry { .. }))
    }

    /// Whether it permits push to a repository and not pull, without which a push is refused.
    pub fn pushes_without_pull(&self) -> bool {
        let pushes = self.0.iter().filter_map(|on| match on {
            On::Registry { repositories, actions } if !actions.common(Actions::PUSH).is_empty() => {
                Some(repositories.iter().map(|glob| glob.example(Names::default())))
            }
            On::Everything | On::Registry { .. } | On::Site { .. } => None,
        });
        pushes.flatten().any(|segments| {
            let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
            self.actions(&Object::Repository(&segments)).common(Actions::PULL).is_empty()
        })
    }

    /// What may be done there, as far as the scope goes. A site knows one action only.
    pub fn actions(&self, object: &Object<'_>) -> Actions {
        self.0.iter().fold(Actions::default(), |sum, on| sum.and(permitted(on, object)))
    }
}

fn right(text: &str) -> Result<On, String> {
    if text == "catalog" {
        return Ok(On::Registry { repositories: Box::default(), actions: Actions::CATALOG });
    }
    if text.starts_with('/') {
        return Ok(On::Site { paths: [pattern(path(text)?, text)?].into(), methods: Box::default() });
    }
    let shape = "write ACTIONS:REPOSITORY as in pull,push:team/**, or METHODS:/PATH as in GET:/docs/**";
    let (words, on) = text.split_once(':').ok_or(shape)?;
    if on.starts_with('/') {
        let methods = words.split(',').map(method).collect::<Result<_, _>>()?;
        return Ok(On::Site { paths: [pattern(path(on)?, on)?].into(), methods });
    }
    let mut actions = Actions::default();
    for word in words.split(',') {
        actions = actions.and(action(word)?);
    }
    if actions.has_catalog() {
        return Err("catalog is about no repository; write it by itself".into());
    }
    Ok(On::Registry { repositories: [pattern(repository(on)?, on)?].into(), actions })
}

/// A key is its owner's alone, so there is nothing that a name could stand for.
fn pattern(glob: Glob, text: &str) -> Result<Glob, String> {
    if text.contains('{') { Err("{user} and {group} are for the policy".into()) } else { Ok(glob) }
}

fn permitted(on: &On, object: &Object<'_>) -> Actions {
    let fits = |globs: &[Glob], segments: &[&str]| {
        globs.is_empty() || globs.iter().any(|glob| glob.matches(segments, Names::default()))
    };
    match (on, object) {
        (On::Registry { actions, .. }, Object::Catalog) => actions.common(Actions::CATALOG),
        (On::Registry { repositories, actions }, Object::Repository(segments))
            if fits(repositories, segments) =>
        {
            actions.without(Actions::CATALOG)
        }
        (On::Site { paths, methods }, Object::Path(segments, asked))
            if (methods.is_empty() || methods.iter().any(|one| **one == **asked))
                && fits(paths, segments) =>
        {
            Actions::PULL
        }
        _ => Actions::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actions(scope: &[&str], object: &Object<'_>) -> String {
        let scope = Scope::parse(scope.iter().copied()).unwrap();
        scope.actions(object).names().collect::<Vec<_>>().join(",")
    }

    fn repository(scope: &[&str], name: &str) -> String {
        actions(scope, &Object::Repository(&name.split('/').collect::<Vec<_>>()))
    }

    #[test]
    fn a_scope_permits_what_it_names_and_nothing_else() {
        let scope = ["pull:team/**", "pull,push:team/app", "catalog"];
        assert_eq!(repository(&scope, "team/app"), "pull,push");
        assert_eq!(repository(&scope, "team/lib"), "pull");
        assert_eq!(repository(&scope, "team"), "");
        assert_eq!(repository(&scope, "other/app"), "");
        assert_eq!(actions(&scope, &Object::Catalog), "catalog");
        assert_eq!(actions(&scope[..2], &Object::Catalog), "");
        assert_eq!(actions(&scope, &Object::Path(&["team", "app"], "GET")), "");
        assert_eq!(repository(&[], "team/app"), "");
    }

    #[test]
    fn a_scope_of_a_site_has_paths_and_methods() {
        let scope = ["GET,HEAD:/docs/**", "/own/*"];
        let path = |segments: &[&str], method| actions(&scope, &Object::Path(segments, method));
        assert_eq!(path(&["docs", "a"], "GET"), "pull");
        assert_eq!(path(&["docs", "a"], "POST"), "");
        assert_eq!(path(&["own", "a"], "POST"), "pull");
        assert_eq!(path(&["own", "a", "b"], "POST"), "");
        assert_eq!(repository(&scope, "docs/a"), "");
    }

    #[test]
    fn what_is_no_right_is_told() {
        for (text, what) in [
            ("pull", "write ACTIONS:REPOSITORY"),
            ("", "write ACTIONS:REPOSITORY"),
            ("pul:team/**", "there are pull"),
            (":team/**", "there are pull"),
            ("pull:", "empty"),
            ("pull:Team", "character"),
            ("pull:{user}/**", "for the policy"),
            ("catalog:x", "by itself"),
            ("get:/docs", "capitals"),
            ("GET:/a//b", "empty segment"),
        ] {
            let told = Scope::parse([text].into_iter()).unwrap_err();
            assert!(told.contains(what), "{text}: {told}");
        }
        let told = Scope::parse(["pull:X\n\u{1b}[31m"].into_iter()).unwrap_err();
        assert!(!told.contains(char::is_control), "{told}");
        assert!(Scope::parse(["catalog"; RIGHTS_MAX + 1].into_iter()).is_err());
    }
}
