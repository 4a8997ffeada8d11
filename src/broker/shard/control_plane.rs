//! What shards ask of the control shard, whose tables they do not know.

use std::{rc::Rc, sync::Arc};

use futures_util::future::LocalBoxFuture;
use ringmq_base::ShardId;
use ringmq_io::Runtime;
use ringmq_rules::{meta::MetaChange, refusal::Refusal};

use super::Shard;
use crate::messages::{AutoCreate, TopicView};

/// The shard that owns topics, groups, clients and locks.
pub const CONTROL: ShardId = ShardId(0);

/// The part of the control shard's work that all shards ask for.
pub trait ControlPlane {
    /// The topic of a send; made if the rules allow it. Durable when resolved.
    fn ensure_topic(
        self: Rc<Self>,
        wanted: AutoCreate,
    ) -> LocalBoxFuture<'static, Result<Arc<TopicView>, Refusal>>;

    /// A `%RETRY%`, `%DLQ%` or other topic of the broker's own. Durable when resolved.
    fn ensure_internal_topic(
        self: Rc<Self>,
        name: String,
        queues: i32,
        sys_flag: i32,
    ) -> LocalBoxFuture<'static, Result<Arc<TopicView>, Refusal>>;

    /// A consumer group; made if the rules allow it. False: it is not there. Durable when resolved.
    fn ensure_group(self: Rc<Self>, name: String)
    -> LocalBoxFuture<'static, Result<bool, Refusal>>;

    /// Stores changes such as consumer offsets. Durable when resolved.
    fn persist(
        self: Rc<Self>,
        changes: Vec<MetaChange>,
    ) -> LocalBoxFuture<'static, Result<(), Refusal>>;

    /// A log has no space: has retention look at the disk soon.
    fn look_at_storage(&self);
}

impl<R: Runtime> Shard<R> {
    /// On the control shard, as long as it runs.
    fn control_plane(&self) -> Result<Rc<dyn ControlPlane>, Refusal> {
        let control = self.control_plane.get().and_then(std::rc::Weak::upgrade);
        control.ok_or_else(Refusal::stopping)
    }

    /// See [`ControlPlane::ensure_topic`].
    pub async fn ensure_topic(
        self: &Rc<Self>,
        wanted: AutoCreate,
    ) -> Result<Arc<TopicView>, Refusal> {
        let work = async |shard: Rc<Self>| shard.control_plane()?.ensure_topic(wanted).await;
        self.call(CONTROL, work).await
    }

    /// See [`ControlPlane::ensure_internal_topic`].
    pub async fn ensure_internal_topic(
        self: &Rc<Self>,
        name: &str,
        queues: i32,
        sys_flag: i32,
    ) -> Result<Arc<TopicView>, Refusal> {
        if let Some(topic) = self.topic(name) {
            return Ok(topic);
        }
        let name = name.to_owned();
        let work = async move |shard: Rc<Self>| {
            shard.control_plane()?.ensure_internal_topic(name, queues, sys_flag).await
        };
        self.call(CONTROL, work).await
    }

    /// See [`ControlPlane::ensure_group`].
    pub async fn ensure_group(self: &Rc<Self>, name: String) -> Result<bool, Refusal> {
        let work = async |shard: Rc<Self>| shard.control_plane()?.ensure_group(name).await;
        self.call(CONTROL, work).await
    }

    /// See [`ControlPlane::persist`].
    pub async fn persist(self: &Rc<Self>, changes: Vec<MetaChange>) -> Result<(), Refusal> {
        let work = async |shard: Rc<Self>| shard.control_plane()?.persist(changes).await;
        self.call(CONTROL, work).await
    }
}
