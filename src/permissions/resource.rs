//! The resources of a registry or site: patterns of a rule, and the resource of a request.

use super::actions::Actions;
use super::glob::Glob;

/// The resources that a permission applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ResourcePattern {
    /// Every resource of every registry and site.
    Everything,
    /// Resources of a registry.
    Registry {
        /// The patterns of repository names. An empty list means all repositories.
        repositories: Box<[Glob]>,
        /// The actions that the permission is about.
        actions: Actions,
    },
    /// Resources of a site.
    Site {
        /// The patterns of paths, without the leading slash. An empty list means all paths.
        paths: Box<[Glob]>,
        /// The HTTP methods. An empty list means all methods.
        methods: Box<[Box<str>]>,
    },
}

/// The resource that a request is about. Names and paths are split into segments.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Resource<'o> {
    /// The endpoint `/v2/`, where a client learns whether its credentials are valid.
    Ping,
    /// The list of all repositories.
    Catalog,
    /// A repository.
    Repository(&'o [&'o str]),
    /// A path of a site, and the method.
    Path(&'o [&'o str], &'o str),
}
