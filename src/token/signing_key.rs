//! The keys that sign tokens. A key file contains a `PRIVATE KEY` block (PKCS#8) for each key, followed by the
//! `CERTIFICATE` of its public key. The first key signs; all keys are published, and verify tokens.
//!
//! ring creates and checks all signatures. The JWT crates choose the algorithm by the header of the token, or depend
//! on the `rsa` crate, whose timing leaks keys (RUSTSEC-2023-0071).

mod certificate;
pub(crate) mod edit;
pub(crate) mod generate;
mod key;
pub(crate) mod key_pair;
mod pem;
pub(crate) mod reload;
pub(crate) mod verify;

use std::fmt;
use std::iter::once;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::digest;
use ring::rand::SystemRandom;

use self::key::{KeyBlock, SigningKey};
use self::key_pair::SigningAlgorithm;
use self::pem::PemBlock;
use self::verify::TOKEN_BYTES_MAX;
use super::claims::Claims;

/// The reason why a key file is invalid. The file contains secrets, so no error contains text of a block.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyFileError {
    /// The file contains no block.
    #[error("it contains no key; doorward signing-key init creates one")]
    NoKey,
    /// The file is not text.
    #[error("it is not a PEM file: it contains bytes that are not UTF-8")]
    NotUtf8,
    /// The boundaries of a block are malformed.
    #[error("line {0}: {1}")]
    InvalidPem(usize, &'static str),
    /// A block has unexpected content.
    #[error("block {number} ({label}, line {line}): {message}")]
    InvalidBlock {
        /// The position of the block, from 1.
        number: usize,
        /// The label of the block.
        label: String,
        /// The number of its first line, from 1.
        line: usize,
        /// The problem and the remedy.
        message: &'static str,
    },
}

/// The reason why a token was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The claims cannot be serialized.
    #[error("the claims of the token cannot be serialized: {0}")]
    ClaimsNotSerializable(#[from] serde_json::Error),
    /// The token would have more than [`TOKEN_BYTES_MAX`] bytes, which servers do not accept.
    #[error("the token would have more than {TOKEN_BYTES_MAX} bytes; request fewer scopes at once")]
    TooLong,
    /// ring could not sign, because the system returned no random numbers.
    #[error("the token cannot be signed: the system returned no random numbers")]
    SigningFailed,
}

/// The public properties of a key.
#[derive(Clone, Copy, Debug)]
pub struct PublishedKey<'k> {
    /// The key ID: the thumbprint of the public key (RFC 7638, SHA-256, base64url), 43 characters.
    pub(crate) kid: &'k str,
    /// The algorithm of its signatures.
    pub algorithm: SigningAlgorithm,
    /// True for the key that signs.
    pub(crate) is_active: bool,
    /// Expiry of the certificate, in seconds since 1970. Registries reject tokens that the key signs later.
    pub certificate_not_after: u64,
    /// The certificate (DER).
    #[cfg(test)]
    pub(crate) certificate_der: &'k [u8],
}

/// The keys of a key file.
pub struct SigningKeys {
    /// The key that signs.
    active_key: SigningKey,
    other_keys: Vec<SigningKey>,
    rng: SystemRandom,
    fingerprint: [u8; 32],
}

/// Shows key IDs and algorithms, and no secret.
impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|key| (key.key_pair.algorithm(), &key.kid))).finish()
    }
}

/// Returns the message for a block that does not belong at its place in the file.
fn misplaced_block_message(label: &str) -> &'static str {
    match label {
        "EC PRIVATE KEY" | "RSA PRIVATE KEY" => {
            "it is a private key in an older format; convert it with openssl pkcs8 -topk8 -nocrypt -in FILE"
        }
        "ENCRYPTED PRIVATE KEY" => {
            "it is encrypted, and doorward has no password for it; decrypt it with openssl pkcs8 -in FILE"
        }
        "CERTIFICATE" => "it does not follow a key; each PRIVATE KEY must be followed by its CERTIFICATE",
        _ => "it is neither a PRIVATE KEY nor a CERTIFICATE; remove it",
    }
}

/// Returns the label of a block for a message. Only labels that common tools write are shown.
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
    KNOWN.into_iter().find(|known| *known == label).unwrap_or("unknown label").to_owned()
}

