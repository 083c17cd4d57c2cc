//! Invalid tokens, made with the real private keys and without the code of doorward.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use ring::{hmac, signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};

use super::SigningKeyFolder;

/// Signs arbitrary data with the first key of a file.
pub(super) struct Forger {
    pkcs8: Vec<u8>,
    certificate: Vec<u8>,
    /// The token header that doorward writes for this key.
    pub(super) header: Value,
    /// The certificate in the format of the bundle.
    bundle: String,
}

pub(super) fn coded(value: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Returns the decoded part of a token.
pub(super) fn read(token: &str, part: usize) -> Value {
    let text = token.split('.').nth(part).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}

impl Forger {
    pub(super) fn of(folder: &SigningKeyFolder) -> Self {
        let text = folder.text("keys.pem");
        let pkcs8 = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).unwrap().secret_pkcs8_der().to_vec();
        let certificate = CertificateDer::from_pem_slice(text.as_bytes()).unwrap().to_vec();
        let header = read(&folder.token(&[]), 0);
        Self { pkcs8, certificate, header, bundle: folder.text("bundle.pem") }
    }

    /// Returns a signature with the algorithm of the key.
    fn sign(&self, text: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.pkcs8, &random) {
            Ok(pair) => pair.sign(&random, text).unwrap().as_ref().to_vec(),
            Err(_) => {
                let pair = RsaKeyPair::from_pkcs8(&self.pkcs8).unwrap();
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, text, &mut signature).unwrap();
                signature
            }
        }
    }

    /// Returns a token with this header and these claims, and a valid signature.
    pub(super) fn token(&self, header: &Value, claims: &Value) -> String {
        let text = format!("{}.{}", coded(header), coded(claims));
        format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(self.sign(text.as_bytes())))
    }

    /// Returns the header with some fields changed. `null` removes a field.
    pub(super) fn with(&self, change: &Value) -> Value {
        let mut header = self.header.clone();
        let fields = header.as_object_mut().unwrap();
        for (name, value) in change.as_object().unwrap() {
            if value.is_null() {
                fields.remove(name)
            } else {
                fields.insert(name.clone(), value.clone())
            };
        }
        header
    }

    /// Returns HS256 tokens whose secret is the public key in one of its public formats.
    pub(super) fn by_public_key(&self, claims: &Value) -> Vec<String> {
        let public = match EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &self.pkcs8,
            &SystemRandom::new(),
        ) {
            Ok(pair) => signature::KeyPair::public_key(&pair).as_ref().to_vec(),
            Err(_) => {
                let pair = RsaKeyPair::from_pkcs8(&self.pkcs8).unwrap();
                signature::KeyPair::public_key(&pair).as_ref().to_vec()
            }
        };
        let secrets = [
            public,
            self.certificate.clone(),
            self.bundle.clone().into_bytes(),
            BASE64_STANDARD.encode(&self.certificate).into_bytes(),
            Vec::new(),
        ];
        let headers =
            [json!({"alg": "HS256"}), json!({"alg": "HS256", "x5c": null})].map(|change| self.with(&change));
        let mut tokens = Vec::new();
        for secret in &secrets {
            let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
            for header in &headers {
                let text = format!("{}.{}", coded(header), coded(claims));
                let tag = hmac::sign(&secret, text.as_bytes());
                tokens.push(format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag)));
            }
        }
        tokens
    }
}
