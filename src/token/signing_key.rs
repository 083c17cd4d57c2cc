//! The keys that sign tokens, as a file has them: for each a `PRIVATE KEY` block (PKCS#8) and behind it the
//! `CERTIFICATE` of its public half. The first key signs; all of them are published, and verify.
//!
//! Signing is ring's alone: the crates for JWT choose an algorithm by what a token says of itself, or bring the
//! `rsa` crate, whose timing gives keys away (RUSTSEC-2023-0071).

mod certificate;
pub mod edit;
pub mod generate;
mod key;
mod key_pair;
mod pem;
pub mod reload;
mod verify;

use std::fmt;
use std::iter::once;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::digest;
use ring::rand::SystemRandom;

use self::key::{KeyBlock, SigningKey};
pub use self::key_pair::SigningAlgorithm;
use self::pem::PemBlock;
pub use self::verify::{CLOCK_LEEWAY_SECS, TOKEN_BYTES_MAX, TokenVerifyError, check_validity_period};
use super::claims::Claims;

/// Why a file of keys can't be used. It holds secrets, so nothing of what stands in a block is told.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyFileError {
    /// No block is in it.
    #[error("there is no key in it; doorward signing-key init makes one")]
    NoKey,
    /// It is no text.
    #[error("it is no PEM file: it holds bytes that are no text")]
    NotUtf8,
    /// Where blocks begin and end can't be said.
    #[error("line {0}: {1}")]
    InvalidPem(usize, &'static str),
    /// A block is not what it should be.
    #[error("block {number} ({label}, line {line}): {message}")]
    InvalidBlock {
        /// The how-manieth block it is, from 1.
        number: usize,
        /// What it says that it is.
        label: String,
        /// The number of its first line, from 1.
        line: usize,
        /// What is wrong, and what to do.
        message: &'static str,
    },
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The claims can't be written.
    #[error("the claims of a token can't be written: {0}")]
    ClaimsNotSerializable(#[from] serde_json::Error),
    /// More than [`TOKEN_MAX`]: nobody would take it.
    #[error("a token of more than 16 KiB would be needed; ask for less at once")]
    TooLong,
    /// ring could not, for want of randomness.
    #[error("a token can't be signed: the system gives no random numbers")]
    SigningFailed,
}

/// What everybody may know of a key.
#[derive(Clone, Copy, Debug)]
pub struct PublishedKey<'k> {
    /// The thumbprint of its public half (RFC 7638, SHA-256, base64url): 43 characters.
    pub kid: &'k str,
    /// What it signs with.
    pub algorithm: SigningAlgorithm,
    /// Whether it is the one that signs.
    pub is_active: bool,
    /// Until when its certificate counts, in seconds since 1970: registries take nothing that it signs later.
    pub certificate_not_after: u64,
    /// The certificate (DER).
    pub certificate_der: &'k [u8],
}

/// See the top of this file.
pub struct SigningKeys {
    /// The one that signs.
    active_key: SigningKey,
    other_keys: Vec<SigningKey>,
    rng: SystemRandom,
    fingerprint: [u8; 32],
}

/// Ids and algorithms; nothing secret.
impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|key| (key.key_pair.algorithm(), &key.kid))).finish()
    }
}

/// What is to be done about a block that does not belong into the file.
fn misplaced_block_message(label: &str) -> &'static str {
    match label {
        "EC PRIVATE KEY" | "RSA PRIVATE KEY" => {
            "it is a private key of an older form; openssl pkcs8 -topk8 -nocrypt -in FILE makes a PRIVATE KEY of it"
        }
        "ENCRYPTED PRIVATE KEY" => {
            "it is encrypted, and nobody is there to give a password; openssl pkcs8 -in FILE makes a PRIVATE KEY of it"
        }
        "CERTIFICATE" => {
            "it follows no key; the file has for each PRIVATE KEY one CERTIFICATE, right behind it"
        }
        _ => "it is neither a PRIVATE KEY nor a CERTIFICATE; take it out",
    }
}

/// The label of a block for a message, if it is one of those that tools write.
fn printable_label(label: &str) -> String {
    const KNOWN: [&str; 12] = [
        "PRIVATE KEY",
        "EC PRIVATE KEY",
        "RSA PRIVATE KEY",
        "DSA PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
        "PUBLIC KEY",
        "RSA PUBLIC KEY",
        "CERTIFICATE",
        "CERTIFICATE REQUEST",
        "EC PARAMETERS",
        "DH PARAMETERS",
    ];
    KNOWN.into_iter().find(|known| *known == label).unwrap_or("of another kind").to_owned()
}

