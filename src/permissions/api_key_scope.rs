//! The scope of a key: rights that are never more than its owner's, and may be fewer.
//!
//! `pull:team/**`, `pull,push:team/app`, `catalog`; for a site `GET,HEAD:/docs/**`, or `/docs/**` with any
//! method. Several add up.

use super::glob::{Glob, PlaceholderValues};
use super::parse::{parse_action, parse_method, parse_path_glob, parse_repository_glob};
use super::{Actions, Resource, ResourcePattern};

/// The most rights in a scope.
pub const PERMISSIONS_MAX: usize = 32;

/// See the top of this file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyScope(Box<[ResourcePattern]>);

impl ApiKeyScope {
    /// Reads the texts of a scope's rights; without any there is nothing that it permits.
    ///
    /// # Errors
    /// The text that is no right, and what would do.
    pub fn parse<'t>(texts: impl Iterator<Item = &'t str>) -> Result<Self, String> {
        let rights = (1..)
            .zip(texts)
            .map(|(number, text): (usize, &str)| {
                parse_permission(text).map_err(|what| format!("right {number}: {what}"))
            })
            .collect::<Result<Box<[ResourcePattern]>, String>>()?;
        if rights.len() > PERMISSIONS_MAX {
            return Err(format!("there are more than {PERMISSIONS_MAX} rights in the scope"));
        }
        Ok(Self(rights))
    }

    /// Whether any of the rights is about a registry.
    pub fn has_registry_permission(&self) -> bool {
        self.0.iter().any(|on| matches!(on, ResourcePattern::Registry { .. }))
    }

    /// Whether it permits push to a repository and not pull, without which a push is refused.
    pub fn has_push_without_pull(&self) -> bool {
        let pushes = self.0.iter().filter_map(|on| match on {
            ResourcePattern::Registry { repositories, actions }
                if !actions.intersection(Actions::PUSH).is_empty() =>
            {
                Some(repositories.iter().map(|glob| glob.example_segments(PlaceholderValues::default())))
            }
            ResourcePattern::Everything | ResourcePattern::Registry { .. } | ResourcePattern::Site { .. } => {
                None
            }
        });
        pushes.flatten().any(|segments| {
            let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
            self.permitted_actions(&Resource::Repository(&segments)).intersection(Actions::PULL).is_empty()
        })
    }

    /// What may be done there, as far as the scope goes. A site knows one action only.
    pub fn permitted_actions(&self, object: &Resource<'_>) -> Actions {
        self.0.iter().fold(Actions::default(), |sum, on| sum.union(permitted_by_pattern(on, object)))
    }
}

fn parse_permission(text: &str) -> Result<ResourcePattern, String> {
    if text == "catalog" {
        return Ok(ResourcePattern::Registry { repositories: Box::default(), actions: Actions::CATALOG });
    }
    if text.starts_with('/') {
        return Ok(ResourcePattern::Site {
            paths: [reject_placeholders(parse_path_glob(text)?, text)?].into(),
            methods: Box::default(),
        });
    }
    let shape = "write ACTIONS:REPOSITORY as in pull,push:team/**, or METHODS:/PATH as in GET:/docs/**";
    let (words, on) = text.split_once(':').ok_or(shape)?;
    if on.starts_with('/') {
        let methods = words.split(',').map(parse_method).collect::<Result<_, _>>()?;
        return Ok(ResourcePattern::Site {
            paths: [reject_placeholders(parse_path_glob(on)?, on)?].into(),
            methods,
        });
    }
    let mut actions = Actions::default();
    for word in words.split(',') {
        actions = actions.union(parse_action(word)?);
    }
    if actions.has_catalog() {
        return Err("catalog is about no repository; write it by itself".into());
    }
    Ok(ResourcePattern::Registry {
        repositories: [reject_placeholders(parse_repository_glob(on)?, on)?].into(),
        actions,
    })
}

/// A key is its owner's alone, so there is nothing that a name could stand for.
fn reject_placeholders(glob: Glob, text: &str) -> Result<Glob, String> {
    if text.contains('{') { Err("{user} and {group} are for the policy".into()) } else { Ok(glob) }
}

fn permitted_by_pattern(on: &ResourcePattern, object: &Resource<'_>) -> Actions {
    let fits = |globs: &[Glob], segments: &[&str]| {
        globs.is_empty() || globs.iter().any(|glob| glob.matches(segments, PlaceholderValues::default()))
    };
    match (on, object) {
        (ResourcePattern::Registry { actions, .. }, Resource::Catalog) => {
            actions.intersection(Actions::CATALOG)
        }
        (ResourcePattern::Registry { repositories, actions }, Resource::Repository(segments))
            if fits(repositories, segments) =>
        {
            actions.difference(Actions::CATALOG)
        }
        (ResourcePattern::Site { paths, methods }, Resource::Path(segments, asked))
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

    fn actions(scope: &[&str], object: &Resource<'_>) -> String {
        let scope = ApiKeyScope::parse(scope.iter().copied()).unwrap();
        scope.permitted_actions(object).names().collect::<Vec<_>>().join(",")
    }

    fn repository(scope: &[&str], name: &str) -> String {
        actions(scope, &Resource::Repository(&name.split('/').collect::<Vec<_>>()))
    }

    #[test]
    fn api_key_scope_permits_only_what_it_names() {
        let scope = ["pull:team/**", "pull,push:team/app", "catalog"];
        assert_eq!(repository(&scope, "team/app"), "pull,push");
        assert_eq!(repository(&scope, "team/lib"), "pull");
        assert_eq!(repository(&scope, "team"), "");
        assert_eq!(repository(&scope, "other/app"), "");
        assert_eq!(actions(&scope, &Resource::Catalog), "catalog");
        assert_eq!(actions(&scope[..2], &Resource::Catalog), "");
        assert_eq!(actions(&scope, &Resource::Path(&["team", "app"], "GET")), "");
        assert_eq!(repository(&[], "team/app"), "");
    }

    #[test]
    fn site_scope_matches_paths_and_methods() {
        let scope = ["GET,HEAD:/docs/**", "/own/*"];
        let path = |segments: &[&str], method| actions(&scope, &Resource::Path(segments, method));
        assert_eq!(path(&["docs", "a"], "GET"), "pull");
        assert_eq!(path(&["docs", "a"], "POST"), "");
        assert_eq!(path(&["own", "a"], "POST"), "pull");
        assert_eq!(path(&["own", "a", "b"], "POST"), "");
        assert_eq!(repository(&scope, "docs/a"), "");
    }

    #[test]
    fn invalid_permission_is_rejected_with_a_remedy() {
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
            let told = ApiKeyScope::parse([text].into_iter()).unwrap_err();
            assert!(told.contains(what), "{text}: {told}");
        }
        let told = ApiKeyScope::parse(["pull:X\n\u{1b}[31m"].into_iter()).unwrap_err();
        assert!(!told.contains(char::is_control), "{told}");
        assert!(ApiKeyScope::parse(["catalog"; PERMISSIONS_MAX + 1].into_iter()).is_err());
    }
}
