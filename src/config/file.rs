//! Reads the TOML file into texts, each with its line and column.

use toml::de::{DeTable, DeValue};

use super::array_of_tables;
use super::authenticator::{self, AuthenticatorConfig};
use super::raw_table::{self, RawProxyConfig};
use super::setting::{ConfigValue, Setting};
use super::table::{self, SETTINGS};
use super::unknown_setting::{NamePlace, SERVICE_SETTINGS};
use super::upstream::{self, UpstreamConfig};
use super::{ConfigError, ConfigOrigin, TableHashes};

/// The key of the list of authenticators.
pub(super) const AUTHENTICATOR_KEY: &str = "authenticator";
/// The key of the list of upstreams.
pub(super) const UPSTREAM_KEY: &str = "upstream";

/// The key of the options of `doorward proxy-config`.
const PROXY_CONFIG_KEY: &str = "proxy_config";

/// The content of a file.
#[derive(Debug, Default)]
pub(crate) struct ConfigFileContent {
    /// The values of the settings.
    pub(crate) values: Vec<(&'static str, Vec<ConfigValue>)>,
    /// The `[[authenticator]]` tables, and the place of the first.
    pub(crate) authenticators: Option<(ConfigOrigin, Vec<AuthenticatorConfig>)>,
    /// The `[[upstream]]` tables.
    pub(crate) upstreams: Vec<UpstreamConfig>,
    /// The table `[proxy_config]`.
    pub(crate) proxy_config: RawProxyConfig,
    /// The keys of the settings whose values have the wrong type.
    pub(crate) invalid_keys: Vec<&'static str>,
}

/// Parses the text of the file at `path`. Reports syntax errors and unknown keys, and returns everything else.
pub(crate) fn parse(path: &str, text: &str, errors: &mut Vec<ConfigError>) -> ConfigFileContent {
    let origin_at = |offset: usize| {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        ConfigOrigin::File {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        }
    };
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let offset = error.span().map_or(0, |span| span.start);
            errors.push(ConfigError { origin: origin_at(offset), message: error.message().to_owned() });
            return ConfigFileContent::default();
        }
    };
    let mut reader =
        ConfigFileReader { origin_at: &origin_at, errors, content: ConfigFileContent::default() };
    reader.read_table("", document.get_ref());
    reader.content
}

/// Returns the hashes of the tables of authenticators and upstreams, without their places in the text.
pub(super) fn hash_tables(text: &str) -> TableHashes {
    let document = toml::from_str::<toml::Table>(text).unwrap_or_default();
    let hash = |key: &str| document.get(key).map(|table| blake3::hash(format!("{table:?}").as_bytes()));
    TableHashes { authenticators: hash(AUTHENTICATOR_KEY), upstreams: hash(UPSTREAM_KEY) }
}

struct ConfigFileReader<'r> {
    origin_at: &'r dyn Fn(usize) -> ConfigOrigin,
    errors: &'r mut Vec<ConfigError>,
    content: ConfigFileContent,
}

impl ConfigFileReader<'_> {
    fn read_table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = format!("{prefix}{}", name.get_ref());
            let at = name.span().start;
            if name.get_ref().contains('.') {
                // Otherwise a setting could be given twice, as `"cache.idle_timeout"` and in `[cache]`.
                self.add_error(at, "unknown key; write the key of a setting without quotes".into());
                continue;
            }
            match (table::find_setting(&key), value.get_ref()) {
                (Some(setting), inner) => match self.read_values(inner, value.span().start, setting) {
                    Some(texts) => self.content.values.push((setting.key, texts)),
                    None => self.content.invalid_keys.push(setting.key),
                },
                (None, value) if key == AUTHENTICATOR_KEY => self.read_authenticators(value, at),
                (None, value) if key == UPSTREAM_KEY => self.read_upstreams(value, at),
                (None, value) if key == PROXY_CONFIG_KEY => {
                    self.content.proxy_config =
                        raw_table::read_proxy_config(value, at, self.origin_at, self.errors);
                }
                (None, DeValue::Table(inner)) if prefix.is_empty() && is_section(&key) => {
                    self.read_table(&format!("{key}."), inner);
                }
                (None, _) => {
                    self.add_error(at, SERVICE_SETTINGS.unknown_message(&key, NamePlace::File));
                }
            }
        }
    }

    fn read_authenticators(&mut self, value: &DeValue<'_>, at: usize) {
        let mut errors = array_of_tables::TableErrors::new();
        let chain = authenticator::read_authenticators(value, at, self.origin_at, &mut errors);
        for (at, message) in errors {
            self.add_error(at, format!("{AUTHENTICATOR_KEY}: {message}"));
        }
        self.content.authenticators = Some(((self.origin_at)(at), chain));
    }

    fn read_upstreams(&mut self, value: &DeValue<'_>, at: usize) {
        let mut errors = array_of_tables::TableErrors::new();
        self.content.upstreams = upstream::read_upstreams(value, at, self.origin_at, &mut errors);
        for (at, message) in errors {
            self.add_error(at, format!("{UPSTREAM_KEY}: {message}"));
        }
    }

    fn read_values(&mut self, value: &DeValue<'_>, at: usize, setting: &Setting) -> Option<Vec<ConfigValue>> {
        match value {
            DeValue::Array(items) if setting.is_list => items
                .iter()
                .map(|item| self.read_scalar(item.get_ref(), item.span().start, setting))
                .collect(),
            DeValue::Array(_) => {
                self.add_error(at, format!("{}: must be one value, not a list", setting.key));
                None
            }
            other => self.read_scalar(other, at, setting).map(|value| vec![value]),
        }
    }

    fn read_scalar(&mut self, value: &DeValue<'_>, at: usize, setting: &Setting) -> Option<ConfigValue> {
        let text = match value {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            DeValue::Integer(number) if number.radix() == 8 => format!("0o{}", number.as_str()),
            DeValue::Boolean(value) => value.to_string(),
            _ => {
                self.add_error(
                    at,
                    format!("{}: must be a string, a whole number, true or false", setting.key),
                );
                return None;
            }
        };
        Some(ConfigValue { text, origin: (self.origin_at)(at) })
    }

    fn add_error(&mut self, at: usize, message: String) {
        self.errors.push(ConfigError { origin: (self.origin_at)(at), message });
    }
}

/// Returns whether a table of the file holds settings.
fn is_section(name: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.key.split_once('.').is_some_and(|(section, _)| section == name))
}
