//! The table of type `http` as it is written. Only the types of its values are checked here.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

type Text = Spanned<String>;

/// The keys that only the table of type `http` has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpTable {
    pub(super) url: Text,
    pub(super) method: Option<Text>,
    #[serde(default)]
    pub(super) headers: BTreeMap<Text, Text>,
    pub(super) json: Option<Spanned<toml::Value>>,
    pub(super) form: Option<Spanned<BTreeMap<String, Text>>>,
    pub(super) accepted_statuses: Option<Spanned<Vec<u16>>>,
    pub(super) rejected_statuses: Option<Spanned<Vec<u16>>>,
    pub(super) unknown_user_statuses: Option<Spanned<Vec<u16>>>,
    #[serde(default)]
    pub(super) accepted_if: BTreeMap<Text, Spanned<toml::Value>>,
    pub(super) username_pointer: Option<Text>,
    #[serde(default)]
    pub(super) groups: Vec<Spanned<GroupsTable>>,
    #[serde(default)]
    pub(super) facts: BTreeMap<Text, Spanned<toml::Value>>,
    #[serde(default)]
    pub(super) allow_html: bool,
    pub(super) connect_timeout: Option<Text>,
    pub(super) max_response_bytes: Option<Text>,
    pub(super) ca_file: Option<Text>,
    pub(super) client_cert_file: Option<Text>,
    pub(super) client_key_file: Option<Text>,
}

/// An entry of `groups`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupsTable {
    pub(super) pointer: Option<Text>,
    pub(super) header: Option<Text>,
    pub(super) name_pointer: Option<Text>,
    #[serde(default, rename = "where")]
    pub(super) conditions: BTreeMap<Text, Spanned<toml::Value>>,
    pub(super) separator: Option<Text>,
    #[serde(default)]
    pub(super) prefix: String,
    #[serde(default)]
    pub(super) optional: bool,
}
