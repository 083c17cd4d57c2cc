//! Generates keys, and the certificates that registries require.

use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, KeyUsagePurpose, PublicKeyData};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use zeroize::Zeroizing;

use super::key_pair::{SigningAlgorithm, SigningKeyPair};
use super::{SigningKeyFileError, misplaced_block_message, pem};
use crate::identity::sanitize_for_display;

/// Lifetime of a certificate: 10 years. A key is revoked by removing it from the key file, so its certificate should
/// never expire before.
pub const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(3652 * 24 * 3600);

/// Time between the start of the validity period and now, because the clock of a registry can be behind.
const CERTIFICATE_BACKDATE: Duration = Duration::from_secs(24 * 3600);

/// Maximum number of attempts to generate a suitable key. One key in 30 is unsuitable.
const ATTEMPTS_MAX: usize = 64;

/// The reason why no key was created.
#[derive(Debug, thiserror::Error)]
pub enum GenerateKeyError {
    /// ring could not generate a key.
    #[error("no key can be generated: the system returned no random numbers")]
    NoRandomness,
    /// The certificate cannot be created.
    #[error("no certificate can be created: {0}")]
    CertificateFailed(#[from] rcgen::Error),
    /// The given key is invalid.
    #[error(transparent)]
    InvalidKey(#[from] SigningKeyFileError),
}

/// The text of a new key for the key file: a comment line, the key and its certificate.
pub struct NewSigningKey {
    /// The text.
    pub pem: Zeroizing<String>,
    /// The key ID.
    pub kid: String,
    /// The algorithm of its signatures.
    pub algorithm: SigningAlgorithm,
}

/// Generates a P-256 key, with a certificate that is valid from `now`.
///
/// # Errors
/// Returns an error if the system returns no random numbers.
pub fn generate_key(now: SystemTime) -> Result<NewSigningKey, GenerateKeyError> {
    let rng = SystemRandom::new();
    for _ in 0..ATTEMPTS_MAX {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng)
            .map_err(|_| GenerateKeyError::NoRandomness)?;
        let pkcs8 = Zeroizing::new(pkcs8.as_ref().to_vec());
        let key_pair = SigningKeyPair::parse(&pkcs8, &rng).map_err(|_| GenerateKeyError::NoRandomness)?;
        let new_key = write_key_with_certificate(&key_pair, &pkcs8, now)?;
        // Registry 3 omits leading zeros in the thumbprint (distribution's registry/auth/token/util.go), so its key
        // ID would differ from RFC 7638. An ID that starts with a dash looks like an option on a command line.
        if !key_pair.has_leading_zero() && !new_key.kid.starts_with('-') {
            return Ok(new_key);
        }
    }
    Err(GenerateKeyError::NoRandomness)
}

/// Creates a certificate for an existing key. The text must contain one `PRIVATE KEY` block.
///
/// # Errors
/// Returns an error for any other text, and if the key is neither P-256 nor RSA of 2048 to 4096 bits.
pub fn certify_key(text: &[u8], now: SystemTime) -> Result<NewSigningKey, GenerateKeyError> {
    let text = std::str::from_utf8(text).map_err(|_| SigningKeyFileError::NotUtf8)?;
    let blocks = pem::parse_blocks(text)
        .map_err(|error| SigningKeyFileError::InvalidPem(error.line, error.message))?;
    let block_error = |number: usize, block: &pem::PemBlock<'_>, message| SigningKeyFileError::InvalidBlock {
        number,
        label: sanitize_for_display(block.label.as_bytes()),
        line: block.line,
        message,
    };
    let [block] = &blocks[..] else {
        return Err(match blocks.get(1) {
            None => SigningKeyFileError::NoKey,
            Some(second) => block_error(2, second, "the file of a key to add must contain nothing else"),
        }
        .into());
    };
    if block.label != "PRIVATE KEY" {
        return Err(block_error(1, block, misplaced_block_message(block.label)).into());
    }
    let pkcs8 = block.content.as_ref().ok_or_else(|| block_error(1, block, "its content is not base64"))?;
    let key_pair = SigningKeyPair::parse(pkcs8, &SystemRandom::new())
        .map_err(|message| block_error(1, block, message))?;
    write_key_with_certificate(&key_pair, pkcs8, now)
}

fn write_key_with_certificate(
    key_pair: &SigningKeyPair,
    pkcs8: &[u8],
    now: SystemTime,
) -> Result<NewSigningKey, GenerateKeyError> {
    let kid = key_pair.jwk().thumbprint().map_err(|_| GenerateKeyError::NoRandomness)?;
    // rcgen copies the secret and does not clear the copy. The command that creates a key exits directly after this.
    let signer = KeyPair::from_pkcs8_der_and_sign_algo(
        &PrivatePkcs8KeyDer::from(pkcs8),
        PublicKeyData::algorithm(key_pair),
    )?;
    let mut parameters = CertificateParams::default();
    // rcgen uses the time types of the `time` crate, which convert from `SystemTime`.
    parameters.not_before = (now - CERTIFICATE_BACKDATE).into();
    parameters.not_after = (now + CERTIFICATE_LIFETIME).into();
    // The certificate is sent with every request, so it is short: its only extension is the key usage. The name is
    // different for each key; otherwise one certificate could be taken for the issuer of another. The serial number
    // is different for each certificate of a key.
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, format!("doorward {kid:.16}"));
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    parameters.serial_number = Some(seconds.into());
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let certificate = parameters.self_signed(&signer)?;
    let created_at = humantime::format_rfc3339_seconds(now);
    let (private_key, certificate_block) =
        (pem::encode_block("PRIVATE KEY", pkcs8), pem::encode_block("CERTIFICATE", certificate.der()));
    let comment = format!("# {} {kid}, created {created_at}\n", key_pair.algorithm());
    let mut text =
        Zeroizing::new(String::with_capacity(comment.len() + private_key.len() + certificate_block.len()));
    [&comment, &*private_key, &*certificate_block].iter().for_each(|part| text.push_str(part));
    Ok(NewSigningKey { pem: text, kid, algorithm: key_pair.algorithm() })
}
