//! Consumer offsets of the queues of a shard, and how they become durable.

use std::rc::Rc;

use ringmq_io::{Runtime, Shares};
use ringmq_rules::{meta::MetaChange, offsets::Commit, refusal::Refusal};

use super::Shard;

impl<R: Runtime> Shard<R> {
    /// Stores a consumer offset of a queue of this shard, as it is. Durable within
    /// `flushConsumerOffsetInterval`.
    pub fn commit_offset(
        &self,
        topic: &str,
        group: &str,
        queue_id: i32,
        offset: i64,
    ) -> Result<(), Refusal> {
        if self.stopping.get() {
            return Err(Refusal::stopping());
        }
        let outcome = self.offsets.borrow_mut().commit(topic, group, queue_id, offset)?;
        if let Commit::WentBack { from } = outcome {
            tracing::debug!(topic, group, queue_id, from, offset, "consumer offset went back");
        }
        Ok(())
    }

    /// Makes the consumer offsets durable that changed since the last call.
    pub async fn persist_offsets(self: &Rc<Self>) {
        let changes = self.offsets.borrow_mut().take_dirty();
        if changes.is_empty() {
            return;
        }
        if let Err(refusal) = self.persist(changes).await {
            tracing::error!(error = %refusal.remark, "consumer offsets not persisted");
        }
    }

    /// Has changes made durable that nobody waits for.
    pub fn persist_later(self: &Rc<Self>, changes: Vec<MetaChange>) {
        let shard = self.clone();
        self.runtime.spawn(Shares::Admin, "persist", async move {
            if let Err(refusal) = shard.persist(changes).await {
                tracing::error!(error = %refusal.remark, "a change was not persisted");
            }
        });
    }

    /// Topic, group and consumer offsets of one group or of all, of all shards.
    pub async fn all_offsets(self: &Rc<Self>, group: Option<&str>) -> Vec<MetaChange> {
        let group = group.map(str::to_owned);
        let own = async move |shard: Rc<Self>| {
            let mut offsets = shard.offsets.borrow().snapshot();
            offsets.retain(|change| match (change, &group) {
                (MetaChange::Offsets { group: of, .. }, Some(group)) => **of == **group,
                _ => true,
            });
            offsets
        };
        self.call_all(own).await.concat()
    }

    /// Forgets the consumer offsets of a topic, of a group, or of both together on all shards, in
    /// memory only.
    pub async fn forget_offsets(self: &Rc<Self>, topic: Option<String>, group: Option<String>) {
        let change = MetaChange::OffsetsDelete { topic, group };
        let forget = async move |shard: Rc<Self>| shard.offsets.borrow_mut().apply(&change);
        self.call_all(forget).await;
    }
}
