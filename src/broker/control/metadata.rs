//! Changes of topics, groups and consumer offsets: each is in the tables and told to the other
//! shards only when the metadata log has it on stable storage; what cannot be written is taken
//! back.

mod pieces;
mod snapshot;
mod topic_places;

#[cfg(test)]
mod tests;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    sync::Arc,
};

use ahash::{AHashMap, AHashSet};
use ringmq_io::{Runtime, signal::Notify};
use ringmq_net::turn;
use ringmq_rules::{
    meta::MetaChange,
    offsets::{ENTRIES_AT_ONCE_MAX, ListedTo, OffsetTable},
    refusal::Refusal,
    timer::wheel::Frontier,
    topics::Topic,
};
use ringmq_store::MetaLog;

use self::{snapshot::Snapshot, topic_places::TopicPlaces};
use super::{Control, Tables};
use crate::{
    messages::{Change, Message, TopicView},
    shard::{
        control_plane::{NotWritten, refusal_of},
        queue_starts::SLICE_QUEUES,
    },
};

/// The metadata log is rewritten when it is this many times larger than what it says.
const REWRITE_FACTOR: u64 = 8;
/// Size below which rewriting is not worth it.
const REWRITE_BYTES_MIN: u64 = 8 * 1024 * 1024;

/// What a change is about. Changes of one thing are made one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    Topic(Arc<str>),
    Group(Arc<str>),
    /// Keys of the configuration.
    Keys,
    /// Who of a group has locked which queues.
    Locks(Arc<str>),
}

pub struct Metadata<R: Runtime> {
    runtime: R,
    log: MetaLog<R>,
    topic_places: RefCell<TopicPlaces>,
    /// As last persisted.
    offsets: RefCell<OffsetTable>,
    delay_offsets: RefCell<BTreeMap<i32, i64>>,
    /// By log: the last [`MetaChange::Transactions`].
    transactions: RefCell<BTreeMap<u16, MetaChange>>,
    /// By queue of the timer topic.
    timer_frontiers: RefCell<BTreeMap<i32, Frontier>>,
    /// Changes that are in the tables and not yet durable.
    pending: RefCell<AHashSet<Subject>>,
    /// Who changes a subject, and who waits for that: there may be very many.
    lines: RefCell<AHashMap<Subject, Rc<turn::Turn>>>,
    /// Calls of [`Control::persist`] under way.
    persisting: Cell<usize>,
    /// A pending change is durable and told to all, or was taken back; or a persist has ended.
    settled: Notify,
    /// New changes and persists wait until the log is rewritten.
    rewriting: Cell<bool>,
    rewritten: Notify,
    snapshot_bytes: Cell<u64>,
}

impl<R: Runtime> Metadata<R> {
    pub fn new(runtime: R, log: MetaLog<R>) -> Metadata<R> {
        Metadata {
            runtime,
            log,
            topic_places: RefCell::default(),
            offsets: RefCell::default(),
            delay_offsets: RefCell::default(),
            transactions: RefCell::default(),
            timer_frontiers: RefCell::default(),
            pending: RefCell::default(),
            persisting: Cell::new(0),
            lines: RefCell::default(),
            settled: Notify::default(),
            rewriting: Cell::new(false),
            rewritten: Notify::default(),
            snapshot_bytes: Cell::new(0),
        }
    }

    /// A topic as all shards see it.
    pub fn topic_view(&self, topic: &Topic) -> Arc<TopicView> {
        let (id, slot) = self.topic_places.borrow_mut().of(&topic.name);
        Arc::new(TopicView { id, slot, topic: topic.clone() })
    }

    /// Persisted consumer offsets of the queues that `wanted` names, and all cursors of the
    /// broker's own.
    pub fn offsets_of(&self, wanted: impl Fn(&str, i32) -> bool) -> Vec<MetaChange> {
        let mut changes = self.offsets.borrow().list(None, &mut ListedTo::default(), usize::MAX);
        changes.retain_mut(|change| {
            let MetaChange::Offsets { topic, offsets, .. } = change else { return false };
            offsets.retain(|(queue, _)| wanted(topic, *queue));
            !offsets.is_empty()
        });
        changes.extend(self.own_cursors());
        changes
    }

