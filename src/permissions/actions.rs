//! The set of actions on a registry.

/// A set of actions on a registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Actions(u8);

impl Actions {
    /// The action of reading manifests, blobs and tags.
    pub(crate) const PULL: Self = Self(1);
    /// The action of writing manifests, blobs and tags.
    pub(crate) const PUSH: Self = Self(2);
    /// The action of deleting manifests, blobs and tags.
    pub(crate) const DELETE: Self = Self(4);
    /// The action of listing all repositories, including those that the user may not pull.
    pub(crate) const CATALOG: Self = Self(8);
    /// Every action with its name.
    pub(crate) const NAMES: [(Self, &'static str); 4] =
        [(Self::PULL, "pull"), (Self::PUSH, "push"), (Self::DELETE, "delete"), (Self::CATALOG, "catalog")];

    /// Returns the actions of both sets.
    #[must_use]
    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the actions that are in both sets.
    #[must_use]
    pub(crate) const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns the actions of this set that are not in the other.
    #[must_use]
    pub(crate) const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns true if the set is empty.
    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns true if the set contains the catalog action.
    pub(crate) const fn has_catalog(self) -> bool {
        !self.intersection(Self::CATALOG).is_empty()
    }

    /// Returns the names of the actions in the set.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .into_iter()
            .filter(move |(action, _)| !self.intersection(*action).is_empty())
            .map(|(_, name)| name)
    }

    /// Returns the action with this name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(_, known)| *known == name).map(|(action, _)| action)
    }
}
