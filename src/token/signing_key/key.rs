//! One key with its certificate, and its serialized public parts.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use rcgen::PublicKeyData;
use ring::rand::SystemRandom;
use serde::Serialize;

use super::certificate::Certificate;
use super::key_pair::{Jwk, SigningKeyPair};
use super::pem::PemBlock;

/// A key, its certificate, and the texts that are the same in all tokens and responses.
pub(super) struct SigningKey {
    pub(super) key_pair: SigningKeyPair,
    pub(super) kid: String,
    pub(super) certificate: Certificate,
    /// The header of its tokens, as base64url.
    pub(super) encoded_header: String,
    /// The key as a member of a key set (JSON).
    pub(super) jwk_json: String,
}

/// The header of a token (RFC 7515 section 4.1). Registries read `x5c` first, and search their bundle for the
/// certificate. Registry 2.8 computes key IDs in another way than RFC 7638, so `kid` alone would not be sufficient.
#[derive(Serialize)]
struct JwsHeader<'k> {
    alg: &'static str,
    typ: &'static str,
    kid: &'k str,
    x5c: &'k [String; 1],
}

/// The value of `typ`.
pub(super) const JWT_TYPE: &str = "JWT";

/// A key of the set (RFC 7517 section 4).
#[derive(Serialize)]
struct JwkSetMember<'k> {
    #[serde(flatten)]
    public_key: Jwk,
    kid: &'k str,
    alg: &'static str,
    #[serde(rename = "use")]
    key_use: &'static str,
    x5c: &'k [String; 1],
}

impl SigningKey {
    /// Parses the two blocks of a key.
    pub(super) fn parse(
        private_key: &PemBlock<'_>,
        certificate: &PemBlock<'_>,
        rng: &SystemRandom,
    ) -> Result<Self, (KeyBlock, &'static str)> {
        let not_base64 = "its content is not base64; copy the whole block again";
        let content = private_key.content.as_ref().ok_or((KeyBlock::PrivateKey, not_base64))?;
        let key_pair =
            SigningKeyPair::parse(content, rng).map_err(|message| (KeyBlock::PrivateKey, message))?;
        let content = certificate.content.as_ref().ok_or((KeyBlock::Certificate, not_base64))?;
        let certificate = Certificate::parse(content)
            .ok_or((KeyBlock::Certificate, "it is not a valid certificate; copy the whole block again"))?;
        if certificate.public_key_info != key_pair.subject_public_key_info() {
            let message = "it is not the certificate of the key before it; each key must be followed by its own certificate";
            return Err((KeyBlock::Certificate, message));
        }
        let (kid, encoded_header, jwk_json) = serialize_public_parts(&key_pair, &certificate)
            .map_err(|_| (KeyBlock::PrivateKey, "its public parts cannot be serialized"))?;
        Ok(Self { key_pair, kid, certificate, encoded_header, jwk_json })
    }
}

/// Returns the key ID, the encoded header of tokens, and the JSON of the key.
///
/// # Errors
/// Returns an error of the serializer, which does not occur for these types.
fn serialize_public_parts(
    key_pair: &SigningKeyPair,
    certificate: &Certificate,
) -> Result<(String, String, String), serde_json::Error> {
    let alg = key_pair.algorithm().name();
    let kid = key_pair.jwk().thumbprint()?;
    let x5c = [BASE64_STANDARD.encode(&certificate.der)];
    let header = serde_json::to_vec(&JwsHeader { alg, typ: JWT_TYPE, kid: &kid, x5c: &x5c })?;
    let jwk_json = serde_json::to_string(&JwkSetMember {
        public_key: key_pair.jwk(),
        kid: &kid,
        alg,
        key_use: "sig",
        x5c: &x5c,
    })?;
    Ok((kid, BASE64_URL_SAFE_NO_PAD.encode(header), jwk_json))
}

/// The block that an error refers to.
#[derive(Clone, Copy)]
pub(super) enum KeyBlock {
    PrivateKey,
    Certificate,
}
