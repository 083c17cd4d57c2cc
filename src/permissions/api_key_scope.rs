//! The scope of an API key: permissions that limit the key to a part of what its owner may do.
//!
//! For a registry, a permission is written `pull:team/**`, `pull,push:team/app` or `catalog`. For a site, it is
//! written `GET,HEAD:/docs/**`, or `/docs/**` for every method. The permissions of a scope add up.

use super::actions::Actions;
use super::glob::{Glob, PlaceholderValues};
use super::parse::{parse_action, parse_method, parse_path_glob, parse_repository_glob};
use super::resource::{Resource, ResourcePattern};

/// Maximum number of permissions in a scope.
pub(crate) const PERMISSIONS_MAX: usize = 32;

/// The permissions of an API key. A request needs them in addition to a grant of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiKeyScope(Box<[ResourcePattern]>);

impl ApiKeyScope {
    /// Parses the permissions of a scope. A scope without permissions permits no action.
    ///
    /// # Errors
    /// Returns the number of the first invalid permission, and what to write instead.
    pub(crate) fn parse<'t>(texts: impl Iterator<Item = &'t str>) -> Result<Self, String> {
        let permissions = (1..)
            .zip(texts)
            .map(|(number, text): (usize, &str)| {
                parse_permission(text).map_err(|error| format!("permission {number}: {error}"))
            })
            .collect::<Result<Box<[ResourcePattern]>, String>>()?;
        if permissions.len() > PERMISSIONS_MAX {
            return Err(format!(
                "the scope has more than {PERMISSIONS_MAX} permissions; use patterns such as team/**"
            ));
        }
        Ok(Self(permissions))
    }

    /// Returns true if any of the permissions is about a registry.
    pub(crate) fn has_registry_permission(&self) -> bool {
        self.0.iter().any(|pattern| matches!(pattern, ResourcePattern::Registry { .. }))
    }

    /// Returns true if the scope permits push to a repository but not pull. A push requires both.
    pub(crate) fn has_push_without_pull(&self) -> bool {
        let examples = self.0.iter().filter_map(|pattern| match pattern {
            ResourcePattern::Registry { repositories, actions }
                if !actions.intersection(Actions::PUSH).is_empty() =>
            {
                Some(repositories.iter().map(|glob| glob.example_segments(PlaceholderValues::default())))
            }
            ResourcePattern::Everything | ResourcePattern::Registry { .. } | ResourcePattern::Site { .. } => {
                None
            }
        });
        examples.flatten().any(|segments| {
            let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
            self.permitted_actions(&Resource::Repository(&segments)).intersection(Actions::PULL).is_empty()
        })
    }

    /// Returns the actions that the scope permits on a resource. For a site, the only action is [`Actions::PULL`].
    pub(crate) fn permitted_actions(&self, resource: &Resource<'_>) -> Actions {
        self.0
            .iter()
            .fold(Actions::default(), |sum, pattern| sum.union(permitted_by_pattern(pattern, resource)))
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
    let shape = "not a permission; write ACTIONS:REPOSITORY as in pull,push:team/**, or METHODS:/PATH as in GET:/docs/**";
    let (words, pattern) = text.split_once(':').ok_or(shape)?;
    if pattern.starts_with('/') {
        let methods = words.split(',').map(parse_method).collect::<Result<_, _>>()?;
        return Ok(ResourcePattern::Site {
            paths: [reject_placeholders(parse_path_glob(pattern)?, pattern)?].into(),
            methods,
        });
    }
    let mut actions = Actions::default();
    for word in words.split(',') {
        actions = actions.union(parse_action(word)?);
    }
    if actions.has_catalog() {
        return Err("catalog applies to the whole registry; write it without a repository".into());
    }
    Ok(ResourcePattern::Registry {
        repositories: [reject_placeholders(parse_repository_glob(pattern)?, pattern)?].into(),
        actions,
    })
}

/// Rejects `{user}` and `{group}`. An API key belongs to one user, whose name can be written instead.
fn reject_placeholders(glob: Glob, text: &str) -> Result<Glob, String> {
    if text.contains('{') {
        return Err("{user} and {group} are only for the policy; write the name".into());
    }
    Ok(glob)
}

fn permitted_by_pattern(pattern: &ResourcePattern, resource: &Resource<'_>) -> Actions {
    let matches_any = |globs: &[Glob], segments: &[&str]| {
        globs.is_empty() || globs.iter().any(|glob| glob.matches(segments, PlaceholderValues::default()))
    };
    match (pattern, resource) {
        (ResourcePattern::Registry { actions, .. }, Resource::Catalog) => {
            actions.intersection(Actions::CATALOG)
        }
        (ResourcePattern::Registry { repositories, actions }, Resource::Repository(segments))
            if matches_any(repositories, segments) =>
        {
            actions.difference(Actions::CATALOG)
        }
        (ResourcePattern::Site { paths, methods }, Resource::Path(segments, method))
            if (methods.is_empty() || methods.iter().any(|known| **known == **method))
                && matches_any(paths, segments) =>
        {
            Actions::PULL
        }
        _ => Actions::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actions(scope: &[&str], resource: &Resource<'_>) -> String {
        let scope = ApiKeyScope::parse(scope.iter().copied()).unwrap();
        scope.permitted_actions(resource).names().collect::<Vec<_>>().join(",")
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
        for (text, remedy) in [
            ("pull", "write ACTIONS:REPOSITORY"),
            ("", "write ACTIONS:REPOSITORY"),
            ("pul:team/**", "the actions are pull"),
            (":team/**", "the actions are pull"),
            ("pull:", "empty"),
            ("pull:Team", "cannot contain"),
            ("pull:{user}/**", "only for the policy"),
            ("catalog:x", "without a repository"),
            ("get:/docs", "capitals"),
            ("GET:/a//b", "empty segment"),
        ] {
            let error = ApiKeyScope::parse([text].into_iter()).unwrap_err();
            assert!(error.contains(remedy), "{text}: {error}");
        }
        let error = ApiKeyScope::parse(["pull:X\n\u{1b}[31m"].into_iter()).unwrap_err();
        assert!(!error.contains(char::is_control), "{error}");
        assert!(ApiKeyScope::parse(["catalog"; PERMISSIONS_MAX + 1].into_iter()).is_err());
    }
}
