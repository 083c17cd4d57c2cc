//! What may be done in a registry, as a set.

/// What may be done, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actions(u8);

impl Actions {
    /// To read manifests, blobs and tags.
    pub const PULL: Self = Self(1);
    /// To write them.
    pub const PUSH: Self = Self(2);
    /// To delete them.
    pub const DELETE: Self = Self(4);
    /// To list all repositories, whoever may pull them.
    pub const CATALOG: Self = Self(8);
    /// Every one with its name.
    pub const NAMES: [(Self, &'static str); 4] =
        [(Self::PULL, "pull"), (Self::PUSH, "push"), (Self::DELETE, "delete"), (Self::CATALOG, "catalog")];

    /// All of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this and not in the other.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there is nothing in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the catalogue is in it.
    pub const fn has_catalog(self) -> bool {
        !self.intersection(Self::CATALOG).is_empty()
    }

    /// The names of what is in it.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .into_iter()
            .filter(move |(action, _)| !self.intersection(*action).is_empty())
            .map(|(_, name)| name)
    }

    /// The one of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(_, known)| *known == name).map(|(action, _)| action)
    }
}
