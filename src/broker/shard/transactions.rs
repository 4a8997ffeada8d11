//! The half messages of the logs of this shard: which are decided, and the one place that decides.
//!
//! A decision counts from the moment in which it is appended, which is one moment with asking
//! whether there was one before: nothing is waited for in between. What is appended then is durable
//! as one with whatever stands behind it in the log, or the log has failed, and a start tells.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    sync::Arc,
};

use ringmq_base::{LogId, PhysicalOffset, record::NewRecord};
use ringmq_io::{
    Runtime,
    signal::{Notify, OneshotReceiver, oneshot},
};
use ringmq_remoting::codes::response;
use ringmq_rules::{
    refusal::Refusal,
    send_check::unknown_topic,
    topic::{CHECKED_OUT_TOPIC, HALF_TOPIC, OPERATION_HALF_TOPIC},
    transaction::{self, Decision, Half, HalfQueue, StoredWith, Sweeps},
};
use ringmq_store::{AppendError, Appended, QueueHandle};

use super::{BrokerLog, Shard, acks::Ticket};
use crate::{
    injected_bugs::{COMMIT_TWICE, DECISION_LOST, is_planted},
    messages::{StoredAt, TopicView},
};

/// The transactions of one log.
#[derive(Default)]
pub struct LogTransactions {
    pub halves: HalfQueue,
    pub sweeps: Sweeps,
    /// All decisions of the log are known.
    ready: bool,
}

/// The transactions of the logs of a shard.
#[derive(Default)]
pub struct Transactions {
    logs: RefCell<BTreeMap<LogId, LogTransactions>>,
    changed: Notify,
    /// Messages of decisions that a crash had cut off, and that this start has stored anew.
    pub repaired: Cell<u32>,
}

impl Transactions {
    /// What was durable when the broker ended: all before `first` are decided.
    pub fn open(&self, log: LogId, first: i64, sweeps: Sweeps) {
        let halves = HalfQueue::new(first);
        self.logs.borrow_mut().insert(log, LogTransactions { halves, sweeps, ready: false });
    }

    /// Works on the transactions of a log of this shard.
    pub fn with<T>(&self, log: LogId, work: impl FnOnce(&mut LogTransactions) -> T) -> T {
        work(self.logs.borrow_mut().entry(log).or_default())
    }

    /// Notes a decision that the log has.
    pub fn note(&self, log: LogId, half: i64) {
        if !is_planted(DECISION_LOST) {
            self.with(log, |own| own.halves.decide(half));
        }
    }

    /// All decisions of a log have been noted.
    pub fn set_ready(&self, log: LogId) {
        self.with(log, |own| own.ready = true);
        self.changed.notify();
    }

    /// Resolves when all decisions of a log are known.
    pub async fn ready(&self, log: LogId) {
        while !self.with(log, |own| own.ready) {
            self.changed.wait().await;
        }
    }
}

/// A message that is stored with a decision.
struct WithDecision<'a> {
    queue: QueueHandle,
    record: NewRecord<'a>,
    tags_code: i64,
}

impl<R: Runtime> Shard<R> {
    /// A topic of the broker that has a queue on each log, and that queue of a log of this shard.
    pub fn queue_on(
        &self,
        topic: &str,
        log: LogId,
    ) -> Result<(Arc<TopicView>, i32, QueueHandle), Refusal> {
        let missing = || Refusal::system_error(format!("the topic {topic} is missing"));
        let topic = self.topic(topic).ok_or_else(missing)?;
        let queue_id = topic.queue_on(log, self.queues.log_count());
        let (_, queue) = self.queues.get(&topic, queue_id);
        Ok((topic, queue_id, queue))
    }

    /// Transactions of a log of this shard that are open.
    pub fn open_transactions(&self, log: &BrokerLog<R>) -> i64 {
        let id = log.sink().log;
        let queue = self.half_queue(id);
        let next = queue.map_or(0, |queue| log.next_offset(queue));
        self.transactions.with(id, |own| own.halves.undecided(next))
    }

