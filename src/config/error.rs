//! What is wrong with the settings, and where.

use std::fmt::{self, Write as _};

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigOrigin {
    /// On the command line, by this flag.
    Flag(String),
    /// In this environment variable.
    Variable(String),
    /// In the file, at this line and column, both from 1.
    File {
        /// The file's path as it was given.
        path: String,
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
    },
    /// Nowhere: it is the default, or it is missing.
    Unset,
}

impl fmt::Display for ConfigOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "--{flag}"),
            Self::Variable(name) => f.write_str(name),
            Self::File { path, line, column } => write!(f, "{path}:{line}:{column}"),
            Self::Unset => f.write_str("settings"),
        }
    }
}

/// One thing that is wrong with the settings: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where.
    pub origin: ConfigOrigin,
    /// What, and what to do.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = format!("{}: {}", self.origin, self.message);
        // What a fault quotes comes from files and variables: it must not make two lines of this one, nor
        // move a terminal's cursor.
        line.chars().try_for_each(|c| {
            if c.is_control() { write!(f, "{}", c.escape_default()) } else { f.write_char(c) }
        })
    }
}
