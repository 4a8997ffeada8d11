//! How far the delay levels of a shard are delivered, and how that becomes durable.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use ringmq_io::{Runtime, signal::Event};
use ringmq_rules::{meta::MetaChange, refusal::Refusal};

use crate::shard::Shard;

/// How soon a write that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long the last write of a shard is tried; the control shard waits longer for its end.
const LAST_WRITE_PATIENCE: Duration = Duration::from_secs(5);
const LAST_WRITE_AGAIN: Duration = Duration::from_millis(100);

/// By delay level: the next message to deliver.
pub struct DelayOffsets {
    next: RefCell<BTreeMap<i32, i64>>,
    /// Levels whose next message is not durable.
    changed: RefCell<BTreeSet<i32>>,
    changes: Event,
}

impl DelayOffsets {
    /// `next` is durable.
    pub fn new(next: BTreeMap<i32, i64>) -> DelayOffsets {
        let (next, changed) = (RefCell::new(next), RefCell::default());
        DelayOffsets { next, changed, changes: Event::default() }
    }

    pub fn of(&self, level: i32) -> i64 {
        self.next.borrow().get(&level).copied().unwrap_or(0)
    }

    /// Notes that a level has delivered all before an offset.
    pub fn delivered(&self, level: i32, offset: i64) {
        self.next.borrow_mut().insert(level, offset);
        self.changed.borrow_mut().insert(level);
        self.changes.set();
    }

    /// Makes durable what changed. What cannot be written stays changed.
    async fn persist<R: Runtime>(&self, shard: &Rc<Shard<R>>) -> Result<(), Refusal> {
        let _turn = shard.offset_writes.turn().await;
        let offset = |level: i32| MetaChange::DelayOffset { level, offset: self.of(level) };
        let changes: Vec<_> = self.changed.take().into_iter().map(offset).collect();
        if changes.is_empty() {
            return Ok(());
        }
        let Err(not_written) = shard.persist(changes).await else {
            return Ok(());
        };
        for change in &not_written.changes {
            if let MetaChange::DelayOffset { level, .. } = change {
                self.changed.borrow_mut().insert(*level);
            }
        }
        Err(not_written.refusal)
    }

    /// Makes changes durable as they come, as long as the shard runs.
    pub async fn persist_changes<R: Runtime>(&self, shard: &Rc<Shard<R>>) {
        while !shard.stopping.get() {
            self.changes.wait_and_clear().await;
            let mut failed = false;
            while !shard.stopping.get() {
                match self.persist(shard).await {
                    Ok(()) => break,
                    Err(refusal) if !failed => {
                        let why = refusal.remark;
                        tracing::error!(
                            shard = shard.id.0,
                            "delay offsets are not durable: {why}; they are written again until \
                             it succeeds"
                        );
                        failed = true;
                    }
                    Err(_) => {}
                }
                shard.runtime.sleep(AGAIN).await;
            }
            if failed {
                tracing::info!(shard = shard.id.0, "delay offsets are durable again");
            }
        }
    }

    /// The last write of the shard, tried for a while if the disk is in the way.
    pub async fn persist_at_last<R: Runtime>(&self, shard: &Rc<Shard<R>>) {
        let until = shard.runtime.monotonic() + LAST_WRITE_PATIENCE;
        while let Err(refusal) = self.persist(shard).await {
            if shard.runtime.monotonic() >= until {
                tracing::error!(
                    shard = shard.id.0,
                    %refusal,
                    "the broker ends with delay offsets that are not durable: some delayed \
                     messages are delivered again"
                );
                return;
            }
            shard.runtime.sleep(LAST_WRITE_AGAIN).await;
        }
    }
}

#[cfg(test)]
mod tests;
