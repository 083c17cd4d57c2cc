//! Collects the errors of settings that do not fit together.

use std::collections::BTreeSet;

use super::{ConfigError, ConfigOrigin};

/// The errors of the configuration, to which the checks of combinations add errors.
pub(super) struct CombinationErrors<'e> {
    /// Returns the place of a setting.
    pub(super) origin_of: &'e dyn Fn(&str) -> ConfigOrigin,
    /// The keys of the settings that have an error of their own. They have the default instead of the value that was
    /// given, so that what follows from this value is not an error.
    pub(super) invalid_keys: &'e BTreeSet<&'static str>,
    /// All errors so far.
    pub(super) errors: &'e mut Vec<ConfigError>,
}

impl CombinationErrors<'_> {
    /// Returns the place of a setting.
    pub(super) fn origin_of(&self, key: &str) -> ConfigOrigin {
        (self.origin_of)(key)
    }

    /// Returns whether one of these settings has an error of its own.
    pub(super) fn has_invalid(&self, keys: &[&str]) -> bool {
        keys.iter().any(|key| self.invalid_keys.contains(key))
    }

    /// Adds an error of the setting `key`, which depends on the setting `other` too. It is left out if one of them has
    /// an error of its own.
    pub(super) fn add(&mut self, key: &str, other: &str, message: &str) {
        if !self.has_invalid(&[key, other]) {
            self.errors.push(ConfigError::of_setting(key, self.origin_of(key), message));
        }
    }
}
