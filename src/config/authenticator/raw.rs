//! The tables of authenticators as they are written, before anything is checked but their shape.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

type Text = Spanned<String>;

/// Of type `htpasswd`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Htpasswd {
    pub(super) name: Option<Text>,
    #[serde(default)]
    pub(super) covers: Vec<Text>,
}

/// Of type `keys`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Keys {
    pub(super) name: Option<Text>,
}

/// Of type `http`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Http {
    pub(super) name: Option<Text>,
    #[serde(default)]
    pub(super) covers: Vec<Text>,
    pub(super) url: Text,
    pub(super) method: Option<Text>,
    #[serde(default)]
    pub(super) headers: BTreeMap<Text, Text>,
    pub(super) json: Option<Spanned<toml::Value>>,
    pub(super) form: Option<Spanned<BTreeMap<String, Text>>>,
    pub(super) accepted: Option<Spanned<Vec<u16>>>,
    pub(super) rejected: Option<Spanned<Vec<u16>>>,
    pub(super) unknown: Option<Spanned<Vec<u16>>>,
    #[serde(default)]
    pub(super) accepted_if: BTreeMap<Text, Spanned<toml::Value>>,
    pub(super) username: Option<Text>,
    #[serde(default)]
    pub(super) groups: Vec<Spanned<Groups>>,
    #[serde(default)]
    pub(super) facts: BTreeMap<Text, Spanned<toml::Value>>,
    #[serde(default)]
    pub(super) html: bool,
    pub(super) connect_timeout: Option<Text>,
    pub(super) timeout: Option<Text>,
    pub(super) max_body: Option<Text>,
    pub(super) ca_file: Option<Text>,
    pub(super) client_cert_file: Option<Text>,
    pub(super) client_key_file: Option<Text>,
    pub(super) connections: Option<Spanned<usize>>,
    pub(super) queue: Option<Spanned<usize>>,
    pub(super) network_share: Option<Spanned<usize>>,
    pub(super) user_share: Option<Spanned<usize>>,
    pub(super) trusted_for: Option<Text>,
    pub(super) stale_if_unavailable: Option<Text>,
}

/// One source of groups.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Groups {
    pub(super) pointer: Option<Text>,
    pub(super) header: Option<Text>,
    pub(super) member: Option<Text>,
    #[serde(default, rename = "where")]
    pub(super) conditions: BTreeMap<Text, Spanned<toml::Value>>,
    pub(super) separator: Option<Text>,
    #[serde(default)]
    pub(super) prefix: String,
    #[serde(default)]
    pub(super) optional: bool,
}
