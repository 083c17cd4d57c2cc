//! The policy and the group file that most tests use, from `tests/fixtures`.

/// Rules for [`super::users::three`]: ann and bob are in the group devs, carl is in no group.
pub(crate) const RULES: &str = include_str!("../fixtures/policy.toml");

/// The group file of [`RULES`].
pub(crate) const GROUPS: &str = include_str!("../fixtures/groups");
