//! Making keys, and the certificates by which registries know them.

use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, KeyUsagePurpose, PublicKeyData};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use zeroize::Zeroizing;

use super::key_pair::SigningKeyPair;
use super::{SigningAlgorithm, SigningKeyFileError, misplaced_block_message, pem};
use crate::identity::sanitize_for_display;

/// How long a certificate counts: 10 years. It says nothing that the file of keys does not, so it ends when
/// the key is taken out, and its own end should never be met.
pub const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(3652 * 24 * 3600);

/// How long before now it begins to count, for registries whose clocks are behind.
const CERTIFICATE_BACKDATE: Duration = Duration::from_secs(24 * 3600);

/// How often a key is made anew that is not as it should be: one in 30 is not.
const ATTEMPTS_MAX: usize = 64;

/// Why no key was made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateKeyError {
    /// ring could not.
    #[error("no key can be made: the system gives no random numbers")]
    NoRandomness,
    /// The certificate can't be written.
    #[error("no certificate can be made: {0}")]
    CertificateFailed(#[from] rcgen::Error),
    /// The key that was given is no good.
    #[error(transparent)]
    InvalidKey(#[from] SigningKeyFileError),
}

/// What is put into the file for one key: a line of comment, the key, its certificate.
pub struct NewSigningKey {
    /// The text.
    pub pem: Zeroizing<String>,
    /// The key's id.
    pub kid: String,
    /// What it signs with.
    pub algorithm: SigningAlgorithm,
}

/// A new P-256 key, with a certificate from `now` on.
///
/// # Errors
/// The system gives no random numbers.
pub fn generate_key(now: SystemTime) -> Result<NewSigningKey, GenerateKeyError> {
    let random = SystemRandom::new();
    for _ in 0..ATTEMPTS_MAX {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
            .map_err(|_| GenerateKeyError::NoRandomness)?;
        let pkcs8 = Zeroizing::new(pkcs8.as_ref().to_vec());
        let pair = SigningKeyPair::parse(&pkcs8, &random).map_err(|_| GenerateKeyError::NoRandomness)?;
        let made = write_key_with_certificate(&pair, &pkcs8, now)?;
        // Registry 3 leaves leading zeros out of the thumbprint (distribution's registry/auth/token/util.go), so
        // it would know the key by another id than the rest of the world. And an id that begins with a dash is a
        // nuisance on a command line.
        if !pair.has_leading_zero() && !made.kid.starts_with('-') {
            return Ok(made);
        }
    }
    Err(GenerateKeyError::NoRandomness)
}

/// The same of a key that somebody else made: a text with one `PRIVATE KEY` block.
///
/// # Errors
/// It is no such text, or the key is neither P-256 nor RSA of 2048 to 4096 bits.
pub fn certify_key(text: &[u8], now: SystemTime) -> Result<NewSigningKey, GenerateKeyError> {
    let text = std::str::from_utf8(text).map_err(|_| SigningKeyFileError::NotUtf8)?;
    let blocks = pem::parse_blocks(text)
        .map_err(|broken| SigningKeyFileError::InvalidPem(broken.line, broken.message))?;
    let fault = |number: usize, block: &pem::PemBlock<'_>, what| SigningKeyFileError::InvalidBlock {
        number,
        label: sanitize_for_display(block.label.as_bytes()),
        line: block.line,
        message: what,
    };
    let [block] = &blocks[..] else {
        return Err(match blocks.get(1) {
            None => SigningKeyFileError::NoKey,
            Some(second) => {
                fault(2, second, "a key that is added stands in a file of its own, with nothing else in it")
            }
        }
        .into());
    };
    if block.label != "PRIVATE KEY" {
        return Err(fault(1, block, misplaced_block_message(block.label)).into());
    }
    let pkcs8 = block.content.as_ref().ok_or_else(|| fault(1, block, "what stands in it is no base64"))?;
    let pair = SigningKeyPair::parse(pkcs8, &SystemRandom::new()).map_err(|what| fault(1, block, what))?;
    write_key_with_certificate(&pair, pkcs8, now)
}

fn write_key_with_certificate(
    pair: &SigningKeyPair,
    pkcs8: &[u8],
    now: SystemTime,
) -> Result<NewSigningKey, GenerateKeyError> {
    let kid = pair.jwk().thumbprint().map_err(|_| GenerateKeyError::NoRandomness)?;
    // rcgen has the secret a second time, and does not clear it; the command that makes a key ends right after.
    let signer = KeyPair::from_pkcs8_der_and_sign_algo(
        &PrivatePkcs8KeyDer::from(pkcs8),
        PublicKeyData::algorithm(pair),
    )?;
    let mut parameters = CertificateParams::default();
    // rcgen's times are those of the time crate, which takes the system's.
    parameters.not_before = (now - CERTIFICATE_BACKDATE).into();
    parameters.not_after = (now + CERTIFICATE_LIFETIME).into();
    // It goes with every request, so it is short: no extension but the one that says what the key is for.
    // No two keys have the same name, or one could be taken for the issuer of the other; and no two
    // certificates of a key the same number.
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, format!("doorward {kid:.16}"));
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    parameters.serial_number = Some(seconds.into());
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let certificate = parameters.self_signed(&signer)?;
    let made = humantime::format_rfc3339_seconds(now);
    let (secret, public) =
        (pem::encode_block("PRIVATE KEY", pkcs8), pem::encode_block("CERTIFICATE", certificate.der()));
    let comment = format!("# {} {kid}, made {made}\n", pair.algorithm());
    let mut text = Zeroizing::new(String::with_capacity(comment.len() + secret.len() + public.len()));
    [&comment, &*secret, &*public].iter().for_each(|part| text.push_str(part));
    Ok(NewSigningKey { pem: text, kid, algorithm: pair.algorithm() })
}
