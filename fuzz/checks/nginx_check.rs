//! Checks any text as an nginx configuration. The result is findings, each with a file and line of the input, or nothing.

use crate::nginx_check::check;
use crate::nginx_check::finding::Severity;

/// The name of the input, if it is not the output of `nginx -T`.
const NAME: &str = "nginx.conf";

/// Runs the check with one input of the fuzzer.
pub fn run(text: &str) {
    let report = check(text, NAME);
    for finding in &report.findings {
        let is_dump_file = text.contains(&format!("# configuration file {}:", finding.file));
        assert!(finding.file == NAME || is_dump_file, "{:?} is a file of the input", finding.file);
        assert!((1..=text.split('\n').count()).contains(&finding.line), "line {}", finding.line);
        let line = finding.to_string();
        assert!(!line.contains(char::is_control), "{line:?} is one line on stdout");
        assert!(!finding.message.is_empty() && !finding.remedy.is_empty());
    }
    assert!(report.findings.is_sorted(), "the findings are sorted");
    let has_error = report.findings.iter().any(|finding| finding.severity == Severity::Error);
    assert_eq!(report.has_failed(), has_error || report.is_fragment);
    assert!(!report.is_fragment || !report.notes.is_empty(), "a note reports a part of a configuration");
    // A text that is not a configuration is never accepted.
    assert!(
        report.has_failed()
            || text.contains("auth_request")
            || text.contains("token")
            || !report.findings.is_empty()
    );
}
