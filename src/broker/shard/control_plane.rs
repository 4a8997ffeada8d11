//! What shards ask of the control shard, whose tables they do not know.

use std::{rc::Rc, sync::Arc};

use futures_util::future::LocalBoxFuture;
use ringmq_base::ShardId;
use ringmq_io::Runtime;
use ringmq_rules::{
    ConnectionId,
    meta::MetaChange,
    refusal::{Refusal, code},
};
use ringmq_store::LogError;

use super::Shard;
use crate::messages::{AutoCreate, TopicView};

/// The shard that owns topics, groups, clients and locks.
pub const CONTROL: ShardId = ShardId(0);

/// Changes that are not durable.
#[derive(Clone, Debug)]
pub struct NotWritten {
    pub changes: Vec<MetaChange>,
    /// The first reason.
    pub refusal: Refusal,
    /// It is the records that cannot be written, not the log.
    pub records_only: bool,
    /// They may be there all the same after the next start.
    pub in_doubt: bool,
}

impl NotWritten {
    #[cold]
    pub fn because(error: &LogError) -> NotWritten {
        NotWritten { records_only: true, ..refusal_of(error).into() }
    }

    /// Adds changes that failed by one error.
    pub fn add(&mut self, error: &LogError, changes: &[MetaChange]) {
        self.records_only &= matches!(error, LogError::TooLarge { .. });
        self.in_doubt |= matches!(error, LogError::Fenced { .. });
        self.changes.extend_from_slice(changes);
    }
}

/// For what was refused before anything was to be written.
impl From<Refusal> for NotWritten {
    fn from(refusal: Refusal) -> NotWritten {
        NotWritten { changes: Vec::new(), refusal, records_only: false, in_doubt: false }
    }
}

/// The answer to a change that the metadata log does not take.
#[cold]
pub fn refusal_of(error: &LogError) -> Refusal {
    let again = match error {
        LogError::Full { .. } | LogError::Failed { .. } => "; try again later",
        LogError::Fenced { .. } | LogError::TooLarge { .. } | LogError::ShuttingDown => "",
    };
    let remark =
        format!("service not available now. the metadata log cannot be written: {error}{again}");
    Refusal::new(code::SERVICE_NOT_AVAILABLE, remark)
}

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
    ) -> LocalBoxFuture<'static, Result<(), NotWritten>>;

    /// For each group a connection of one of its producers, each in turn; `None` without any.
    fn pick_producers(&self, groups: &[String]) -> Vec<Option<ConnectionId>>;

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

    /// See [`ControlPlane::pick_producers`].
    pub async fn pick_producers(self: &Rc<Self>, groups: Vec<String>) -> Vec<Option<ConnectionId>> {
        let work = async move |shard: Rc<Self>| match shard.control_plane() {
            Ok(control) => control.pick_producers(&groups),
            Err(_) => vec![None; groups.len()],
        };
        self.call(CONTROL, work).await
    }

    /// See [`ControlPlane::persist`].
    pub async fn persist(self: &Rc<Self>, changes: Vec<MetaChange>) -> Result<(), NotWritten> {
        let work = async |shard: Rc<Self>| match shard.control_plane() {
            Ok(control) => control.persist(changes).await,
            Err(refusal) => Err(NotWritten { changes, ..refusal.into() }),
        };
        self.call(CONTROL, work).await
    }
}