    /// The half messages of a log of this shard.
    pub fn half_queue(&self, log: LogId) -> Result<QueueHandle, Refusal> {
        Ok(self.queue_on(HALF_TOPIC, log)?.2)
    }

    /// Whether one more half message may be stored.
    ///
    /// # Errors
    /// SYSTEM_BUSY, if too many were stored since the oldest that is undecided.
    pub fn check_half_room(&self, log: &BrokerLog<R>, queue: QueueHandle) -> Result<(), Refusal> {
        let (id, limit) = (log.sink().log, self.settings.halves_max);
        let behind = log.next_offset(queue) - self.transactions.with(id, |own| own.halves.first());
        if behind < limit { Ok(()) } else { Err(too_many(id, behind, limit)) }
    }

    /// Decides about a half message of a log of this shard, once and for all. Durable when
    /// resolved, and what is stored with it can be read.
    ///
    /// # Errors
    /// If it is decided already, which is durable then as well; or if the decision, or what goes
    /// with it, cannot be stored: then it is undecided, unless the log has failed.
    pub async fn decide(
        self: &Rc<Self>,
        log: LogId,
        half: &Half<'_>,
        decision: Decision,
    ) -> Result<(), Refusal> {
        let target = self.target(log, half, decision)?;
        let own = self.queues.log(log).ok_or_else(transaction::no_half)?;
        loop {
            own.room().await;
            self.check_undecided(own, half.record.queue_offset).await?;
            if let Some((topic, _)) = &target {
                self.check_seal(topic)?;
            }
            if let Some(stored) = self.try_decide(own, half, target.as_ref())? {
                let stored = stored.await;
                let closed = || Err(Refusal::system_error("the log was closed"));
                return stored.unwrap_or_else(closed).map(drop);
            }
        }
    }

    /// Notes that a half message is decided without anything that goes with it: one that cannot be
    /// read any more. Durable when resolved.
    ///
    /// # Errors
    /// As [`Shard::decide`].
    pub async fn drop_half(self: &Rc<Self>, log: LogId, half: i64) -> Result<(), Refusal> {
        let own = self.queues.log(log).ok_or_else(transaction::no_half)?;
        loop {
            own.room().await;
            if let Some(stored) = self.append_decision(own, half, None, None)? {
                let closed = || Err(Refusal::system_error("the log was closed"));
                return stored.await.unwrap_or_else(closed).map(drop);
            }
        }
    }

    /// Nobody hears of a decision that a crash can take back.
    async fn check_undecided(&self, log: &BrokerLog<R>, half: i64) -> Result<(), Refusal> {
        let id = log.sink().log;
        let is_decided = self.transactions.with(id, |own| own.halves.is_decided(half));
        if !is_decided || is_planted(COMMIT_TWICE) {
            return Ok(());
        }
        log.synced().await.map_err(|error| {
            let remark = format!("service not available now. log {id}: {error}");
            Refusal::new(response::SERVICE_NOT_AVAILABLE, remark)
        })?;
        Err(transaction::is_decided(half))
    }

    /// Where the message goes that is stored with a decision.
    fn target(
        &self,
        log: LogId,
        half: &Half<'_>,
        decision: Decision,
    ) -> Result<Option<(Arc<TopicView>, i32)>, Refusal> {
        match decision {
            Decision::Rollback => Ok(None),
            Decision::Commit => {
                let topic = self.topic(half.real_topic);
                let topic = topic.ok_or_else(|| unknown_topic(half.real_topic))?;
                if topic.log(half.real_queue, self.queues.log_count()) != log {
                    return Err(transaction::moved(half.real_topic));
                }
                Ok(Some((topic, half.real_queue)))
            }
            Decision::GiveUp => {
                let (topic, queue_id, _) = self.queue_on(CHECKED_OUT_TOPIC, log)?;
                Ok(Some((topic, queue_id)))
            }
        }
    }

