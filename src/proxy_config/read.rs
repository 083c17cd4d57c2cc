//! Reads the options from flags, environment and file, with the same priorities and errors as settings.

use std::ffi::OsString;

use super::options::{
    COMMON_OPTIONS, CommonOptions, OptionError, ProxyOptions, SERVER_OPTIONS, ServerOptions,
};
use crate::config::environment::read_variables;
use crate::config::raw_table::{RawEntry, RawProxyConfig};
use crate::config::reader::SettingReader;
use crate::config::setting::{LayerValues, Setting};
use crate::config::unknown_setting::{NamePlace, SettingNames};
use crate::config::{ConfigError, ConfigOrigin};

/// The options of all servers and of each server.
pub(crate) const OPTIONS: SettingNames = SettingNames {
    settings: &[COMMON_OPTIONS, SERVER_OPTIONS],
    renamed: &[
        ("backend", "upstream"),
        ("backend_ca", "upstream_ca"),
        ("names", "server_name"),
        ("proto", "scheme"),
        ("secret_file", "proxy_secret_file"),
        ("server_names", "server_name"),
    ],
    removed: &[],
    variable_prefix: "NGX_DOORWARD_",
    list: "doorward proxy-config nginx --help lists all options",
};

/// Variables of our own compose files that are not options. An `env_file: .env` passes them on.
const IGNORED_VARIABLES: [&str; 3] = ["NGX_DOORWARD_PUBLISH", "NGX_DOORWARD_SUBNET", "NGX_DOORWARD_TLS_NAME"];

/// The options as they were given, on each layer.
#[derive(Clone, Debug, Default)]
pub(crate) struct OptionLayers {
    /// The command line.
    pub(crate) flags: LayerValues,
    /// The environment.
    pub(crate) variables: LayerValues,
    /// The file.
    pub(crate) file: RawProxyConfig,
    /// The errors found so far.
    pub(crate) errors: Vec<ConfigError>,
}

/// The options, and the places from which they came.
#[derive(Debug)]
pub(crate) struct OptionsWithOrigins {
    /// The options.
    pub(crate) options: ProxyOptions,
    layers: OptionLayers,
}

impl OptionLayers {
    /// Adds the variables `NGX_DOORWARD_*` of the environment.
    #[must_use]
    pub(crate) fn with_environment(mut self, variables: impl Iterator<Item = (OsString, OsString)>) -> Self {
        let (values, errors) = read_variables(OPTIONS, &IGNORED_VARIABLES, variables);
        self.variables.extend(values);
        self.errors.extend(errors);
        self
    }

    /// Parses every option, and returns all options or all errors.
    pub(crate) fn into_options(mut self) -> Result<OptionsWithOrigins, Vec<ConfigError>> {
        let mut errors = std::mem::take(&mut self.errors);
        let common_file = layer_of(&self.file.common, &mut errors, OPTIONS.settings);
        let mut reader = SettingReader::new([&self.flags, &self.variables, &common_file]);
        let common = CommonOptions::read(&mut reader);
        errors.extend(reader.into_errors().0);
        let mut servers = Vec::new();
        if self.file.servers.is_empty() {
            let mut reader = SettingReader::new([&self.flags, &self.variables, &common_file]);
            servers.push(ServerOptions::read(&mut reader));
            errors.extend(reader.into_errors().0);
        }
        for (_, entries) in &self.file.servers {
            let mut file = common_file.clone();
            file.extend(layer_of(entries, &mut errors, &[SERVER_OPTIONS]));
            let mut reader = SettingReader::new([&self.flags, &self.variables, &file]);
            servers.push(ServerOptions::read(&mut reader));
            for error in reader.into_errors().0 {
                // A value for all servers is reported once.
                if !errors.contains(&error) {
                    errors.push(error);
                }
            }
        }
        if self.file.servers.len() > 1 {
            for layer in [&self.flags, &self.variables] {
                for value in SERVER_OPTIONS.iter().filter_map(|option| layer.get(option.key)?.first()) {
                    let message = "applies to one server, and the settings file has several; write it in a table [[proxy_config.server]]";
                    errors.push(ConfigError { origin: value.origin.clone(), message: message.into() });
                }
            }
        }
        if errors.is_empty() {
            Ok(OptionsWithOrigins { options: ProxyOptions { common, servers }, layers: self })
        } else {
            Err(errors)
        }
    }
}

impl OptionsWithOrigins {
    /// Returns an error of the options with its place.
    pub(crate) fn locate(&self, error: &OptionError) -> ConfigError {
        let find = |entries: &[RawEntry]| {
            let entry = entries.iter().find(|entry| entry.key == error.option)?;
            Some(entry.values.first().map_or_else(|| entry.origin.clone(), |value| value.origin.clone()))
        };
        let given = [&self.layers.flags, &self.layers.variables]
            .into_iter()
            .find_map(|layer| Some(layer.get(error.option)?.first()?.origin.clone()));
        let server = error.server.and_then(|number| self.layers.file.servers.get(number));
        let origin = given
            .or_else(|| find(&server?.1))
            .or_else(|| find(&self.layers.file.common))
            .or_else(|| server.map(|(origin, _)| origin.clone()))
            .unwrap_or(ConfigOrigin::Unset);
        let message = match origin {
            ConfigOrigin::Flag(_) | ConfigOrigin::Variable(_) => error.message.clone(),
            ConfigOrigin::File { .. } | ConfigOrigin::Unset => format!("{}: {}", error.option, error.message),
        };
        ConfigError { origin, message }
    }
}

/// Returns the entries of a table by option. Reports unknown keys, and lists for options with one value.
fn layer_of(
    entries: &[RawEntry],
    errors: &mut Vec<ConfigError>,
    options: &[&'static [Setting]],
) -> LayerValues {
    let mut layer = LayerValues::new();
    for entry in entries {
        let message = match options.iter().copied().flatten().find(|option| option.key == entry.key) {
            Some(option) if entry.is_list && !option.is_list => {
                format!("{}: must be one value, not a list", option.key)
            }
            Some(option) => {
                layer.insert(option.key, entry.values.clone());
                continue;
            }
            None if COMMON_OPTIONS.iter().any(|option| option.key == entry.key) => {
                format!("{}: applies to all servers; write it in [proxy_config]", entry.key)
            }
            None => OPTIONS.unknown_message(&entry.key, NamePlace::File),
        };
        errors.push(ConfigError { origin: entry.origin.clone(), message });
    }
    layer
}