    /// How far delayed messages, those with a time, and transactions are, as changes.
    fn own_cursors(&self) -> impl Iterator<Item = MetaChange> {
        let cursors = self.delay_offsets.borrow().clone().into_iter();
        let delays = cursors.map(|(level, offset)| MetaChange::DelayOffset { level, offset });
        let timers = self.timer_frontiers.borrow().clone().into_iter();
        let timers = timers.map(|(queue, frontier)| MetaChange::TimerFrontier { queue, frontier });
        delays.chain(timers).chain(self.transactions.borrow().clone().into_values())
    }

    /// By delay level: the next message to deliver, as last persisted.
    pub fn delay_offsets(&self) -> BTreeMap<i32, i64> {
        self.delay_offsets.borrow().clone()
    }

    /// Appends changes to the log, in pieces that share no failure. Durable when resolved.
    ///
    /// # Errors
    /// With the changes that are not in the log; all others are durable, whatever their order.
    pub async fn write(&self, changes: &[MetaChange]) -> Result<(), NotWritten> {
        let mut not_written: Option<NotWritten> = None;
        let mut rest = changes;
        while !rest.is_empty() {
            let records = match pieces::long(rest) {
                Some(change) => vec![self.runtime.aside(move || pieces::encode(&change)).await],
                None => pieces::first(rest),
            };
            let (changes, behind) = rest.split_at(records.len());
            rest = behind;
            let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
            match self.log.append(&records).await {
                Ok(()) => {
                    for change in changes {
                        self.note_written(change).await;
                    }
                }
                Err(error) => {
                    let because = || NotWritten::because(&error);
                    not_written.get_or_insert_with(because).add(&error, changes);
                }
            }
            if !rest.is_empty() {
                self.runtime.yield_if_needed().await;
            }
        }
        not_written.map_or(Ok(()), Err)
    }

    /// Notes what an offset change says, which is durable, with pauses.
    async fn note_written(&self, change: &MetaChange) {
        if let MetaChange::OffsetsDelete { topic, group } = change {
            let (topic, group) = (topic.as_deref(), group.as_deref());
            while !self.offsets.borrow_mut().remove(topic, group, ENTRIES_AT_ONCE_MAX) {
                self.runtime.yield_if_needed().await;
            }
            return;
        }
        self.note_offsets(change);
    }

    async fn not_rewriting(&self) {
        while self.rewriting.get() {
            self.rewritten.wait().await;
        }
    }

    /// Whether the tables say what a crash leaves.
    ///
    /// # Errors
    /// When the log has failed: what was refused then, and taken back, may be in it.
    pub fn check_no_doubt(&self) -> Result<(), Refusal> {
        self.log.fenced().map_or(Ok(()), |fenced| Err(refusal_of(&fenced)))
    }

    /// Notes what an offset change says, which is durable.
    fn note_offsets(&self, change: &MetaChange) {
        match change {
            MetaChange::DelayOffset { level, offset } => {
                self.delay_offsets.borrow_mut().insert(*level, *offset);
            }
            MetaChange::Transactions { log, .. } => {
                self.transactions.borrow_mut().insert(*log, change.clone());
            }
            MetaChange::TimerFrontier { queue, frontier } => {
                self.timer_frontiers.borrow_mut().insert(*queue, *frontier);
            }
            other => self.offsets.borrow_mut().apply(other),
        }
    }

    /// The last step of the control shard.
    pub async fn close(&self) {
        if let Err(error) = self.log.clone().close().await {
            tracing::error!(%error, "metadata log not closed cleanly");
        }
    }
}

/// A persist under way.
struct Persisting<'a, R: Runtime>(&'a Metadata<R>);

impl<R: Runtime> Drop for Persisting<'_, R> {
    fn drop(&mut self) {
        self.0.persisting.set(self.0.persisting.get() - 1);
        self.0.settled.notify();
    }
}

