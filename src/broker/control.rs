//! The control shard's own state: topics, groups, clients and locks, the metadata log that keeps
//! what must survive, and the stream of changes to all shards.

pub mod log_facts;
pub mod registration;
pub mod retention;
pub mod statistics;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use ahash::AHashMap;
use ringmq_base::ShardId;
use ringmq_io::{
    Runtime, Shares,
    signal::{Event, Notify},
};
use ringmq_remoting::body::MessageQueue;
use ringmq_store::{META_DIRECTORY, Manifest, MetaLog};

use crate::{
    control::registration::Registrar,
    messages::{Message, Start, ask::AutoCreate},
    shard::{
        Shard,
        view::{Change, TopicView},
    },
};
use ringmq_rules::{
    ConnectionId,
    clients::ClientTable,
    groups::SubscriptionGroupTable,
    locks::QueueLocks,
    meta::MetaChange,
    rates::{Rates, SAMPLE_MS},
    refusal::{FAQ, Refusal, code},
    topic,
    topics::{TopicSettings, TopicTable},
    write_times::RecentWrites,
};

/// The metadata log is rewritten when it is this much larger than what it says.
const REWRITE_FACTOR: u64 = 8;
/// Size below which rewriting is not worth it.
const REWRITE_BYTES_MIN: u64 = 8 * 1024 * 1024;

pub struct Tables {
    pub topics: TopicTable,
    pub groups: SubscriptionGroupTable,
    pub clients: ClientTable,
    pub locks: QueueLocks<MessageQueue>,
}

/// Consumer offsets as last persisted, by (topic, group) and queue.
type Offsets = BTreeMap<(Arc<str>, Arc<str>), BTreeMap<i32, i64>>;

pub struct Control<R: Runtime> {
    pub tables: RefCell<Tables>,
    pub registrar: Registrar,
    shard: Weak<Shard<R>>,
    meta: MetaLog<R>,
    topic_ids: RefCell<AHashMap<Arc<str>, u32>>,
    next_topic_id: Cell<u32>,
    offsets: RefCell<Offsets>,
    delay_offsets: RefCell<BTreeMap<i32, i64>>,
    /// A change is durable and told to all, or has failed.
    published: Notify,
    /// The metadata log could not be written.
    failed: Cell<bool>,
    later: RefCell<Vec<MetaChange>>,
    later_added: Event,
    finished: Cell<usize>,
    finished_changed: Event,
    snapshot_bytes: Cell<u64>,
    pub rates: RefCell<Rates>,
    pub recent_writes: RefCell<RecentWrites>,
}

impl<R: Runtime> Control<R> {
    /// Opens the store's metadata and tells the other shards what to start from. The error is a
    /// sentence for the operator.
    pub async fn open(shard: &Rc<Shard<R>>) -> Result<Start, String> {
        let (manifest, meta, records) = open_store(shard).await?;
        let logs = manifest.logs;
        let config = &shard.facts.config;
        let settings = TopicSettings {
            logs,
            broker_name: config.broker_name.clone(),
            cluster_name: config.broker_cluster_name.clone(),
            auto_create_topic: config.auto_create_topic_enable,
            default_topic_queues: config.default_topic_queue_nums as i32,
            cluster_topic_enable: config.cluster_topic_enable,
            broker_topic_enable: config.broker_topic_enable,
            trace_topic_enable: config.trace_topic_enable,
            trace_topic: config.msg_trace_topic_name.clone(),
        };
        let tables = Tables {
            topics: TopicTable::new(settings),
            groups: SubscriptionGroupTable::new(config.auto_create_subscription_group),
            clients: ClientTable::default(),
            locks: QueueLocks::default(),
        };
        let control = Rc::new(Control {
            tables: RefCell::new(tables),
            registrar: Registrar::new(&shard.facts),
            shard: Rc::downgrade(shard),
            meta,
            topic_ids: RefCell::default(),
            next_topic_id: Cell::new(0),
            offsets: RefCell::default(),
            delay_offsets: RefCell::default(),
            published: Notify::default(),
            failed: Cell::new(false),
            later: RefCell::default(),
            later_added: Event::default(),
            finished: Cell::new(0),
            finished_changed: Event::default(),
            snapshot_bytes: Cell::new(0),
            rates: RefCell::new(Rates::new(shard.runtime.now_ms())),
            recent_writes: RefCell::new(RecentWrites::new(shard.runtime.now_ms())),
        });
        for record in &records {
            let change = serde_json::from_slice(record).map_err(|error| {
                format!(
                    "a record of the metadata log is not known to this version ({error}); the \
                     store was written by a newer RingMQ: start that version"
                )
            })?;
            control.note(&change);
        }
        control.add_system_topics(shard.runtime.now_ms()).await?;
        let start = control.start_of(&manifest, shard.id, shard);
        for peer in shard.router.peers() {
            let start = Box::new(control.start_of(&manifest, peer, shard));
            shard.router.post(peer, Message::Start(start));
        }
        shard.router.flush();
        assert!(shard.control.set(control).is_ok(), "opened once");
        Ok(start)
    }

