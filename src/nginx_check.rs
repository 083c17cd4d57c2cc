//! Checks an nginx configuration: which clients can pass without the auth check, and what breaks it.
//!
//! The input is the output of `nginx -T`, or one configuration file. [`statement`] reads the text by the grammar of nginx,
//! [`tree`] resolves the includes and the inheritance, [`model`] finds servers, locations and auth subrequests, and the
//! modules of [`rules`] report findings. A configuration that cannot be read is an error.

mod address;
mod dump;
pub(crate) mod finding;
mod glob;
mod headers;
mod model;
mod rules;
pub(crate) mod statement;
mod tree;
mod variables;

use self::dump::split_dump;
use self::finding::{CheckReport, CheckRule, Finding};
use self::model::Model;
use self::statement::{WORDS_MAX, parse_statements};
use self::tree::{ParsedFile, Tree};

/// Maximum size of the input in bytes. A configuration of thousands of servers has some megabytes.
pub(crate) const INPUT_BYTES_MAX: usize = 16 * 1024 * 1024;

const SYNTAX: CheckRule = CheckRule::error("syntax", None);

/// Checks a configuration. `name` is the name of the file if the input is not the output of `nginx -T`.
pub(crate) fn check(text: &str, name: &str) -> CheckReport {
    let mut report = CheckReport::default();
    if text.len() > INPUT_BYTES_MAX {
        let message = format!("the input has more than {INPUT_BYTES_MAX} bytes");
        report.findings.push(syntax_error(name, 1, message));
        return report;
    }
    let dump = split_dump(text, name);
    if dump.has_failed {
        let message = "nginx rejected this configuration; see the messages at the start".to_owned();
        report.findings.push(syntax_error(name, 1, message));
    }
    if dump.other_lines > 0 {
        report.notes.push(format!("{name}: ignored {} lines before the first file", dump.other_lines));
    }
    let mut words_left = WORDS_MAX;
    let mut files = Vec::new();
    for file in dump.files {
        match parse_statements(file.text, &mut words_left) {
            Ok(statements) => files.push(ParsedFile { path: file.path, statements }),
            Err(error) => report.findings.push(syntax_error(&file.path, error.line, error.to_string())),
        }
    }
    report.files = files.len();
    // Without one of its files, the configuration cannot be evaluated.
    if report.findings.is_empty() {
        check_files(&files, dump.is_single_file, &mut report);
    }
    report.findings.sort();
    report
}

fn check_files(files: &[ParsedFile], is_single_file: bool, report: &mut CheckReport) {
    let tree = match Tree::build(files) {
        Ok(tree) => tree,
        Err(error) => {
            report.findings.push(syntax_error(&error.file, error.line, error.message));
            return;
        }
    };
    for missing in tree.missing_includes() {
        report.notes.push(format!(
            "{}:{}: {} is not part of the input, so its content was not checked; check the output of `nginx -T`",
            missing.file, missing.line, missing.path
        ));
    }
    // The rules would report what the other files contain.
    report.is_fragment =
        is_single_file && ["http", "server"].iter().all(|name| tree.root().child(name).is_none());
    if report.is_fragment {
        let file = tree.root().file();
        report.notes.push(format!(
            "{file} is a part of a configuration, without http{{}} and server{{}}, so nothing was checked; check the output of `nginx -T`"
        ));
        return;
    }
    report.findings = rules::run_rules(&Model::read(&tree));
}

fn syntax_error(file: &str, line: usize, message: String) -> Finding {
    Finding {
        file: file.to_owned(),
        line,
        severity: SYNTAX.severity,
        rule: SYNTAX.name,
        pitfall: SYNTAX.pitfall,
        message,
        remedy: "nothing was checked".to_owned(),
    }
}

#[cfg(test)]
#[path = "nginx_check_tests.rs"]
mod tests;
