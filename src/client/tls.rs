//! What the command line says of TLS, for all that connects to servers.

use std::io;
use std::path::PathBuf;

use anyhow::bail;
use ringmq_base::config::{Secret, TlsClientKeys, TlsKernel};
use ringmq_tls::Connector;
use rustls::ClientConnection;

/// How servers are connected to, as the keys `tls.client.*` of RocketMQ's clients say it.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TlsOptions {
    /// Use TLS. Without --tls-trust any certificate of a server is taken.
    #[arg(long)]
    pub tls: bool,
    /// Take only servers that the certificates in this PEM file vouch for, under the name or
    /// address that they are connected by.
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub tls_trust: Option<PathBuf>,
    /// PEM file of the certificate that servers are shown, if they ask.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file of its private key, which is not encrypted.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
}

impl TlsOptions {
    /// What connections are made with; `None`: without TLS.
    ///
    /// # Errors
    /// If a file cannot be read or is not what it should be.
    pub fn connector(&self) -> anyhow::Result<Option<Connector>> {
        let keys = TlsClientKeys {
            enable: self.tls,
            // Its streams are not those of an executor.
            kernel: TlsKernel::Off,
            auth_server: self.tls_trust.is_some(),
            trust_cert_path: self.tls_trust.clone().unwrap_or_default(),
            cert_path: self.tls_cert.clone().unwrap_or_default(),
            key_path: self.tls_key.clone().unwrap_or_default(),
            key_password: Secret::default(),
        };
        match Connector::open(&keys) {
            Ok(connector) => Ok(connector),
            Err(why) => bail!("{why} (--tls-trust, --tls-cert and --tls-key name the files)"),
        }
    }
}

/// Shakes hands over a stream that waits, as long as its timeouts allow.
///
/// # Errors
/// If the host is no name, or the server is not taken, or takes nobody.
pub fn shake_hands(
    connector: &Connector,
    host: &str,
    stream: &mut (impl io::Read + io::Write),
) -> io::Result<Box<ClientConnection>> {
    let mut tls = Box::new(connector.client(host)?);
    while tls.is_handshaking() {
        tls.complete_io(stream)?;
    }
    Ok(tls)
}
