//! What `explain` and `check --expect` tell of a request.

use std::path::Path;

use serde::Serialize;

use super::{ANONYMOUS, ExplainSubject};
use crate::policy::denial::Denied;
use crate::policy::explain::Explanation;
use crate::policy::rules::PolicyDecision;
use crate::reload::displayable_path;

/// What is told.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct ExplainReport {
    /// The verdict's stable name, see `gate::verdict`.
    pub(in crate::cli) verdict: &'static str,
    pub(in crate::cli) required: Option<String>,
    /// `file:line` of each rule that decided.
    pub(in crate::cli) deciding_rules: Vec<String>,
    /// What else there is to say of it.
    pub(in crate::cli) explanation: String,
    /// What the backend is asked for instead.
    pub(in crate::cli) upstream_uri: Option<String>,
    /// With which credentials it would go on.
    pub(in crate::cli) upstream: Option<String>,
    /// What the policy says of a user who cannot log in.
    pub(in crate::cli) note: Option<String>,
}

impl ExplainReport {
    /// `path` is the file's whose rules were asked.
    pub(in crate::cli) fn from_explanation(
        explained: &Result<Explanation, Denied>,
        has_policy: bool,
        asker: &ExplainSubject,
        path: Option<&Path>,
    ) -> Self {
        let refusal = if asker.user == ANONYMOUS { "challenge" } else { "forbid" };
        let nothing = Self {
            verdict: refusal,
            required: None,
            deciding_rules: Vec::new(),
            explanation: String::new(),
            upstream_uri: None,
            upstream: None,
            note: None,
        };
        let explanation = match explained {
            Ok(explanation) => explanation,
            Err(denied) => return Self { verdict: "forbid", explanation: denied.detail(), ..nothing },
        };
        let without_policy = !has_policy && asker.api_key_scope.is_none();
        if without_policy {
            let open = "there is no policy: every user may do everything, and nobody else anything";
            let (verdict, why) = match &explanation.decision {
                PolicyDecision::Allowed { .. } => ("allow", open),
                PolicyDecision::Denied(refused) => (refusal, refused.request_error.unwrap_or(open)),
            };
            return Self { verdict, explanation: why.to_owned(), ..nothing };
        }
        let file = path.map(displayable_path).unwrap_or_default();
        let place = |line: usize| format!("{file}:{line}");
        let mut told = Self {
            required: Some(explanation.requirement.clone()),
            deciding_rules: explanation
                .deciding_rule_lines
                .iter()
                .copied()
                .filter(|line| *line > 0)
                .map(place)
                .collect(),
            ..nothing
        };
        match &explanation.decision {
            PolicyDecision::Allowed { upstream_uri: uri } => {
                told.verdict = "allow";
                told.explanation = match explanation.deciding_rule_lines.len() {
                    0 => "every user may ask this",
                    1 => "this grant permits it",
                    _ => "these grants permit it",
                }
                .to_owned();
                told.upstream_uri.clone_from(uri);
            }
            PolicyDecision::Denied(refused) => {
                // It is granted, so credentials would change nothing.
                if refused.error_code.is_some() {
                    told.verdict = "forbid";
                }
                told.explanation =
                    match (refused.request_error, refused.deny_rule_index, &explanation.nearest_grant) {
                        (Some(why), ..) => why.to_owned(),
                        _ if refused.is_outside_api_key_scope => format!(
                            "he may, and his key may not: its scope lacks {}",
                            refused.denied_actions.names().collect::<Vec<_>>().join(" and ")
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
        told
    }

    pub(super) fn to_lines(&self) -> Vec<String> {
        let mut lines = vec![self.verdict.to_owned()];
        let mut line = |name: &str, value: &Option<String>| {
            lines.extend(value.as_ref().map(|value| format!("  {name} {value}")));
        };
        line("needs:", &self.required);
        line("rule: ", &Some(self.deciding_rules.join(", ")).filter(|rules| !rules.is_empty()));
        line("why:  ", &Some(self.explanation.clone()));
        line("asked of the backend:", &self.upstream_uri);
        line("goes on with:", &self.upstream);
        line("note: ", &self.note);
        lines
    }
}
