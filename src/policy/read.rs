//! The policy file: TOML tables to rules, and every fault with its place and its remedy. A file with
//! a fault is not taken at all.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::rule::{Effect, RuleWho, Rule};
use super::rules::{RegistryHosts, PolicyRules};
use super::unknown_key::{FILE_KEYS, RULE_KEYS, describe_unknown_key};
use super::value::parse_network;
pub use super::value::{ERRORS_MAX, PolicyFileError};
use crate::identity::{Username, check_group_name};
use crate::permissions::host::HostPattern;
use crate::permissions::read::{parse_action, parse_method, parse_path_glob, parse_repository_glob};
use crate::permissions::{Actions, ResourcePattern};
use crate::request::site;

/// The most rules; more would be data, for which groups and `{user}` are there.
const RULES_MAX: usize = 100_000;

/// Reads the text of a policy file.
///
/// # Errors
/// Every fault in it.
pub fn read_policy(text: &str) -> Result<PolicyRules, Vec<PolicyFileError>> {
    let starts = text.match_indices('\n').map(|(at, _)| at + 1);
    let mut reader = PolicyReader { text, lines: std::iter::once(0).chain(starts).collect(), faults: Vec::new() };
    let rules = reader.document();
    match rules {
        Some(rules) if reader.faults.is_empty() => Ok(rules),
        _ => {
            reader.faults.sort_by_key(|fault| (fault.line, fault.column));
            Err(reader.faults)
        }
    }
}

/// A text of the file, and where it begins.
type TextAtOffset<'t> = (&'t str, usize);

struct PolicyReader<'t> {
    text: &'t str,
    /// Where each line begins.
    lines: Vec<usize>,
    faults: Vec<PolicyFileError>,
}

