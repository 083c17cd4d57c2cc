//! Reads the keys of a table of type `http` that say what a response means.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::Spanned;

use super::http::HttpTableReader;
use super::http_table::{GroupsTable, HttpTable};
use crate::authn::http::response::groups::GroupsSource;
use crate::authn::http::response::{ExpectedValue, JsonCondition, JsonPointer, ResponseRules, ValueSource};
use crate::authn::http::template::{EncodingContext, Template};
use crate::config::array_of_tables::{is_valid_name, offset};
use crate::identity::check_group_name;

/// The largest number of facts of one authenticator. Each is a header of every response.
const FACTS_MAX: usize = 16;

impl HttpTableReader<'_> {
    /// Reads all of these keys.
    pub(super) fn read_response_rules(&mut self, table: &HttpTable) -> ResponseRules {
        let accepted = self
            .read_statuses(table.accepted_statuses.as_ref(), &[200], |status| (200..300).contains(&status));
        if let Some(list) = table.accepted_statuses.as_ref().filter(|_| accepted.is_empty()) {
            self.values.add_error(
                offset(list),
                "accepted_statuses is empty, so no user could be accepted; remove it for the default [200]",
            );
        }
        // 429 and 5xx mean that the service cannot decide.
        let is_refusal = |status: u16| (200..500).contains(&status) && status != 429;
        let rejected = self.read_statuses(table.rejected_statuses.as_ref(), &[401, 403], is_refusal);
        let unknown = self.read_statuses(table.unknown_user_statuses.as_ref(), &[], is_refusal);
        // A status of unknown_user_statuses replaces the default of rejected_statuses.
        let rejected: Box<[u16]> = match table.rejected_statuses {
            None => rejected.iter().copied().filter(|status| !unknown.contains(status)).collect(),
            Some(_) => rejected,
        };
        let common = |a: &[u16], b: &[u16]| a.iter().find(|status| b.contains(status)).copied();
        let duplicate =
            common(&accepted, &rejected).or(common(&accepted, &unknown)).or(common(&rejected, &unknown));
        if let Some(status) = duplicate {
            self.values.add_error(
                offset(&table.url),
                format!(
                    "status {status} is in two of accepted_statuses, rejected_statuses and unknown_user_statuses; remove it from one"
                ),
            );
        }
        let username_pointer = table.username_pointer.as_ref().and_then(|text| self.read_pointer(text));
        let groups = table.groups.iter().filter_map(|groups| self.read_groups(groups)).collect();
        ResponseRules {
            accepted_statuses: accepted,
            rejected_statuses: rejected,
            unknown_statuses: unknown,
            conditions: self.read_conditions(&table.accepted_if),
            username_pointer,
            groups,
            facts: self.read_facts(table),
            is_html_allowed: table.allow_html,
        }
    }

    fn read_statuses(
        &mut self,
        list: Option<&Spanned<Vec<u16>>>,
        default: &[u16],
        is_allowed: impl Fn(u16) -> bool,
    ) -> Box<[u16]> {
        let Some(list) = list else { return default.into() };
        if let Some(status) = list.get_ref().iter().find(|status| !is_allowed(**status)) {
            self.values.add_error(
                offset(list),
                format!(
                    "status {status} cannot be in this list: accepted_statuses can have 200 to 299, rejected_statuses and unknown_user_statuses 200 to 499 without 429"
                ),
            );
        }
        list.get_ref().clone().into()
    }

    fn read_pointer(&mut self, text: &Spanned<String>) -> Option<JsonPointer> {
        self.values.ok_or_add_error(offset(text), JsonPointer::parse(text.get_ref()))
    }

    fn read_conditions(
        &mut self,
        conditions: &BTreeMap<Spanned<String>, Spanned<toml::Value>>,
    ) -> Box<[JsonCondition]> {
        let condition = |(pointer, value): (&Spanned<String>, &Spanned<toml::Value>)| {
            let expected = match value.get_ref() {
                toml::Value::String(text) => {
                    let template = Template::parse(text, EncodingContext::Body);
                    let template = self.values.ok_or_add_error(offset(value), template)?;
                    match template.as_literal() {
                        Some(text) => ExpectedValue::Value(text.into()),
                        None if template.is_username() => ExpectedValue::Username,
                        None => {
                            self.values.add_error(
                                offset(value),
                                "a condition must be a fixed value, or \"{username}\" alone",
                            );
                            return None;
                        }
                    }
                }
                toml::Value::Integer(number) => ExpectedValue::Value((*number).into()),
                toml::Value::Float(number) => ExpectedValue::Value((*number).into()),
                toml::Value::Boolean(value) => ExpectedValue::Value((*value).into()),
                _ => {
                    self.values
                        .add_error(offset(value), "a condition must be a text, a number, true or false");
                    return None;
                }
            };
            Some(JsonCondition { pointer: self.read_pointer(pointer)?, expected })
        };
        conditions.iter().filter_map(condition).collect()
    }

    fn read_value_source(
        &mut self,
        place: usize,
        pointer: Option<&Spanned<String>>,
        header: Option<&Spanned<String>>,
    ) -> Option<ValueSource> {
        match (pointer, header) {
            (Some(pointer), None) => self.read_pointer(pointer).map(ValueSource::Pointer),
            (None, Some(header)) => self.read_header_name(header).map(ValueSource::Header),
            _ => {
                self.values.add_error(place, "set one of pointer = \"/…\" and header = \"…\"");
                None
            }
        }
    }

    fn read_groups(&mut self, entry: &Spanned<GroupsTable>) -> Option<GroupsSource> {
        let (place, table) = (offset(entry), entry.get_ref());
        let source = self.read_value_source(place, table.pointer.as_ref(), table.header.as_ref())?;
        let name_pointer = table.name_pointer.as_ref().and_then(|text| self.read_pointer(text));
        if name_pointer.is_none() && !table.conditions.is_empty() {
            self.values.add_error(
                place,
                "the key where needs a list of objects; set name_pointer to the place of the name in each object",
            );
        }
        if name_pointer.is_some() && matches!(source, ValueSource::Header(_)) {
            self.values.add_error(place, "a header has no objects; remove name_pointer");
        }
        let separator = table.separator.as_ref().and_then(|text| {
            let mut characters = text.get_ref().chars();
            let separator = characters.next().filter(|_| characters.next().is_none());
            let separator = separator.ok_or_else(|| "a separator must be one character".into());
            self.values.ok_or_add_error(offset(text), separator)
        });
        let separator = separator.or(matches!(source, ValueSource::Header(_)).then_some(','));
        if check_group_name(format!("{}x", table.prefix).as_bytes()).is_err() {
            self.values.add_error(
                place,
                "invalid prefix: group names have 1 to 64 bytes, without spaces and commas",
            );
        }
        Some(GroupsSource {
            source,
            name_pointer,
            conditions: self.read_conditions(&table.conditions),
            separator,
            prefix: table.prefix.as_str().into(),
            is_optional: table.optional,
        })
    }

    fn read_facts(&mut self, table: &HttpTable) -> Box<[(Arc<str>, ValueSource)]> {
        let mut facts = Vec::new();
        for (name, value) in &table.facts {
            if !is_valid_name(name.get_ref()) || name.get_ref().contains('_') {
                self.values.add_error(
                    offset(name),
                    "invalid name of a fact: use 1 to 32 lower-case letters, digits and hyphens",
                );
            }
            let text = |value: &toml::Value| {
                value.as_str().map(|text| Spanned::new(offset(name)..offset(name), text.to_owned()))
            };
            let (pointer, header) = match value.get_ref() {
                toml::Value::Table(table) if table.len() == 1 => (None, table.get("header").and_then(text)),
                value => (text(value), None),
            };
            if let Some(source) = self.read_value_source(offset(value), pointer.as_ref(), header.as_ref()) {
                facts.push((name.get_ref().as_str().into(), source));
            }
        }
        if facts.len() > FACTS_MAX {
            self.values.add_error(offset(&table.url), format!("more than {FACTS_MAX} facts; remove some"));
        }
        facts.into()
    }
}