    /// Appends a decision, and what goes with it; `None`: the log is busy.
    fn try_decide(
        &self,
        log: &BrokerLog<R>,
        half: &Half<'_>,
        target: Option<&(Arc<TopicView>, i32)>,
    ) -> Result<Option<OneshotReceiver<Result<StoredAt, Refusal>>>, Refusal> {
        let Some((topic, queue_id)) = target else {
            return self.append_decision(log, half.record.queue_offset, None, None);
        };
        let (_, queue) = self.queues.get(topic, *queue_id);
        let stored = StoredWith {
            topic: &topic.topic.name,
            queue_id: *queue_id,
            offset: log.next_offset(queue),
        };
        let properties = half.ended_properties(stored.topic, &self.live().transactions);
        let record = self.ended(half, &stored, &properties);
        let message = WithDecision { queue, record, tags_code: half.tags_code() };
        self.append_decision(log, half.record.queue_offset, Some(stored), Some(message))
    }

    /// What a half message becomes in the queue that it is for, or in that of those given up.
    pub fn ended<'a>(
        &self,
        half: &Half<'a>,
        stored: &StoredWith<'a>,
        properties: &'a [u8],
    ) -> NewRecord<'a> {
        let record = half.record;
        let (sys_flag, prepared_transaction_offset) = match stored.topic {
            CHECKED_OUT_TOPIC => (record.sys_flag, 0),
            _ => (half.committed_flag(), record.physical_offset),
        };
        NewRecord {
            topic: stored.topic,
            queue_id: stored.queue_id,
            flag: record.flag,
            sys_flag,
            born_timestamp: record.born_timestamp,
            born_host: record.born_host,
            store_host: self.settings.store_host,
            reconsume_times: record.reconsume_times,
            prepared_transaction_offset,
            body: record.body,
            properties: [properties, b"", b""],
        }
    }

    fn append_decision(
        &self,
        log: &BrokerLog<R>,
        half: i64,
        stored: Option<StoredWith<'_>>,
        message: Option<WithDecision<'_>>,
    ) -> Result<Option<OneshotReceiver<Result<StoredAt, Refusal>>>, Refusal> {
        let id = log.sink().log;
        let is_decided = self.transactions.with(id, |own| own.halves.is_decided(half));
        if is_decided && !is_planted(COMMIT_TWICE) {
            return Err(transaction::is_decided(half));
        }
        let (topic, queue_id, queue) = self.queue_on(OPERATION_HALF_TOPIC, id)?;
        let properties = transaction::decision_properties(stored)?;
        let body = half.to_string();
        let now = self.runtime.now_ms();
        let decision = NewRecord {
            topic: &topic.topic.name,
            queue_id,
            flag: 0,
            sys_flag: 0,
            born_timestamp: now,
            born_host: self.settings.store_host,
            store_host: self.settings.store_host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: body.as_bytes(),
            properties: [&properties, b"", b""],
        };
        // The half's offset stands for the tag: a start reads entries, and no records.
        let first = std::iter::once((queue, decision, half));
        let message = message.map(|with| (with.queue, with.record, with.tags_code));
        let (sender, stored) = oneshot();
        let ticket = |all: &[Appended]| {
            let last = all.last()?;
            let stored = StoredAt { queue_offset: last.queue_offset, physical: last.physical };
            Some(Ticket::Internal(sender, stored))
        };
        let appended = self.append(|| log.append_unit(now, first.chain(message), ticket));
        match appended {
            Ok(_) => {
                self.transactions.with(id, |own| own.halves.decide(half));
                Ok(Some(stored))
            }
            Err(AppendError::Busy { .. }) => Ok(None),
            Err(error) => Err(self.refusal_of(&error)),
        }
    }

    /// The log of this shard that a physical offset is in.
    pub fn own_log_of(&self, physical: PhysicalOffset) -> Option<&BrokerLog<R>> {
        self.queues.log(physical.log())
    }
}

#[cold]
fn too_many(log: LogId, behind: i64, limit: i64) -> Refusal {
    let remark = format!(
        "[OVERLOAD]system busy, start flow control for a while: {behind} half messages of log \
         {log} were stored since the oldest that is undecided, the limit is {limit} (8 for each \
         byte of the key transactionStateBytesMax); commit or roll back older transactions, or \
         wait until they are given up"
    );
    Refusal::new(response::SYSTEM_BUSY, remark)
}
