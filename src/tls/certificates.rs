//! From files to what a side of TLS is configured with. Every error is a sentence for the operator
//! and has no key in it.

use std::{fmt::Display, fs, path::Path, sync::Arc};

use pkcs8::{EncryptedPrivateKeyInfoRef, der::pem};
use ringmq_base::config::{ClientAuth, Secret, TlsClientKeys, TlsServerKeys};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};

use crate::{
    traffic_secrets::Catcher,
    verifiers::{AnyClient, AnyServer},
};

/// Largest file of keys or certificates that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
const ENCRYPTED_KEY: &str = "ENCRYPTED PRIVATE KEY";

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// What a server that these keys describe accepts connections with. `gives_keys`: connections may
/// be handed to the kernel.
///
/// # Errors
/// If a file cannot be read or is not what it should be.
pub fn server(keys: &TlsServerKeys, gives_keys: bool) -> Result<Arc<ServerConfig>, String> {
    let (chain, key) = match keys.test_mode {
        true => self_signed()?,
        false => {
            let certificates = needed(&keys.cert_path, "tls.server.certPath")?;
            let key = needed(&keys.key_path, "tls.server.keyPath")?;
            identity(certificates, key, &keys.key_password)?
        }
    };
    let builder = ServerConfig::builder_with_provider(provider());
    let builder =
        builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let builder = match (keys.need_client_auth, keys.auth_client) {
        (ClientAuth::None, _) => builder.with_no_client_auth(),
        (need, true) => {
            let trusted = roots(needed(&keys.trust_cert_path, "tls.server.trustCertPath")?)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(trusted.into(), provider());
            let verifier = match need {
                ClientAuth::Require => verifier,
                _ => verifier.allow_unauthenticated(),
            };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| error.to_string())?)
        }
        (need, false) => builder
            .with_client_cert_verifier(AnyClient::new(provider(), need == ClientAuth::Require)),
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| format!("tls.server.certPath and tls.server.keyPath: {error}"))?;
    // Nothing is kept for clients that come again: their connections last.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    if gives_keys {
        config.enable_secret_extraction = true;
        config.key_log = Arc::new(Catcher);
    }
    Ok(config.into())
}

fn needed<'a>(path: &'a Path, key: &str) -> Result<&'a Path, String> {
    match path.as_os_str().is_empty() {
        false => Ok(path),
        true => Err(format!(
            "{key} is not set: name a PEM file, or set tls.server.mode=disabled if there is to be \
             no TLS"
        )),
    }
}

fn self_signed() -> Result<Identity, String> {
    let names = vec!["localhost".to_owned()];
    let failed = |error: rcgen::Error| format!("no certificate can be made: {error}");
    let made = rcgen::generate_simple_self_signed(names).map_err(failed)?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    Ok((vec![made.cert.der().clone()], key.into()))
}

fn identity(certificates: &Path, key: &Path, password: &Secret) -> Result<Identity, String> {
    let chain = chain(certificates)?;
    let text = read(key)?;
    let wrong = |why: String| format!("{} has no private key: {why}", key.display());
    let found = match String::from_utf8_lossy(&text).contains(ENCRYPTED_KEY) {
        true => decrypted(&text, &password.0).map_err(wrong)?,
        false => PrivateKeyDer::from_pem_slice(&text).map_err(|error| wrong(error.to_string()))?,
    };
    Ok((chain, found))
}

fn decrypted(text: &[u8], password: &str) -> Result<PrivateKeyDer<'static>, String> {
    let (label, der) = pem::decode_vec(text).map_err(|error| error.to_string())?;
    if label != ENCRYPTED_KEY {
        return Err(format!("it begins with {label}"));
    }
    let failed = |error: &dyn Display| {
        format!(
            "{error}; is keyPassword right? Old forms of encryption are not read: make it anew by \
             openssl pkcs8 -topk8"
        )
    };
    let key = EncryptedPrivateKeyInfoRef::try_from(&*der).map_err(|error| failed(&error))?;
    let key = key.decrypt(password).map_err(|error| failed(&error))?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(path)?;
    let wrong = |why: &str| format!("{} has no certificates: {why}", path.display());
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(chain) if chain.is_empty() => Err(wrong("it has no PEM part CERTIFICATE")),
        Ok(chain) => Ok(chain),
        Err(error) => Err(wrong(&error.to_string())),
    }
}

fn roots(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(path)? {
        roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(roots)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let bytes = fs::metadata(path).map_err(failed)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(format!(
            "{} has {bytes} bytes, at most {FILE_BYTES_MAX} are read",
            path.display()
        ));
    }
    fs::read(path).map_err(failed)
}

/// What connections that are made to servers are configured with.
///
/// # Errors
/// As [`server`].
pub fn client(keys: &TlsClientKeys, gives_keys: bool) -> Result<Arc<ClientConfig>, String> {
    let builder = ClientConfig::builder_with_provider(provider());
    let builder =
        builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let builder = match keys.auth_server {
        true => {
            let trusted = roots(needed(&keys.trust_cert_path, "tls.client.trustCertPath")?)?;
            builder.with_root_certificates(trusted)
        }
        false => builder.dangerous().with_custom_certificate_verifier(AnyServer::new(provider())),
    };
    let mut config = if keys.cert_path.as_os_str().is_empty() {
        builder.with_no_client_auth()
    } else {
        let key = needed(&keys.key_path, "tls.client.keyPath")?;
        let (chain, key) = identity(&keys.cert_path, key, &keys.key_password)?;
        let failed = |error| format!("tls.client.certPath and tls.client.keyPath: {error}");
        builder.with_client_auth_cert(chain, key).map_err(failed)?
    };
    if gives_keys {
        config.enable_secret_extraction = true;
        config.key_log = Arc::new(Catcher);
    }
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use ringmq_base::config::BrokerConfig;

    use super::*;

    fn with(key: &str, password: &str) -> Result<(), String> {
        let file = |name: &str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
            path.to_str().expect("UTF-8").to_owned()
        };
        let set = [
            ("tls.server.certPath", file("server.pem")),
            ("tls.server.keyPath", file(key)),
            ("tls.server.keyPassword", password.to_owned()),
        ];
        let set = set.map(|(key, value)| (key.to_owned(), value));
        let config = BrokerConfig::load(None, &set).expect("sound keys").config;
        server(&config.tls(), false).map(|_| ())
    }

    #[test]
    fn keys_are_read_in_the_forms_that_tools_write() {
        assert_eq!(with("sec1.key", ""), Ok(()));
        assert_eq!(with("encrypted.key", "a-password"), Ok(()));
        for (key, password) in
            [("encrypted.key", ""), ("encrypted.key", "another"), ("old.key", "a-password")]
        {
            let why = with(key, password).expect_err(key);
            assert!(why.contains(key) && why.contains("is keyPassword right?"), "{why}");
            assert!(!why.contains("a-password"), "{why}");
        }
        let why = with("server.pem", "").expect_err("no key");
        assert!(why.contains("server.pem has no private key"), "{why}");
    }
}
