//! The registry token protocol: scopes, claims, signing keys, and the issuer that signs and verifies tokens.
//!
//! A registry verifies tokens without calling doorward, so a token is valid until it expires. The pipeline decides on
//! the content of a token: the policy and the scope of the API key apply as for any other request.

pub(crate) mod claims;
pub(crate) mod issuer;
pub(crate) mod scope;
pub(crate) mod signing_key;
