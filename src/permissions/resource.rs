//! What rights are on, and what a request is about.

use super::actions::Actions;
use super::glob::Glob;

/// What a right is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourcePattern {
    /// All there is, in registries and in sites.
    Everything,
    /// A registry.
    Registry {
        /// None of them means all.
        repositories: Box<[Glob]>,
        /// What may be done there, or not.
        actions: Actions,
    },
    /// A site.
    Site {
        /// None of them means all. Without the slash at the start.
        paths: Box<[Glob]>,
        /// None of them means all.
        methods: Box<[Box<str>]>,
    },
}

/// What is asked for, by its segments.
#[derive(Clone, Copy, Debug)]
pub enum Resource<'o> {
    /// Nothing but whether the credentials are good.
    Ping,
    /// The list of all repositories.
    Catalog,
    /// A repository.
    Repository(&'o [&'o str]),
    /// A path of a site, and the method.
    Path(&'o [&'o str], &'o str),
}
