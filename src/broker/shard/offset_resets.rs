//! Consumer offsets that an administrator resets: where the queues of a topic go on, and how that
//! holds although clients commit old offsets at the same moment (`rules/offset_resets`).

use std::{rc::Rc, sync::Arc};

use ringmq_io::Runtime;
use ringmq_rules::{
    meta::MetaChange,
    offsets::OFFSETS_OF_CHANGE_MAX,
    refusal::{Refusal, code},
};
use ringmq_store::{Boundary, QueueHandle, ReadError};

use super::{BrokerLog, Shard};
use crate::{
    injected_bugs::{RESET_LOST, RESET_PAST_TIME, RESET_UNDONE, is_planted},
    messages::{PullRequest, TopicView},
};

/// Where a group goes on in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetTo {
    /// Behind its last message.
    End,
    /// At a time, in milliseconds since 1970.
    Time(i64, Boundary),
    Offset(i64),
}

/// Where each queue goes on, by its id.
pub type Targets = Arc<[(i32, i64)]>;

/// What is to be reset.
#[derive(Clone, Debug)]
pub struct Reset {
    pub topic: Arc<TopicView>,
    pub group: Arc<str>,
    pub to: ResetTo,
    /// This queue only.
    pub queue_id: Option<i32>,
    /// As RocketMQ 5 does it: forward and backward, and whether the group has an offset or not.
    pub whatever: bool,
    /// Goes forward as well.
    pub force: bool,
}

impl<R: Runtime> Shard<R> {
    /// Whether a commit counts: it is not from before a reset.
    #[inline]
    pub(super) fn takes_commit(&self, topic: &str, group: &str, queue: i32, offset: i64) -> bool {
        let resets = self.offset_resets.borrow();
        resets.is_empty()
            || is_planted(RESET_UNDONE)
            || resets.takes(topic, group, queue, offset, self.runtime.monotonic())
    }

    /// `Some`: the pull is to be sent there, since its client did not follow a reset.
    #[inline]
    pub fn reset_of_pull(&self, pull: &PullRequest) -> Option<i64> {
        let mut resets = self.offset_resets.borrow_mut();
        if resets.is_empty() {
            return None;
        }
        let now = self.runtime.monotonic();
        resets.pulled(&pull.topic.topic.name, &pull.group, pull.queue_id, pull.offset, now)
    }

    /// Where each queue would go on. Nothing is changed.
    ///
    /// # Errors
    /// The answer to the request, with Java's texts.
    pub async fn plan_reset(self: &Rc<Self>, reset: Reset) -> Result<Targets, Refusal> {
        let own = async move |shard: Rc<Self>| shard.plan_own_reset(&reset).await;
        let mut all = Vec::new();
        for planned in self.call_all(own).await {
            all.extend(planned?);
        }
        // What shards tell is in order already, which a stable sort makes use of.
        all.sort_by_key(|(queue_id, _)| *queue_id);
        Ok(all.into())
    }

    async fn plan_own_reset(&self, reset: &Reset) -> Result<Vec<(i32, i64)>, Refusal> {
        let topic = &reset.topic;
        let queues = match reset.queue_id {
            Some(queue_id) => queue_id..queue_id.saturating_add(1),
            None if reset.whatever => 0..topic.topic.read_queues,
            None => 0..topic.topic.write_queues,
        };
        let mut planned = Vec::new();
        for queue_id in queues.filter(|queue_id| self.queues.owns(topic, *queue_id)) {
            planned.push((queue_id, self.plan_queue(reset, queue_id).await?));
            self.runtime.yield_if_needed().await;
        }
        self.offset_resets.borrow().check_room(planned.len())?;
        Ok(planned)
    }

