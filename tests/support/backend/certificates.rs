//! Certificates for a TLS backend: a certificate authority of the test, and the certificates that it signs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ResolvesServerCertUsingSni, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

/// A certificate authority.
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

    /// Returns a certificate and key for this name or address, valid until the first day of `year`.
    pub(crate) fn pair(&self, name: &str, year: i32) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        Pair { certificate: params.signed_by(&key, &self.issuer).unwrap(), key }
    }

    /// Returns a certificate and key that are valid now, for 127.0.0.1.
    pub(crate) fn good(&self) -> Pair {
        self.pair("127.0.0.1", 2099)
    }

    /// Writes the certificate of the authority into this folder.
    pub(crate) fn file(&self, folder: &Path) -> PathBuf {
        let path = folder.join("ca.pem");
        fs::write(&path, self.certificate.pem()).unwrap();
        path
    }
}

impl Pair {
    /// Writes the certificate and the key into files of this folder.
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

/// Returns the configuration of a server with this certificate.
pub(crate) fn server(pair: &Pair) -> Arc<ServerConfig> {
    let (chain, key) = pair.der();
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap())
}

/// Returns the configuration of a server that presents this certificate only if the client sends `name` as
/// SNI.
pub(crate) fn server_named(pair: &Pair, name: &str) -> Arc<ServerConfig> {
    let (chain, key) = pair.der();
    let provider = Arc::new(default_provider());
    let key = provider.key_provider.load_private_key(key).unwrap();
    let mut names = ResolvesServerCertUsingSni::new();
    // The resolver refuses a certificate for another name, and a test may need exactly that.
    let shown = CertifiedKey::new(chain, key);
    if names.add(name, shown.clone()).is_err() {
        return server(pair);
    }
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_no_client_auth().with_cert_resolver(Arc::new(names)))
}

/// Returns the configuration of a server that requires a client certificate signed by `clients`.
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
