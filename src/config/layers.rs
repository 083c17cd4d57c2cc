//! Putting the layers together: command line, then environment, then file, then defaults.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use super::authenticator::AuthenticatorConfig;
use super::setting::ConfigValue;
use super::table::{self, SETTINGS, Setting};
use super::unknown_setting;
use super::upstream::UpstreamConfig;
use super::{Config, ConfigError, ConfigOrigin, file};
use crate::reload::displayable_path;
use crate::reload::utf8_bom::UTF8_BOM;
use crate::reload::wrong_format;

/// The most bytes that a settings file may have; a real one has a few thousand.
const CONFIG_FILE_BYTES_MAX: u64 = 1 << 20;

/// Variables that our own compose files and tests define, which are no settings. An `env_file: .env` passes them on.
const IGNORED_VARIABLES: [&str; 2] = ["DOORWARD_IMAGE", "DOORWARD_TEST_SCALE"];

/// The values given in one layer, by key.
pub type LayerValues = BTreeMap<&'static str, Vec<ConfigValue>>;

/// What was given where.
#[derive(Debug, Default)]
pub struct ConfigLayers {
    /// The command line.
    pub flags: LayerValues,
    /// The environment.
    pub variables: LayerValues,
    /// The file.
    pub file: LayerValues,
    /// The file's `[[authenticator]]` tables, and where they begin.
    pub authenticators: Option<(ConfigOrigin, Vec<AuthenticatorConfig>)>,
    /// The file's `[[upstream]]` tables.
    pub upstreams: Vec<UpstreamConfig>,
    /// What was wrong so far.
    pub errors: Vec<ConfigError>,
}

impl ConfigLayers {
    /// Takes what the command line gave.
    pub fn with_flags(flags: LayerValues) -> Self {
        Self { flags, ..Self::default() }
    }

