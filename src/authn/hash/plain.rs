//! `{PLAIN}`: the password itself. Taken only where a setting allows it by name.

use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

/// The scheme.
pub(super) const PLAIN_PREFIX: &[u8] = b"{PLAIN}";

/// Checks a password. The digests are compared, so that not even the length can be told.
pub(super) fn verify(text: &[u8], password: &[u8]) -> bool {
    let kept = text.strip_prefix(PLAIN_PREFIX).unwrap_or_default();
    !kept.is_empty() && bool::from(Sha1::digest(kept)[..].ct_eq(&Sha1::digest(password)[..]))
}
