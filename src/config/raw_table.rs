//! The table `[proxy_config]` of the settings file as it is written. `doorward proxy-config` reads its options.

use toml::de::DeValue;

use super::setting::ConfigValue;
use super::{ConfigError, ConfigOrigin};

/// The table `[proxy_config]`, and its tables `[[proxy_config.server]]`.
#[derive(Clone, Debug, Default)]
pub(crate) struct RawProxyConfig {
    /// The entries for all servers.
    pub(crate) common: Vec<RawEntry>,
    /// The entries of each server, and its place.
    pub(crate) servers: Vec<(ConfigOrigin, Vec<RawEntry>)>,
}

/// One key with its values.
#[derive(Clone, Debug)]
pub(crate) struct RawEntry {
    /// The key as it is written.
    pub(crate) key: String,
    /// The place of the key.
    pub(crate) origin: ConfigOrigin,
    /// The values, each with its place.
    pub(crate) values: Vec<ConfigValue>,
    /// Whether the values were written as a list.
    pub(crate) is_list: bool,
}

/// Reads the table. Reports values of other types.
pub(super) fn read_proxy_config(
    value: &DeValue<'_>,
    at: usize,
    origin_at: &dyn Fn(usize) -> ConfigOrigin,
    errors: &mut Vec<ConfigError>,
) -> RawProxyConfig {
    let mut raw = RawProxyConfig::default();
    let DeValue::Table(table) = value else {
        errors.push(ConfigError { origin: origin_at(at), message: "proxy_config: must be a table".into() });
        return raw;
    };
    for (name, value) in table {
        let place = name.span().start;
        match (name.get_ref().as_ref(), value.get_ref()) {
            ("server", DeValue::Array(servers)) => {
                for server in servers {
                    let origin = origin_at(server.span().start);
                    let DeValue::Table(table) = server.get_ref() else {
                        let message = "proxy_config.server: must be a table: [[proxy_config.server]]".into();
                        errors.push(ConfigError { origin, message });
                        continue;
                    };
                    let mut entries = Vec::new();
                    for (name, value) in table {
                        let place = name.span().start;
                        entries.extend(read_entry(
                            name.get_ref(),
                            place,
                            value.get_ref(),
                            value.span().start,
                            origin_at,
                            errors,
                        ));
                    }
                    raw.servers.push((origin, entries));
                }
            }
            ("server", _) => {
                let message = "proxy_config.server: must be a list of tables: [[proxy_config.server]]".into();
                errors.push(ConfigError { origin: origin_at(place), message });
            }
            ("servers", _) => {
                let message = "unknown key \"servers\"; did you mean \"[[proxy_config.server]]\"?".into();
                errors.push(ConfigError { origin: origin_at(place), message });
            }
            (key, inner) => {
                raw.common.extend(read_entry(key, place, inner, value.span().start, origin_at, errors));
            }
        }
    }
    raw
}

fn read_entry(
    key: &str,
    place: usize,
    value: &DeValue<'_>,
    at: usize,
    origin_at: &dyn Fn(usize) -> ConfigOrigin,
    errors: &mut Vec<ConfigError>,
) -> Option<RawEntry> {
    let (values, is_list) = match value {
        DeValue::Array(items) => {
            let texts = items.iter().map(|item| Some((scalar_text(item.get_ref())?, item.span().start)));
            (texts.collect::<Option<Vec<_>>>(), true)
        }
        other => (scalar_text(other).map(|text| vec![(text, at)]), false),
    };
    let Some(values) = values else {
        let message = format!(
            "proxy_config: {}: must be a string, a whole number, true, false, or a list of these",
            displayable(key)
        );
        errors.push(ConfigError { origin: origin_at(at), message });
        return None;
    };
    let values = values.into_iter().map(|(text, at)| ConfigValue { text, origin: origin_at(at) }).collect();
    Some(RawEntry { key: key.to_owned(), origin: origin_at(place), values, is_list })
}

fn scalar_text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Boolean(value) => Some(value.to_string()),
        _ => None,
    }
}

/// Returns a key for a message. A long or strange key can be a value in the wrong place.
fn displayable(key: &str) -> String {
    let is_plain =
        key.len() <= 40 && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if is_plain { key.to_owned() } else { format!("a key of {} bytes", key.len()) }
}
