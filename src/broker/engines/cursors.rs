//! How far the engines of a shard are with the queues that they deliver from, and how that becomes
//! durable.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use ringmq_io::{
    Runtime,
    signal::{Event, Notify},
};
use ringmq_rules::{meta::MetaChange, refusal::Refusal};

use crate::shard::Shard;

/// How soon a write that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long the last write of a shard is tried; the control shard waits longer for its end.
const LAST_WRITE_PATIENCE: Duration = Duration::from_secs(5);
const LAST_WRITE_AGAIN: Duration = Duration::from_millis(100);

/// How far deliveries from a queue are.
pub trait Cursor: Clone + Default {
    /// What lies in the queues, for the log: "delay offsets".
    const NAME: &'static str;

    /// The change that makes it durable. `key`: what names the queue.
    fn change(&self, key: i32) -> MetaChange;
}

/// The next message of a delay level, by level.
impl Cursor for i64 {
    const NAME: &'static str = "delay offsets";

    fn change(&self, key: i32) -> MetaChange {
        MetaChange::DelayOffset { level: key, offset: *self }
    }
}

/// The cursors of a shard, by what names their queues.
pub struct Cursors<C> {
    now: RefCell<BTreeMap<i32, C>>,
    /// The same as far as it is durable.
    durable: RefCell<BTreeMap<i32, C>>,
    /// Those that are not durable.
    changed: RefCell<BTreeSet<i32>>,
    changes: Event,
    persisted: Notify,
}

impl<C: Cursor> Cursors<C> {
    /// `durable`: as the store has them.
    pub fn new(durable: BTreeMap<i32, C>) -> Cursors<C> {
        Cursors {
            now: durable.clone().into(),
            durable: durable.into(),
            changed: RefCell::default(),
            changes: Event::default(),
            persisted: Notify::default(),
        }
    }

    pub fn of(&self, key: i32) -> C {
        self.now.borrow().get(&key).cloned().unwrap_or_default()
    }

    /// As a start would find it.
    pub fn durable(&self, key: i32) -> C {
        self.durable.borrow().get(&key).cloned().unwrap_or_default()
    }

    /// Notes how far deliveries are.
    pub fn set(&self, key: i32, cursor: C) {
        self.now.borrow_mut().insert(key, cursor);
        self.changed.borrow_mut().insert(key);
        self.changes.set();
    }

    /// Resolves when `enough` says so of a durable cursor.
    pub async fn wait_until(&self, key: i32, enough: impl Fn(C) -> bool) {
        while !enough(self.durable(key)) {
            self.persisted.wait().await;
        }
    }

    /// Makes durable what changed. What cannot be written stays changed.
    async fn persist<R: Runtime>(&self, shard: &Rc<Shard<R>>) -> Result<(), Refusal> {
        let _turn = shard.offset_writes.turn().await;
        let keys = self.changed.take();
        let cursors: Vec<_> = keys.into_iter().map(|key| (key, self.of(key))).collect();
        if cursors.is_empty() {
            return Ok(());
        }
        let changes = cursors.iter().map(|(key, cursor)| cursor.change(*key)).collect();
        let Err(not_written) = shard.persist(changes).await else {
            self.note_durable(cursors);
            return Ok(());
        };
        let failed = |(key, cursor): &(i32, C)| {
            not_written.changes.is_empty() || not_written.changes.contains(&cursor.change(*key))
        };
        let (failed, written): (Vec<_>, Vec<_>) = cursors.into_iter().partition(failed);
        self.changed.borrow_mut().extend(failed.into_iter().map(|(key, _)| key));
        self.note_durable(written);
        Err(not_written.refusal)
    }

    fn note_durable(&self, written: Vec<(i32, C)>) {
        self.durable.borrow_mut().extend(written);
        self.persisted.notify();
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
                            "{} are not durable: {why}; they are written again until it succeeds",
                            C::NAME
                        );
                        failed = true;
                    }
                    Err(_) => {}
                }
                shard.runtime.sleep(AGAIN).await;
            }
            if failed {
                tracing::info!(shard = shard.id.0, "{} are durable again", C::NAME);
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
                    "the broker ends with {} that are not durable: the next start looks what is \
                     delivered",
                    C::NAME
                );
                return;
            }
            shard.runtime.sleep(LAST_WRITE_AGAIN).await;
        }
    }
}

#[cfg(test)]
mod tests;
