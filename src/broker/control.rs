//! The control shard's own state: topics, groups, clients and locks, the metadata log that keeps
//! what must survive, and the stream of changes to all shards.

pub mod client_events;
pub mod departures;
pub mod ensure;
pub mod live_keys;
pub mod log_usage;
pub mod metadata;
pub mod questions;
pub mod queue_locks;
pub mod registration;
pub mod retention;
pub mod series;
pub mod statistics;
pub mod stats;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use ringmq_base::{ShardId, config::BrokerConfig};
use ringmq_io::{Runtime, Shares, signal::Event};
use ringmq_net::turn::Turn;
use ringmq_remoting::body::MessageQueue;
use ringmq_rules::{
    clients::{ClientTable, LookedTo},
    groups::SubscriptionGroupTable,
    locks::QueueLocks,
    rates::{Rates, SAMPLE_MS},
    stats::Stats,
    stored_keys::StoredKeys,
    topics::{TopicSettings, TopicTable},
    write_times::RecentWrites,
};
use ringmq_store::{META_DIRECTORY, Manifest, MetaLog};

use self::{
    client_events::Notifications, departures::Departures, metadata::Metadata, questions::Questions,
    registration::Registrar, retention::Storage, series::Series,
};
use crate::{
    messages::{AccessChange, AccessJob, Change, Message, Start, log_of_queue},
    shard::{Shard, settings::BrokerSettings},
};

/// Clients that are looked at without a pause: a few microseconds, more if many have to leave.
const SLICE_CLIENTS: usize = 4096;

pub struct Tables {
    pub topics: TopicTable,
    pub groups: SubscriptionGroupTable,
    pub keys: StoredKeys,
    pub clients: ClientTable,
    pub locks: QueueLocks<MessageQueue>,
}

pub struct Control<R: Runtime> {
    pub shard: Rc<Shard<R>>,
    pub tables: RefCell<Tables>,
    pub departures: Departures,
    pub notifications: Notifications,
    pub questions: Questions,
    pub metadata: Metadata<R>,
    pub registrar: Registrar,
    /// What the configuration says, as it was read last.
    configured: RefCell<BrokerConfig>,
    pub storage: Storage,
    pub rates: RefCell<Rates>,
    pub recent_writes: RefCell<RecentWrites>,
    pub stats: RefCell<Stats>,
    /// Milliseconds since 1970 up to which they go.
    stats_to: Cell<i64>,
    /// What metrics tell of topics and groups; nothing is kept without them.
    pub series: RefCell<Series>,
    /// Whoever collects what the shards have counted.
    collecting: Turn,
    finished: Cell<usize>,
    finished_changed: Event,
}

impl<R: Runtime> Control<R> {
    /// Opens the store's metadata and tells the other shards what to start from. The error is a
    /// sentence for the operator.
    pub async fn open(shard: &Rc<Shard<R>>) -> Result<(Rc<Self>, Start), String> {
        let (manifest, meta, records) = open_store(shard).await?;
        let now = shard.runtime.now_ms();
        let config = &shard.settings.config;
        let limits = &shard.settings.sizes.tables;
        let series_max = config.metrics_otel_cardinality_limit as usize;
        let tables = Tables {
            topics: TopicTable::new(topic_settings(&shard.settings, manifest.logs)),
            groups: SubscriptionGroupTable::new(config.auto_create_subscription_group)
                .with_limit(limits.groups),
            keys: StoredKeys::default(),
            clients: ClientTable::with_limit(limits.clients_bytes),
            locks: QueueLocks::with_limit(limits.locks_bytes),
        };
        let control = Rc::new(Control {
            shard: shard.clone(),
            tables: RefCell::new(tables),
            departures: Departures::default(),
            notifications: Notifications::default(),
            questions: Questions::default(),
            metadata: Metadata::new(shard.runtime.clone(), meta),
            registrar: Registrar::new(&shard.settings),
            configured: RefCell::new(config.clone()),
            storage: Storage::default(),
            rates: RefCell::new(Rates::new(now)),
            recent_writes: RefCell::new(RecentWrites::new(now)),
            stats: RefCell::new(Stats::with_limit(limits.stats_bytes)),
            stats_to: Cell::new(now),
            series: RefCell::new(Series::new(series_max, limits.metrics_bytes)),
            collecting: Turn::default(),
            finished: Cell::new(0),
            finished_changed: Event::default(),
        });
        for record in &records {
            let change = serde_json::from_slice(record).map_err(|error| {
                format!(
                    "a record of the metadata log is not known to this version ({error}); the \
                     store was written by a newer RingMQ: start that version"
                )
            })?;
            control.apply(&change);
        }
        control.take_stored_keys().await?;
        control.add_system_topics(now).await?;
        let start = control.start_of(&manifest, shard.id);
        for peer in shard.router.peers() {
            let start = Box::new(control.start_of(&manifest, peer));
            shard.router.post(peer, Message::Start(start));
        }
        shard.router.flush();
        let plane: Rc<dyn crate::shard::control_plane::ControlPlane> = control.clone();
        assert!(shard.control_plane.set(Rc::downgrade(&plane)).is_ok(), "opened once");
        Ok((control, start))
    }

    async fn add_system_topics(&self, now: i64) -> Result<(), String> {
        let changes = self.tables.borrow().topics.plan_system_topics(now);
        for change in &changes {
            self.apply(change);
        }
        self.metadata.write(&changes).await.map_err(|not_written| not_written.refusal.remark)
    }

