//! The rules. Each module is one part of a configuration.

mod auth_location;
mod auth_response;
mod auth_upstream;
mod exposure;
mod inherited;
mod phases;
mod server;
mod unguarded;
mod unknown_names;
mod upstream_headers;

use super::finding::{CheckRule, Finding};
use super::model::Model;
use super::tree::Node;

/// Collects the findings of all rules.
pub(super) struct Findings<'m, 'c> {
    pub(super) model: &'m Model<'c>,
    found: Vec<Finding>,
}

impl<'c> Findings<'_, 'c> {
    fn report(
        &mut self,
        node: Node<'c>,
        rule: &CheckRule,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.found.push(Finding {
            file: node.file().to_owned(),
            line: node.line(),
            severity: rule.severity,
            rule: rule.name,
            pitfall: rule.pitfall,
            message: message.into(),
            remedy: remedy.into(),
        });
    }
}

/// Runs all rules. The findings are sorted, and each one is listed once.
pub(super) fn run_rules(model: &Model<'_>) -> Vec<Finding> {
    let mut findings = Findings { model, found: Vec::new() };
    for rules in [
        auth_location::check,
        auth_response::check,
        auth_upstream::check,
        exposure::check,
        inherited::check,
        phases::check,
        server::check,
        unguarded::check,
        unknown_names::check,
        upstream_headers::check,
    ] {
        rules(&mut findings);
    }
    let mut found = findings.found;
    found.sort();
    // One directive can be part of several servers.
    found.dedup_by(|a, b| (&a.file, a.line, a.rule) == (&b.file, b.line, b.rule) && a.message == b.message);
    found
}