    /// Adds the environment's `DOORWARD_*`.
    #[must_use]
    pub fn with_environment(mut self, variables: impl Iterator<Item = (OsString, OsString)>) -> Self {
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|name| name.starts_with("DOORWARD_")) else { continue };
            let origin = ConfigOrigin::Variable(name.to_owned());
            let Some(text) = value.to_str() else {
                self.errors.push(ConfigError { origin, message: "its value is not UTF-8".into() });
                continue;
            };
            // An empty one is how compose files write "not set".
            let is_ours = name == "DOORWARD_CONFIG" || IGNORED_VARIABLES.contains(&name);
            if text.is_empty() || is_ours || is_injected_by_orchestrator(name, text) {
                continue;
            }
            match SETTINGS.iter().find(|setting| setting.variable() == name) {
                Some(setting) => {
                    let given =
                        split_values(setting, text).map(|text| ConfigValue { text, origin: origin.clone() });
                    self.variables.insert(setting.key, given.collect());
                }
                None => self.errors.push(ConfigError { origin, message: unknown_variable_message(name) }),
            }
        }
        self
    }

    /// Adds the file at `path`.
    #[must_use]
    pub fn with_file(mut self, path: &str) -> Self {
        let shown = displayable_path(Path::new(path));
        let origin = ConfigOrigin::File { path: shown, line: 1, column: 1 };
        let read = std::fs::metadata(path).and_then(|metadata| match metadata.len() {
            length if metadata.is_file() && length <= CONFIG_FILE_BYTES_MAX => std::fs::read(path),
            _ => Err(std::io::Error::other("it is not a file of at most 1 MiB")),
        });
        let text = read.and_then(|bytes| {
            if let Some(what) = wrong_format::detect_other_format(&bytes) {
                return Err(std::io::Error::other(format!("they are no TOML but {what}")));
            }
            let text = String::from_utf8(bytes).map_err(|_| std::io::Error::other("they are not UTF-8"))?;
            Ok(text.strip_prefix(UTF8_BOM).map_or_else(|| text.clone(), str::to_owned))
        });
        match text {
            Ok(text) => {
                let content = file::parse(path, &text, &mut self.errors);
                self.file = content.values.into_iter().collect();
                self.authenticators = content.authenticators;
                self.upstreams = content.upstreams;
            }
            Err(error) => self
                .errors
                .push(ConfigError { origin, message: format!("the settings can't be read: {error}") }),
        }
        self
    }

    /// Reads every value, and returns the settings or every fault.
    pub fn into_config(self) -> Result<Config, Vec<ConfigError>> {
        let (settings, faults) = self.into_partial_config();
        if faults.is_empty() { Ok(settings) } else { Err(faults) }
    }

    /// Reads every value: the settings as far as they can be read, and every fault. Not to be served.
    pub fn into_partial_config(self) -> (Config, Vec<ConfigError>) {
        let mut settings = Config::default();
        let mut faults = self.errors;
        for setting in SETTINGS {
            let layers = [&self.flags, &self.variables, &self.file];
            let default: Vec<ConfigValue>;
            let given = match layers.into_iter().find_map(|layer| layer.get(setting.key)) {
                Some(given) => given,
                None => {
                    default = split_values(setting, setting.default)
                        .map(|text| ConfigValue { text, origin: ConfigOrigin::Unset })
                        .collect();
                    &default
                }
            };
            for (number, ConfigValue { text, origin }) in (1..).zip(given) {
                if let Err(what) = (setting.parse_into)(&mut settings, text) {
                    // The value is not quoted, so the place of one among several is told.
                    let what = match given.len() {
                        0 | 1 => what,
                        all => format!("value {number} of {all}: {what}"),
                    };
                    // A flag and a variable say by themselves which setting they are.
                    let what = match origin {
                        ConfigOrigin::Flag(_) | ConfigOrigin::Variable(_) => what,
                        ConfigOrigin::File { .. } | ConfigOrigin::Unset => format!("{}: {what}", setting.key),
                    };
                    faults.push(ConfigError { origin: origin.clone(), message: what });
                }
            }
        }
        let origin_of = |key: &str| {
            let layers = [&self.flags, &self.variables, &self.file];
            let given = layers.into_iter().find_map(|layer| layer.get(key)).and_then(|given| given.first());
            given.map_or(ConfigOrigin::Unset, |given| given.origin.clone())
        };
        settings.upstreams = self.upstreams;
        settings.resolve_authenticators(self.authenticators, &mut faults);
        settings.check_combinations(&origin_of, &mut faults);
        // In the order of the file; what was not given in it comes before.
        faults.sort_by_key(|fault| match &fault.origin {
            ConfigOrigin::File { line, column, .. } => (*line, *column),
            _ => (0, 0),
        });
        (settings, faults)
    }
}

fn split_values(setting: &Setting, text: &str) -> impl Iterator<Item = String> {
    let parts: Vec<String> = match setting.is_list {
        true => text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect(),
        false if text.is_empty() && setting.default.is_empty() => Vec::new(),
        false => vec![text.to_owned()],
    };
    parts.into_iter()
}

fn unknown_variable_message(name: &str) -> String {
    let key = name.strip_prefix("DOORWARD_").unwrap_or(name).to_lowercase();
    unknown_setting::unknown_setting_message(&key, &|right| {
        table::find_setting(right).map_or_else(|| right.to_owned(), Setting::variable)
    })
}

/// Whether Kubernetes or Docker put a variable into every container because some service is called
/// doorward (or doorward-something): nobody wrote it, and it must not stop a start.
fn is_injected_by_orchestrator(name: &str, value: &str) -> bool {
    let url = value.starts_with("tcp://") || value.starts_with("udp://") || value.starts_with("sctp://");
    let parts: Vec<&str> = name.split('_').collect();
    let service = parts.windows(2).any(|w| matches!(w, ["SERVICE", "HOST" | "PORT"]));
    let numbered = parts.windows(3).any(|w| {
        matches!(w, ["PORT", number, "TCP" | "UDP" | "SCTP"] if number.bytes().all(|b| b.is_ascii_digit()))
    });
    let link = name == "DOORWARD_NAME" || name.starts_with("DOORWARD_ENV_");
    service || numbered || link || (url && parts.last() == Some(&"PORT"))
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;
