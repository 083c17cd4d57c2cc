//! The layers of the configuration: command line, environment, file, defaults.

use std::ffi::OsString;
use std::path::Path;

use super::authenticator::AuthenticatorConfig;
use super::combination_errors::CombinationErrors;
use super::raw_table::RawProxyConfig;
use super::reader::{SettingReader, split_list};
use super::setting::{ConfigValue, LayerValues};
use super::table::{ConfigValues, SETTINGS};
use super::unknown_setting::{NamePlace, unknown_setting_message};
use super::upstream::UpstreamConfig;
use super::{Config, ConfigError, ConfigOrigin, TableHashes, file};
use crate::reload::utf8_bom::UTF8_BOM;
use crate::reload::wrong_format;
use crate::reload::{self, ReadError, SourceFile, displayable_path};

/// Size limit of the settings file. Real ones have a few thousand bytes.
const CONFIG_FILE_BYTES_MAX: u64 = 1 << 20;

/// Variables of our own compose files and tests that are not settings. An `env_file: .env` passes them on.
const IGNORED_VARIABLES: [&str; 2] = ["DOORWARD_IMAGE", "DOORWARD_TEST_SCALE"];

/// The values of each layer.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConfigLayers {
    /// The command line.
    pub(crate) flags: LayerValues,
    /// The environment.
    pub(crate) variables: LayerValues,
    /// The file.
    pub(crate) file: LayerValues,
    /// The `[[authenticator]]` tables of the file, and the place of the first.
    pub(crate) authenticators: Option<(ConfigOrigin, Vec<AuthenticatorConfig>)>,
    /// The `[[upstream]]` tables of the file.
    pub(crate) upstreams: Vec<UpstreamConfig>,
    /// The table `[proxy_config]` of the file.
    pub(crate) proxy_config: RawProxyConfig,
    /// Hashes of the tables.
    pub(crate) table_hashes: TableHashes,
    /// The errors found so far.
    pub(crate) errors: Vec<ConfigError>,
    /// The keys of the settings of the file whose values have the wrong type.
    pub(crate) invalid_keys: Vec<&'static str>,
}

/// The places of the configuration: flags and environment as they were at the start, and the path of the file. The
/// file can be read more than once.
#[derive(Clone, Debug)]
pub(crate) struct ConfigSource {
    flags_and_variables: ConfigLayers,
    path: Option<String>,
}

impl ConfigSource {
    /// Returns the source with these layers, and with the file at `path` if there is one.
    pub(crate) fn new(flags_and_variables: ConfigLayers, path: Option<String>) -> Self {
        Self { flags_and_variables, path }
    }

    /// Returns the path of the settings file.
    pub(crate) fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// Reads the file, and returns all layers.
    pub(crate) fn read(&self) -> ConfigLayers {
        let layers = self.flags_and_variables.clone();
        match &self.path {
            Some(path) => layers.with_file(path),
            None => layers,
        }
    }

    /// Reads the file while other programs can write it, and returns all layers. Waits until the content is stable.
    pub(crate) fn read_stable(&self) -> ConfigLayers {
        let layers = self.flags_and_variables.clone();
        match &self.path {
            Some(path) => {
                let bytes = reload::read_stable(source_file(path)).map(|mut text| std::mem::take(&mut *text));
                layers.with_file_content(path, bytes)
            }
            None => layers,
        }
    }
}

impl ConfigLayers {
    /// Returns the layers with the values of the command line.
    pub(crate) fn with_flags(flags: LayerValues) -> Self {
        Self { flags, ..Self::default() }
    }

