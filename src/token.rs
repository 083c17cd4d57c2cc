//! The registry's token protocol: what is asked for, what a token says, and who signs it.
//!
//! The registry verifies a token by itself, so what stands in one counts until it ends. What is put into
//! it is decided by the gate, by the policy and the key that was used, as for any other request.

pub mod claims;
pub mod issuer;
pub mod scope;
pub mod signing_key;
