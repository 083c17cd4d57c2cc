//! Errors of the configuration, and the places of values.

use std::fmt::{self, Write as _};

/// The place where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConfigOrigin {
    /// A flag of the command line.
    Flag(String),
    /// An environment variable.
    Variable(String),
    /// A place in the file.
    File {
        /// The path of the file as it was given.
        path: String,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
    },
    /// None: the value is the default, or missing.
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

/// An error of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigError {
    /// The place of the error.
    pub(crate) origin: ConfigOrigin,
    /// The error, and what to do.
    pub(crate) message: String,
}

impl ConfigError {
    /// Returns an error of a setting. The message begins with the key, unless the place already names the setting.
    pub(super) fn of_setting(key: &str, origin: ConfigOrigin, message: &str) -> Self {
        let message = match origin {
            ConfigOrigin::Flag(_) | ConfigOrigin::Variable(_) => message.to_owned(),
            ConfigOrigin::File { .. } | ConfigOrigin::Unset => format!("{key}: {message}"),
        };
        Self { origin, message }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = format!("{}: {}", self.origin, self.message);
        // Quoted text comes from files and variables. It must not add a line or move the cursor of a terminal.
        line.chars().try_for_each(|c| {
            if c.is_control() { write!(f, "{}", c.escape_default()) } else { f.write_char(c) }
        })
    }
}
