//! What a token says (distribution's docs/content/spec/auth/jwt.md; RFC 7519 section 4.1).

use serde::{Deserialize, Serialize};

/// The claims. Times are whole seconds since 1970: registry 2.8 takes no others, and of `aud` a text alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who gave it out.
    pub iss: String,
    /// The user's name; empty for who has shown no credentials.
    pub sub: String,
    /// The registry's `service`.
    pub aud: String,
    /// When it ends.
    pub exp: u64,
    /// From when on it counts.
    pub nbf: u64,
    /// When it was given out.
    pub iat: u64,
    /// Of each token another one.
    pub jti: String,
    /// At which host it was judged, in doorward's own name for it: rules may be about hosts. Registries pass it over.
    #[serde(default)]
    pub host: String,
    /// What may be done with it; empty is nothing but to have logged in.
    pub access: Vec<AccessEntry>,
    /// What was asked for besides and not granted, as far as doorward has to know it: a client that lacks it is denied,
    /// and not sent for another token. Registries pass it over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denied: Vec<AccessEntry>,
}

/// A right on one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessEntry {
    /// `repository`, or `registry`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The repository's name, or `catalog`.
    pub name: String,
    /// `pull`, `push`, `delete`; `*` of the catalogue.
    pub actions: Vec<String>,
}