/// The right to change a subject.
pub struct Turn<'a, R: Runtime> {
    metadata: &'a Metadata<R>,
    subject: Subject,
    in_line: turn::Whole,
}

impl<R: Runtime> Drop for Turn<'_, R> {
    fn drop(&mut self) {
        self.metadata.pending.borrow_mut().remove(&self.subject);
        if self.in_line.holders() == 1 {
            // The table only.
            self.metadata.lines.borrow_mut().remove(&self.subject);
        }
        self.metadata.settled.notify();
    }
}

impl<R: Runtime> Control<R> {
    /// Carries a durable change out in the tables, without telling anybody.
    pub fn apply(&self, change: &MetaChange) {
        let mut tables = self.tables.borrow_mut();
        tables.topics.apply(change);
        tables.groups.apply(change);
        tables.keys.apply(change);
        tables.locks.restore(change, self.lock_time());
        self.metadata.note_offsets(change);
    }

    /// Whether a topic of the table is there after a crash, in this version or the one before.
    pub fn is_durable(&self, topic: &Arc<str>) -> bool {
        let pending = self.metadata.pending.borrow();
        !pending.contains(&Subject::Topic(topic.clone()))
            || self.shard.view.borrow().topics.contains_key(topic)
    }

    /// Makes the change that `plan` decides on, if it decides on one: durable and told to all
    /// shards when resolved. Changes of one subject are planned one after the other. True if there
    /// was one.
    ///
    /// # Errors Those of `plan`, or why the change cannot be written; it is taken back then.
    pub async fn change(
        &self,
        subject: Subject,
        plan: impl FnOnce(&Tables) -> Result<Option<MetaChange>, Refusal>,
    ) -> Result<bool, Refusal> {
        let turn = self.begin(subject).await;
        let planned = plan(&self.tables.borrow())?;
        match planned {
            Some(change) => {
                let done = self.carry_out(&turn, &change).await;
                done.map(|()| true).map_err(|not_written| not_written.refusal)
            }
            None => Ok(false),
        }
    }

