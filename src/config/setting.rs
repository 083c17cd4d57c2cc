//! What a setting is: the row of the table, and the names that follow from its key.

use super::{Config, ConfigOrigin};

/// One setting.
pub struct Setting {
    /// As it is written in the file, with the table's name before the dot.
    pub key: &'static str,
    /// What stands for the value in `--help`.
    pub placeholder: &'static str,
    /// The default as text; empty for none.
    pub default: &'static str,
    /// Whether it takes several values.
    pub is_list: bool,
    /// One line.
    pub help: &'static str,
    /// Reads one value into its place. A setting that takes several is called for each of them.
    pub parse_into: fn(&mut Config, &str) -> Result<(), String>,
}

impl Setting {
    /// Returns the key without a final `.file`: `htpasswd.file` is `--htpasswd` and `DOORWARD_HTPASSWD`.
    fn short_key(&self) -> &'static str {
        self.key.strip_suffix(".file").unwrap_or(self.key)
    }

    /// The flag, without the dashes before it.
    pub fn flag(&self) -> String {
        self.short_key().replace(['.', '_'], "-")
    }

    /// The environment variable.
    pub fn variable(&self) -> String {
        format!("DOORWARD_{}", self.short_key().replace('.', "_").to_uppercase())
    }
}

/// A row of the table: its key, what stands for its value, its default, what it means, and how it is read.
macro_rules! setting {
    ($key:literal, $placeholder:literal, $default:literal, $help:literal, $read:expr) => {
        Setting {
            key: $key,
            placeholder: $placeholder,
            default: $default,
            is_list: false,
            help: $help,
            parse_into: $read,
        }
    };
    (list $key:literal, $placeholder:literal, $default:literal, $help:literal, $read:expr) => {
        Setting {
            key: $key,
            placeholder: $placeholder,
            default: $default,
            is_list: true,
            help: $help,
            parse_into: $read,
        }
    };
}

pub(super) use setting;

/// A value as text, and where it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigValue {
    /// As it was written.
    pub text: String,
    /// Where.
    pub origin: ConfigOrigin,
}