    async fn add_system_topics(&self, now: i64) -> Result<(), String> {
        let changes = self.tables.borrow().topics.plan_system_topics(now);
        for change in &changes {
            self.note(change);
        }
        self.write(&changes).await.map_err(|refusal| refusal.remark)
    }

    fn start_of(&self, manifest: &Manifest, to: ShardId, shard: &Shard<R>) -> Start {
        let logs = manifest.logs;
        let tables = self.tables.borrow();
        let topics = tables.topics.iter().map(|topic| {
            let view = TopicView { id: self.topic_id(&topic.name), topic: (**topic).clone() };
            Change::Topic(Arc::new(view))
        });
        let groups = tables.groups.iter().map(|group| Change::Group(group.clone()));
        let permission = Change::Permission(shard.facts.config.broker_permission);
        let changes: Vec<_> = topics.chain(groups).chain([permission]).collect();
        let shards = shard.router.shards() as u16;
        let owner = |topic: &str, queue_id: i32| {
            let first = tables.topics.get(topic).map_or(0, |topic| topic.first_log);
            let queue = u32::try_from(queue_id).unwrap_or(0);
            let log = (u32::from(first) + queue) % u32::from(logs);
            ShardId(log as u16 % shards)
        };
        let mut offsets = Vec::new();
        for ((topic, group), queues) in &*self.offsets.borrow() {
            let queues = queues.iter().filter(|(queue, _)| owner(topic, **queue) == to);
            let own: Vec<_> = queues.map(|(queue, offset)| (*queue, *offset)).collect();
            if !own.is_empty() {
                let (topic, group) = (topic.clone(), group.clone());
                offsets.push(MetaChange::Offsets { topic, group, offsets: own });
            }
        }
        let delays = self.delay_offsets.borrow();
        let delays = delays
            .iter()
            .map(|(level, offset)| MetaChange::DelayOffset { level: *level, offset: *offset });
        offsets.extend(delays);
        let buried = tables.topics.deleted().map(|(name, deleted)| (name.clone(), deleted.clone()));
        let buried = buried.collect();
        Start { logs, store_id: manifest.store_id, changes, offsets, buried }
    }

    /// Carries a change out in the tables, without telling anybody.
    fn note(&self, change: &MetaChange) {
        let mut tables = self.tables.borrow_mut();
        tables.topics.apply(change);
        tables.groups.apply(change);
        let mut all = self.offsets.borrow_mut();
        match change {
            MetaChange::Offsets { topic, group, offsets } => {
                let queues = all.entry((topic.clone(), group.clone())).or_default();
                queues.extend(offsets.iter().copied());
            }
            MetaChange::OffsetsDelete { topic, group } => all.retain(|(in_topic, in_group), _| {
                let other = |wanted: &Option<String>, is: &str| {
                    wanted.as_deref().is_some_and(|wanted| wanted != is)
                };
                other(topic, in_topic) || other(group, in_group)
            }),
            MetaChange::DelayOffset { level, offset } => {
                self.delay_offsets.borrow_mut().insert(*level, *offset);
            }
            _ => {}
        }
    }

