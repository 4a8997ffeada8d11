//! The KV configuration in memory and on disk: a change is visible once it is stored.

use std::{
    cell::{Ref, RefCell},
    path::PathBuf,
};

use ringmq_io::Disk;
use ringmq_net::turn::Turn;

use super::{Change, KvError, KvLimits, KvTable, file};
use crate::work::Work;

pub struct KvStore<D> {
    disk: D,
    path: PathBuf,
    limits: KvLimits,
    table: RefCell<KvTable>,
    /// Held by the one change that is being stored.
    turn: Turn,
}

impl<D: Disk> KvStore<D> {
    /// Reads the file, if there is one.
    pub async fn open(disk: D, path: PathBuf, limits: KvLimits) -> Result<Self, file::KvFileError> {
        let table = RefCell::new(file::load(&disk, &path, limits.bytes).await?);
        Ok(KvStore { disk, path, limits, table, turn: Turn::default() })
    }

    /// The entries as stored. Not to be held across an await.
    pub fn table(&self) -> Ref<'_, KvTable> {
        self.table.borrow()
    }

    /// When this resolves the change is on stable storage and visible; after an error nothing
    /// changed. Fine if there is nothing to delete.
    pub async fn change(&self, change: &Change<'_>, work: &impl Work) -> Result<(), KvError> {
        let _turn = self.turn.take().await;
        let changes = self.table.borrow().check(change, self.limits)?;
        if changes {
            let stored = file::save(&self.disk, &self.path, &self.table, Some(change), work).await;
            stored.map_err(|error| KvError::NotStored { problem: error.to_string() })?;
            self.table.borrow_mut().apply(change);
        }
        Ok(())
    }
}
