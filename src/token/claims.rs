//! The claims of a token (distribution's docs/content/spec/auth/jwt.md; RFC 7519 section 4.1).

use serde::{Deserialize, Serialize};

/// The claims. Times are whole seconds since 1970, and `aud` is a string: registry 2.8 accepts no other forms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The issuer.
    pub iss: String,
    /// The name of the user; empty for a client without credentials.
    pub sub: String,
    /// The `service` of the registry.
    pub aud: String,
    /// The expiry.
    pub exp: u64,
    /// The time before which the token is not valid.
    pub nbf: u64,
    /// The time of issue.
    pub iat: u64,
    /// An identifier that is different for each token.
    pub jti: String,
    /// The host that the policy was evaluated for, because rules can depend on it. This claim is specific to
    /// doorward; registries ignore it.
    #[serde(default)]
    pub host: String,
    /// The granted access. If it is empty, the token only proves the login.
    pub access: Vec<AccessEntry>,
    /// Requested access that was not granted, as far as doorward needs it. A client that requires it is denied
    /// instead of being challenged for another token. Registries ignore this claim.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denied: Vec<AccessEntry>,
}

/// The actions that are permitted on one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessEntry {
    /// `repository` or `registry`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name of the repository, or `catalog`.
    pub name: String,
    /// `pull`, `push` and `delete`, or `*` for the catalog.
    pub actions: Vec<String>,
}