    /// By delay level: the next message to deliver, as last persisted.
    pub fn delay_offsets(&self) -> BTreeMap<i32, i64> {
        self.delay_offsets.borrow().clone()
    }

    fn topic_id(&self, name: &Arc<str>) -> u32 {
        let mut ids = self.topic_ids.borrow_mut();
        *ids.entry(name.clone()).or_insert_with(|| {
            let id = self.next_topic_id.get();
            self.next_topic_id.set(id + 1);
            id
        })
    }

    /// Carries a change out and makes it durable, then tells all shards: nobody builds on what a
    /// crash could take back.
    pub async fn commit(&self, change: MetaChange) -> Result<(), Refusal> {
        self.note(&change);
        let shared = self.shared(&change);
        let written = self.write(std::slice::from_ref(&change)).await;
        if written.is_ok() {
            if let Some(shared) = shared {
                self.publish(shared);
                self.registrar.changed(&change);
            }
        } else {
            self.failed.set(true);
        }
        self.published.notify();
        written
    }

    /// Waits for a topic that is in the table but not yet durable.
    async fn published(&self, shard: &Shard<R>, name: &str) -> Result<Arc<TopicView>, Refusal> {
        loop {
            if let Some(topic) = shard.topic(name) {
                return Ok(topic);
            }
            let in_table = self.tables.borrow().topics.get(name).is_some();
            if self.failed.get() || !in_table {
                return Err(stopping());
            }
            self.published.wait().await;
        }
    }

    fn shared(&self, change: &MetaChange) -> Option<Change> {
        Some(match change {
            MetaChange::TopicPut { topic, .. } => {
                let id = self.topic_id(&topic.name);
                Change::Topic(Arc::new(TopicView { id, topic: topic.clone() }))
            }
            MetaChange::TopicDelete { topic, ends, .. } => {
                // A topic of the same name is another one: it gets another id.
                self.topic_ids.borrow_mut().remove(topic);
                Change::TopicRemoved(topic.clone(), ends.as_slice().into())
            }
            MetaChange::GroupPut { group, .. } => Change::Group(Arc::new(group.clone())),
            MetaChange::GroupDelete { group, .. } => Change::GroupRemoved(group.clone()),
            _ => return None,
        })
    }

    /// Tells all shards, this one at once, the others before anything that is sent to them, or
    /// received from somebody who heard an answer, after it.
    pub fn publish(&self, change: Change) {
        let Some(shard) = self.shard.upgrade() else {
            return;
        };
        shard.publication.publish();
        for peer in shard.router.peers() {
            shard.router.answer(peer, Message::Change(change.clone()));
        }
        shard.apply(change);
        shard.publication.applied();
    }

    async fn write(&self, changes: &[MetaChange]) -> Result<(), Refusal> {
        let encoded: Vec<Vec<u8>> = changes.iter().map(encode).collect();
        let records: Vec<&[u8]> = encoded.iter().map(Vec::as_slice).collect();
        self.meta.append(&records).await.map_err(|error| {
            Refusal::new(
                code::SERVICE_NOT_AVAILABLE,
                format!("service not available now. the metadata log cannot be written: {error}"),
            )
        })
    }

    /// Takes changes that need not be durable before anybody goes on, such as consumer offsets.
    pub fn persist_later(&self, changes: Vec<MetaChange>) {
        self.later.borrow_mut().extend(changes);
        self.later_added.set();
    }

