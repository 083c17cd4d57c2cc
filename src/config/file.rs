//! The TOML file: its values as text, each with its line and column.

use toml::de::{DeTable, DeValue};

use super::array_of_tables;
use super::authenticator::{self, AuthenticatorConfig};
use super::setting::ConfigValue;
use super::table::{self, SETTINGS};
use super::unknown_setting;
use super::upstream::{self, UpstreamConfig};
use super::{ConfigError, ConfigOrigin, TableHashes};

/// The tables that are no settings of the table.
pub(super) const AUTHENTICATOR_KEY: &str = "authenticator";
pub(super) const UPSTREAM_KEY: &str = "upstream";

/// What stands in a file.
#[derive(Debug, Default)]
pub struct ConfigFileContent {
    /// The values of the table of settings.
    pub values: Vec<(&'static str, Vec<ConfigValue>)>,
    /// The `[[authenticator]]` tables, and where they begin.
    pub authenticators: Option<(ConfigOrigin, Vec<AuthenticatorConfig>)>,
    /// The `[[upstream]]` tables.
    pub upstreams: Vec<UpstreamConfig>,
    /// Hashes of the tables.
    pub(crate) table_hashes: TableHashes,
}

/// Reads the text of the file at `path`. Faults of form and unknown keys are noted; what is well
/// is returned.
pub fn parse(path: &str, text: &str, faults: &mut Vec<ConfigError>) -> ConfigFileContent {
    let origin = |at: usize| {
        let before = text.get(..at).unwrap_or(text);
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
            let at = error.span().map_or(0, |span| span.start);
            faults.push(ConfigError { origin: origin(at), message: error.message().to_owned() });
            return ConfigFileContent::default();
        }
    };
    let mut walk =
        ConfigFileReader { origin_at: &origin, errors: faults, content: ConfigFileContent::default() };
    walk.read_table("", document.get_ref());
    walk.content.table_hashes = hash_tables(text);
    walk.content
}

/// Returns the hashes of the tables of authenticators and upstreams, without their places in the text.
fn hash_tables(text: &str) -> TableHashes {
    let document = toml::from_str::<toml::Table>(text).unwrap_or_default();
    let hash = |key: &str| document.get(key).map(|table| blake3::hash(format!("{table:?}").as_bytes()));
    TableHashes { authenticators: hash(AUTHENTICATOR_KEY), upstreams: hash(UPSTREAM_KEY) }
}

struct ConfigFileReader<'w> {
    origin_at: &'w dyn Fn(usize) -> ConfigOrigin,
    errors: &'w mut Vec<ConfigError>,
    content: ConfigFileContent,
}

impl ConfigFileReader<'_> {
    fn read_table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = format!("{prefix}{}", name.get_ref());
            let at = name.span().start;
            if name.get_ref().contains('.') {
                // It would be a second way to write a setting of a table.
                self.add_error(
                    at,
                    "there is no such setting; names of settings are written without quotes".into(),
                );
                continue;
            }
            match (table::find_setting(&key), value.get_ref()) {
                (Some(setting), value_at) => {
                    if let Some(texts) = self.read_values(value_at, value.span().start, setting.is_list) {
                        self.content.values.push((setting.key, texts));
                    }
                }
                (None, value) if key == AUTHENTICATOR_KEY => self.read_authenticators(value, at),
                (None, value) if key == UPSTREAM_KEY => self.read_upstreams(value, at),
                (None, DeValue::Table(inner)) if prefix.is_empty() && is_section(&key) => {
                    self.read_table(&format!("{key}."), inner);
                }
                (None, _) => {
                    let what = unknown_setting::unknown_setting_message(&key, &|right| right.to_owned());
                    let what = format!("{}: {what}", unknown_setting::displayable_key(&key));
                    self.add_error(at, what);
                }
            }
        }
    }

    fn read_authenticators(&mut self, value: &DeValue<'_>, at: usize) {
        let mut faults = array_of_tables::TableErrors::new();
        let chain = authenticator::read_authenticators(value, at, self.origin_at, &mut faults);
        faults.into_iter().for_each(|(at, what)| self.add_error(at, format!("{AUTHENTICATOR_KEY}: {what}")));
        self.content.authenticators = Some(((self.origin_at)(at), chain));
    }

    fn read_upstreams(&mut self, value: &DeValue<'_>, at: usize) {
        let mut faults = array_of_tables::TableErrors::new();
        self.content.upstreams = upstream::read_upstreams(value, at, self.origin_at, &mut faults);
        faults.into_iter().for_each(|(at, what)| self.add_error(at, format!("{UPSTREAM_KEY}: {what}")));
    }

    fn read_values(&mut self, value: &DeValue<'_>, at: usize, many: bool) -> Option<Vec<ConfigValue>> {
        match value {
            DeValue::Array(items) if many => {
                items.iter().map(|item| self.read_scalar(item.get_ref(), item.span().start)).collect()
            }
            DeValue::Array(_) => {
                self.add_error(at, "it takes one value, not a list".into());
                None
            }
            other => self.read_scalar(other, at).map(|given| vec![given]),
        }
    }

    fn read_scalar(&mut self, value: &DeValue<'_>, at: usize) -> Option<ConfigValue> {
        let text = match value {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            DeValue::Integer(number) if number.radix() == 8 => format!("0o{}", number.as_str()),
            DeValue::Boolean(switch) => switch.to_string(),
            _ => {
                self.add_error(at, "it takes a text, a whole number, true or false".into());
                return None;
            }
        };
        Some(ConfigValue { text, origin: (self.origin_at)(at) })
    }

    fn add_error(&mut self, at: usize, what: String) {
        self.errors.push(ConfigError { origin: (self.origin_at)(at), message: what });
    }
}

fn is_section(name: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.key.split_once('.').is_some_and(|(table, _)| table == name))
}
