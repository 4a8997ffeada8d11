//! Locks of queues for ordered consumption: a client hears that a queue is its own when a start
//! would know of it, too.

use std::sync::Arc;

use ringmq_io::Runtime;
use ringmq_remoting::body::MessageQueue;
use ringmq_rules::{
    locks::{QueueLocks, SweptTo},
    refusal::Refusal,
};

use super::{Control, metadata::Subject};

/// Queues that are locked without a pause: some 100 us.
const SLICE_QUEUES: usize = 128;

/// Locks that are looked at without a pause: some 300 us if all of them are expired.
const SLICE_LOCKS: usize = 1024;

impl<R: Runtime> Control<R> {
    /// Locks the queues that are free or the client's own, and tells `granted` of them, a few at a
    /// time. Durable when resolved.
    ///
    /// # Errors
    /// Why it cannot be written whose the queues are; what was free is free then.
    pub async fn lock_queues(
        &self,
        group: &str,
        client_id: &str,
        queues: &[MessageQueue],
        mut granted: impl FnMut(&[MessageQueue]),
    ) -> Result<(), Refusal> {
        let group: Arc<str> = Arc::from(group);
        let _turn = self.begin(Subject::Locks(group.clone())).await;
        let mut changes = Vec::new();
        for queues in queues.chunks(SLICE_QUEUES) {
            let own = {
                let locks = &mut self.tables.borrow_mut().locks;
                let own = locks.lock_batch(&group, client_id, queues, self.lock_time());
                changes.extend(locks.to_write(&group, client_id, &own));
                own
            };
            granted(&own);
            if let Some(why) = self.tables.borrow_mut().locks.not_granted() {
                tracing::warn!(%group, client_id, "{why}");
            }
            self.shard.runtime.yield_if_needed().await;
        }
        let written = self.metadata.write(&changes).await;
        for change in &changes {
            let tables = &self.tables;
            match &written {
                Ok(()) => tables.borrow_mut().locks.set_written(change),
                Err(_) => tables.borrow_mut().locks.take_back(change),
            }
            self.shard.runtime.yield_if_needed().await;
        }
        written.map_err(|not_written| not_written.refusal)
    }

    /// Frees those of the queues that the client has locked. Durable when resolved, if it can be
    /// written: what cannot is free until the next start, which waits for the client.
    pub async fn unlock_queues(&self, group: &str, client_id: &str, queues: &[MessageQueue]) {
        let group: Arc<str> = Arc::from(group);
        let _turn = self.begin(Subject::Locks(group.clone())).await;
        let mut changes = Vec::new();
        for queues in queues.chunks(SLICE_QUEUES) {
            let locks = &self.tables;
            let freed = locks.borrow_mut().locks.unlock_batch(&group, client_id, queues);
            changes.extend(QueueLocks::freed(&group, &freed));
            self.shard.runtime.yield_if_needed().await;
        }
        if let Err(not_written) = self.metadata.write(&changes).await {
            tracing::debug!(why = %not_written.refusal, "queues are unlocked until the next start");
        }
    }

    /// Forgets the locks that are not renewed any more.
    pub async fn sweep_locks(&self) {
        let mut to = SweptTo::default();
        loop {
            let (now, tables) = (self.lock_time(), &self.tables);
            if tables.borrow_mut().locks.sweep_some(&mut to, SLICE_LOCKS, now) {
                return;
            }
            self.shard.runtime.yield_if_needed().await;
        }
    }

    /// In milliseconds since an arbitrary start.
    pub fn lock_time(&self) -> i64 {
        i64::try_from(self.shard.runtime.monotonic().as_millis()).unwrap_or(i64::MAX)
    }
}
