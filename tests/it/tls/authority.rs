//! Certificates of tests, and clients that trust them.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedCipherSuite};

use crate::client::{Client, Wire, connect};

/// Who vouches for servers and clients.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
pub struct Identity {
    pub certificate: String,
    pub key: String,
    der: (CertificateDer<'static>, PrivateKeyDer<'static>),
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Authority(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    pub fn issue(&self) -> Identity {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let params = CertificateParams::new(names).expect("names");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            der: (certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into()),
        }
    }

    /// Writes what others trust this one by.
    pub fn write(&self, directory: &Path) -> PathBuf {
        let path = directory.join("authority.pem");
        std::fs::write(&path, self.0.pem()).expect("the directory is ours");
        path
    }

    /// What a client is configured with that trusts this one only.
    pub fn trusting(&self, own: Option<&Identity>) -> Arc<ClientConfig> {
        self.trusting_with(ring::default_provider().cipher_suites, own)
    }

    /// The same with these suites only.
    pub fn trusting_with(
        &self,
        cipher_suites: Vec<SupportedCipherSuite>,
        own: Option<&Identity>,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("a certificate");
        let versions: Vec<_> = [&TLS13, &TLS12]
            .into_iter()
            .filter(|version| cipher_suites.iter().any(|suite| suite.version() == *version))
            .collect();
        let provider = CryptoProvider { cipher_suites, ..ring::default_provider() };
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&versions)
            .expect("there are some")
            .with_root_certificates(roots);
        Arc::new(match own {
            None => config.with_no_client_auth(),
            Some(Identity { der: (certificate, key), .. }) => config
                .with_client_auth_cert(vec![certificate.clone()], key.clone_key())
                .expect("they belong together"),
        })
    }
}

impl Identity {
    /// Writes both files, or other contents in their place; gives their keys of configuration.
    pub fn write(&self, directory: &Path) -> Vec<(&'static str, String)> {
        let (certificate, key) = paths(directory);
        // As tools do that renew certificates: a new file in the place of the old one.
        for (path, text) in [(&certificate, &self.certificate), (&key, &self.key)] {
            let beside = path.with_extension("new");
            std::fs::write(&beside, text).expect("the directory is ours");
            std::fs::rename(&beside, path).expect("the directory is ours");
        }
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        vec![("tls.server.certPath", text(&certificate)), ("tls.server.keyPath", text(&key))]
    }
}

pub fn paths(directory: &Path) -> (PathBuf, PathBuf) {
    (directory.join("server.pem"), directory.join("server.key"))
}

/// A client whose handshake is done.
pub fn tls_client(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Client> {
    let name = ServerName::try_from("localhost").expect("a name");
    let tls = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(tls, connect(address)?);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(Client::over_wire(Wire::Tls(Box::new(stream))))
}