impl SigningKeys {
    /// Parses a key file.
    ///
    /// # Errors
    /// Returns the first error of the file.
    pub fn parse(text: &[u8]) -> Result<Self, SigningKeyFileError> {
        let text = std::str::from_utf8(text).map_err(|_| SigningKeyFileError::NotUtf8)?;
        let blocks = pem::parse_blocks(text)
            .map_err(|error| SigningKeyFileError::InvalidPem(error.line, error.message))?;
        let rng = SystemRandom::new();
        let mut keys: Vec<SigningKey> = Vec::new();
        let mut numbered = (1..).zip(&blocks);
        let block_error =
            |(number, block): (usize, &PemBlock<'_>), message| SigningKeyFileError::InvalidBlock {
                number,
                label: printable_label(block.label),
                line: block.line,
                message,
            };
        while let Some(private_key) = numbered.next() {
            if private_key.1.label != "PRIVATE KEY" {
                return Err(block_error(private_key, misplaced_block_message(private_key.1.label)));
            }
            let certificate = numbered.next().filter(|(_, block)| block.label == "CERTIFICATE");
            let certificate = certificate.ok_or_else(|| {
                block_error(private_key, "no CERTIFICATE follows it, which registries require; doorward signing-key init --private-key FILE creates one")
            })?;
            let key =
                SigningKey::parse(private_key.1, certificate.1, &rng).map_err(
                    |(block, message)| match block {
                        KeyBlock::PrivateKey => block_error(private_key, message),
                        KeyBlock::Certificate => block_error(certificate, message),
                    },
                )?;
            if keys.iter().any(|other| other.kid == key.kid) {
                return Err(block_error(
                    private_key,
                    "this key is in the file already; remove one of the two, with its certificate",
                ));
            }
            keys.push(key);
        }
        let mut keys = keys.into_iter();
        let active_key = keys.next().ok_or(SigningKeyFileError::NoKey)?;
        let other_keys: Vec<SigningKey> = keys.collect();
        let mut hasher = digest::Context::new(&digest::SHA256);
        once(&active_key).chain(&other_keys).for_each(|key| hasher.update(key.kid.as_bytes()));
        let mut fingerprint = [0; 32];
        fingerprint.iter_mut().zip(hasher.finish().as_ref()).for_each(|(to, from)| *to = *from);
        Ok(Self { active_key, other_keys, rng, fingerprint })
    }

    /// Returns true if a signature takes milliseconds rather than microseconds.
    pub(crate) fn is_signing_slow(&self) -> bool {
        self.active_key.key_pair.algorithm() == SigningAlgorithm::Rs256
    }

    /// Returns a hash of the keys and their order. It is not secret.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    fn iter(&self) -> impl Iterator<Item = &SigningKey> {
        once(&self.active_key).chain(&self.other_keys)
    }

    /// Returns all keys; the first is the one that signs.
    pub fn published_keys(&self) -> impl Iterator<Item = PublishedKey<'_>> {
        self.iter().enumerate().map(|(index, key)| PublishedKey {
            kid: &key.kid,
            algorithm: key.key_pair.algorithm(),
            is_active: index == 0,
            certificate_not_after: key.certificate.not_after,
            #[cfg(test)]
            certificate_der: &key.certificate.der,
        })
    }

    /// Returns the IDs of all keys; the first is the one that signs.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|key| &key.kid[..])
    }

    /// Signs a token with the first key.
    ///
    /// # Errors
    /// Returns an error if the token would be longer than [`TOKEN_BYTES_MAX`], or if the system returns no random
    /// numbers.
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

    /// Returns the public keys (RFC 7517 section 5) for `/jwks`.
    pub fn jwks(&self) -> String {
        let keys: Vec<&str> = self.iter().map(|key| &key.jwk_json[..]).collect();
        format!("{{\"keys\":[{}]}}", keys.join(","))
    }

    /// Returns the certificates (PEM) for the `rootcertbundle` of a registry.
    pub fn certificate_bundle(&self) -> String {
        self.iter().map(|key| pem::encode_block("CERTIFICATE", &key.certificate.der).to_string()).collect()
    }
}

#[cfg(test)]
#[path = "signing_key_tests.rs"]
mod tests;
