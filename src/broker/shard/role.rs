//! The part that a broker plays among those of its name.

use std::{fmt, fs::File, io::Read, os::unix::fs::MetadataExt, path::Path, sync::Arc};

use ringmq_base::config::{BrokerConfig, BrokerRole};
use ringmq_replication::frames::secret::Secret;

/// Bytes of a secret: fewer are guessed, and a file with more is no secret.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 16..=4096;
/// Bits of a file's mode by which others than its owner may do something with it.
const OTHERS: u32 = 0o077;

/// Fixed while the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Nobody copies it, and nobody has asked for that.
    Alone,
    /// Slaves may copy it. What it writes itself counts as stored; they get it as fast as they can.
    AsyncMaster,
    /// Slaves may copy it, and a send waits for one of them.
    SyncMaster,
    /// It copies the master of its name and takes nothing from clients.
    Slave,
}

impl Role {
    /// `written`: whether somebody has written the key `brokerRole`. Its default is no wish to be
    /// copied.
    pub fn of(config: &BrokerConfig, written: bool) -> Role {
        match config.broker_role {
            BrokerRole::AsyncMaster if written => Role::AsyncMaster,
            BrokerRole::AsyncMaster => Role::Alone,
            BrokerRole::SyncMaster => Role::SyncMaster,
            BrokerRole::Slave => Role::Slave,
        }
    }

    pub fn is_slave(self) -> bool {
        self == Role::Slave
    }

    /// Whether others may copy it: it listens on `haListenPort`.
    pub fn is_copied(self) -> bool {
        matches!(self, Role::AsyncMaster | Role::SyncMaster)
    }
}

/// What is configured of masters and slaves, and cannot change while the process runs.
#[derive(Clone, Debug)]
pub struct Replicated {
    /// The port for slaves.
    pub ha_port: u16,
    /// haMasterAddress, `host:port`; `None`: name servers tell it.
    pub master: Option<Arc<str>>,
    /// `None`: nobody proves anything.
    pub secret: Option<SharedSecret>,
}

impl Replicated {
    /// # Errors
    /// If the secret cannot be used: a sentence for the operator.
    pub fn new(config: &BrokerConfig) -> Result<Replicated, String> {
        let (address, secret) = (&*config.ha_master_address, &config.replication_secret);
        let is_there = !secret.as_os_str().is_empty();
        Ok(Replicated {
            ha_port: match config.ha_listen_port {
                0 => config.listen_port.saturating_add(1),
                port => port,
            },
            master: (!address.is_empty()).then(|| address.into()),
            secret: is_there.then(|| SharedSecret::read(secret)).transpose()?,
        })
    }
}

/// What masters and slaves of a broker name prove that they know. It cannot be printed.
#[derive(Clone)]
pub struct SharedSecret(pub Arc<Secret>);

impl SharedSecret {
    /// Reads the file; blanks and line ends behind the secret do not count.
    fn read(path: &Path) -> Result<SharedSecret, String> {
        let named = format!("replicationSecret = {}", path.display());
        let failed = |error: std::io::Error| format!("{named}: the file cannot be read: {error}");
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.mode();
        if mode & OTHERS != 0 {
            let mode = mode & 0o777;
            return Err(format!(
                "{named}: others than its owner may use the file (mode {mode:o}), so that it is no \
                 secret: chmod 600 it, and choose another secret if somebody may have read it"
            ));
        }
        let mut bytes = Vec::new();
        file.take(*SECRET_BYTES.end() as u64 + 2).read_to_end(&mut bytes).map_err(failed)?;
        let secret = bytes.trim_ascii_end();
        if !SECRET_BYTES.contains(&secret.len()) {
            return Err(format!(
                "{named}: the file has a secret of {} bytes; it is to have {} to {}, such as \
                 openssl rand -hex 32 makes",
                secret.len(),
                SECRET_BYTES.start(),
                SECRET_BYTES.end()
            ));
        }
        Ok(SharedSecret(Arc::new(Secret::new(secret))))
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn a_secret_is_taken_from_a_file_that_only_its_owner_reads() {
        let path = std::env::temp_dir().join(format!("ringmq-secret-{}", std::process::id()));
        let told = |bytes: &[u8], mode| {
            let _ = fs::remove_file(&path);
            fs::write(&path, bytes).expect("a file of our own");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
            let config =
                BrokerConfig { replication_secret: path.clone(), ..BrokerConfig::default() };
            Replicated::new(&config)
        };
        let refused = |bytes: &[u8], mode| told(bytes, mode).expect_err("no secret");
        let sound = told(b"0123456789abcdef \n", 0o600).expect("16 bytes").secret.expect("there");
        assert!(!format!("{sound:?}").contains("0123"));
        let proof = |secret: &Secret| {
            secret.proof(ringmq_replication::frames::secret::Side::Master, &[b"said"])
        };
        assert_eq!(proof(&sound.0), proof(&Secret::new(b"0123456789abcdef")));
        for mode in [0o640, 0o604, 0o602] {
            assert!(refused(&[b'x'; 32], mode).contains("chmod 600"), "{mode:o}");
        }
        assert!(refused(b"short", 0o600).contains("a secret of 5 bytes"));
        assert!(refused(&[b'x'; 5000], 0o600).contains("16 to 4096"));
        fs::remove_file(&path).expect("there");
        let config = BrokerConfig { replication_secret: path.clone(), ..BrokerConfig::default() };
        assert!(Replicated::new(&config).expect_err("gone").contains("cannot be read"));
        assert!(Replicated::new(&BrokerConfig::default()).expect("none").secret.is_none());
    }
}