    async fn persist_now(&self) {
        let changes = std::mem::take(&mut *self.later.borrow_mut());
        if changes.is_empty() {
            return;
        }
        for change in &changes {
            self.note(change);
        }
        if let Err(refusal) = self.write(&changes).await {
            tracing::error!(error = %refusal.remark, "consumer offsets not persisted");
        }
        let limit = REWRITE_BYTES_MIN.max(self.snapshot_bytes.get() * REWRITE_FACTOR);
        if self.meta.bytes() > limit {
            self.rewrite().await;
        }
    }

    /// Starts the metadata log anew with what holds now.
    async fn rewrite(&self) {
        let mut records: Vec<Vec<u8>> = Vec::new();
        {
            let tables = self.tables.borrow();
            records.extend(tables.topics.snapshot().map(|change| encode(&change)));
            records.extend(tables.groups.snapshot().map(|change| encode(&change)));
        }
        for ((topic, group), queues) in &*self.offsets.borrow() {
            let offsets = queues.iter().map(|(queue, offset)| (*queue, *offset)).collect();
            let (topic, group) = (topic.clone(), group.clone());
            records.push(encode(&MetaChange::Offsets { topic, group, offsets }));
        }
        for (level, offset) in &*self.delay_offsets.borrow() {
            records.push(encode(&MetaChange::DelayOffset { level: *level, offset: *offset }));
        }
        let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        match self.meta.rewrite(&slices).await {
            Ok(()) => self.snapshot_bytes.set(self.meta.bytes()),
            Err(error) => tracing::error!(%error, "metadata log not rewritten"),
        }
    }

    pub fn start_services(self: &Rc<Self>, shard: &Rc<Shard<R>>) {
        let runtime = shard.runtime.clone();
        let control = self.clone();
        runtime.spawn(Shares::Admin, "metadata", async move {
            loop {
                control.later_added.take().await;
                control.persist_now().await;
            }
        });
        let (control, expiring) = (self.clone(), shard.clone());
        runtime.spawn(Shares::Admin, "client expiry", async move {
            loop {
                expiring.runtime.sleep(Duration::from_secs(10)).await;
                let now = expiring.runtime.now_ms();
                let events = control.tables.borrow_mut().clients.expire(now);
                control.client_events(&expiring, events);
                control.tables.borrow_mut().locks.sweep(now);
                expiring.flush();
            }
        });
        let (control, counting) = (self.clone(), shard.clone());
        runtime.spawn(Shares::Admin, "rates", async move {
            loop {
                counting.runtime.sleep(Duration::from_millis(SAMPLE_MS as u64)).await;
                let all = counting.all_totals().await;
                let now = counting.runtime.now_ms();
                control.rates.borrow_mut().sample(now, all.totals);
                control.recent_writes.borrow_mut().sample(now, &all.write_latency);
            }
        });
        self.registrar.start(shard);
    }

    /// The topic of a send; made if the rules allow it. Durable when resolved.
    pub async fn ensure_topic(&self, wanted: &AutoCreate) -> Result<Arc<TopicView>, Refusal> {
        let shard = self.shard.upgrade().ok_or_else(stopping)?;
        if self.tables.borrow().topics.get(&wanted.topic).is_some() {
            return self.published(&shard, &wanted.topic).await;
        }
        let now = shard.runtime.now_ms();
        let retry = wanted.topic.starts_with(topic::RETRY_PREFIX);
        let unit = if retry { topic::SYS_FLAG_UNIT_SUB } else { topic::SYS_FLAG_UNIT };
        let sys_flag = if wanted.unit_mode { unit } else { 0 };
        let change = {
            let topics = &self.tables.borrow().topics;
            let AutoCreate { topic, default_topic, queues, .. } = wanted;
            match topics.plan_auto_create(topic, default_topic, *queues, sys_flag, now)? {
                Some(change) => change,
                None if retry => topics.plan_internal_topic(topic, 1, sys_flag, now)?,
                None => {
                    return Err(Refusal::new(
                        code::TOPIC_NOT_EXIST,
                        format!("topic[{topic}] not exist, apply first please!{FAQ}"),
                    ));
                }
            }
        };
        self.commit(change).await?;
        shard.topic(&wanted.topic).ok_or_else(stopping)
    }

