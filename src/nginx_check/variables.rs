//! Variables of the configuration: the values that are constant, and the variables of which others are made.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::Tree;

/// Maximum number of passes over one text, so that variables that name each other end.
const REPLACEMENTS_MAX: usize = 8;

/// Maximum length of a text with replaced variables, in bytes. Addresses and headers are shorter.
const RESOLVED_MAX: usize = 16 * 1024;

/// Returns the names of the variables in a text, without `$` and braces.
pub(super) fn variables(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        rest = rest.get(at + 1..).unwrap_or_default();
        let inner = rest.strip_prefix('{').unwrap_or(rest);
        let length = inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inner.len());
        let (name, after) = inner.split_at(length);
        if !name.is_empty() {
            found.push(name);
        }
        rest = after;
    }
    found
}

/// Returns the names of the groups of a regular expression.
pub(super) fn captures(pattern: &str) -> impl Iterator<Item = &str> {
    let groups = pattern.split("(?<").skip(1).chain(pattern.split("(?P<").skip(1));
    groups.filter_map(|rest| rest.split_once('>')).map(|(name, _)| name).filter(|name| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

/// Returns whether the value of a variable is text of the client.
pub(super) fn is_from_client(name: &str) -> bool {
    name.starts_with("http_")
        || name.starts_with("arg_")
        || name.starts_with("cookie_")
        || matches!(name, "args" | "query_string" | "remote_user" | "proxy_add_x_forwarded_for")
}

/// The variables that `map`, `set` and `auth_request_set` define.
#[derive(Default)]
pub(super) struct Variables<'c> {
    /// The only value of a variable, if it has one value without other variables.
    constants: BTreeMap<&'c str, &'c str>,
    /// The texts of which a variable is made: the source and the results of a `map`, the value of a `set`.
    sources: BTreeMap<&'c str, Vec<&'c str>>,
    /// The texts that a variable can have, without the source of a `map`.
    values: BTreeMap<&'c str, Vec<&'c str>>,
    /// The variables that a `map` defines.
    maps: BTreeSet<&'c str>,
    /// The variables that an `auth_request_set` defines.
    set_by_auth: BTreeSet<&'c str>,
}

impl<'c> Variables<'c> {
    /// Reads the definitions of the whole tree. If two maps define a variable, nginx uses the last one.
    pub(super) fn read(tree: &'c Tree<'c>) -> Self {
        let mut read = Self::default();
        let mut conflicting = BTreeSet::new();
        for node in tree.nodes() {
            match node.name() {
                "map" => {
                    let name = node.arg(1).trim_start_matches('$');
                    for captured in node.children().flat_map(|entry| captures(entry.name())) {
                        read.sources.entry(captured).or_default().push(node.arg(0));
                    }
                    let values: Vec<&str> = node
                        .children()
                        .filter(|entry| !matches!(entry.name(), "hostnames" | "volatile"))
                        .map(|entry| entry.arg(0))
                        .collect();
                    let default = node.child("default").map(|entry| entry.arg(0));
                    read.constants.remove(name);
                    if let (Some(value), true) = (default, values.len() == 1 || node.arg(0).is_empty()) {
                        read.constants.insert(name, value);
                    }
                    read.values.insert(name, values.clone());
                    read.maps.insert(name);
                    let mut sources = values;
                    sources.push(node.arg(0));
                    read.sources.insert(name, sources);
                }
                "set" => {
                    let (name, value) = (node.arg(0).trim_start_matches('$'), node.arg(1));
                    if read.constants.insert(name, value).is_some_and(|previous| previous != value) {
                        conflicting.insert(name);
                    }
                    read.sources.entry(name).or_default().push(value);
                    read.values.entry(name).or_default().push(value);
                }
                "auth_request_set" => {
                    let name = node.arg(0).trim_start_matches('$');
                    read.sources.entry(name).or_default().push(node.arg(1));
                    read.set_by_auth.insert(name);
                }
                _ => {}
            }
        }
        for name in conflicting {
            read.constants.remove(name);
        }
        read
    }

    /// Replaces the variables that are constant.
    pub(super) fn resolve(&self, text: &str) -> String {
        let mut resolved = text.to_owned();
        for _ in 0..REPLACEMENTS_MAX {
            let next = self.replace_once(&resolved);
            if next == resolved || next.len() > RESOLVED_MAX {
                break;
            }
            resolved = next;
        }
        resolved
    }

    fn replace_once(&self, text: &str) -> String {
        let mut replaced = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            let (before, from) = rest.split_at(at);
            replaced.push_str(before);
            let inner = from.strip_prefix("${").or_else(|| from.strip_prefix('$')).unwrap_or(from);
            let length =
                inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inner.len());
            let (name, after) = inner.split_at(length);
            let after = if from.starts_with("${") { after.strip_prefix('}').unwrap_or(after) } else { after };
            match self.constants.get(name) {
                Some(value) => replaced.push_str(value),
                None => replaced.push_str(from.get(..from.len() - after.len()).unwrap_or_default()),
            }
            rest = after;
        }
        replaced.push_str(rest);
        replaced
    }

    /// Returns the texts that a variable can have, by its maps and `set` lines.
    pub(super) fn values(&self, name: &str) -> Vec<&'c str> {
        self.values.get(name).cloned().unwrap_or_default()
    }

    /// Returns whether a `map` defines a variable.
    pub(super) fn is_map(&self, name: &str) -> bool {
        self.maps.contains(name)
    }

    /// Returns whether an `auth_request_set` defines a variable.
    pub(super) fn is_set_by_auth(&self, name: &str) -> bool {
        self.set_by_auth.contains(name)
    }

    /// Returns whether a `map` or a `set` defines a variable.
    pub(super) fn is_assigned(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Returns the variables of which a text is made, through maps, `set` and `auth_request_set`.
    pub(super) fn names(&self, text: &str) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut open: Vec<String> = variables(text).into_iter().map(str::to_owned).collect();
        while let Some(name) = open.pop() {
            if let Some(texts) = self.sources.get(&name[..])
                && seen.insert(name.clone())
            {
                open.extend(texts.iter().flat_map(|text| variables(text)).map(str::to_owned));
            } else {
                seen.insert(name);
            }
        }
        seen
    }

    /// Returns the built-in variables of which a text is made, through other variables.
    pub(super) fn origins(&self, text: &str) -> BTreeSet<String> {
        let mut names = self.names(text);
        names.retain(|name| !self.sources.contains_key(&name[..]));
        names
    }

    /// Returns whether a text contains a built-in variable for which `matches` is true, through other variables.
    pub(super) fn any_origin(&self, text: &str, matches: impl Fn(&str) -> bool) -> bool {
        self.origins(text).iter().any(|name| matches(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_variables_are_found() {
        assert_eq!(variables("a$b-${c_d}$$1/$"), ["b", "c_d", "1"]);
        assert!(variables("none").is_empty());
    }
}
