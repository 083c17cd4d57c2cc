//! The policy file: TOML tables to rules, and every fault with its place and its remedy. A file with
//! a fault is not taken at all.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::rule::{Effect, Rule, RuleWho};
use super::rules::{PolicyRules, RegistryHosts};
use super::unknown_key::{FILE_KEYS, RULE_KEYS, describe_unknown_key};
use super::value::parse_network;
pub use super::value::{ERRORS_MAX, PolicyFileError};
use crate::identity::{Username, check_group_name};
use crate::permissions::host::HostPattern;
use crate::permissions::parse::{parse_action, parse_method, parse_path_glob, parse_repository_glob};
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
    let mut reader =
        PolicyReader { text, line_starts: std::iter::once(0).chain(starts).collect(), errors: Vec::new() };
    let rules = reader.read_document();
    match rules {
        Some(rules) if reader.errors.is_empty() => Ok(rules),
        _ => {
            reader.errors.sort_by_key(|fault| (fault.line, fault.column));
            Err(reader.errors)
        }
    }
}

/// A text of the file, and where it begins.
type TextAtOffset<'t> = (&'t str, usize);

struct PolicyReader<'t> {
    text: &'t str,
    /// Where each line begins.
    line_starts: Vec<usize>,
    errors: Vec<PolicyFileError>,
}