    /// Adds the variables `DOORWARD_*` of the environment.
    #[must_use]
    pub(crate) fn with_environment(mut self, variables: impl Iterator<Item = (OsString, OsString)>) -> Self {
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|name| name.starts_with("DOORWARD_")) else { continue };
            let origin = ConfigOrigin::Variable(name.to_owned());
            let Some(text) = value.to_str() else {
                self.errors.push(ConfigError { origin, message: "the value is not UTF-8".into() });
                continue;
            };
            // Compose files write an empty value for "not set".
            let is_not_a_setting = name == "DOORWARD_CONFIG" || IGNORED_VARIABLES.contains(&name);
            if text.is_empty() || is_not_a_setting || is_injected_by_orchestrator(name, text) {
                continue;
            }
            match SETTINGS.iter().find(|setting| setting.variable() == name) {
                Some(setting) => {
                    let texts = if setting.is_list { split_list(text).collect() } else { vec![text] };
                    let value = |text: &str| ConfigValue { text: text.to_owned(), origin: origin.clone() };
                    self.variables.insert(setting.key, texts.into_iter().map(value).collect());
                }
                None => self.errors.push(ConfigError { origin, message: unknown_variable_message(name) }),
            }
        }
        self
    }

    /// Adds the values of the file at `path`.
    #[must_use]
    pub(crate) fn with_file(self, path: &str) -> Self {
        self.with_file_content(path, source_file(path).read())
    }

    /// Adds the values of the file at `path`, which was read.
    fn with_file_content(mut self, path: &str, bytes: Result<Vec<u8>, ReadError>) -> Self {
        let shown = displayable_path(Path::new(path));
        // The place already names the file.
        let read_error = |error: ReadError| {
            let message = error.to_string();
            message.strip_prefix(&format!("{shown}: ")).unwrap_or(&message).to_owned()
        };
        let text = bytes.map_err(read_error).and_then(|bytes| {
            if let Some(format) = wrong_format::detect_other_format(&bytes) {
                return Err(format!("it is not TOML but {format}"));
            }
            let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
            Ok(text.strip_prefix(UTF8_BOM).map_or_else(|| text.clone(), str::to_owned))
        });
        match text {
            Ok(text) => {
                let content = file::parse(path, &text, &mut self.errors);
                self.file = content.values.into_iter().collect();
                self.authenticators = content.authenticators;
                self.upstreams = content.upstreams;
                self.proxy_config = content.proxy_config;
                self.invalid_keys = content.invalid_keys;
                self.table_hashes = file::hash_tables(&text);
            }
            Err(error) => {
                let origin = ConfigOrigin::File { path: shown, line: 1, column: 1 };
                let message = format!("the settings file cannot be read: {error}");
                self.errors.push(ConfigError { origin, message });
            }
        }
        self
    }

    /// Returns whether the file sets nothing.
    fn is_file_empty(&self) -> bool {
        self.file.is_empty() && self.authenticators.is_none() && self.upstreams.is_empty()
    }

    /// Parses every value, and returns the configuration or all errors.
    pub(crate) fn into_config(self) -> Result<Config, Vec<ConfigError>> {
        let (values, errors) = self.into_partial_config();
        if errors.is_empty() { Ok(Config(values)) } else { Err(errors) }
    }

    /// Parses every value, and returns those that could be parsed and all errors, for `check`, which then checks the
    /// files.
    pub(crate) fn into_partial_config(self) -> (ConfigValues, Vec<ConfigError>) {
        let mut reader = SettingReader::new([&self.flags, &self.variables, &self.file]);
        let mut values = ConfigValues::read(&mut reader);
        values.is_file_empty = self.is_file_empty();
        values.upstreams = self.upstreams;
        values.table_hashes = self.table_hashes;
        let origins = SettingReader::new([&self.flags, &self.variables, &self.file]);
        let mut errors = self.errors;
        let (value_errors, mut invalid_keys) = reader.into_errors();
        errors.extend(value_errors);
        invalid_keys.extend(self.invalid_keys);
        let mut combination_errors = CombinationErrors {
            origin_of: &|key| origins.origin(key),
            invalid_keys: &invalid_keys,
            errors: &mut errors,
        };
        values.resolve_authenticators(self.authenticators, &mut combination_errors);
        values.check_combinations(&mut combination_errors);
        // In the order of the file; errors of other places come first.
        errors.sort_by_key(|error| match &error.origin {
            ConfigOrigin::File { line, column, .. } => (*line, *column),
            ConfigOrigin::Flag(_) | ConfigOrigin::Variable(_) | ConfigOrigin::Unset => (0, 0),
        });
        (values, errors)
    }
}

fn source_file(path: &str) -> SourceFile {
    SourceFile { path: path.into(), max_bytes: CONFIG_FILE_BYTES_MAX }
}

fn unknown_variable_message(name: &str) -> String {
    let key = name.strip_prefix("DOORWARD_").unwrap_or(name).to_lowercase();
    unknown_setting_message(&key, NamePlace::Environment)
}

/// Returns whether a variable is one that Kubernetes or Docker add to every container if a service is called doorward
/// or doorward-something. The administrator did not write it, so it must not prevent a start.
pub(crate) fn is_injected_by_orchestrator(name: &str, value: &str) -> bool {
    let is_url = value.starts_with("tcp://") || value.starts_with("udp://") || value.starts_with("sctp://");
    let parts: Vec<&str> = name.split('_').collect();
    let service = parts.windows(2).any(|w| matches!(w, ["SERVICE", "HOST" | "PORT"]));
    let numbered = parts.windows(3).any(|w| {
        matches!(w, ["PORT", number, "TCP" | "UDP" | "SCTP"] if number.bytes().all(|b| b.is_ascii_digit()))
    });
    let bare = name.strip_prefix("NGX_").unwrap_or(name);
    let link = bare == "DOORWARD_NAME" || bare.starts_with("DOORWARD_ENV_");
    service || numbered || link || (is_url && parts.last() == Some(&"PORT"))
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;
