//! The tables of authenticators as they are written, before anything is checked but their shape.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

type Text = Spanned<String>;

/// Of type `htpasswd`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHtpasswdTable {
    pub(super) name: Option<Text>,
    #[serde(default)]
    pub(super) fallback_for: Vec<Text>,
}

/// Of type `keys`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawApiKeysTable {
    pub(super) name: Option<Text>,
}

/// Of type `http`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHttpTable {
    pub(super) name: Option<Text>,
    #[serde(default)]
    pub(super) fallback_for: Vec<Text>,
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
    pub(super) groups: Vec<Spanned<RawGroupsRule>>,
    #[serde(default)]
    pub(super) facts: BTreeMap<Text, Spanned<toml::Value>>,
    #[serde(default)]
    pub(super) allow_html: bool,
    pub(super) connect_timeout: Option<Text>,
    pub(super) timeout: Option<Text>,
    pub(super) max_response_bytes: Option<Text>,
    pub(super) ca_file: Option<Text>,
    pub(super) client_cert_file: Option<Text>,
    pub(super) client_key_file: Option<Text>,
    pub(super) max_connections: Option<Spanned<usize>>,
    pub(super) queue_limit: Option<Spanned<usize>>,
    pub(super) per_network_limit: Option<Spanned<usize>>,
    pub(super) per_user_limit: Option<Spanned<usize>>,
    pub(super) cache_ttl: Option<Text>,
    pub(super) stale_if_unavailable: Option<Text>,
}

/// One source of groups.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGroupsRule {
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