impl PolicyReader<'_> {
    fn report_error(&mut self, at: usize, what: impl Into<String>) {
        if self.errors.len() >= ERRORS_MAX {
            return;
        }
        let line = self.parse_line(at);
        let start = self.line_starts.get(line - 1).copied().unwrap_or_default();
        let column = self.text.get(start..at).unwrap_or_default().chars().count() + 1;
        self.errors.push(PolicyFileError { line, column, message: what.into() });
    }

    /// From 1.
    fn parse_line(&self, at: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= at)
    }

    fn read_document(&mut self) -> Option<PolicyRules> {
        let document = match DeTable::parse(self.text) {
            Ok(document) => document,
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                self.report_error(at, error.message());
                return None;
            }
        };
        let mut rules = Vec::new();
        let mut registries = None;
        for (name, value) in document.get_ref() {
            let at = name.span().start;
            match (&**name.get_ref(), value.get_ref()) {
                ("grant", DeValue::Array(tables)) => self.read_rules(Effect::Grant, tables, &mut rules),
                ("deny", DeValue::Array(tables)) => self.read_rules(Effect::Deny, tables, &mut rules),
                ("registries", value) => registries = Some(self.read_registry_hosts(value, at)),
                ("grant" | "deny", _) => self.report_error(at, "write a list of tables: [[grant]], [[deny]]"),
                (key, _) => self.report_error(at, describe_unknown_key(key, &FILE_KEYS)),
            }
        }
        if rules.len() > RULES_MAX {
            self.report_error(
                0,
                format!("there are more than {RULES_MAX} rules; use groups, and {{user}} in patterns"),
            );
            return None;
        }
        // One that was left out for its own faults is told of by them.
        let granted = rules.iter().any(|rule: &Rule| rule.effect == Effect::Grant);
        if !granted && self.errors.is_empty() {
            self.report_error(
                0,
                "there is no [[grant]], so nobody could do anything; to admit everybody set no policy",
            );
        }
        rules.sort_by_key(|rule: &Rule| rule.line);
        let registries = registries.unwrap_or_else(|| self.infer_registry_hosts(&rules));
        match PolicyRules::new(rules, registries) {
            Ok(rules) => Some(rules),
            Err(line) => {
                let what =
                    "with this rule there are too many combinations of users and patterns; use groups".into();
                self.errors.push(PolicyFileError { line, column: 1, message: what });
                None
            }
        }
    }

    /// Without a word on it, what the rules are on tells what they protect.
    fn infer_registry_hosts(&mut self, rules: &[Rule]) -> RegistryHosts {
        let registry = rules.iter().any(|rule| matches!(rule.resource, ResourcePattern::Registry { .. }));
        let site = rules.iter().find(|rule| matches!(rule.resource, ResourcePattern::Site { .. }));
        match (registry, site) {
            (true, Some(rule)) => {
                let what = "there are rules on repositories and rules on paths: say which hosts are registries, as in registries = [\"registry.example.com\"]".into();
                self.errors.push(PolicyFileError { line: rule.line, column: 1, message: what });
                RegistryHosts::All(true)
            }
            (true, None) => RegistryHosts::All(true),
            (false, Some(_)) => RegistryHosts::All(false),
            (false, None) => RegistryHosts::FromProxy,
        }
    }

    fn read_registry_hosts(&mut self, value: &DeValue<'_>, at: usize) -> RegistryHosts {
        let mut hosts = Vec::new();
        for (text, at) in self.read_strings(value, at) {
            match site::normalize_host(text) {
                Ok(host) => hosts.push(host.into()),
                Err(_) => {
                    self.report_error(at, "it is not a host name; write it without a scheme and a path")
                }
            }
        }
        RegistryHosts::Hosts(hosts.into())
    }

    fn read_rules(&mut self, effect: Effect, tables: &toml::de::DeArray<'_>, rules: &mut Vec<Rule>) {
        for table in tables {
            let at = table.span().start;
            match table.get_ref() {
                DeValue::Table(table) => rules.extend(self.read_rule(effect, table, at)),
                _ => self.report_error(at, "write a table: [[grant]]"),
            }
        }
    }

    fn read_rule(&mut self, effect: Effect, table: &DeTable<'_>, at: usize) -> Option<Rule> {
        let before = self.errors.len();
        let mut given: BTreeMap<&str, Vec<TextAtOffset<'_>>> = BTreeMap::new();
        for (name, value) in table {
            let (key, key_at) = (&**name.get_ref(), name.span().start);
            match RULE_KEYS.into_iter().find(|known| *known == key) {
                Some(key) => {
                    let texts = self.read_strings(value.get_ref(), value.span().start);
                    if texts.is_empty() {
                        self.report_error(
                            key_at,
                            format!("{key} is empty; leave it out, or write what is meant"),
                        );
                    }
                    given.insert(key, texts);
                }
                None => self.report_error(key_at, describe_unknown_key(key, &RULE_KEYS)),
            }
        }
        let rule = Rule {
            line: self.parse_line(at),
            effect,
            users: self
                .read_names(&given, "users", |name| Username::check(name).map_err(|fault| fault.to_string())),
            groups: self.read_names(&given, "groups", check_group_name),
            who: self.read_who(&given, effect, at),
            networks: self.parse_values(&given, "networks", parse_network),
            hosts: self.parse_values(&given, "hosts", HostPattern::parse),
            resource: self.read_resource(&given, effect, at),
        };
        (self.errors.len() == before).then_some(rule)
    }

    fn read_names(
        &mut self,
        given: &BTreeMap<&str, Vec<TextAtOffset<'_>>>,
        key: &str,
        check: impl Fn(&[u8]) -> Result<(), String>,
    ) -> Box<[Box<[u8]>]> {
        let name = |text: &str| check(text.as_bytes()).map(|()| Box::from(text.as_bytes()));
        let mut names = self.parse_values(given, key, name).into_vec();
        names.sort_unstable();
        names.dedup();
        names.into()
    }

    fn read_who(
        &mut self,
        given: &BTreeMap<&str, Vec<TextAtOffset<'_>>>,
        effect: Effect,
        at: usize,
    ) -> RuleWho {
        let named = given.contains_key("users") || given.contains_key("groups");
        match given.get("who").map(Vec::as_slice) {
            None if named => RuleWho::NamedOnly,
            None if effect == Effect::Deny => RuleWho::Anyone,
            None => {
                self.report_error(at, "to whom? Add users, groups, or who = \"authenticated\" or \"anyone\"");
                RuleWho::NamedOnly
            }
            Some([("authenticated", _)]) => RuleWho::Authenticated,
            Some([("anyone", _)]) => RuleWho::Anyone,
            Some(others) => {
                let at = others.first().map_or(at, |(_, at)| *at);
                self.report_error(
                    at,
                    "who is \"authenticated\" or \"anyone\"; users and groups have keys of their own",
                );
                RuleWho::NamedOnly
            }
        }
    }

    fn read_resource(
        &mut self,
        given: &BTreeMap<&str, Vec<TextAtOffset<'_>>>,
        effect: Effect,
        at: usize,
    ) -> ResourcePattern {
        let registry = given.contains_key("repositories") || given.contains_key("actions");
        let site = given.contains_key("paths") || given.contains_key("methods");
        match (registry, site) {
            (false, false) => ResourcePattern::Everything,
            (true, true) => {
                self.report_error(
                    at,
                    "repositories and actions are a registry's, paths and methods a site's: write two rules",
                );
                ResourcePattern::Everything
            }
            (false, true) => {
                let methods = self.parse_values(given, "methods", parse_method);
                ResourcePattern::Site { paths: self.parse_values(given, "paths", parse_path_glob), methods }
            }
            (true, false) => {
                let repositories = self.parse_values(given, "repositories", parse_repository_glob);
                let named = self.parse_values(given, "actions", parse_action);
                let all = Actions::PULL.union(Actions::PUSH).union(Actions::DELETE);
                let actions = match (named.is_empty(), effect) {
                    (false, _) => named.iter().fold(Actions::default(), |sum, action| sum.union(*action)),
                    (true, Effect::Deny) => all,
                    (true, Effect::Grant) => {
                        self.report_error(
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

    fn parse_values<T>(
        &mut self,
        given: &BTreeMap<&str, Vec<TextAtOffset<'_>>>,
        key: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Box<[T]> {
        let mut values = Vec::new();
        for (text, at) in given.get(key).into_iter().flatten() {
            match read(text) {
                Ok(value) => values.push(value),
                // The text is not quoted: it can be a line of another file, with a password.
                Err(what) => self.report_error(*at, format!("{key}: {what}")),
            }
        }
        values.into()
    }

    fn read_strings<'v>(&mut self, value: &'v DeValue<'_>, at: usize) -> Vec<TextAtOffset<'v>> {
        match value {
            DeValue::String(text) => vec![(&**text, at)],
            DeValue::Array(items) => {
                let mut texts = Vec::new();
                for item in items {
                    match item.get_ref() {
                        DeValue::String(text) => texts.push((&**text, item.span().start)),
                        _ => self.report_error(item.span().start, "it takes texts, as in [\"a\", \"b\"]"),
                    }
                }
                texts
            }
            _ => {
                self.report_error(at, "it takes a text or a list of texts, as in [\"a\", \"b\"]");
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
pub(super) mod tests;
