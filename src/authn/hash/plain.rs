//! `{PLAIN}`: the password itself. It is accepted only if the setting `htpasswd.insecure_formats` allows it.

use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

/// The prefix.
pub(super) const PLAIN_PREFIX: &[u8] = b"{PLAIN}";

/// Checks a password. Digests are compared, so the time of the comparison does not reveal the length.
pub(super) fn verify(text: &[u8], password: &[u8]) -> bool {
    let expected = text.strip_prefix(PLAIN_PREFIX).unwrap_or_default();
    !expected.is_empty() && bool::from(Sha1::digest(expected)[..].ct_eq(&Sha1::digest(password)[..]))
}