    /// A `%RETRY%`, `%DLQ%` or other topic of the broker's own. Durable when resolved.
    pub async fn ensure_internal_topic(
        &self,
        name: &str,
        queues: i32,
        sys_flag: i32,
    ) -> Result<Arc<TopicView>, Refusal> {
        let shard = self.shard.upgrade().ok_or_else(stopping)?;
        if self.tables.borrow().topics.get(name).is_some() {
            return self.published(&shard, name).await;
        }
        let now = shard.runtime.now_ms();
        let change =
            self.tables.borrow().topics.plan_internal_topic(name, queues, sys_flag, now)?;
        self.commit(change).await?;
        shard.topic(name).ok_or_else(stopping)
    }

    /// A consumer group; made if the rules allow it. False: it is not there. Durable when resolved.
    pub async fn ensure_group(&self, name: &str) -> Result<bool, Refusal> {
        let shard = self.shard.upgrade().ok_or_else(stopping)?;
        // In the table but not in the view: it is about to become durable.
        while self.tables.borrow().groups.get(name).is_some() {
            if shard.view.borrow().groups.contains_key(name) {
                return Ok(true);
            }
            if self.failed.get() {
                return Err(stopping());
            }
            self.published.wait().await;
        }
        let now = shard.runtime.now_ms();
        let change = self.tables.borrow().groups.plan_auto_create(name, now)?;
        match change {
            Some(change) => self.commit(change).await.map(|()| true),
            None => Ok(false),
        }
    }

    pub fn connection_closed(&self, shard: &Rc<Shard<R>>, connection: ConnectionId) {
        let events = self.tables.borrow_mut().clients.close(connection);
        self.client_events(shard, events);
    }

    pub fn peer_finished(&self, peer: ShardId) {
        tracing::debug!(shard = peer.0, "shard has finished");
        self.finished.set(self.finished.get() + 1);
        self.finished_changed.set();
    }

    /// Tells the name servers that the broker goes.
    pub async fn unregister(&self) {
        self.registrar.unregister().await;
    }

    /// The last step of the control shard: everything of everybody is persisted.
    pub async fn finish(&self, shard: &Rc<Shard<R>>) {
        let peers = shard.router.shards() - 1;
        let all = async {
            while self.finished.get() < peers {
                self.finished_changed.take().await;
            }
        };
        let limit = async {
            shard.runtime.sleep(Duration::from_secs(10)).await;
            tracing::error!("a shard did not finish within 10 s; its log will be recovered");
        };
        futures_lite::future::or(all, limit).await;
        self.persist_now().await;
        if let Err(error) = self.meta.clone().close().await {
            tracing::error!(%error, "metadata log not closed cleanly");
        }
    }
}

fn encode(change: &MetaChange) -> Vec<u8> {
    serde_json::to_vec(change).expect("changes have string keys only")
}

fn stopping() -> Refusal {
    Refusal::new(code::SERVICE_NOT_AVAILABLE, "service not available now. the broker is stopping")
}

async fn open_store<R: Runtime>(
    shard: &Rc<Shard<R>>,
) -> Result<(Manifest, MetaLog<R>, Vec<Vec<u8>>), String> {
    let root = &shard.facts.store_path;
    let wanted = match shard.facts.config.logs {
        0 => shard.router.shards() as u16,
        logs => logs,
    };
    let manifest = ringmq_store::open_manifest(&shard.runtime, root, wanted).await;
    let manifest = manifest.map_err(|error| error.to_string())?;
    let opened = MetaLog::open(shard.runtime.clone(), &root.join(META_DIRECTORY)).await;
    let (meta, records) = opened.map_err(|error| error.to_string())?;
    Ok((manifest, meta, records))
}
