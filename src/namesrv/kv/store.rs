//! The KV configuration in memory and on disk: a change is visible once it is stored.

use std::{
    cell::{Ref, RefCell},
    path::PathBuf,
};

use ringmq_io::Disk;

use super::{KvError, KvTable, file};
use crate::turn::Turn;

pub struct KvStore<D> {
    disk: D,
    path: PathBuf,
    entries_max: usize,
    table: RefCell<KvTable>,
    /// Held by the one change that is being stored.
    turn: Turn,
}

impl<D: Disk> KvStore<D> {
    /// Reads the file, if there is one.
    pub async fn open(
        disk: D,
        path: PathBuf,
        entries_max: usize,
    ) -> Result<Self, file::KvFileError> {
        let table = RefCell::new(file::load(&disk, &path).await?);
        Ok(KvStore { disk, path, entries_max, table, turn: Turn::default() })
    }

    /// The entries as stored. Not to be held across an await.
    pub fn table(&self) -> Ref<'_, KvTable> {
        self.table.borrow()
    }

    /// When this resolves the entry is on stable storage and visible; after an error nothing
    /// changed.
    pub async fn put(
        &self,
        namespace: &str,
        key: &str,
        value: Option<&str>,
    ) -> Result<(), KvError> {
        self.change(|table| table.put(namespace, key, value, self.entries_max).map(|()| true)).await
    }

    /// As [`KvStore::put`]; fine if there is no such entry.
    pub async fn delete(&self, namespace: &str, key: &str) -> Result<(), KvError> {
        self.change(|table| Ok(table.delete(namespace, key))).await
    }

    async fn change(
        &self,
        change: impl FnOnce(&mut KvTable) -> Result<bool, KvError>,
    ) -> Result<(), KvError> {
        let _turn = self.turn.take().await;
        let mut table = self.table.borrow().clone();
        if change(&mut table)? {
            let stored = file::save(&self.disk, &self.path, &table).await;
            stored.map_err(|error| KvError::NotStored { problem: error.to_string() })?;
            self.table.replace(table);
        }
        Ok(())
    }
}
