//! The findings of a check, and their text.

use std::fmt;

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// A client can get in, or gets more than it is allowed to.
    Error,
    /// Clients fail, or the protection is weaker.
    Warning,
}

impl Severity {
    /// Returns the word in the output.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A rule: its name, its severity, and the number of the pitfall in ARCHITECTURE.md.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CheckRule {
    pub(super) name: &'static str,
    pub(super) severity: Severity,
    pub(super) pitfall: Option<u8>,
}

impl CheckRule {
    /// Returns a rule whose findings are errors.
    pub(super) const fn error(name: &'static str, pitfall: Option<u8>) -> Self {
        Self { name, severity: Severity::Error, pitfall }
    }

    /// Returns a rule whose findings are warnings.
    pub(super) const fn warning(name: &'static str, pitfall: Option<u8>) -> Self {
        Self { name, severity: Severity::Warning, pitfall }
    }
}

/// A part of a configuration that is unsafe or that fails.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// The file.
    pub(crate) file: String,
    /// The line of the directive, from 1.
    pub(crate) line: usize,
    /// The severity.
    pub(crate) severity: Severity,
    /// The name of the rule.
    pub(crate) rule: &'static str,
    /// The number of the pitfall in ARCHITECTURE.md.
    pub(crate) pitfall: Option<u8>,
    /// The problem.
    pub(crate) message: String,
    /// The change that removes the problem.
    pub(crate) remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!(
            "{}:{}: {}: {}; {}",
            self.file,
            self.line,
            self.severity.word(),
            self.message,
            self.remedy
        );
        // A control character of the configuration must not change the display of a terminal.
        for character in text.chars() {
            if character.is_control() || is_format_character(character) {
                write!(formatter, "{}", character.escape_default())?;
            } else {
                write!(formatter, "{character}")?;
            }
        }
        match self.pitfall {
            Some(number) => write!(formatter, " ({}, p{number})", self.rule),
            None => write!(formatter, " ({})", self.rule),
        }
    }
}

/// Returns whether a character changes the direction or the lines of the text around it.
const fn is_format_character(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The result of a check.
#[derive(Debug, Default)]
pub(crate) struct CheckReport {
    /// The findings, sorted by file and line; each one once.
    pub(crate) findings: Vec<Finding>,
    /// The parts that the check could not evaluate.
    pub(crate) notes: Vec<String>,
    /// The number of files that were read.
    pub(crate) files: usize,
    /// The input is a part of a configuration, which cannot be checked by itself.
    pub(crate) is_fragment: bool,
}

impl CheckReport {
    /// Returns whether a finding is an error, or nothing was checked.
    pub(crate) fn has_failed(&self) -> bool {
        self.is_fragment || self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}