impl SigningKeys {
    /// Reads the text of a file of keys.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, SigningKeyFileError> {
        let text = std::str::from_utf8(text).map_err(|_| SigningKeyFileError::NotUtf8)?;
        let blocks = pem::parse_blocks(text)
            .map_err(|broken| SigningKeyFileError::InvalidPem(broken.line, broken.message))?;
        let random = SystemRandom::new();
        let mut keys: Vec<SigningKey> = Vec::new();
        let mut numbered = (1..).zip(&blocks);
        let fault = |(number, block): (usize, &PemBlock<'_>), what| SigningKeyFileError::InvalidBlock {
            number,
            label: printable_label(block.label),
            line: block.line,
            message: what,
        };
        while let Some(secret) = numbered.next() {
            if secret.1.label != "PRIVATE KEY" {
                return Err(fault(secret, misplaced_block_message(secret.1.label)));
            }
            let certificate = numbered.next().filter(|(_, block)| block.label == "CERTIFICATE");
            let certificate = certificate.ok_or_else(|| {
                fault(secret, "no CERTIFICATE follows it, by which registries know it; doorward signing-key init --private-key FILE makes one")
            })?;
            let key =
                SigningKey::parse(secret.1, certificate.1, &random).map_err(|(side, what)| match side {
                    KeyBlock::PrivateKey => fault(secret, what),
                    KeyBlock::Certificate => fault(certificate, what),
                })?;
            if keys.iter().any(|other| other.kid == key.kid) {
                return Err(fault(
                    secret,
                    "this key is in the file already; take one of the two out, with its certificate",
                ));
            }
            keys.push(key);
        }
        let mut keys = keys.into_iter();
        let first = keys.next().ok_or(SigningKeyFileError::NoKey)?;
        let rest: Vec<SigningKey> = keys.collect();
        let mut all = digest::Context::new(&digest::SHA256);
        once(&first).chain(&rest).for_each(|key| all.update(key.kid.as_bytes()));
        let mut fingerprint = [0; 32];
        fingerprint.iter_mut().zip(all.finish().as_ref()).for_each(|(to, from)| *to = *from);
        Ok(Self { active_key: first, other_keys: rest, rng: random, fingerprint })
    }

    /// Whether a signature takes milliseconds rather than microseconds.
    pub fn is_signing_slow(&self) -> bool {
        self.active_key.key_pair.algorithm() == SigningAlgorithm::Rs256
    }

    /// What tells these keys from any others, or the same in another order. It is no secret.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    fn iter(&self) -> impl Iterator<Item = &SigningKey> {
        once(&self.active_key).chain(&self.other_keys)
    }

    /// All keys, the one that signs first.
    pub fn published_keys(&self) -> impl Iterator<Item = PublishedKey<'_>> {
        self.iter().enumerate().map(|(at, key)| PublishedKey {
            kid: &key.kid,
            algorithm: key.key_pair.algorithm(),
            is_active: at == 0,
            certificate_not_after: key.certificate.not_after,
            certificate_der: &key.certificate.der,
        })
    }

    /// Their ids, that of the one that signs first.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|key| &key.kid[..])
    }

    /// Makes a token, signed by the first key.
    ///
    /// # Errors
    /// It would be longer than [`TOKEN_MAX`], or the system gives no random numbers.
    pub fn sign(&self, claims: &Claims) -> Result<String, SignError> {
        let claims = serde_json::to_vec(claims)?;
        let mut token =
            format!("{}.{}", self.active_key.encoded_header, BASE64_URL_SAFE_NO_PAD.encode(claims));
        let signature = self
            .active_key
            .key_pair
            .sign(token.as_bytes(), &self.rng)
            .map_err(|_| SignError::SigningFailed)?;
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        if token.len() > TOKEN_BYTES_MAX { Err(SignError::TooLong) } else { Ok(token) }
    }

    /// The public keys (RFC 7517 section 5), as `/jwks` gives them.
    pub fn jwks(&self) -> String {
        let keys: Vec<&str> = self.iter().map(|key| &key.jwk_json[..]).collect();
        format!("{{\"keys\":[{}]}}", keys.join(","))
    }

    /// The certificates (PEM), as a registry's `rootcertbundle` wants them.
    pub fn certificate_bundle(&self) -> String {
        self.iter().map(|key| pem::encode_block("CERTIFICATE", &key.certificate.der).to_string()).collect()
    }
}

#[cfg(test)]
#[path = "signing_key_tests.rs"]
mod tests;
