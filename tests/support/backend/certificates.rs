//! Certificates for a backend that speaks TLS: an authority of the test's own, and what it signs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ResolvesServerCertUsingSni, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

/// Who signs.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

/// A certificate and its key.
pub(crate) struct Pair {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// A pair for this name or address, good until the first day of `year`.
    pub(crate) fn pair(&self, name: &str, year: i32) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        Pair { certificate: params.signed_by(&key, &self.issuer).unwrap(), key }
    }

    /// A pair that is good here and now.
    pub(crate) fn good(&self) -> Pair {
        self.pair("127.0.0.1", 2099)
    }

    /// Its certificate in a file of this folder.
    pub(crate) fn file(&self, folder: &Path) -> PathBuf {
        let path = folder.join("ca.pem");
        fs::write(&path, self.certificate.pem()).unwrap();
        path
    }
}

impl Pair {
    /// The certificate and the key, each in a file of this folder.
    pub(crate) fn files(&self, folder: &Path) -> [PathBuf; 2] {
        let paths = [folder.join("client.pem"), folder.join("client.key")];
        fs::write(&paths[0], self.certificate.pem()).unwrap();
        fs::write(&paths[1], self.key.serialize_pem()).unwrap();
        paths
    }

    fn der(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = PrivatePkcs8KeyDer::from(self.key.serialize_der());
        (vec![self.certificate.der().clone()], key.into())
    }
}

/// A server that shows this pair.
pub(crate) fn server(pair: &Pair) -> Arc<ServerConfig> {
    let (chain, key) = pair.der();
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap())
}

/// A server that shows this pair to those alone who ask for `name` in the handshake.
pub(crate) fn server_named(pair: &Pair, name: &str) -> Arc<ServerConfig> {
    let (chain, key) = pair.der();
    let provider = Arc::new(default_provider());
    let key = provider.key_provider.load_private_key(key).unwrap();
    let mut names = ResolvesServerCertUsingSni::new();
    // It would refuse a pair that is for another name, and a test may want to show just that.
    let shown = CertifiedKey::new(chain, key);
    if names.add(name, shown.clone()).is_err() {
        return server(pair);
    }
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_no_client_auth().with_cert_resolver(Arc::new(names)))
}

/// The same, for those alone who show a certificate that `clients` signed.
pub(crate) fn server_for(pair: &Pair, clients: &Authority) -> Arc<ServerConfig> {
    let (chain, key) = pair.der();
    let provider = Arc::new(default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(clients.certificate.der().clone()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap())
}
