//! Topics and groups that are made when somebody uses them.

use std::{rc::Rc, sync::Arc};

use futures_util::future::LocalBoxFuture;
use ringmq_io::Runtime;
use ringmq_rules::{
    ConnectionId,
    meta::MetaChange,
    refusal::{FAQ, Refusal, code},
    topic,
};

use super::{Control, Tables, metadata::Subject};
use crate::{
    messages::{AutoCreate, TopicView},
    shard::{
        control_plane::{ControlPlane, NotWritten},
        queues::Seal,
    },
};

impl<R: Runtime> ControlPlane for Control<R> {
    fn ensure_topic(
        self: Rc<Self>,
        wanted: AutoCreate,
    ) -> LocalBoxFuture<'static, Result<Arc<TopicView>, Refusal>> {
        Box::pin(async move {
            let now = self.shard.runtime.now_ms();
            self.ensure(&wanted.topic, |tables| plan_auto_create(tables, &wanted, now)).await
        })
    }

    fn ensure_internal_topic(
        self: Rc<Self>,
        name: String,
        queues: i32,
        sys_flag: i32,
    ) -> LocalBoxFuture<'static, Result<Arc<TopicView>, Refusal>> {
        Box::pin(async move {
            let now = self.shard.runtime.now_ms();
            let plan =
                |tables: &Tables| tables.topics.plan_internal_topic(&name, queues, sys_flag, now);
            self.ensure(&name, plan).await
        })
    }

    fn ensure_group(
        self: Rc<Self>,
        name: String,
    ) -> LocalBoxFuture<'static, Result<bool, Refusal>> {
        Box::pin(async move {
            if self.shard.view.borrow().groups.contains_key(&*name) {
                return Ok(true);
            }
            let now = self.shard.runtime.now_ms();
            let mut known = false;
            let plan = |tables: &Tables| {
                known = tables.groups.get(&name).is_some();
                if known { Ok(None) } else { tables.groups.plan_auto_create(&name, now) }
            };
            let made = self.change(Subject::Group(Arc::from(&*name)), plan).await?;
            Ok(made || known)
        })
    }

    fn persist(
        self: Rc<Self>,
        changes: Vec<MetaChange>,
    ) -> LocalBoxFuture<'static, Result<(), NotWritten>> {
        Box::pin(async move { Control::persist(&self, changes).await })
    }

    fn pick_producers(&self, groups: &[String]) -> Vec<Option<ConnectionId>> {
        let clients = &mut self.tables.borrow_mut().clients;
        groups.iter().map(|group| clients.pick_producer(group)).collect()
    }

    fn look_at_storage(&self) {
        self.storage.look();
    }
}

impl<R: Runtime> Control<R> {
    /// Deletes a topic with its messages; durable when resolved. False: there is none. Its queues
    /// take nothing more from the first step on, so that what is acknowledged meanwhile goes with
    /// it.
    ///
    /// # Errors
    /// If the name is not allowed or the change cannot be written. The topic stays then as it was;
    /// but if the log failed in the midst of it, its messages can be read and none are added until
    /// the next start finds it deleted or not.
    pub async fn delete_topic(&self, name: &str) -> Result<bool, Refusal> {
        let now = self.shard.runtime.now_ms();
        let plan = |ends| self.tables.borrow().topics.plan_delete(name, ends, now);
        let turn = self.begin(Subject::Topic(Arc::from(name))).await;
        // What is not allowed must not disturb the topic.
        plan(Vec::new())?;
        self.metadata.check_no_doubt()?;
        let Some(topic) = self.shard.topic(name) else {
            return Ok(false);
        };
        let deleted = async {
            let (ends, queues) = self.shard.seal_topic(&topic).await?;
            let Some(change) = plan(ends)? else {
                return Ok(false);
            };
            self.carry_out(&turn, &change).await?;
            self.tables.borrow_mut().topics.keep_queues(&topic.topic.name, queues);
            Ok(true)
        };
        let deleted: Result<bool, NotWritten> = deleted.await;
        if let Err(not_written) = &deleted {
            let seal = not_written.in_doubt.then_some(Seal::Doubt);
            self.shard.seal_again(&topic, seal).await;
        }
        deleted.map_err(|not_written| not_written.refusal)
    }

    /// Removes consumer offsets everywhere; durable when resolved.
    pub async fn forget_offsets(
        self: &Rc<Self>,
        topic: Option<String>,
        group: Option<String>,
    ) -> Result<(), Refusal> {
        let which = (topic.clone(), group.clone());
        self.shard.forget_offsets(which.clone()).await;
        let removal = vec![MetaChange::OffsetsDelete { topic, group }];
        let removed = Control::persist(self, removal).await;
        // What was committed meanwhile may stand in front of the removal.
        self.shard.persist_offsets_again(which).await;
        removed.map_err(|not_written| not_written.refusal)
    }

    /// A topic that is there, or is made as `plan` decides. Durable when resolved.
    async fn ensure(
        &self,
        name: &str,
        plan: impl FnOnce(&Tables) -> Result<MetaChange, Refusal>,
    ) -> Result<Arc<TopicView>, Refusal> {
        if let Some(topic) = self.shard.topic(name) {
            return Ok(topic);
        }
        let plan = |tables: &Tables| match tables.topics.get(name) {
            Some(_) => Ok(None),
            None => plan(tables).map(Some),
        };
        self.change(Subject::Topic(Arc::from(name)), plan).await?;
        // Gone again only if it was deleted in the same moment.
        self.shard.topic(name).ok_or_else(|| {
            let remark = format!("topic[{name}] was deleted just now, send again{FAQ}");
            Refusal::new(code::TOPIC_NOT_EXIST, remark)
        })
    }
}

fn plan_auto_create(tables: &Tables, wanted: &AutoCreate, now: i64) -> Result<MetaChange, Refusal> {
    let AutoCreate { topic, default_topic, queues, unit_mode } = wanted;
    let retry = topic.starts_with(topic::RETRY_PREFIX);
    let unit = if retry { topic::SYS_FLAG_UNIT_SUB } else { topic::SYS_FLAG_UNIT };
    let sys_flag = if *unit_mode { unit } else { 0 };
    match tables.topics.plan_auto_create(topic, default_topic, *queues, sys_flag, now)? {
        Some(change) => Ok(change),
        None if retry => tables.topics.plan_internal_topic(topic, 1, sys_flag, now),
        None => Err(Refusal::new(
            code::TOPIC_NOT_EXIST,
            format!("topic[{topic}] not exist, apply first please!{FAQ}"),
        )),
    }
}
