//! The result of `doorward explain`, and of a line of `doorward check --expect`.

use std::path::Path;

use serde::Serialize;

use super::evaluation::{ANONYMOUS, ExplainSubject};
use crate::policy::denial::Denied;
use crate::policy::explain::Explanation;
use crate::policy::rules::PolicyDecision;
use crate::reload::displayable_path;

/// The result for one request. Its fields are the fields of `explain --json`.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct ExplainReport {
    /// The name of the verdict, see `pipeline::verdict`.
    pub(in crate::cli) verdict: &'static str,
    /// The permission that the request requires.
    pub(in crate::cli) required: Option<String>,
    /// `file:line` of each rule that decided.
    pub(in crate::cli) deciding_rules: Vec<String>,
    /// The reason for the verdict.
    pub(in crate::cli) explanation: String,
    /// The URI that the upstream receives, if it differs from the original.
    pub(in crate::cli) upstream_uri: Option<String>,
    /// The credentials that the request gets for the upstream.
    pub(in crate::cli) upstream_credentials: Option<String>,
    /// The result of the policy for a user who can log in, if this user cannot.
    pub(in crate::cli) note: Option<String>,
}

impl ExplainReport {
    /// Converts the result of the policy. `path` is the policy file.
    pub(in crate::cli) fn from_explanation(
        explained: &Result<Explanation, Denied>,
        has_policy: bool,
        subject: &ExplainSubject,
        path: Option<&Path>,
    ) -> Self {
        let refusal = if subject.user == ANONYMOUS { "challenge" } else { "forbid" };
        let refused = Self {
            verdict: refusal,
            required: None,
            deciding_rules: Vec::new(),
            explanation: String::new(),
            upstream_uri: None,
            upstream_credentials: None,
            note: None,
        };
        let explanation = match explained {
            Ok(explanation) => explanation,
            Err(denied) => return Self { verdict: "forbid", explanation: denied.detail(), ..refused },
        };
        if !has_policy && subject.api_key_scope.is_none() {
            let no_policy =
                "there is no policy: every user may do everything, and anonymous clients may do nothing";
            let (verdict, reason) = match &explanation.decision {
                PolicyDecision::Allowed { .. } => ("allow", no_policy),
                PolicyDecision::Denied(denial) => (refusal, denial.request_error.unwrap_or(no_policy)),
            };
            return Self { verdict, explanation: reason.to_owned(), ..refused };
        }
        let file = path.map(displayable_path).unwrap_or_default();
        let place = |line: usize| format!("{file}:{line}");
        let mut report = Self {
            required: Some(explanation.requirement.clone()),
            deciding_rules: explanation
                .deciding_rule_lines
                .iter()
                .copied()
                .filter(|line| *line > 0)
                .map(place)
                .collect(),
            ..refused
        };
        match &explanation.decision {
            PolicyDecision::Allowed { upstream_uri } => {
                report.verdict = "allow";
                report.explanation = match explanation.deciding_rule_lines.len() {
                    0 => "every user may send this request",
                    1 => "this grant permits it",
                    _ => "these grants permit it",
                }
                .to_owned();
                report.upstream_uri.clone_from(upstream_uri);
            }
            PolicyDecision::Denied(denial) => {
                // A granted request with an error is forbidden, since other credentials would not change the error.
                if denial.error_code.is_some() {
                    report.verdict = "forbid";
                }
                report.explanation =
                    match (denial.request_error, denial.deny_rule_index, &explanation.nearest_grant) {
                        (Some(error), ..) => error.to_owned(),
                        _ if denial.is_outside_api_key_scope => format!(
                            "the user has this permission, and the API key does not: its scope lacks {}",
                            denial.denied_actions.names().collect::<Vec<_>>().join(" and ")
                        ),
                        (None, Some(_), _) => "this rule denies it".to_owned(),
                        (None, None, Some(nearest)) => {
                            format!(
                                "no grant permits it; the nearest is {}: {}",
                                place(nearest.line),
                                nearest.mismatches.join("; ")
                            )
                        }
                        (None, None, None) => "no grant permits it".to_owned(),
                    };
            }
        }
        report
    }

    /// Formats the report for a terminal.
    pub(super) fn to_lines(&self) -> Vec<String> {
        let mut lines = vec![self.verdict.to_owned()];
        let mut line = |label: &str, value: &Option<String>| {
            lines.extend(value.as_ref().map(|value| format!("  {label}: {value}")));
        };
        let rules = self.deciding_rules.join(", ");
        line("required", &self.required);
        line("deciding rules", &Some(rules).filter(|rules| !rules.is_empty()));
        line("explanation", &Some(self.explanation.clone()));
        line("upstream URI", &self.upstream_uri);
        line("upstream credentials", &self.upstream_credentials);
        line("note", &self.note);
        lines
    }
}
