//! The TOML file: its values as text, each with its line and column.

use toml::de::{DeTable, DeValue};

use super::authenticator::{self, Authenticator};
use super::names;
use super::setting::Given;
use super::table::{self, SETTINGS};
use super::upstream::{self, Upstream};
use super::{Fault, Origin, tables};

/// The tables that are no settings of the table.
const CHAIN: &str = "authenticator";
const UPSTREAM: &str = "upstream";

/// What stands in a file.
#[derive(Debug, Default)]
pub struct Content {
    /// The values of the table of settings.
    pub given: Vec<(&'static str, Vec<Given>)>,
    /// The `[[authenticator]]` tables, and where they begin.
    pub chain: Option<(Origin, Vec<Authenticator>)>,
    /// The `[[upstream]]` tables.
    pub upstreams: Vec<Upstream>,
}

/// Reads the text of the file at `path`. Faults of form and unknown keys are noted; what is well
/// is returned.
pub fn read(path: &str, text: &str, faults: &mut Vec<Fault>) -> Content {
    let origin = |at: usize| {
        let before = text.get(..at).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Origin::File {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        }
    };
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            faults.push(Fault { origin: origin(at), what: error.message().to_owned() });
            return Content::default();
        }
    };
    let mut walk = Walk { origin: &origin, faults, content: Content::default() };
    walk.table("", document.get_ref());
    walk.content
}

struct Walk<'w> {
    origin: &'w dyn Fn(usize) -> Origin,
    faults: &'w mut Vec<Fault>,
    content: Content,
}

impl Walk<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = format!("{prefix}{}", name.get_ref());
            let at = name.span().start;
            if name.get_ref().contains('.') {
                // It would be a second way to write a setting of a table.
                self.fault(
                    at,
                    "there is no such setting; names of settings are written without quotes".into(),
                );
                continue;
            }
            match (table::find(&key), value.get_ref()) {
                (Some(setting), value_at) => {
                    if let Some(texts) = self.values(value_at, value.span().start, setting.many) {
                        self.content.given.push((setting.key, texts));
                    }
                }
                (None, value) if key == CHAIN => self.chain(value, at),
                (None, value) if key == UPSTREAM => self.upstreams(value, at),
                (None, DeValue::Table(inner)) if prefix.is_empty() && is_table(&key) => {
                    self.table(&format!("{key}."), inner);
                }
                (None, _) => {
                    let what = names::unknown(&key, &|right| right.to_owned());
                    let what = format!("{}: {what}", names::shown(&key));
                    self.fault(at, what);
                }
            }
        }
    }

    fn chain(&mut self, value: &DeValue<'_>, at: usize) {
        let mut faults = tables::Faults::new();
        let chain = authenticator::read(value, at, self.origin, &mut faults);
        faults.into_iter().for_each(|(at, what)| self.fault(at, format!("{CHAIN}: {what}")));
        self.content.chain = Some(((self.origin)(at), chain));
    }

    fn upstreams(&mut self, value: &DeValue<'_>, at: usize) {
        let mut faults = tables::Faults::new();
        self.content.upstreams = upstream::read(value, at, self.origin, &mut faults);
        faults.into_iter().for_each(|(at, what)| self.fault(at, format!("{UPSTREAM}: {what}")));
    }

    fn values(&mut self, value: &DeValue<'_>, at: usize, many: bool) -> Option<Vec<Given>> {
        match value {
            DeValue::Array(items) if many => {
                items.iter().map(|item| self.scalar(item.get_ref(), item.span().start)).collect()
            }
            DeValue::Array(_) => {
                self.fault(at, "it takes one value, not a list".into());
                None
            }
            other => self.scalar(other, at).map(|given| vec![given]),
        }
    }

    fn scalar(&mut self, value: &DeValue<'_>, at: usize) -> Option<Given> {
        let text = match value {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            DeValue::Integer(number) if number.radix() == 8 => format!("0o{}", number.as_str()),
            DeValue::Boolean(switch) => switch.to_string(),
            _ => {
                self.fault(at, "it takes a text, a whole number, true or false".into());
                return None;
            }
        };
        Some(Given { text, origin: (self.origin)(at) })
    }

    fn fault(&mut self, at: usize, what: String) {
        self.faults.push(Fault { origin: (self.origin)(at), what });
    }
}

fn is_table(name: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.key.split_once('.').is_some_and(|(table, _)| table == name))
}
