//! Keys of the name server's configuration that administrators changed while it ran. They are kept
//! in a file beside the KV configuration, so that a restart keeps them, until the key is changed in
//! the configuration itself. The file has one entry, so that a change of several keys is whole.

use std::{cell::RefCell, path::Path};

use ringmq_base::config::{NamesrvConfig, Table, properties};
use ringmq_io::Disk;
use ringmq_net::turn::{Taken, Turn};

use crate::{
    kv::{Change, KvError, KvLimits, file, store::KvStore},
    work::Work,
};

/// Behind the name of the file of the KV configuration.
const SUFFIX: &str = ".live";
const NAMESPACE: &str = "namesrv";
const KEY: &str = "changedKeys";
/// Behind a key: what the configuration said when it was changed.
const INSTEAD_OF: &str = ".insteadOf";
/// One entry, in bytes of memory: of some 100 keys.
const LIMITS: KvLimits = KvLimits { entries: 2, bytes: 64 * 1024 };

pub struct LiveKeys<D> {
    store: KvStore<D>,
    /// What the configuration says, as it was read last.
    configured: RefCell<NamesrvConfig>,
    turn: Turn,
}

impl<D: Disk> LiveKeys<D> {
    /// Reads what was changed earlier; gives the configuration that counts with it.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub async fn open(
        disk: D,
        configured: NamesrvConfig,
    ) -> Result<(Self, NamesrvConfig), file::KvFileError> {
        let path = file::beside(&configured.kv_config_path, SUFFIX);
        let store = KvStore::open(disk, path.clone(), LIMITS).await?;
        let mut config = configured.clone();
        let mut superseded = false;
        let text = store.table().get(NAMESPACE, KEY).unwrap_or_default().to_owned();
        let stored = properties::parse(&text);
        for entry in &stored {
            if !is_live(&entry.key) {
                continue;
            }
            let before = format!("{}{INSTEAD_OF}", entry.key);
            let before = stored.iter().find(|other| other.key == before);
            let now = configured.get(&entry.key).unwrap_or_default();
            superseded |= !take(&mut config, (&entry.key, &entry.value), before, &now, &path);
        }
        let configured = RefCell::new(configured);
        let live = LiveKeys { store, configured, turn: Turn::default() };
        if superseded && let Err(error) = live.keep(&config, &Alone).await {
            tracing::warn!("{}: {error}", path.display());
        }
        Ok((live, config))
    }

    /// One change goes at a time.
    pub async fn turn(&self) -> Taken<'_> {
        self.turn.take().await
    }

    /// Notes what the configuration says of live keys now.
    ///
    /// # Errors
    /// If a key cannot have its value; then nothing is noted.
    pub fn configure(&self, keys: &[(String, String)]) -> Result<(), String> {
        let mut configured = self.configured.borrow().clone();
        for (key, value) in keys {
            let set = configured.set(key, value);
            set.map_err(|problem| format!("{key} = {value:?}: the value {problem}"))?;
        }
        self.configured.replace(configured);
        Ok(())
    }

    /// On stable storage when resolved: what differs from the configuration.
    ///
    /// # Errors
    /// If it cannot be written; then what was kept before is.
    pub async fn keep(&self, config: &NamesrvConfig, work: &impl Work) -> Result<(), KvError> {
        let mut text = String::new();
        for key in NamesrvConfig::KEYS.iter().filter(|key| key.live) {
            let value = config.get(key.name).unwrap_or_default();
            let configured = self.configured.borrow().get(key.name).unwrap_or_default();
            if value != configured {
                text.push_str(&properties::line(key.name, &value));
                text.push_str(&properties::line(&format!("{}{INSTEAD_OF}", key.name), &configured));
            }
        }
        let change = match text.is_empty() {
            true => Change::delete(NAMESPACE, KEY),
            false => Change::put(NAMESPACE, KEY, Some(&text)),
        };
        self.store.change(&change, work).await
    }
}

pub fn is_live(key: &str) -> bool {
    NamesrvConfig::key(key).is_some_and(|key| key.live)
}

/// False if the configuration was changed since, which counts then.
fn take(
    config: &mut NamesrvConfig,
    (key, value): (&str, &str),
    before: Option<&properties::Entry>,
    configured: &str,
    path: &Path,
) -> bool {
    let path = path.display();
    if before.is_some_and(|before| before.value != configured) {
        tracing::warn!(
            "{key} = {value:?}, which an administrator set ({path}), is dropped: the \
             configuration was changed since, to {configured:?}"
        );
        return false;
    }
    match config.set(key, value) {
        Ok(_) => tracing::info!(
            "{key} = {value:?} instead of {configured:?}: an administrator changed it while the \
             name server ran ({path})"
        ),
        Err(problem) => tracing::warn!("{key} = {value:?} in {path} has no effect: it {problem}"),
    }
    true
}

/// Nobody waits for an answer.
pub struct Alone;

impl Work for Alone {
    async fn pause(&self) -> Result<(), crate::answer::Answer> {
        Ok(())
    }

    async fn pause_for_room(&self) -> Result<(), crate::answer::Answer> {
        Ok(())
    }

    fn rest(&self) {}

    fn holds(&self, _: usize) {}

    fn body_bytes_max(&self) -> usize {
        0
    }
}
