//! A key and its public half: what it signs with, how it is checked, and what others are told of it.

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

/// How a key signs (RFC 7518 section 3.1). Both are read by registry 2.8 and 3; of what registry 2.8 reads,
/// no other is of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
}

impl SigningAlgorithm {
    /// All.
    pub const ALL: [Self; 2] = [Self::Es256, Self::Rs256];

    /// Its name, as in a token's header.
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

/// A public key as a JWK has it (RFC 7518 sections 6.2 and 6.3): the members that make its thumbprint and no
/// others, in the order of their names, which RFC 7638 section 3.2 wants.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Jwk {
    P256 { crv: &'static str, kty: &'static str, x: String, y: String },
    Rsa { e: String, kty: &'static str, n: String },
}

impl Jwk {
    /// The thumbprint (RFC 7638), which is the key's id.
    pub(super) fn thumbprint(&self) -> Result<String, serde_json::Error> {
        let digest = digest::digest(&digest::SHA256, &serde_json::to_vec(self)?);
        Ok(BASE64_URL_SAFE_NO_PAD.encode(digest))
    }
}

/// See the top of this file. ring clears no keys; in a box, at least, none is left behind where it moved from.
pub(super) enum SigningKeyPair {
    P256(Box<EcdsaKeyPair>),
    Rsa(Box<RsaKeyPair>),
}

impl SigningKeyPair {
    /// Reads a key (PKCS#8).
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub(super) fn parse(pkcs8: &[u8], random: &SystemRandom) -> Result<Self, &'static str> {
        // ring says what it means by the words of an error alone.
        let other = |rejected: &ring::error::KeyRejected| rejected.to_string() == "WrongAlgorithm";
        match EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, random) {
            Ok(pair) => return Ok(Self::P256(Box::new(pair))),
            Err(rejected) if !other(&rejected) => {
                return Err(
                    "it can't be read as PKCS#8 with its public key, as openssl genpkey writes it; make another one",
                );
            }
            Err(_) => {}
        }
        let rejected = match RsaKeyPair::from_pkcs8(pkcs8) {
            Ok(pair) if pair.public().modulus_len() < 256 => "TooSmall".to_owned(),
            Ok(pair) => return Ok(Self::Rsa(Box::new(pair))),
            Err(rejected) => rejected.to_string(),
        };
        Err(match &rejected[..] {
            "WrongAlgorithm" => "it is neither a P-256 key nor an RSA key; registries read no others of use",
            "TooSmall" => "it is an RSA key of fewer than 2048 bits; make one of 3072",
            "TooLarge" => "it is an RSA key of more than 4096 bits; make one of 3072",
            _ => {
                "it is an RSA key that is damaged or made in an unusual way; make another one with openssl genpkey"
            }
        })
    }

    pub(super) fn algorithm(&self) -> SigningAlgorithm {
        match self {
            Self::P256(_) => SigningAlgorithm::Es256,
            Self::Rsa(_) => SigningAlgorithm::Rs256,
        }
    }

    /// The public half, in the form in which ring and certificates have it.
    fn public_key(&self) -> &[u8] {
        match self {
            Self::P256(pair) => pair.public_key().as_ref(),
            Self::Rsa(pair) => pair.public_key().as_ref(),
        }
    }

    /// `r` and `s` of ECDSA, each in 32 bytes, as RFC 7518 section 3.4 wants it; or that of PKCS#1.
    pub(super) fn sign(&self, text: &[u8], random: &SystemRandom) -> Result<Vec<u8>, Unspecified> {
        match self {
            Self::P256(pair) => Ok(pair.sign(random, text)?.as_ref().to_vec()),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, random, text, &mut signature)?;
                Ok(signature)
            }
        }
    }

    /// Whether a signature is this key's, by its own algorithm; there is no way to ask for another.
    pub(super) fn is_valid_signature(&self, text: &[u8], signature: &[u8]) -> bool {
        let algorithm: &'static dyn ring::signature::VerificationAlgorithm = match self {
            Self::P256(_) => &ECDSA_P256_SHA256_FIXED,
            Self::Rsa(_) => &RSA_PKCS1_2048_8192_SHA256,
        };
        UnparsedPublicKey::new(algorithm, self.public_key()).verify(text, signature).is_ok()
    }

    /// The two coordinates, or none of an RSA key.
    fn coordinates(&self) -> Option<(&[u8], &[u8])> {
        match self {
            // Uncompressed: a 4, and 32 bytes for each (SEC 1 section 2.3.3).
            Self::P256(_) => self.public_key().split_first()?.1.split_at_checked(32),
            Self::Rsa(_) => None,
        }
    }

    /// Whether a coordinate begins with a zero byte, of which registry 3's own thumbprint loses sight.
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

/// What a certificate has of it, as `subject_public_key_info` writes it.
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
