//! What the table of a service says about its answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::Spanned;

use super::http::Reader;
use super::raw::{self, Http};
use crate::authn::http::answer::groups::Groups;
use crate::authn::http::answer::{Condition, Pointer, Reading, Spot, Wanted};
use crate::authn::http::template::{Place, Template};
use crate::config::tables::{at, is_name};
use crate::identity::check_group_name;

/// The most facts of one authenticator; each is a header on every answer.
const FACTS_MAX: usize = 16;

impl Reader<'_> {
    /// All of it.
    pub(super) fn reading(&mut self, raw: &Http) -> Reading {
        let accepted = self.statuses(raw.accepted.as_ref(), &[200], |status| (200..300).contains(&status));
        if let Some(given) = raw.accepted.as_ref().filter(|_| accepted.is_empty()) {
            self.fault(at(given), "accepted is empty, so nobody would be; leave it out for 200");
        }
        let no = |status: u16| (200..500).contains(&status) && status != 429;
        let rejected = self.statuses(raw.rejected.as_ref(), &[401, 403], no);
        let unknown = self.statuses(raw.unknown.as_ref(), &[], no);
        // What is said to be unknown is so, even if it would be rejected by default.
        let rejected: Box<[u16]> = match raw.rejected {
            None => rejected.iter().copied().filter(|status| !unknown.contains(status)).collect(),
            Some(_) => rejected,
        };
        let twice = |a: &[u16], b: &[u16]| a.iter().find(|status| b.contains(status)).copied();
        let double =
            twice(&accepted, &rejected).or(twice(&accepted, &unknown)).or(twice(&rejected, &unknown));
        if let Some(status) = double {
            self.fault(at(&raw.url), format!("{status} stands in two of accepted, rejected and unknown"));
        }
        let username = raw.username.as_ref().and_then(|text| self.pointer(text));
        let groups = raw.groups.iter().filter_map(|groups| self.groups(groups)).collect();
        let conditions = self.conditions(&raw.accepted_if);
        Reading {
            accepted,
            rejected,
            unknown,
            conditions,
            username,
            groups,
            facts: self.facts(raw),
            html: raw.html,
        }
    }

    fn statuses(
        &mut self,
        given: Option<&Spanned<Vec<u16>>>,
        default: &[u16],
        well: impl Fn(u16) -> bool,
    ) -> Box<[u16]> {
        let Some(given) = given else { return default.into() };
        if let Some(status) = given.get_ref().iter().find(|status| !well(**status)) {
            let what = "accepted has statuses from 200 to 299; rejected and unknown have none from 500 on, nor 429, by which a service says that it can't tell";
            self.fault(at(given), format!("{status}: {what}"));
        }
        given.get_ref().clone().into()
    }

    fn pointer(&mut self, text: &Spanned<String>) -> Option<Pointer> {
        self.take(at(text), Pointer::parse(text.get_ref()))
    }

    fn conditions(&mut self, given: &BTreeMap<Spanned<String>, Spanned<toml::Value>>) -> Box<[Condition]> {
        let condition = |(pointer, value): (&Spanned<String>, &Spanned<toml::Value>)| {
            let wanted = match value.get_ref() {
                toml::Value::String(text) => {
                    match self.take(at(value), Template::parse(text, Place::Body))? {
                        template if template.is_username() => Wanted::Username,
                        template => match template.fixed() {
                            Some(text) => Wanted::Value(text.into()),
                            None => {
                                self.fault(
                                    at(value),
                                    "a condition is a fixed value, or \"{username}\" alone",
                                );
                                return None;
                            }
                        },
                    }
                }
                toml::Value::Integer(number) => Wanted::Value((*number).into()),
                toml::Value::Float(number) => Wanted::Value((*number).into()),
                toml::Value::Boolean(switch) => Wanted::Value((*switch).into()),
                _ => {
                    self.fault(at(value), "a condition is a text, a number, true or false");
                    return None;
                }
            };
            Some(Condition { pointer: self.pointer(pointer)?, wanted })
        };
        given.iter().filter_map(condition).collect()
    }

    fn spot(
        &mut self,
        place: usize,
        pointer: Option<&Spanned<String>>,
        header: Option<&Spanned<String>>,
    ) -> Option<Spot> {
        match (pointer, header) {
            (Some(pointer), None) => self.pointer(pointer).map(Spot::Pointer),
            (None, Some(header)) => self.header_name(header).map(Spot::Header),
            _ => {
                self.fault(place, "write where it stands: pointer = \"/…\" or header = \"…\"");
                None
            }
        }
    }

    fn groups(&mut self, given: &Spanned<raw::Groups>) -> Option<Groups> {
        let (place, raw) = (at(given), given.get_ref());
        let spot = self.spot(place, raw.pointer.as_ref(), raw.header.as_ref())?;
        let member = raw.member.as_ref().and_then(|text| self.pointer(text));
        if member.is_none() && !raw.conditions.is_empty() {
            self.fault(
                place,
                "where is about the objects of a list; say member, where the name stands in each",
            );
        }
        if member.is_some() && matches!(spot, Spot::Header(_)) {
            self.fault(place, "a header has no objects; leave member out");
        }
        let separator = raw.separator.as_ref().and_then(|text| {
            let mut characters = text.get_ref().chars();
            let one = characters.next().filter(|_| characters.next().is_none());
            self.take(at(text), one.ok_or_else(|| "a separator is one character".into()))
        });
        let separator = separator.or(matches!(spot, Spot::Header(_)).then_some(','));
        if check_group_name(format!("{}x", raw.prefix).as_bytes()).is_err() {
            self.fault(place, "the prefix has a character that no group's name has, or is too long");
        }
        let conditions = self.conditions(&raw.conditions);
        let (prefix, optional) = (raw.prefix.as_str().into(), raw.optional);
        Some(Groups { spot, member, conditions, separator, prefix, optional })
    }

    fn facts(&mut self, raw: &Http) -> Box<[(Arc<str>, Spot)]> {
        let mut facts = Vec::new();
        for (name, value) in &raw.facts {
            if !is_name(name.get_ref()) || name.get_ref().contains('_') {
                self.fault(at(name), "a fact's name has 1 to 32 lower-case letters, digits and hyphens");
            }
            let text = |value: &toml::Value| {
                value.as_str().map(|text| Spanned::new(at(name)..at(name), text.to_owned()))
            };
            let (pointer, header) = match value.get_ref() {
                toml::Value::Table(table) if table.len() == 1 => (None, table.get("header").and_then(text)),
                value => (text(value), None),
            };
            if let Some(spot) = self.spot(at(value), pointer.as_ref(), header.as_ref()) {
                facts.push((name.get_ref().as_str().into(), spot));
            }
        }
        if facts.len() > FACTS_MAX {
            self.fault(at(&raw.url), format!("there are more than {FACTS_MAX} facts"));
        }
        facts.into()
    }
}
