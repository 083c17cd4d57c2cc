//! The reader of the policy file: it converts TOML tables into rules, and reports each error with its place and its
//! remedy. A file with an error is rejected as a whole.

use std::collections::BTreeMap;

use ipnet::IpNet;
use toml::de::{DeTable, DeValue};

use super::index::INDEX_ENTRIES_MAX;
use super::rule::{Effect, Rule, RuleWho};
use super::rules::{PolicyRules, RegistryHosts};
use super::unknown_key::{FILE_KEYS, RULE_KEYS, describe_unknown_key};
use crate::identity::{Username, check_group_name};
use crate::permissions::actions::Actions;
use crate::permissions::host::{HostPattern, normalize_host};
use crate::permissions::parse::{parse_action, parse_method, parse_path_glob, parse_repository_glob};
use crate::permissions::resource::ResourcePattern;

/// Maximum number of rules. A policy with more contains data that belongs into groups and `{user}` patterns.
const RULES_MAX: usize = 100_000;

/// Maximum number of errors that are reported for one file.
pub(crate) const POLICY_FILE_ERRORS_MAX: usize = 100;

/// An error in a policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PolicyFileError {
    /// The line, starting at 1.
    pub(crate) line: usize,
    /// The column in characters, starting at 1.
    pub(crate) column: usize,
    /// The error and its remedy.
    pub(crate) message: String,
}

/// Parses the text of a policy file.
///
/// # Errors
/// Returns the errors of the file in the order of their places, at most [`POLICY_FILE_ERRORS_MAX`].
pub(crate) fn read_policy(text: &str) -> Result<PolicyRules, Vec<PolicyFileError>> {
    let starts = text.match_indices('\n').map(|(at, _)| at + 1);
    let mut reader =
        PolicyReader { text, line_starts: std::iter::once(0).chain(starts).collect(), errors: Vec::new() };
    let rules = reader.read_document();
    match rules {
        Some(rules) if reader.errors.is_empty() => Ok(rules),
        _ => {
            reader.errors.sort_by_key(|error| (error.line, error.column));
            Err(reader.errors)
        }
    }
}

/// A string of the file, and its byte offset.
type TextAtOffset<'t> = (&'t str, usize);

struct PolicyReader<'t> {
    text: &'t str,
    /// The byte offset of each line.
    line_starts: Vec<usize>,
    errors: Vec<PolicyFileError>,
}

