//! Configurations with one mistake each, and configurations without a mistake. `check/README.md` describes them.
//!
//! The cases in the folders `a` were known when the rules were written, and must all be found. The cases in the folders `b`
//! were not; they measure what the check misses.

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

/// Returns the configurations of a folder; none if there is no such folder.
fn cases(kind: &str, folder: &str) -> Vec<PathBuf> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proxy_config/check").join(kind).join(folder);
    let Ok(entries) = fs::read_dir(&folder) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
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

#[test]
fn check_finds_every_known_mistake() {
    let cases = cases("broken", "a");
    assert!(cases.len() > 20, "only {} cases were found", cases.len());
    let missed: Vec<String> = cases
        .iter()
        .filter_map(|path| {
            let (mistake, (findings, _)) = (mistake(path), check(path));
            (!mistake.is_found(&findings)).then(|| format!("{}: {}", name(path), mistake.mistake))
        })
        .collect();
    assert!(missed.is_empty(), "the check misses:\n{}", missed.join("\n"));
}

#[test]
fn check_reports_nothing_in_valid_configurations() {
    let cases = cases("good", "a");
    assert!(cases.len() > 5, "only {} cases were found", cases.len());
    let alarms: Vec<String> = cases
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

/// Prints how many mistakes the check finds, and how many valid configurations it reports.
#[test]
#[expect(clippy::print_stderr, reason = "the measured figures")]
fn found_and_missed_mistakes_are_listed() {
    eprintln!(
        "{:<3} {:>7} {:>7} {:>7} {:>7} {:>13}",
        "", "broken", "found", "missed", "good", "false alarms"
    );
    for folder in ["a", "b"] {
        let (broken, good) = (cases("broken", folder), cases("good", folder));
        let is_missed = |path: &&PathBuf| !mistake(path).is_found(&check(path).0);
        let missed: Vec<&PathBuf> = broken.iter().filter(is_missed).collect();
        let alarms: Vec<&PathBuf> = good.iter().filter(|path| !check(path).0.is_empty()).collect();
        let (missed_count, alarm_count) = (missed.len(), alarms.len());
        let found = broken.len() - missed_count;
        eprintln!(
            "{folder:<3} {:>7} {found:>7} {missed_count:>7} {:>7} {alarm_count:>13}",
            broken.len(),
            good.len()
        );
        for path in missed {
            let mistake = mistake(path);
            eprintln!("    missed: {} ({}): {}", name(path), mistake.severity, mistake.mistake);
        }
        for path in alarms {
            for finding in check(path).0 {
                eprintln!(
                    "    false alarm: {}: {}:{}: {}",
                    name(path),
                    finding.file,
                    finding.line,
                    finding.text
                );
            }
        }
    }
}
