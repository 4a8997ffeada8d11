//! Changes of the master, made the own by a broker that copies it: durable here, then in the tables
//! and told to all shards, as own changes are.

use std::{rc::Rc, sync::Arc};

use ringmq_io::Runtime;
use ringmq_rules::meta::MetaChange;

use super::Persisting;
use crate::{control::Control, shard::control_plane::NotWritten};

impl<R: Runtime> Control<R> {
    /// Takes changes over in their order. Only one call may be under way. Durable and in effect on
    /// all shards when resolved.
    ///
    /// # Errors
    /// If the metadata log does not take one. Some may be written then and in no table: everything
    /// has to be compared with the master again.
    pub async fn take_copied(self: &Rc<Self>, changes: &[MetaChange]) -> Result<(), NotWritten> {
        let metadata = &self.metadata;
        metadata.not_rewriting().await;
        metadata.persisting.set(metadata.persisting.get() + 1);
        let until_applied = Persisting(metadata);
        metadata.write(changes).await?;
        let mut rest = changes;
        while let Some((first, others)) = rest.split_first() {
            let offsets = rest.iter().take_while(|one| matches!(one, MetaChange::Offsets { .. }));
            let run = offsets.count();
            if run > 0 {
                let (offsets, behind) = rest.split_at(run);
                self.tell_offsets(offsets).await;
                rest = behind;
                continue;
            }
            self.take_one(first).await;
            rest = others;
            self.shard.runtime.yield_if_needed().await;
        }
        drop(until_applied);
        self.rewrite_if_grown();
        Ok(())
    }

    async fn take_one(self: &Rc<Self>, change: &MetaChange) {
        match change {
            MetaChange::OffsetsDelete { topic, group } => {
                self.shard.forget_offsets((topic.clone(), group.clone())).await;
            }
            MetaChange::Locks { .. } => {
                let now = self.lock_time();
                self.tables.borrow_mut().locks.restore(change, now);
            }
            MetaChange::TopicPut { .. }
            | MetaChange::TopicDelete { .. }
            | MetaChange::GroupPut { .. }
            | MetaChange::GroupDelete { .. } => {
                {
                    let mut tables = self.tables.borrow_mut();
                    tables.topics.apply(change);
                    tables.groups.apply(change);
                }
                self.tell(change).await;
            }
            // Noted when they were written: no engine runs here.
            MetaChange::DelayOffset { .. }
            | MetaChange::TimerFrontier { .. }
            | MetaChange::Transactions { .. } => {}
            MetaChange::Offsets { .. } => unreachable!("several are told at once"),
            MetaChange::Keys { .. } => unreachable!("keys are each broker's own"),
        }
    }

    /// The shards that own the queues know these offsets from then on.
    async fn tell_offsets(self: &Rc<Self>, changes: &[MetaChange]) {
        let changes: Arc<[MetaChange]> = changes.into();
        self.shard.call_all(async move |shard| shard.take_offsets(&changes).await).await;
    }
}