    fn start_of(&self, manifest: &Manifest, to: ShardId) -> Start {
        let tables = self.tables.borrow();
        let topics =
            tables.topics.iter().map(|topic| Change::Topic(self.metadata.topic_view(topic)));
        let groups = tables.groups.iter().map(|group| Change::Group(group.clone()));
        let live = Change::Live(self.shard.live());
        let access = self.shard.settings.access.iter();
        let access = access.map(|access| Change::Access(access.rules.clone()));
        let changes = topics.chain(groups).chain([live]).chain(access).collect();
        let shards = self.shard.router.shards() as u16;
        let owner = |topic: &str, queue_id: i32| {
            let first = tables.topics.get(topic).map_or(0, |topic| topic.first_log);
            ShardId(log_of_queue(first, queue_id, manifest.logs).get() % shards)
        };
        let deleted = tables.topics.deleted();
        Start {
            logs: manifest.logs,
            store_id: manifest.store_id,
            changes,
            offsets: self.metadata.offsets_of(|topic, queue| owner(topic, queue) == to),
            deleted: deleted.map(|(name, deleted)| (name.clone(), deleted.clone())).collect(),
        }
    }

    pub fn start_services(self: &Rc<Self>) {
        let runtime = self.shard.runtime.clone();
        let control = self.clone();
        runtime.spawn(Shares::Admin, "client expiry", async move {
            loop {
                control.shard.runtime.sleep(Duration::from_secs(10)).await;
                control.expire_clients().await;
                control.sweep_locks().await;
                control.shard.flush();
            }
        });
        let control = self.clone();
        runtime.spawn(Shares::Admin, "rates", async move {
            loop {
                control.shard.runtime.sleep(Duration::from_millis(SAMPLE_MS as u64)).await;
                let all = statistics::all_totals(&control.shard).await;
                let now = control.shard.runtime.now_ms();
                control.rates.borrow_mut().sample(now, all.totals);
                control.recent_writes.borrow_mut().sample(now, &all.write_latency);
                control.update_stats().await;
                control.sweep_stats().await;
            }
        });
        self.registrar.start(self);
        retention::start(self);
    }

    /// Ends the connections whose clients are not heard of any more.
    async fn expire_clients(self: &Rc<Self>) {
        let mut to = LookedTo::default();
        while !to.is_end() {
            let now = self.shard.runtime.now_ms();
            let tables = &self.tables;
            let expired = tables.borrow().clients.expired_some(&mut to, SLICE_CLIENTS, now);
            for connection in expired {
                self.shard.close_connection(connection);
                self.shard.ended.note(connection);
                self.connection_closed(connection);
            }
            self.shard.runtime.yield_if_needed().await;
        }
    }

    /// Has the files with accounts changed: on stable storage when resolved, and every request
    /// that is received from then on is checked by them. Whether there was something to change, or
    /// why it was not done; `None` if accounts are not kept here.
    pub async fn change_access(&self, change: AccessChange) -> Option<Result<bool, String>> {
        let access = self.shard.settings.access.as_ref()?;
        let take = |call| access.jobs.try_send(AccessJob { change, call }).is_ok();
        let busy = "too many changes of accounts are under way; try again";
        Some(self.shard.call_outside(take).await.unwrap_or_else(|| Err(busy.to_owned())))
    }

    /// Another shard has written everything.
    pub fn peer_finished(&self, peer: ShardId) {
        tracing::debug!(shard = peer.0, "shard has finished");
        self.finished.set(self.finished.get() + 1);
        self.finished_changed.set();
    }

    /// The last step of the control shard: everything of everybody is persisted.
    pub async fn finish(&self) {
        let peers = self.shard.router.shards() - 1;
        let all = async {
            while self.finished.get() < peers {
                self.finished_changed.wait_and_clear().await;
            }
        };
        let limit = async {
            self.shard.runtime.sleep(Duration::from_secs(10)).await;
            tracing::error!("a shard did not finish within 10 s; its log will be recovered");
        };
        futures_lite::future::or(all, limit).await;
        self.metadata.close().await;
    }
}

fn topic_settings(settings: &BrokerSettings, logs: u16) -> TopicSettings {
    let config = &settings.config;
    TopicSettings {
        logs,
        broker_name: config.broker_name.clone(),
        cluster_name: config.broker_cluster_name.clone(),
        auto_create_topic: config.auto_create_topic_enable,
        default_topic_queues: config.default_topic_queue_nums as i32,
        cluster_topic_enable: config.cluster_topic_enable,
        broker_topic_enable: config.broker_topic_enable,
        trace_topic_enable: config.trace_topic_enable,
        trace_topic: config.msg_trace_topic_name.clone(),
        topics_max: settings.sizes.tables.topics,
        topics_deleted_bytes_max: settings.sizes.tables.topics_deleted_bytes,
        queues_max: settings.config.queues_max as usize,
    }
}

async fn open_store<R: Runtime>(
    shard: &Rc<Shard<R>>,
) -> Result<(Manifest, MetaLog<R>, Vec<Vec<u8>>), String> {
    let root = &shard.settings.store_path;
    let wanted = match shard.settings.config.logs {
        0 => shard.router.shards() as u16,
        logs => logs,
    };
    let manifest = ringmq_store::open_manifest(&shard.runtime, root, wanted).await;
    let manifest = manifest.map_err(|error| error.to_string())?;
    let (directory, grow) = (root.join(META_DIRECTORY), shard.settings.sizes.meta_grow_bytes);
    let opened = MetaLog::open_growing(shard.runtime.clone(), &directory, grow).await;
    let (meta, records) = opened.map_err(|error| error.to_string())?;
    Ok((manifest, meta, records))
}
