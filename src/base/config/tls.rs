//! The keys of TLS, which brokers and name servers share, and what follows from them.

use std::path::PathBuf;

use super::{
    BrokerConfig, ClientAuth, ConfigError, Loaded, NamesrvConfig, Origin, Secret, Table, TlsKernel,
    TlsMode, finish::conflict,
};

/// The key that names a file with the others.
pub(super) const CONFIG_FILE: &str = "tls.config.file";
const TEST_MODE: &str = "tls.test.mode.enable";
const CERT_PATH: &str = "tls.server.certPath";
const KEY_PATH: &str = "tls.server.keyPath";
const AUTH_CLIENT: &str = "tls.server.authClient";
const NEED_CLIENT_AUTH: &str = "tls.server.need.client.auth";

/// Whether a key says how connections to other servers are made.
pub(super) fn is_of_clients(key: &str) -> bool {
    key == "tls.enable" || key.starts_with("tls.client.")
}

/// How a server takes connections. Paths that are empty were not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsServerKeys {
    pub mode: TlsMode,
    pub kernel: TlsKernel,
    /// The certificate is made at the start.
    pub test_mode: bool,
    pub cert_path: PathBuf,
    pub key_path: PathBuf,
    pub key_password: Secret,
    pub need_client_auth: ClientAuth,
    /// Certificates of clients are checked with `trust_cert_path`.
    pub auth_client: bool,
    pub trust_cert_path: PathBuf,
}

/// How connections to servers are made. Paths that are empty were not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsClientKeys {
    pub enable: bool,
    pub kernel: TlsKernel,
    /// Certificates of servers are checked with `trust_cert_path`.
    pub auth_server: bool,
    pub trust_cert_path: PathBuf,
    pub cert_path: PathBuf,
    pub key_path: PathBuf,
    pub key_password: Secret,
}

macro_rules! server_keys {
    ($config:ident) => {
        impl $config {
            pub fn tls(&self) -> TlsServerKeys {
                TlsServerKeys {
                    mode: self.tls_server_mode,
                    kernel: self.tls_kernel,
                    test_mode: self.tls_test_mode_enable,
                    cert_path: self.tls_server_cert_path.clone(),
                    key_path: self.tls_server_key_path.clone(),
                    key_password: self.tls_server_key_password.clone(),
                    need_client_auth: self.tls_server_need_client_auth,
                    auth_client: self.tls_server_auth_client,
                    trust_cert_path: self.tls_server_trust_cert_path.clone(),
                }
            }
        }
    };
}

server_keys!(BrokerConfig);
server_keys!(NamesrvConfig);

impl BrokerConfig {
    pub fn tls_client(&self) -> TlsClientKeys {
        TlsClientKeys {
            enable: self.tls_enable,
            kernel: self.tls_kernel,
            auth_server: self.tls_client_auth_server,
            trust_cert_path: self.tls_client_trust_cert_path.clone(),
            cert_path: self.tls_client_cert_path.clone(),
            key_path: self.tls_client_key_path.clone(),
            key_password: self.tls_client_key_password.clone(),
        }
    }
}

/// Fills what was left out, and warns of keys that protect less than they seem to.
///
/// # Errors
/// If a key that protects would have no effect.
pub(super) fn finish<C: Table>(loaded: &mut Loaded<C>) -> Result<(), ConfigError> {
    let Loaded { config, warnings, origins } = loaded;
    let value = |config: &C, key| config.get(key).unwrap_or_default();
    let is_unset = origins.get(TEST_MODE) == Some(&Origin::Default);
    let has_files = [CERT_PATH, KEY_PATH].iter().any(|key| !value(config, key).is_empty());
    if is_unset && has_files {
        let off = config.set(TEST_MODE, "false");
        debug_assert!(off.is_ok(), "a switch can be switched");
        origins.insert(TEST_MODE, Origin::Derived);
    }
    if value(config, TEST_MODE) == "true" && has_files {
        warnings.push(format!(
            "{TEST_MODE} = true: a certificate is made at the start, and {CERT_PATH} and \
             {KEY_PATH} have no effect"
        ));
    }
    let asks = value(config, NEED_CLIENT_AUTH) != "none";
    match value(config, AUTH_CLIENT) == "true" {
        true if !asks => {
            let remedy = "clients that are not asked for a certificate cannot be checked: set \
                          tls.server.need.client.auth to require or optional";
            Err(conflict(config, AUTH_CLIENT, NEED_CLIENT_AUTH, remedy))
        }
        false if asks => {
            warnings.push(format!(
                "{NEED_CLIENT_AUTH} = {}: any certificate is taken, because {AUTH_CLIENT} is false",
                value(config, NEED_CLIENT_AUTH)
            ));
            Ok(())
        }
        _ => Ok(()),
    }
}
