//! What the table of a service says about its answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::Spanned;

use super::http::HttpTableReader;
use super::raw::{self, RawHttpTable};
use crate::authn::http::response::groups::GroupsSource;
use crate::authn::http::response::{ExpectedValue, JsonCondition, JsonPointer, ResponseRules, ValueSource};
use crate::authn::http::template::{EncodingContext, Template};
use crate::config::array_of_tables::{is_valid_name, offset};
use crate::identity::check_group_name;

/// The most facts of one authenticator; each is a header on every answer.
const FACTS_MAX: usize = 16;

impl HttpTableReader<'_> {
    /// All of it.
    pub(super) fn read_response_rules(&mut self, raw: &RawHttpTable) -> ResponseRules {
        let accepted =
            self.read_statuses(raw.accepted_statuses.as_ref(), &[200], |status| (200..300).contains(&status));
        if let Some(given) = raw.accepted_statuses.as_ref().filter(|_| accepted.is_empty()) {
            self.add_error(offset(given), "accepted is empty, so nobody would be; leave it out for 200");
        }
        let no = |status: u16| (200..500).contains(&status) && status != 429;
        let rejected = self.read_statuses(raw.rejected_statuses.as_ref(), &[401, 403], no);
        let unknown = self.read_statuses(raw.unknown_user_statuses.as_ref(), &[], no);
        // What is said to be unknown is so, even if it would be rejected by default.
        let rejected: Box<[u16]> = match raw.rejected_statuses {
            None => rejected.iter().copied().filter(|status| !unknown.contains(status)).collect(),
            Some(_) => rejected,
        };
        let twice = |a: &[u16], b: &[u16]| a.iter().find(|status| b.contains(status)).copied();
        let double =
            twice(&accepted, &rejected).or(twice(&accepted, &unknown)).or(twice(&rejected, &unknown));
        if let Some(status) = double {
            self.add_error(
                offset(&raw.url),
                format!("{status} stands in two of accepted, rejected and unknown"),
            );
        }
        let username = raw.username_pointer.as_ref().and_then(|text| self.read_pointer(text));
        let groups = raw.groups.iter().filter_map(|groups| self.read_groups_rule(groups)).collect();
        let conditions = self.read_conditions(&raw.accepted_if);
        ResponseRules {
            accepted_statuses: accepted,
            rejected_statuses: rejected,
            unknown_statuses: unknown,
            conditions,
            username_pointer: username,
            groups,
            facts: self.read_facts(raw),
            is_html_allowed: raw.allow_html,
        }
    }

    fn read_statuses(
        &mut self,
        given: Option<&Spanned<Vec<u16>>>,
        default: &[u16],
        well: impl Fn(u16) -> bool,
    ) -> Box<[u16]> {
        let Some(given) = given else { return default.into() };
        if let Some(status) = given.get_ref().iter().find(|status| !well(**status)) {
            let what = "accepted has statuses from 200 to 299; rejected and unknown have none from 500 on, nor 429, by which a service says that it can't tell";
            self.add_error(offset(given), format!("{status}: {what}"));
        }
        given.get_ref().clone().into()
    }

    fn read_pointer(&mut self, text: &Spanned<String>) -> Option<JsonPointer> {
        self.ok_or_add_error(offset(text), JsonPointer::parse(text.get_ref()))
    }

    fn read_conditions(
        &mut self,
        given: &BTreeMap<Spanned<String>, Spanned<toml::Value>>,
    ) -> Box<[JsonCondition]> {
        let condition = |(pointer, value): (&Spanned<String>, &Spanned<toml::Value>)| {
            let wanted = match value.get_ref() {
                toml::Value::String(text) => {
                    match self.ok_or_add_error(offset(value), Template::parse(text, EncodingContext::Body))? {
                        template if template.is_username() => ExpectedValue::Username,
                        template => match template.as_literal() {
                            Some(text) => ExpectedValue::Value(text.into()),
                            None => {
                                self.add_error(
                                    offset(value),
                                    "a condition is a fixed value, or \"{username}\" alone",
                                );
                                return None;
                            }
                        },
                    }
                }
                toml::Value::Integer(number) => ExpectedValue::Value((*number).into()),
                toml::Value::Float(number) => ExpectedValue::Value((*number).into()),
                toml::Value::Boolean(switch) => ExpectedValue::Value((*switch).into()),
                _ => {
                    self.add_error(offset(value), "a condition is a text, a number, true or false");
                    return None;
                }
            };
            Some(JsonCondition { pointer: self.read_pointer(pointer)?, expected: wanted })
        };
        given.iter().filter_map(condition).collect()
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
                self.add_error(place, "write where it stands: pointer = \"/…\" or header = \"…\"");
                None
            }
        }
    }

    fn read_groups_rule(&mut self, given: &Spanned<raw::RawGroupsRule>) -> Option<GroupsSource> {
        let (place, raw) = (offset(given), given.get_ref());
        let spot = self.read_value_source(place, raw.pointer.as_ref(), raw.header.as_ref())?;
        let member = raw.name_pointer.as_ref().and_then(|text| self.read_pointer(text));
        if member.is_none() && !raw.conditions.is_empty() {
            self.add_error(
                place,
                "where is about the objects of a list; say member, where the name stands in each",
            );
        }
        if member.is_some() && matches!(spot, ValueSource::Header(_)) {
            self.add_error(place, "a header has no objects; leave member out");
        }
        let separator = raw.separator.as_ref().and_then(|text| {
            let mut characters = text.get_ref().chars();
            let one = characters.next().filter(|_| characters.next().is_none());
            self.ok_or_add_error(offset(text), one.ok_or_else(|| "a separator is one character".into()))
        });
        let separator = separator.or(matches!(spot, ValueSource::Header(_)).then_some(','));
        if check_group_name(format!("{}x", raw.prefix).as_bytes()).is_err() {
            self.add_error(place, "the prefix has a character that no group's name has, or is too long");
        }
        let conditions = self.read_conditions(&raw.conditions);
        let (prefix, optional) = (raw.prefix.as_str().into(), raw.optional);
        Some(GroupsSource {
            source: spot,
            name_pointer: member,
            conditions,
            separator,
            prefix,
            is_optional: optional,
        })
    }

    fn read_facts(&mut self, raw: &RawHttpTable) -> Box<[(Arc<str>, ValueSource)]> {
        let mut facts = Vec::new();
        for (name, value) in &raw.facts {
            if !is_valid_name(name.get_ref()) || name.get_ref().contains('_') {
                self.add_error(
                    offset(name),
                    "a fact's name has 1 to 32 lower-case letters, digits and hyphens",
                );
            }
            let text = |value: &toml::Value| {
                value.as_str().map(|text| Spanned::new(offset(name)..offset(name), text.to_owned()))
            };
            let (pointer, header) = match value.get_ref() {
                toml::Value::Table(table) if table.len() == 1 => (None, table.get("header").and_then(text)),
                value => (text(value), None),
            };
            if let Some(spot) = self.read_value_source(offset(value), pointer.as_ref(), header.as_ref()) {
                facts.push((name.get_ref().as_str().into(), spot));
            }
        }
        if facts.len() > FACTS_MAX {
            self.add_error(offset(&raw.url), format!("there are more than {FACTS_MAX} facts"));
        }
        facts.into()
    }
}
