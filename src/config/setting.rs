//! One row of the table of settings, and the macro that makes the table and the structs of its values.

use std::collections::BTreeMap;

use super::ConfigOrigin;

/// One setting.
#[derive(Debug)]
pub(crate) struct Setting {
    /// The key in the file, with the section before the dot.
    pub(crate) key: &'static str,
    /// The name of the value in `--help`.
    pub(crate) placeholder: &'static str,
    /// The default as text; empty if there is none.
    pub(crate) default: &'static str,
    /// Whether the setting takes several values.
    pub(crate) is_list: bool,
    /// Whether SIGHUP applies a change. If not, a change requires a restart.
    pub(crate) is_reloadable: bool,
    /// One line of help.
    pub(crate) help: &'static str,
}

impl Setting {
    /// Returns the key without a final `.file`: `htpasswd.file` is `--htpasswd` and `DOORWARD_HTPASSWD`.
    fn short_key(&self) -> &'static str {
        self.key.strip_suffix(".file").unwrap_or(self.key)
    }

    /// Returns the flag, without the leading dashes.
    pub(crate) fn flag(&self) -> String {
        self.short_key().replace(['.', '_'], "-")
    }

    /// Returns the name of the environment variable, which begins with `prefix`.
    pub(crate) fn variable_with_prefix(&self, prefix: &str) -> String {
        format!("{prefix}{}", self.short_key().replace('.', "_").to_uppercase())
    }
}

/// A value as text, and where it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigValue {
    /// The text as it was written.
    pub(crate) text: String,
    /// The place of the text.
    pub(crate) origin: ConfigOrigin,
}

/// The values given on one layer, by key.
pub(crate) type LayerValues = BTreeMap<&'static str, Vec<ConfigValue>>;

/// Makes the structs of all values, the list of all settings, and what reads and compares them.
///
/// The key of a setting is the name of its field, after the name of its section and a dot. A row has these columns:
/// - the number of values: `one` (a value or the default), `optional` (a value or none), `list`;
/// - the field and its type;
/// - the default as the user would write it, or `""`;
/// - the placeholder of the value in `--help`;
/// - when a change takes effect: `reload` (on SIGHUP) or `restart`;
/// - the function that parses one value;
/// - the help, which is also the documentation of the field.
macro_rules! config_table {
    (
        $(#[$values_doc:meta])*
        pub(crate) struct $Values:ident {
            $( $count:ident $field:ident: $type:ty = $default:literal, $placeholder:literal, $effect:ident,
                $parse:expr, $help:literal; )*
        }
        $(
            $(#[$section_doc:meta])*
            section $section:ident: $Section:ident {
                $( $s_count:ident $s_field:ident: $s_type:ty = $s_default:literal, $s_placeholder:literal,
                    $s_effect:ident, $s_parse:expr, $s_help:literal; )*
            }
        )*
    ) => {
        $(#[$values_doc])*
        #[derive(Clone, Debug)]
        pub(crate) struct $Values {
            $( #[doc = $help] pub $field: $type, )*
            $( $(#[$section_doc])* pub $section: $Section, )*
            /// The `[[authenticator]]` tables, in the order of the chain; without any, one for each file of users.
            pub(crate) authenticators: Vec<AuthenticatorConfig>,
            /// The `[[upstream]]` tables.
            pub(crate) upstreams: Vec<UpstreamConfig>,
            /// Hashes of the tables as they are written, to detect a change.
            pub(super) table_hashes: TableHashes,
            /// Whether there is no settings file, or it sets nothing.
            pub(crate) is_file_empty: bool,
        }

        $(
            $(#[$section_doc])*
            #[derive(Clone, Debug)]
            pub(crate) struct $Section {
                $( #[doc = $s_help] pub $s_field: $s_type, )*
            }
        )*

        /// All settings, in the order in which the README lists them.
        pub(crate) const SETTINGS: &[Setting] = &[
            $( setting_row!(stringify!($field), $count, $default, $placeholder, $effect, $help), )*
            $( $( setting_row!(concat!(stringify!($section), ".", stringify!($s_field)),
                $s_count, $s_default, $s_placeholder, $s_effect, $s_help), )* )*
        ];

        impl $Values {
            /// Reads every setting. A value that cannot be parsed is reported, and replaced by the default.
            pub(super) fn read(reader: &mut SettingReader<'_>) -> Self {
                Self {
                    $( $field: reader.$count(stringify!($field), $default, $parse), )*
                    $( $section: $Section {
                        $( $s_field: reader.$s_count(
                            concat!(stringify!($section), ".", stringify!($s_field)), $s_default, $s_parse
                        ), )*
                    }, )*
                    authenticators: Vec::new(),
                    upstreams: Vec::new(),
                    table_hashes: TableHashes::default(),
                    is_file_empty: true,
                }
            }

            /// Returns the settings whose values differ, in the order of the table.
            pub(super) fn differing_settings(&self, other: &Self) -> Vec<&'static Setting> {
                let differs = [
                    $( self.$field != other.$field, )*
                    $( $( self.$section.$s_field != other.$section.$s_field, )* )*
                ];
                SETTINGS.iter().zip(differs).filter(|(_, differs)| *differs).map(|(setting, _)| setting).collect()
            }
        }
    };
}

/// Makes one row of the list of settings.
macro_rules! setting_row {
    (@is_list list) => { true };
    (@is_list one) => { false };
    (@is_list optional) => { false };
    (@is_reloadable reload) => { true };
    (@is_reloadable restart) => { false };
    ($key:expr, $count:ident, $default:literal, $placeholder:literal, $effect:ident, $help:literal) => {
        Setting {
            key: $key,
            placeholder: $placeholder,
            default: $default,
            is_list: setting_row!(@is_list $count),
            is_reloadable: setting_row!(@is_reloadable $effect),
            help: $help,
        }
    };
}

pub(super) use config_table;
pub(crate) use setting_row;
