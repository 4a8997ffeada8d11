//! Certificates in force, which a thread of their own reads again when their files change.
//! Connections that are there keep what they were made with; new ones get what is new.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{
        Arc, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

use ringmq_base::config::{TlsClientKeys, TlsKernel, TlsMode, TlsServerKeys};
use ringmq_io::kernel_tls::Offer;
use rustls::{
    ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection,
    pki_types::ServerName,
};

use crate::{certificates, kernel};

/// Time between two looks at the files. What is new is taken when it has not changed for as long:
/// certificate and key are two files.
const LOOK: Duration = Duration::from_millis(300);

type InForce = RwLock<Arc<ServerConfig>>;

/// What a server accepts connections with; clones are the same one. By default none with TLS.
#[derive(Clone, Debug, Default)]
pub struct Acceptor {
    /// With the mode, unless TLS is off.
    current: Option<(TlsMode, Arc<InForce>)>,
    /// The thread reads the files again, changed or not.
    again: Arc<AtomicBool>,
    /// What the kernel does of it.
    kernel: Option<Offer>,
}

impl Acceptor {
    /// Reads the files, and starts the thread that looks at them; it ends when nobody has the
    /// acceptor any more.
    ///
    /// # Errors
    /// If the files are not what they should be: a sentence for the operator.
    pub fn open(keys: TlsServerKeys) -> Result<Acceptor, String> {
        if keys.mode == TlsMode::Disabled {
            return Ok(Acceptor::default());
        }
        let kernel = kernel::offered(keys.kernel);
        if keys.kernel == TlsKernel::Off {
            tracing::info!("TLS in user space: tls.kernel = off");
        }
        Acceptor::open_with(keys, kernel)
    }

    /// [`Acceptor::open`] with what this kernel can do.
    pub(crate) fn open_with(
        keys: TlsServerKeys,
        kernel: Option<Offer>,
    ) -> Result<Acceptor, String> {
        let seen = fingerprint(&keys);
        let in_force = Arc::new(RwLock::new(certificates::server(&keys, kernel.is_some())?));
        let (mode, again) = (keys.mode, Arc::<AtomicBool>::default());
        if seen.iter().any(|(_, file)| file.is_some()) {
            let (weak, again) = (Arc::downgrade(&in_force), again.clone());
            let thread = thread::Builder::new().name("certificates".into());
            let started =
                thread.spawn(move || watch((&keys, kernel.is_some()), seen, &weak, &again));
            started.map_err(|error| format!("certificates cannot be watched: {error}"))?;
        }
        Ok(Acceptor { current: Some((mode, in_force)), again, kernel })
    }

    pub(crate) fn kernel(&self) -> Option<Offer> {
        self.kernel
    }

    /// Has the files read again soon, whether they have changed or not.
    pub fn read_again(&self) {
        self.again.store(true, Ordering::Release);
    }

    pub fn mode(&self) -> TlsMode {
        self.current.as_ref().map_or(TlsMode::Disabled, |(mode, _)| *mode)
    }

    /// # Errors
    /// If TLS is off.
    pub(crate) fn connection(&self) -> io::Result<Connection> {
        let (_, in_force) = self.current.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        let config = in_force.read().unwrap_or_else(PoisonError::into_inner).clone();
        let connection = ServerConnection::new(config).map_err(io::Error::other)?;
        Ok(Connection::Server(connection))
    }
}

/// Names, times, lengths and numbers of the files.
type Fingerprint = Vec<(PathBuf, Option<(SystemTime, u64, u64)>)>;

fn fingerprint(keys: &TlsServerKeys) -> Fingerprint {
    let of = |path: &PathBuf| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
    };
    let paths = [&keys.cert_path, &keys.key_path, &keys.trust_cert_path];
    let named = paths.into_iter().filter(|path| !path.as_os_str().is_empty());
    named.map(|path| (path.clone(), of(path))).collect()
}

fn watch(
    (keys, gives_keys): (&TlsServerKeys, bool),
    mut read: Fingerprint,
    in_force: &Weak<InForce>,
    again: &AtomicBool,
) {
    let mut seen = read.clone();
    loop {
        thread::park_timeout(LOOK);
        let Some(in_force) = in_force.upgrade() else { return };
        let now = fingerprint(keys);
        let again = again.swap(false, Ordering::AcqRel);
        if !again && (now == read || now != seen) {
            seen = now;
            continue;
        }
        read = now;
        match certificates::server(keys, gives_keys) {
            Ok(config) => {
                *in_force.write().unwrap_or_else(PoisonError::into_inner) = config;
                tracing::info!("certificates are read again: new connections with TLS have them");
            }
            Err(why) => tracing::warn!(
                "certificates have changed and are not taken: {why}; those of before stay in force \
                 until that is mended"
            ),
        }
    }
}

/// What connections to servers are made with.
#[derive(Clone, Debug)]
pub struct Connector {
    config: Arc<ClientConfig>,
    /// What the kernel does of it.
    kernel: Option<Offer>,
}

impl Connector {
    /// `None` if connections are plain ones.
    ///
    /// # Errors
    /// As [`Acceptor::open`].
    pub fn open(keys: &TlsClientKeys) -> Result<Option<Connector>, String> {
        match keys.enable {
            true => Connector::open_with(keys, kernel::offered(keys.kernel)).map(Some),
            false => Ok(None),
        }
    }

    /// [`Connector::open`] with what this kernel can do.
    pub(crate) fn open_with(
        keys: &TlsClientKeys,
        kernel: Option<Offer>,
    ) -> Result<Connector, String> {
        let config = certificates::client(keys, kernel.is_some())?;
        Ok(Connector { config, kernel })
    }

    pub(crate) fn kernel(&self) -> Option<Offer> {
        self.kernel
    }

    /// The client's side of a connection to `host`, for whoever has a stream of his own.
    ///
    /// # Errors
    /// If the host is no name or address that a certificate can have.
    pub fn client(&self, host: &str) -> io::Result<ClientConnection> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(bare.to_owned()).map_err(io::Error::other)?;
        ClientConnection::new(self.config.clone(), name).map_err(io::Error::other)
    }

    pub(crate) fn connection(&self, host: &str) -> io::Result<Connection> {
        self.client(host).map(Connection::Client)
    }
}