    async fn plan_queue(&self, reset: &Reset, queue_id: i32) -> Result<i64, Refusal> {
        let (log, queue) = self.queues.get(&reset.topic, queue_id);
        let (min, max) = log.bounds(queue);
        let to = match reset.to {
            ResetTo::End => max,
            ResetTo::Time(time, boundary) => {
                let offset = offset_by_time(log, queue, time, boundary).await?;
                if is_planted(RESET_PAST_TIME) { max.min(offset + 1) } else { offset }
            }
            ResetTo::Offset(offset) if (min..=max).contains(&offset) => offset,
            ResetTo::Offset(offset) => return Err(out_of_range(offset, min, max)),
        };
        let to = to.max(0);
        if reset.whatever {
            return Ok(to);
        }
        let (name, group) = (&reset.topic.topic.name, &reset.group);
        let stored = self.offsets.borrow().query(name, group, queue_id);
        let stored = stored.ok_or_else(|| not_stored(group))?;
        Ok(if reset.force { to } else { to.min(stored) })
    }

    /// Has a group go on at these offsets. Durable when resolved.
    ///
    /// # Errors
    /// If the table of offsets is full, or the change cannot be written; some of the queues may be
    /// reset then.
    pub async fn reset_offsets(
        self: &Rc<Self>,
        topic: &Arc<TopicView>,
        group: &Arc<str>,
        offsets: &Targets,
    ) -> Result<(), Refusal> {
        let (own, of_topic, of_group) = (offsets.clone(), topic.clone(), group.clone());
        let reset = async move |shard: Rc<Self>| shard.reset_own(&of_topic, &of_group, &own).await;
        self.call_all(reset).await.into_iter().collect::<Result<(), Refusal>>()?;
        if is_planted(RESET_LOST) {
            return Ok(());
        }
        // What a shard persists from now on has them as well.
        self.persist_now(&topic.topic.name, group, offsets).await
    }

    async fn reset_own(
        &self,
        topic: &TopicView,
        group: &str,
        offsets: &[(i32, i64)],
    ) -> Result<(), Refusal> {
        let (now, name) = (self.runtime.monotonic(), &topic.topic.name);
        for (queue_id, offset) in offsets.iter().filter(|(id, _)| self.queues.owns(topic, *id)) {
            self.store_offset(name, group, *queue_id, *offset)?;
            self.usage.forget_next_pull(topic, group, *queue_id);
            self.offset_resets.borrow_mut().put(name, group, *queue_id, *offset, now);
            self.runtime.yield_if_needed().await;
        }
        Ok(())
    }

    /// Makes offsets durable that are in the tables of their shards.
    ///
    /// # Errors
    /// If they cannot be written; they become durable later, if ever.
    pub async fn persist_now(
        self: &Rc<Self>,
        topic: &Arc<str>,
        group: &Arc<str>,
        offsets: &[(i32, i64)],
    ) -> Result<(), Refusal> {
        let changes = offsets.chunks(OFFSETS_OF_CHANGE_MAX).map(|some| {
            let (topic, group) = (topic.clone(), group.clone());
            MetaChange::Offsets { topic, group, offsets: some.to_vec() }
        });
        let written = self.persist(changes.collect()).await;
        written.map_err(|not_written| not_written.refusal)
    }

    /// No client of the group is there any more that could commit what it had before a reset.
    pub async fn forget_resets(self: &Rc<Self>, topic: &str, group: &str) {
        let (topic, group) = (topic.to_owned(), group.to_owned());
        let forget = async move |shard: Rc<Self>| {
            shard.offset_resets.borrow_mut().forget(Some(&topic), Some(&group));
        };
        self.call_all(forget).await;
    }
}

/// The offset of a queue that a time stands for, tried again if messages are given up meanwhile.
pub async fn offset_by_time<R: Runtime>(
    log: &BrokerLog<R>,
    queue: QueueHandle,
    time: i64,
    boundary: Boundary,
) -> Result<i64, Refusal> {
    let find = async || log.offset_by_time(queue, time, boundary).await;
    let mut found = find().await;
    if matches!(found, Err(ReadError::Removed { .. })) {
        found = find().await;
    }
    found.map_err(|error| Refusal::system_error(error.to_string()))
}

#[cold]
fn not_stored(group: &str) -> Refusal {
    Refusal::system_error(format!("THe consumer group <{group}> not exist"))
}

#[cold]
fn out_of_range(offset: i64, min: i64, max: i64) -> Refusal {
    let remark = format!("Target offset {offset} not in consume queue range [{min}-{max}]");
    Refusal::new(code::SYSTEM_ERROR, remark)
}
