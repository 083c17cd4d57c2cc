//! Reads the values of single settings from the layers: command line, environment, file, default.

use std::collections::BTreeSet;

use super::setting::{ConfigValue, LayerValues};
use super::{ConfigError, ConfigOrigin};

/// Reads settings, and collects the errors of all of them.
pub(crate) struct SettingReader<'l> {
    /// The layers, the one with the highest priority first.
    layers: [&'l LayerValues; 3],
    errors: Vec<ConfigError>,
    /// The keys of the settings that have an error.
    invalid_keys: BTreeSet<&'static str>,
}

impl<'l> SettingReader<'l> {
    /// Returns a reader of these layers, the one with the highest priority first.
    pub(crate) fn new(layers: [&'l LayerValues; 3]) -> Self {
        Self { layers, errors: Vec::new(), invalid_keys: BTreeSet::new() }
    }

    /// Returns the errors of what was read so far, and the keys of the settings that have an error.
    pub(crate) fn into_errors(self) -> (Vec<ConfigError>, BTreeSet<&'static str>) {
        (self.errors, self.invalid_keys)
    }

    /// Returns the place of a setting's first value.
    pub(crate) fn origin(&self, key: &str) -> ConfigOrigin {
        let first = self.given(key).and_then(|values| values.first());
        first.map_or(ConfigOrigin::Unset, |value| value.origin.clone())
    }

    /// Reads a setting that always has a value. If the value cannot be parsed, the default takes its place, so that
    /// the checks that follow report no error of their own about it.
    pub(crate) fn one<T: Default>(
        &mut self,
        key: &'static str,
        default: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        let value = match self.given(key) {
            Some(values) => self.parse_all(key, values, &parse).pop(),
            None => self.parse_all(key, &[unset_value(default)], &parse).pop(),
        };
        value.or_else(|| parse(default).ok()).unwrap_or_default()
    }

    /// Reads a setting that can be absent.
    pub(crate) fn optional<T>(
        &mut self,
        key: &'static str,
        _default: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let values = self.given(key)?;
        self.parse_all(key, values, &parse).pop()
    }

    /// Reads a setting that takes several values. The default separates them by commas.
    pub(crate) fn list<T>(
        &mut self,
        key: &'static str,
        default: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        match self.given(key) {
            Some(values) => self.parse_all(key, values, &parse),
            None => {
                let values: Vec<ConfigValue> = split_list(default).map(unset_value).collect();
                self.parse_all(key, &values, &parse)
            }
        }
    }

    /// Returns the values from the layer with the highest priority that has the key.
    fn given(&self, key: &str) -> Option<&'l [ConfigValue]> {
        self.layers.into_iter().find_map(|layer| layer.get(key)).map(Vec::as_slice)
    }

    fn parse_all<T>(
        &mut self,
        key: &'static str,
        values: &[ConfigValue],
        parse: &impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let mut parsed = Vec::new();
        for (number, ConfigValue { text, origin }) in (1..).zip(values) {
            match parse(text) {
                Ok(value) => parsed.push(value),
                Err(message) => {
                    // The value is not quoted, so the error gives its number.
                    let message = match values.len() {
                        0 | 1 => message,
                        all => format!("value {number} of {all}: {message}"),
                    };
                    self.errors.push(ConfigError::of_setting(key, origin.clone(), &message));
                    self.invalid_keys.insert(key);
                }
            }
        }
        parsed
    }
}

fn unset_value(text: &str) -> ConfigValue {
    ConfigValue { text: text.to_owned(), origin: ConfigOrigin::Unset }
}

/// Splits a list as it is written on the command line, in a variable and in the table of settings.
pub(crate) fn split_list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}
