//! Configurations with one mistake each, and configurations without a mistake. `check/README.md` describes them.
//!
//! Every mistake must be found with its severity and within its lines, and the valid configurations have no findings.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::support::doorward::command;
use crate::support::process::run_with_input;

/// The description of a broken case.
#[derive(Deserialize)]
struct Mistake {
    file: String,
    lines: [usize; 2],
    severity: String,
    mistake: String,
}

/// A finding in the output.
#[derive(Debug)]
struct Finding {
    file: String,
    line: usize,
    severity: String,
    text: String,
}

impl Mistake {
    fn is_found(&self, findings: &[Finding]) -> bool {
        findings.iter().any(|finding| {
            finding.file == self.file
                && (self.lines[0]..=self.lines[1]).contains(&finding.line)
                && finding.severity == self.severity
        })
    }
}

/// Returns the configurations of a folder.
fn cases(kind: &str, folder: &str) -> Vec<PathBuf> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proxy_config/check").join(kind).join(folder);
    let mut found: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
        .collect();
    found.sort();
    found
}

/// Runs the check over one file, as `nginx -T` prints it. Returns the findings and the whole output.
fn check(path: &Path) -> (Vec<Finding>, String) {
    let mut command = command();
    command.args(["proxy-config", "--check", "-"]);
    let output = run_with_input(command, &fs::read(path).unwrap());
    assert!(matches!(output.code, Some(0 | 1)), "{}: {output:?}", path.display());
    let findings: Vec<Finding> = output.stdout.lines().filter_map(parse_finding).collect();
    let has_errors = findings.iter().any(|finding| finding.severity == "error");
    assert_eq!(output.code == Some(1), has_errors, "{}: {output:?}", path.display());
    (findings, output.stdout)
}

/// Parses `FILE:LINE: SEVERITY: TEXT`.
fn parse_finding(line: &str) -> Option<Finding> {
    for severity in ["error", "warning"] {
        if let Some((place, text)) = line.split_once(&format!(": {severity}: "))
            && let Some((file, number)) = place.rsplit_once(':')
            && let Ok(number) = number.parse()
        {
            assert!(text.contains("; "), "a finding has a remedy: {line}");
            return Some(Finding {
                file: file.into(),
                line: number,
                severity: severity.into(),
                text: text.into(),
            });
        }
    }
    None
}

fn mistake(path: &Path) -> Mistake {
    let text = fs::read_to_string(path.with_extension("toml"))
        .unwrap_or_else(|error| panic!("{} has no description: {error}", path.display()));
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

/// Returns the configurations of both folders.
fn all_cases(kind: &str) -> Vec<PathBuf> {
    let all: Vec<PathBuf> = ["a", "b"].into_iter().flat_map(|folder| cases(kind, folder)).collect();
    assert!(all.len() > 15, "only {} cases were found", all.len());
    all
}

#[test]
fn check_finds_every_mistake_with_its_severity_and_lines() {
    let missed: Vec<String> = all_cases("broken")
        .iter()
        .filter_map(|path| {
            let (mistake, (findings, _)) = (mistake(path), check(path));
            let is_missed = !mistake.is_found(&findings);
            is_missed.then(|| format!("{}: {}; found {findings:?}", name(path), mistake.mistake))
        })
        .collect();
    assert!(missed.is_empty(), "the check misses:\n{}", missed.join("\n"));
}

#[test]
fn check_reports_nothing_in_valid_configurations() {
    let alarms: Vec<String> = all_cases("good")
        .iter()
        .flat_map(|path| {
            let (findings, _) = check(path);
            findings
                .into_iter()
                .map(|finding| format!("{}: {}:{}: {}", name(path), finding.file, finding.line, finding.text))
        })
        .collect();
    assert!(alarms.is_empty(), "the check reports valid configurations:\n{}", alarms.join("\n"));
}