impl PolicyReader<'_> {
    fn fault(&mut self, at: usize, what: impl Into<String>) {
        if self.faults.len() >= ERRORS_MAX {
            return;
        }
        let line = self.line(at);
        let start = self.lines.get(line - 1).copied().unwrap_or_default();
        let column = self.text.get(start..at).unwrap_or_default().chars().count() + 1;
        self.faults.push(PolicyFileError { line, column, what: what.into() });
    }

    /// From 1.
    fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at)
    }

    fn document(&mut self) -> Option<PolicyRules> {
        let document = match DeTable::parse(self.text) {
            Ok(document) => document,
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                self.fault(at, error.message());
                return None;
            }
        };
        let mut rules = Vec::new();
        let mut registries = None;
        for (name, value) in document.get_ref() {
            let at = name.span().start;
            match (&**name.get_ref(), value.get_ref()) {
                ("grant", DeValue::Array(tables)) => self.rules(Effect::Grant, tables, &mut rules),
                ("deny", DeValue::Array(tables)) => self.rules(Effect::Deny, tables, &mut rules),
                ("registries", value) => registries = Some(self.registries(value, at)),
                ("grant" | "deny", _) => self.fault(at, "write a list of tables: [[grant]], [[deny]]"),
                (key, _) => self.fault(at, describe_unknown_key(key, &FILE_KEYS)),
            }
        }
        if rules.len() > RULES_MAX {
            self.fault(
                0,
                format!("there are more than {RULES_MAX} rules; use groups, and {{user}} in patterns"),
            );
            return None;
        }
        // One that was left out for its own faults is told of by them.
        let granted = rules.iter().any(|rule: &Rule| rule.effect == Effect::Grant);
        if !granted && self.faults.is_empty() {
            self.fault(
                0,
                "there is no [[grant]], so nobody could do anything; to admit everybody set no policy",
            );
        }
        rules.sort_by_key(|rule: &Rule| rule.line);
        let registries = registries.unwrap_or_else(|| self.of_what(&rules));
        match PolicyRules::new(rules, registries) {
            Ok(rules) => Some(rules),
            Err(line) => {
                let what =
                    "with this rule there are too many combinations of users and patterns; use groups".into();
                self.faults.push(PolicyFileError { line, column: 1, what });
                None
            }
        }
    }

    /// Without a word on it, what the rules are on tells what they protect.
    fn of_what(&mut self, rules: &[Rule]) -> RegistryHosts {
        let registry = rules.iter().any(|rule| matches!(rule.resource, ResourcePattern::Registry { .. }));
        let site = rules.iter().find(|rule| matches!(rule.resource, ResourcePattern::Site { .. }));
        match (registry, site) {
            (true, Some(rule)) => {
                let what = "there are rules on repositories and rules on paths: say which hosts are registries, as in registries = [\"registry.example.com\"]".into();
                self.faults.push(PolicyFileError { line: rule.line, column: 1, what });
                RegistryHosts::All(true)
            }
            (true, None) => RegistryHosts::All(true),
            (false, Some(_)) => RegistryHosts::All(false),
            (false, None) => RegistryHosts::Unsaid,
        }
    }

    fn registries(&mut self, value: &DeValue<'_>, at: usize) -> RegistryHosts {
        let mut hosts = Vec::new();
        for (text, at) in self.texts(value, at) {
            match site::normalize_host(text) {
                Ok(host) => hosts.push(host.into()),
                Err(_) => self.fault(at, "it is not a host name; write it without a scheme and a path"),
            }
        }
        RegistryHosts::Hosts(hosts.into())
    }

    fn rules(&mut self, effect: Effect, tables: &toml::de::DeArray<'_>, rules: &mut Vec<Rule>) {
        for table in tables {
            let at = table.span().start;
            match table.get_ref() {
                DeValue::Table(table) => rules.extend(self.rule(effect, table, at)),
                _ => self.fault(at, "write a table: [[grant]]"),
            }
        }
    }

    fn rule(&mut self, effect: Effect, table: &DeTable<'_>, at: usize) -> Option<Rule> {
        let before = self.faults.len();
        let mut given: BTreeMap<&str, Vec<TextAtOffset<'_>>> = BTreeMap::new();
        for (name, value) in table {
            let (key, key_at) = (&**name.get_ref(), name.span().start);
            match RULE_KEYS.into_iter().find(|known| *known == key) {
                Some(key) => {
                    let texts = self.texts(value.get_ref(), value.span().start);
                    if texts.is_empty() {
                        self.fault(key_at, format!("{key} is empty; leave it out, or write what is meant"));
                    }
                    given.insert(key, texts);
                }
                None => self.fault(key_at, describe_unknown_key(key, &RULE_KEYS)),
            }
        }
        let rule = Rule {
            line: self.line(at),
            effect,
            users: self
                .names(&given, "users", |name| Username::check(name).map_err(|fault| fault.to_string())),
            groups: self.names(&given, "groups", check_group_name),
            who: self.everybody(&given, effect, at),
            networks: self.each(&given, "networks", parse_network),
            hosts: self.each(&given, "hosts", HostPattern::parse),
            resource: self.on(&given, effect, at),
        };
        (self.faults.len() == before).then_some(rule)
    }

    fn names(
        &mut self,
        given: &BTreeMap<&str, Vec<TextAtOffset<'_>>>,
        key: &str,
        check: impl Fn(&[u8]) -> Result<(), String>,
    ) -> Box<[Box<[u8]>]> {
        let name = |text: &str| check(text.as_bytes()).map(|()| Box::from(text.as_bytes()));
        let mut names = self.each(given, key, name).into_vec();
        names.sort_unstable();
        names.dedup();
        names.into()
    }

    fn everybody(&mut self, given: &BTreeMap<&str, Vec<TextAtOffset<'_>>>, effect: Effect, at: usize) -> RuleWho {
        let named = given.contains_key("users") || given.contains_key("groups");
        match given.get("who").map(Vec::as_slice) {
            None if named => RuleWho::No,
            None if effect == Effect::Deny => RuleWho::Anyone,
            None => {
                self.fault(at, "to whom? Add users, groups, or who = \"authenticated\" or \"anyone\"");
                RuleWho::No
            }
            Some([("authenticated", _)]) => RuleWho::Authenticated,
            Some([("anyone", _)]) => RuleWho::Anyone,
            Some(others) => {
                let at = others.first().map_or(at, |(_, at)| *at);
                self.fault(
                    at,
                    "who is \"authenticated\" or \"anyone\"; users and groups have keys of their own",
                );
                RuleWho::No
            }
        }
    }

    fn on(&mut self, given: &BTreeMap<&str, Vec<TextAtOffset<'_>>>, effect: Effect, at: usize) -> ResourcePattern {
        let registry = given.contains_key("repositories") || given.contains_key("actions");
        let site = given.contains_key("paths") || given.contains_key("methods");
        match (registry, site) {
            (false, false) => ResourcePattern::Everything,
            (true, true) => {
                self.fault(
                    at,
                    "repositories and actions are a registry's, paths and methods a site's: write two rules",
                );
                ResourcePattern::Everything
            }
            (false, true) => {
                let methods = self.each(given, "methods", parse_method);
                ResourcePattern::Site { paths: self.each(given, "paths", parse_path_glob), methods }
            }
            (true, false) => {
                let repositories = self.each(given, "repositories", parse_repository_glob);
                let named = self.each(given, "actions", parse_action);
                let all = Actions::PULL.union(Actions::PUSH).union(Actions::DELETE);
                let actions = match (named.is_empty(), effect) {
                    (false, _) => named.iter().fold(Actions::default(), |sum, action| sum.union(*parse_action)),
                    (true, Effect::Deny) => all,
                    (true, Effect::Grant) => {
                        self.fault(
                            at,
                            "which actions? Add actions = [\"pull\"], or more of pull, push, delete, catalog",
                        );
                        all
                    }
                };
                ResourcePattern::Registry { repositories, actions }
            }
        }
    }

    fn each<T>(
        &mut self,
        given: &BTreeMap<&str, Vec<TextAtOffset<'_>>>,
        key: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Box<[T]> {
        let mut values = Vec::new();
        for (text, at) in given.get(key).into_iter().flatten() {
            match read_policy(text) {
                Ok(value) => values.push(value),
                // The text is not quoted: it can be a line of another file, with a password.
                Err(what) => self.fault(*at, format!("{key}: {what}")),
            }
        }
        values.into()
    }

    fn texts<'v>(&mut self, value: &'v DeValue<'_>, at: usize) -> Vec<TextAtOffset<'v>> {
        match value {
            DeValue::String(text) => vec![(&**text, at)],
            DeValue::Array(items) => {
                let mut texts = Vec::new();
                for item in items {
                    match item.get_ref() {
                        DeValue::String(text) => texts.push((&**text, item.span().start)),
                        _ => self.fault(item.span().start, "it takes texts, as in [\"a\", \"b\"]"),
                    }
                }
                texts
            }
            _ => {
                self.fault(at, "it takes a text or a list of texts, as in [\"a\", \"b\"]");
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
pub(super) mod tests;
