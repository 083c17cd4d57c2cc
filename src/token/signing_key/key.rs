//! One key with its certificate, and what is written of the two again and again.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use rcgen::PublicKeyData;
use ring::rand::SystemRandom;
use serde::Serialize;

use super::certificate::Certificate;
use super::key_pair::{Jwk, SigningKeyPair};
use super::pem::PemBlock;

/// See the top of this file.
pub(super) struct SigningKey {
    pub(super) key_pair: SigningKeyPair,
    pub(super) kid: String,
    pub(super) certificate: Certificate,
    /// The header of its tokens, as base64url.
    pub(super) encoded_header: String,
    /// It as one of a set (JSON).
    pub(super) jwk_json: String,
}

/// The header of a token (RFC 7515 section 4.1). Registries look at `x5c` first, and find its certificate in
/// their bundle; registry 2.8 knows keys by other ids than RFC 7638's, and would take no `kid` alone.
#[derive(Serialize)]
struct JwsHeader<'k> {
    alg: &'static str,
    typ: &'static str,
    kid: &'k str,
    x5c: &'k [String; 1],
}

/// What `typ` is.
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
    /// Of the two blocks of a key.
    pub(super) fn parse(
        secret: &PemBlock<'_>,
        certificate: &PemBlock<'_>,
        random: &SystemRandom,
    ) -> Result<Self, (KeyBlock, &'static str)> {
        let unread = "what stands in it is no base64; copy it again, whole";
        let content = secret.content.as_ref().ok_or((KeyBlock::PrivateKey, unread))?;
        let pair = SigningKeyPair::parse(content, random).map_err(|what| (KeyBlock::PrivateKey, what))?;
        let content = certificate.content.as_ref().ok_or((KeyBlock::Certificate, unread))?;
        let certificate = Certificate::parse(content)
            .ok_or((KeyBlock::Certificate, "it can't be read as a certificate; copy it again, whole"))?;
        if certificate.public_key_info != pair.subject_public_key_info() {
            let what = "it is not the certificate of the key before it; each key is followed by its own";
            return Err((KeyBlock::Certificate, what));
        }
        let (kid, header, jwk) = serialize_public_parts(&pair, &certificate)
            .map_err(|_| (KeyBlock::PrivateKey, "its names can't be written"))?;
        Ok(Self { key_pair: pair, kid, certificate, encoded_header: header, jwk_json: jwk })
    }
}

/// What is written of a key again and again: its id, the header of its tokens, and it as one of a set.
///
/// # Errors
/// None that can happen: texts can be written.
fn serialize_public_parts(
    pair: &SigningKeyPair,
    certificate: &Certificate,
) -> Result<(String, String, String), serde_json::Error> {
    let alg = pair.algorithm().name();
    let kid = pair.jwk().thumbprint()?;
    let x5c = [BASE64_STANDARD.encode(&certificate.der)];
    let header = serde_json::to_vec(&JwsHeader { alg, typ: JWT_TYPE, kid: &kid, x5c: &x5c })?;
    let jwk = serde_json::to_string(&JwkSetMember {
        public_key: pair.jwk(),
        kid: &kid,
        alg,
        key_use: "sig",
        x5c: &x5c,
    })?;
    Ok((kid, BASE64_URL_SAFE_NO_PAD.encode(header), jwk))
}

/// Which block of a key a fault is about.
#[derive(Clone, Copy)]
pub(super) enum KeyBlock {
    PrivateKey,
    Certificate,
}
