//! The layers of the configuration: command line, environment, file, defaults.

use std::ffi::OsString;
use std::path::Path;

use super::authenticator::AuthenticatorConfig;
use super::combination_errors::CombinationErrors;
use super::environment::read_variables;
use super::raw_table::RawProxyConfig;
use super::reader::SettingReader;
use super::setting::LayerValues;
use super::table::ConfigValues;
use super::unknown_setting::SERVICE_SETTINGS;
use super::upstream::UpstreamConfig;
use super::{Config, ConfigError, ConfigOrigin, TableHashes, file};
use crate::reload::utf8_bom::UTF8_BOM;
use crate::reload::wrong_format;
use crate::reload::{self, ReadError, SourceFile, displayable_path};

/// Size limit of the settings file. Real ones have a few thousand bytes.
const CONFIG_FILE_BYTES_MAX: u64 = 1 << 20;

/// Variables that are not settings: the path of the file, and those of our own compose files and tests. An
/// `env_file: .env` passes them on.
const IGNORED_VARIABLES: [&str; 3] = ["DOORWARD_CONFIG", "DOORWARD_IMAGE", "DOORWARD_TEST_SCALE"];

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
        let (values, errors) = read_variables(SERVICE_SETTINGS, &IGNORED_VARIABLES, variables);
        self.variables.extend(values);
        self.errors.extend(errors);
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

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;