impl PolicyReader<'_> {
    fn report_error(&mut self, at: usize, message: impl Into<String>) {
        if self.errors.len() >= POLICY_FILE_ERRORS_MAX {
            return;
        }
        let line = self.line_at(at);
        let start = self.line_starts.get(line - 1).copied().unwrap_or_default();
        let column = self.text.get(start..at).unwrap_or_default().chars().count() + 1;
        self.errors.push(PolicyFileError { line, column, message: message.into() });
    }

    /// Returns the line of a byte offset, starting at 1.
    fn line_at(&self, at: usize) -> usize {
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
                (key @ ("grant" | "deny"), _) => {
                    self.report_error(at, format!("{key}: not a list of tables; write [[{key}]]"));
                }
                (key, _) => self.report_error(at, describe_unknown_key(key, &FILE_KEYS)),
            }
        }
        if rules.len() > RULES_MAX {
            self.report_error(
                0,
                format!("more than {RULES_MAX} rules; use groups, and {{user}} or {{group}} in patterns"),
            );
            return None;
        }
        // A grant with errors of its own is not in `rules`, and those errors are reported instead.
        let has_grant = rules.iter().any(|rule: &Rule| rule.effect == Effect::Grant);
        if !has_grant && self.errors.is_empty() {
            self.report_error(
                0,
                "no [[grant]], so every request would be denied; add one, or unset policy.file to allow every user",
            );
        }
        rules.sort_by_key(|rule: &Rule| rule.line);
        let registries = registries.unwrap_or_else(|| self.infer_registry_hosts(&rules));
        match PolicyRules::new(rules, registries) {
            Ok(rules) => Some(rules),
            Err(line) => {
                let message = format!(
                    "the rules up to here have more than {INDEX_ENTRIES_MAX} combinations of users and patterns; use groups"
                );
                self.errors.push(PolicyFileError { line, column: 1, message });
                None
            }
        }
    }

    /// Infers the registries from the resources of the rules, if the file has no `registries`.
    fn infer_registry_hosts(&mut self, rules: &[Rule]) -> RegistryHosts {
        let registry = rules.iter().any(|rule| matches!(rule.resource, ResourcePattern::Registry { .. }));
        let site = rules.iter().find(|rule| matches!(rule.resource, ResourcePattern::Site { .. }));
        match (registry, site) {
            (true, Some(rule)) => {
                let message = "the file has rules for repositories and rules for paths; add the hosts of registries, as in registries = [\"registry.example.com\"]".into();
                self.errors.push(PolicyFileError { line: rule.line, column: 1, message });
                RegistryHosts::All
            }
            (true, None) => RegistryHosts::All,
            (false, Some(_)) => RegistryHosts::None,
            (false, None) => RegistryHosts::FromProxy,
        }
    }

    fn read_registry_hosts(&mut self, value: &DeValue<'_>, at: usize) -> RegistryHosts {
        let mut hosts = Vec::new();
        for (text, at) in self.read_strings("registries", value, at) {
            match normalize_host(text) {
                Ok(host) => hosts.push(host.into()),
                Err(_) => {
                    self.report_error(at, "registries: not a host name; write it without scheme and path")
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
                _ => self.report_error(at, "not a table; write a rule as [[grant]] or [[deny]]"),
            }
        }
    }

    fn read_rule(&mut self, effect: Effect, table: &DeTable<'_>, at: usize) -> Option<Rule> {
        let errors_before = self.errors.len();
        let mut values: BTreeMap<&str, Vec<TextAtOffset<'_>>> = BTreeMap::new();
        for (name, value) in table {
            let (key, key_at) = (&**name.get_ref(), name.span().start);
            match RULE_KEYS.into_iter().find(|known| *known == key) {
                Some(key) => {
                    let texts = self.read_strings(key, value.get_ref(), value.span().start);
                    if texts.is_empty() {
                        self.report_error(key_at, format!("{key}: no values; add one, or remove the key"));
                    }
                    values.insert(key, texts);
                }
                None => self.report_error(key_at, describe_unknown_key(key, &RULE_KEYS)),
            }
        }
        let rule = Rule {
            line: self.line_at(at),
            effect,
            users: self.read_names(&values, "users", |name| {
                Username::check(name).map_err(|error| error.to_string())
            }),
            groups: self.read_names(&values, "groups", check_group_name),
            who: self.read_who(&values, effect, at),
            networks: self.parse_values(&values, "networks", parse_network),
            hosts: self.parse_values(&values, "hosts", HostPattern::parse),
            resource: self.read_resource(&values, effect, at),
        };
        (self.errors.len() == errors_before).then_some(rule)
    }

    fn read_names(
        &mut self,
        values: &BTreeMap<&str, Vec<TextAtOffset<'_>>>,
        key: &str,
        check: impl Fn(&[u8]) -> Result<(), String>,
    ) -> Box<[Box<[u8]>]> {
        let name = |text: &str| check(text.as_bytes()).map(|()| Box::from(text.as_bytes()));
        let mut names = self.parse_values(values, key, name).into_vec();
        names.sort_unstable();
        names.dedup();
        names.into()
    }

    fn read_who(
        &mut self,
        values: &BTreeMap<&str, Vec<TextAtOffset<'_>>>,
        effect: Effect,
        at: usize,
    ) -> RuleWho {
        let has_names = values.contains_key("users") || values.contains_key("groups");
        match values.get("who").map(Vec::as_slice) {
            None if has_names => RuleWho::NamedOnly,
            None if effect == Effect::Deny => RuleWho::Anyone,
            None => {
                self.report_error(
                    at,
                    "the grant names no users; add users, groups, or who = \"authenticated\" or \"anyone\"",
                );
                RuleWho::NamedOnly
            }
            Some([("authenticated", _)]) => RuleWho::Authenticated,
            Some([("anyone", _)]) => RuleWho::Anyone,
            Some(others) => {
                let at = others.first().map_or(at, |(_, at)| *at);
                self.report_error(
                    at,
                    "unknown value of \"who\"; write \"authenticated\" or \"anyone\", or use the keys users and groups",
                );
                RuleWho::NamedOnly
            }
        }
    }

    fn read_resource(
        &mut self,
        values: &BTreeMap<&str, Vec<TextAtOffset<'_>>>,
        effect: Effect,
        at: usize,
    ) -> ResourcePattern {
        let registry = values.contains_key("repositories") || values.contains_key("actions");
        let site = values.contains_key("paths") || values.contains_key("methods");
        match (registry, site) {
            (false, false) => ResourcePattern::Everything,
            (true, true) => {
                self.report_error(
                    at,
                    "repositories and actions are for registries, paths and methods for sites; write two rules",
                );
                ResourcePattern::Everything
            }
            (false, true) => {
                let methods = self.parse_values(values, "methods", parse_method);
                ResourcePattern::Site { paths: self.parse_values(values, "paths", parse_path_glob), methods }
            }
            (true, false) => {
                let repositories = self.parse_values(values, "repositories", parse_repository_glob);
                let listed = self.parse_values(values, "actions", parse_action);
                let all = Actions::PULL.union(Actions::PUSH).union(Actions::DELETE);
                let actions = match (listed.is_empty(), effect) {
                    (false, _) => listed.iter().fold(Actions::default(), |sum, action| sum.union(*action)),
                    (true, Effect::Deny) => all,
                    (true, Effect::Grant) => {
                        self.report_error(
                            at,
                            "the grant has no actions; add actions = [\"pull\"], or others of pull, push, delete, catalog",
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
        values: &BTreeMap<&str, Vec<TextAtOffset<'_>>>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Box<[T]> {
        let mut parsed = Vec::new();
        for (text, at) in values.get(key).into_iter().flatten() {
            match parse(text) {
                Ok(value) => parsed.push(value),
                // The message does not quote the text, which can be a line of another file with a password.
                Err(error) => self.report_error(*at, format!("{key}: {error}")),
            }
        }
        parsed.into()
    }

    fn read_strings<'v>(&mut self, key: &str, value: &'v DeValue<'_>, at: usize) -> Vec<TextAtOffset<'v>> {
        match value {
            DeValue::String(text) => vec![(&**text, at)],
            DeValue::Array(items) => {
                let mut texts = Vec::new();
                for item in items {
                    match item.get_ref() {
                        DeValue::String(text) => texts.push((&**text, item.span().start)),
                        _ => self.report_error(
                            item.span().start,
                            format!("{key}: not a string; write strings, as in [\"a\", \"b\"]"),
                        ),
                    }
                }
                texts
            }
            _ => {
                self.report_error(
                    at,
                    format!("{key}: not a string or list of strings; write it as in [\"a\", \"b\"]"),
                );
                Vec::new()
            }
        }
    }
}

fn parse_network(text: &str) -> Result<IpNet, String> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
    if let Ok(IpNet::V6(network)) = network
        && network.addr().to_ipv4_mapped().is_some()
    {
        return Err("an IPv4 address in IPv6 form never matches; write it as IPv4".into());
    }
    network
        .map(|network| network.trunc())
        .map_err(|_| "not an IP address or network; write it as in 192.0.2.1 or 10.0.0.0/24".into())
}

#[cfg(test)]
#[path = "read_tests.rs"]
pub(super) mod tests;
