//! A private key with its public key: signing, verification of signatures, and the JWK.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rcgen::PublicKeyData;
use ring::digest;
use ring::error::Unspecified;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use serde::Serialize;

/// The algorithm of a signature (RFC 7518 section 3.1). Registry 2.8 and 3 support both. The other algorithms of
/// registry 2.8 have no advantage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
}

impl SigningAlgorithm {
    /// All algorithms.
    pub const ALL: [Self; 2] = [Self::Es256, Self::Rs256];

    /// Returns the name in the header of a token.
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }
}

impl fmt::Display for SigningAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A public key in the form of a JWK (RFC 7518 sections 6.2 and 6.3). It has only the members of the thumbprint, in
/// alphabetical order, as RFC 7638 section 3.2 requires.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Jwk {
    P256 { crv: &'static str, kty: &'static str, x: String, y: String },
    Rsa { e: String, kty: &'static str, n: String },
}

impl Jwk {
    /// Returns the thumbprint (RFC 7638), which is the key ID.
    pub(super) fn thumbprint(&self) -> Result<String, serde_json::Error> {
        let digest = digest::digest(&digest::SHA256, &serde_json::to_vec(self)?);
        Ok(BASE64_URL_SAFE_NO_PAD.encode(digest))
    }
}

/// A private key with its public key. ring does not clear keys; the box prevents copies in memory when the value is
/// moved.
pub(super) enum SigningKeyPair {
    P256(Box<EcdsaKeyPair>),
    Rsa(Box<RsaKeyPair>),
}

impl SigningKeyPair {
    /// Parses a private key (PKCS#8).
    ///
    /// # Errors
    /// Returns the problem and the remedy.
    pub(super) fn parse(pkcs8: &[u8], rng: &SystemRandom) -> Result<Self, &'static str> {
        // ring reports the reason only in the text of the error.
        let is_other_algorithm = |error: &ring::error::KeyRejected| error.to_string() == "WrongAlgorithm";
        match EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, rng) {
            Ok(pair) => return Ok(Self::P256(Box::new(pair))),
            Err(error) if !is_other_algorithm(&error) => {
                return Err(
                    "it is not PKCS#8 with a public key, the format of openssl genpkey; create a new key",
                );
            }
            Err(_) => {}
        }
        let error = match RsaKeyPair::from_pkcs8(pkcs8) {
            Ok(pair) if pair.public().modulus_len() < 256 => "TooSmall".to_owned(),
            Ok(pair) => return Ok(Self::Rsa(Box::new(pair))),
            Err(error) => error.to_string(),
        };
        Err(match &error[..] {
            "WrongAlgorithm" => {
                "it is neither a P-256 key nor an RSA key; registries support no other suitable type"
            }
            "TooSmall" => "it is an RSA key of fewer than 2048 bits; create one of 3072",
            "TooLarge" => "it is an RSA key of more than 4096 bits; create one of 3072",
            _ => {
                "it is an RSA key that is damaged or has unusual parameters; create a new one with openssl genpkey"
            }
        })
    }

    pub(super) fn algorithm(&self) -> SigningAlgorithm {
        match self {
            Self::P256(_) => SigningAlgorithm::Es256,
            Self::Rsa(_) => SigningAlgorithm::Rs256,
        }
    }

    /// Returns the public key in the encoding of ring and of certificates.
    fn public_key(&self) -> &[u8] {
        match self {
            Self::P256(pair) => pair.public_key().as_ref(),
            Self::Rsa(pair) => pair.public_key().as_ref(),
        }
    }

    /// Signs a text. The signature is `r` and `s` of ECDSA in 32 bytes each (RFC 7518 section 3.4), or that of
    /// PKCS#1.
    pub(super) fn sign(&self, text: &[u8], rng: &SystemRandom) -> Result<Vec<u8>, Unspecified> {
        match self {
            Self::P256(pair) => Ok(pair.sign(rng, text)?.as_ref().to_vec()),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, rng, text, &mut signature)?;
                Ok(signature)
            }
        }
    }

    /// Returns true if the signature was made with this key and its algorithm. The caller cannot choose another
    /// algorithm.
    pub(super) fn is_valid_signature(&self, text: &[u8], signature: &[u8]) -> bool {
        let algorithm: &'static dyn ring::signature::VerificationAlgorithm = match self {
            Self::P256(_) => &ECDSA_P256_SHA256_FIXED,
            Self::Rsa(_) => &RSA_PKCS1_2048_8192_SHA256,
        };
        UnparsedPublicKey::new(algorithm, self.public_key()).verify(text, signature).is_ok()
    }

    /// Returns the two coordinates; `None` for an RSA key.
    fn coordinates(&self) -> Option<(&[u8], &[u8])> {
        match self {
            // The uncompressed form: one byte with the value 4, and 32 bytes for each coordinate (SEC 1 section
            // 2.3.3).
            Self::P256(_) => self.public_key().split_first()?.1.split_at_checked(32),
            Self::Rsa(_) => None,
        }
    }

    /// Returns true if a coordinate starts with a zero byte, which the thumbprint of registry 3 omits.
    pub(super) fn has_leading_zero(&self) -> bool {
        self.coordinates().is_some_and(|(x, y)| [x, y].iter().any(|c| c.first() == Some(&0)))
    }

    pub(super) fn jwk(&self) -> Jwk {
        let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::P256(_) => {
                let (x, y) = self.coordinates().unwrap_or_default();
                Jwk::P256 { crv: "P-256", kty: "EC", x: text(x), y: text(y) }
            }
            Self::Rsa(pair) => {
                let PublicKeyComponents { n, e } = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                Jwk::Rsa { e: text(&e), kty: "RSA", n: text(&n) }
            }
        }
    }
}

/// The public key in a certificate, as `subject_public_key_info` encodes it.
impl PublicKeyData for SigningKeyPair {
    fn der_bytes(&self) -> &[u8] {
        self.public_key()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        match self {
            Self::P256(_) => &rcgen::PKCS_ECDSA_P256_SHA256,
            Self::Rsa(_) => &rcgen::PKCS_RSA_SHA256,
        }
    }
}