    /// Waits until no other change of a subject is under way, in the order of coming. Its changes
    /// wait for this one until the turn is dropped.
    pub async fn begin(&self, subject: Subject) -> Turn<'_, R> {
        let metadata = &self.metadata;
        let line = metadata.lines.borrow_mut().entry(subject.clone()).or_default().clone();
        let in_line = line.take_whole().await;
        drop(line);
        metadata.not_rewriting().await;
        metadata.pending.borrow_mut().insert(subject.clone());
        Turn { metadata, subject, in_line }
    }

    /// Makes a change durable and tells all shards. Whoever plans next has to see it, so it is in
    /// the tables while it is written.
    ///
    /// # Errors
    /// Why it cannot be written; it is taken back then. When that is in doubt, a start may find it
    /// all the same.
    pub async fn carry_out(
        &self,
        turn: &Turn<'_, R>,
        change: &MetaChange,
    ) -> Result<(), NotWritten> {
        let undo = self.entry(&turn.subject);
        self.apply(change);
        assert!(
            self.metadata.pending.borrow().contains(&turn.subject),
            "a subject is changed by whoever has its turn"
        );
        let written = self.metadata.write(std::slice::from_ref(change)).await;
        match &written {
            Ok(()) => {
                self.record_long_deletion(change).await;
                if let Some(shared) = self.shared(change) {
                    self.publish(shared);
                }
                self.registrar.changed(change);
            }
            Err(_) => undo(&mut self.tables.borrow_mut()),
        }
        written
    }

    /// Takes what a deleted topic of very many queues had away before all shards forget the topic.
    async fn record_long_deletion(&self, change: &MetaChange) {
        if let MetaChange::TopicDelete { topic, first_log: Some(first_log), ends, .. } = change
            && ends.len() > SLICE_QUEUES
        {
            let ends = ends.as_slice().into();
            self.shard.record_long_deletion(topic, *first_log, &ends).await;
        }
    }

    /// What puts a subject back to what it is now.
    fn entry(&self, subject: &Subject) -> Box<dyn FnOnce(&mut Tables)> {
        let tables = self.tables.borrow();
        match subject {
            Subject::Topic(name) => {
                let entry = tables.topics.entry(name);
                Box::new(|tables| tables.topics.restore(entry))
            }
            Subject::Group(name) => {
                let (name, before) = (name.clone(), tables.groups.get(name).cloned());
                Box::new(move |tables| tables.groups.restore(&name, before))
            }
            Subject::Keys => {
                let before = tables.keys.clone();
                Box::new(move |tables| tables.keys = before)
            }
            // Whoever locks takes it back.
            Subject::Locks(_) => Box::new(|_| {}),
        }
    }

    fn shared(&self, change: &MetaChange) -> Option<Change> {
        Some(match change {
            MetaChange::TopicPut { topic, .. } => Change::Topic(self.metadata.topic_view(topic)),
            MetaChange::TopicDelete { topic, ends, .. } => {
                self.metadata.topic_places.borrow_mut().leave(topic);
                // Of a long one they are recorded already.
                let ends = Some(ends.as_slice()).filter(|ends| ends.len() <= SLICE_QUEUES);
                Change::TopicRemoved(topic.clone(), ends.unwrap_or_default().into())
            }
            MetaChange::GroupPut { group, .. } => Change::Group(Arc::new(group.clone())),
            MetaChange::GroupDelete { group, .. } => Change::GroupRemoved(group.clone()),
            MetaChange::Keys { .. } => Change::Live(self.live_settings()),
            _ => return None,
        })
    }

    /// Tells all shards, this one at once, the others before anything that is sent to them, or
    /// received from somebody who heard an answer, after it.
    pub fn publish(&self, change: Change) {
        let shard = &self.shard;
        shard.view_version.publish();
        for peer in shard.router.peers() {
            shard.router.answer(peer, Message::Change(change.clone()));
        }
        shard.apply(change);
        shard.view_version.applied();
    }

    /// Writes changes that are in no table that others read, such as consumer offsets. Durable when
    /// resolved. Must not be called by whoever has a [`Turn`]: a rewrite would wait for both.
    ///
    /// # Errors
    /// With the changes that are not written; all others are durable.
    pub async fn persist(self: &Rc<Self>, changes: Vec<MetaChange>) -> Result<(), NotWritten> {
        let metadata = &self.metadata;
        // What a rewrite begins with has to know of all that it replaces.
        metadata.not_rewriting().await;
        metadata.persisting.set(metadata.persisting.get() + 1);
        let _until_noted = Persisting(metadata);
        self.metadata.write(&changes).await?;
        let snapshot_bytes = self.metadata.snapshot_bytes.get();
        let limit = REWRITE_BYTES_MIN.max(snapshot_bytes * REWRITE_FACTOR);
        if self.metadata.log.bytes() > limit && !self.metadata.rewriting.replace(true) {
            let control = self.clone();
            let runtime = self.shard.runtime.clone();
            runtime.spawn(ringmq_io::Shares::Admin, "metadata rewrite", async move {
                control.rewrite().await;
                control.metadata.rewriting.set(false);
                control.metadata.rewritten.notify();
            });
        }
        Ok(())
    }

    /// Starts the metadata log anew with what holds now.
    async fn rewrite(self: &Rc<Self>) {
        let metadata = &self.metadata;
        // What is pending may still be taken back; what is persisted is not noted yet.
        while !metadata.pending.borrow().is_empty() || metadata.persisting.get() > 0 {
            metadata.settled.wait().await;
        }
        let mut snapshot = Snapshot::new(self.clone());
        match metadata.log.rewrite(move || snapshot.next()).await {
            Ok(()) => metadata.snapshot_bytes.set(metadata.log.bytes()),
            Err(error) => tracing::error!(%error, "metadata log not rewritten"),
        }
    }
}
