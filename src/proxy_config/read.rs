//! Reads the options from flags, environment and file, with the same priorities and errors as settings.

use std::ffi::OsString;

use super::options::{
    COMMON_OPTIONS, CommonOptions, OptionError, ProxyOptions, SERVER_OPTIONS, ServerOptions,
};
use crate::config::layers::is_injected_by_orchestrator;
use crate::config::raw_table::{RawEntry, RawProxyConfig, displayable};
use crate::config::reader::{SettingReader, split_list};
use crate::config::setting::{ConfigValue, LayerValues, Setting};
use crate::config::{ConfigError, ConfigOrigin};

/// The prefix of the environment variables.
pub(crate) const VARIABLE_PREFIX: &str = "NGX_DOORWARD_";

/// Variables of our own compose files that are not options. An `env_file: .env` passes them on.
const IGNORED_VARIABLES: [&str; 3] = ["NGX_DOORWARD_PUBLISH", "NGX_DOORWARD_SUBNET", "NGX_DOORWARD_TLS_NAME"];

/// Former names of options, and the present ones.
const RENAMED: &[(&str, &str)] = &[
    ("backend", "upstream"),
    ("backend_ca", "upstream_ca"),
    ("names", "server_name"),
    ("proto", "scheme"),
    ("secret_file", "proxy_secret_file"),
    ("server_names", "server_name"),
];

/// The similarity, in thousandths, from which an option is suggested for an unknown name.
const SUGGESTED_SIMILARITY_MIN: u32 = 800;

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

/// Returns all options, those of all servers first.
pub(crate) fn all_options() -> impl Iterator<Item = &'static Setting> {
    COMMON_OPTIONS.iter().chain(SERVER_OPTIONS)
}

impl OptionLayers {
    /// Adds the variables `NGX_DOORWARD_*` of the environment.
    #[must_use]
    pub(crate) fn with_environment(mut self, variables: impl Iterator<Item = (OsString, OsString)>) -> Self {
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|name| name.starts_with(VARIABLE_PREFIX)) else { continue };
            let origin = ConfigOrigin::Variable(name.to_owned());
            let Some(text) = value.to_str() else {
                self.errors.push(ConfigError { origin, message: "the value is not UTF-8".into() });
                continue;
            };
            // Compose files write an empty value for "not set".
            if text.is_empty() || IGNORED_VARIABLES.contains(&name) || is_injected_by_orchestrator(name, text)
            {
                continue;
            }
            match all_options().find(|option| option.variable_with_prefix(VARIABLE_PREFIX) == name) {
                Some(option) => {
                    let texts = if option.is_list { split_list(text).collect() } else { vec![text] };
                    let value = |text: &str| ConfigValue { text: text.to_owned(), origin: origin.clone() };
                    self.variables.insert(option.key, texts.into_iter().map(value).collect());
                }
                None => {
                    let key = name.strip_prefix(VARIABLE_PREFIX).unwrap_or(name).to_lowercase();
                    let message = unknown_option_message(&key, "variable", all_options(), &|option| {
                        option.variable_with_prefix(VARIABLE_PREFIX)
                    });
                    self.errors.push(ConfigError { origin, message });
                }
            }
        }
        self
    }

    /// Parses every option, and returns all options or all errors.
    pub(crate) fn into_options(mut self) -> Result<OptionsWithOrigins, Vec<ConfigError>> {
        let mut errors = std::mem::take(&mut self.errors);
        let common_file = layer_of(&self.file.common, &mut errors, all_options);
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
            file.extend(layer_of(entries, &mut errors, || SERVER_OPTIONS.iter()));
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
fn layer_of<I: Iterator<Item = &'static Setting>>(
    entries: &[RawEntry],
    errors: &mut Vec<ConfigError>,
    options: impl Fn() -> I,
) -> LayerValues {
    let mut layer = LayerValues::new();
    for entry in entries {
        let message = match options().find(|option| option.key == entry.key) {
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
            None => {
                let noun = format!("key \"{}\"", displayable(&entry.key));
                unknown_option_message(&entry.key, &noun, options(), &|option| option.key.to_owned())
            }
        };
        errors.push(ConfigError { origin: entry.origin.clone(), message });
    }
    layer
}

/// Returns the error for an unknown name, which is written in this form in messages. A suggestion is written by
/// `format_name`.
pub(crate) fn unknown_option_message(
    name: &str,
    noun: &str,
    options: impl Iterator<Item = &'static Setting>,
    format_name: &dyn Fn(&Setting) -> String,
) -> String {
    let options: Vec<&Setting> = options.collect();
    let renamed = RENAMED.iter().find(|(old, _)| *old == name).map(|(_, new)| new);
    let similarity = |option: &&&Setting| (strsim::jaro_winkler(name, option.key) * 1000.0) as u32;
    let similar = || {
        let nearest = options.iter().max_by_key(similarity);
        nearest.filter(|option| similarity(option) > SUGGESTED_SIMILARITY_MIN)
    };
    let meant = renamed.and_then(|new| options.iter().find(|option| option.key == *new)).or_else(similar);
    match meant {
        Some(option) => format!("unknown {noun}; did you mean \"{}\"?", format_name(option)),
        None => format!("unknown {noun}; doorward proxy-config nginx --help lists all options"),
    }
}
