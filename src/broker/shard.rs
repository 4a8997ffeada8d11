//! A shard: one executor with its connections, the logs and queues that it owns, and its copy of
//! the shared view. Lives on one thread; other shards reach it by [messages](crate::messages) only.

pub mod acks;
pub mod answer_room;
pub mod appends;
pub mod backpressure;
pub mod body_room;
pub mod buckets;
pub mod calls;
pub mod client_calls;
pub mod consumer_offsets;
pub mod control_plane;
pub mod ended;
pub mod frames;
pub mod held_messages;
pub mod held_pulls;
pub mod lookups;
pub mod offset_resets;
pub mod offset_writes;
pub mod probe;
pub mod queue_starts;
pub mod queue_watchers;
pub mod queues;
pub mod replies;
pub mod room_queue;
pub mod router;
pub mod settings;
pub mod slow_clients;
pub mod timer_room;
pub mod transactions;
pub mod usage;
pub mod view;
pub mod view_version;
pub mod waiting_pulls;
pub mod waiting_sends;

use std::{
    cell::{Cell, OnceCell, RefCell},
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use ahash::AHashMap;
use ringmq_base::LogId;
use ringmq_io::{Runtime, Shares};
use ringmq_net::{rounds::Rounds, turn::Turn};
use ringmq_rules::{
    limits::FEW_SUBSCRIPTIONS, offset_resets::OffsetResets, offsets::OffsetTable,
    send_check::SendContext,
};
use ringmq_store::QueueHandle;

pub use self::{acks::Arrivals, control_plane::CONTROL, queues::BrokerLog};
use self::{
    answer_room::{AnswerRoom, away_most},
    backpressure::LogsBehind,
    body_room::BodyRoom,
    calls::Calls,
    client_calls::ClientCalls,
    control_plane::ControlPlane,
    ended::Ended,
    held_messages::HeldMessages,
    held_pulls::HeldPulls,
    lookups::PullCounts,
    offset_writes::OffsetWrites,
    probe::Probe,
    queue_starts::QueueStarts,
    queue_watchers::QueueWatchers,
    queues::Queues,
    router::Router,
    settings::BrokerSettings,
    timer_room::TimerRoom,
    transactions::Transactions,
    usage::Usage,
    view::View,
    view_version::{Published, ViewVersion},
    waiting_pulls::WaitingPulls,
    waiting_sends::WaitingSends,
};
use crate::{
    messages::{Change, LiveSettings, TopicView},
    net::{connections::Connections, output_budget::OutputBudget},
};

/// So many bytes that clients have taken are told to the shards that count them at once.
const TELL_BYTES_MAX: usize = 256 * 1024;

pub struct Shard<R: Runtime> {
    pub id: ringmq_base::ShardId,
    pub runtime: R,
    pub settings: Arc<BrokerSettings>,
    pub router: Router<Shard<R>>,
    pub calls: Calls,
    pub view: RefCell<View>,
    pub view_version: ViewVersion,
    pub queues: Queues<R>,
    pub queue_starts: QueueStarts,
    pub queue_watchers: QueueWatchers,
    pub waiting_pulls: WaitingPulls,
    pub held_pulls: HeldPulls,
    pub answer_room: AnswerRoom,
    pub body_room: BodyRoom,
    pub waiting_sends: WaitingSends,
    pub logs_behind: LogsBehind,
    pub offsets: RefCell<OffsetTable>,
    pub offset_resets: RefCell<OffsetResets>,
    pub offset_writes: OffsetWrites,
    pub connections: Connections<R>,
    pub ended: Ended,
    /// Whose turn it is of the connections that ask for much or are sent much.
    pub rounds: Rc<Rounds>,
    /// Large answers are copied one after the other: a round has one turn for all of them.
    pub copies: Turn,
    pub client_calls: ClientCalls,
    /// Delayed messages that could not be delivered, ever.
    pub delayed_passed_over: Cell<u64>,
    pub transactions: Transactions,
    pub timer_room: TimerRoom,
    pub pull_counts: PullCounts,
    pub usage: Usage,
    pub probe: Probe,
    /// When messages were stored that groups have not confirmed, as metrics tell it: by the number
    /// of the topic, queue and offset.
    pub lag_times: RefCell<AHashMap<(u64, i32, i64), i64>>,
    /// On the control shard, as long as it runs.
    pub control_plane: OnceCell<Weak<dyn ControlPlane>>,
    /// Set before the first message can arrive.
    pub arrivals: OnceCell<Rc<dyn Arrivals<R>>>,
    /// Whoever keeps messages back in logs of this shard.
    pub held_messages: RefCell<Vec<Rc<dyn HeldMessages>>>,
    pub stopping: Cell<bool>,
    /// Room to edit the properties of a message in.
    pub properties: Cell<Vec<u8>>,
    /// Wall clock of the current turn, in milliseconds.
    pub turn_ms: Cell<i64>,
    random: Cell<u32>,
    appending: Cell<bool>,
    /// When the control shard was last told that a log has no space.
    reported_full: Cell<Option<Duration>>,
}

impl<R: Runtime> Shard<R> {
    pub fn new(
        runtime: R,
        settings: Arc<BrokerSettings>,
        router: Router<Shard<R>>,
        published: Published,
    ) -> Rc<Self> {
        let id = router.id;
        let view = View::new(settings.live.clone());
        let waiting_pulls = WaitingPulls::new(settings.sizes.waiting_pulls_max);
        let output_most = settings.connection_output_bytes_max;
        let tell_at = (away_most(output_most, router.shards()) / 4).min(TELL_BYTES_MAX);
        let budget = Rc::new(OutputBudget::new(settings.output_bytes_max, tell_at));
        let waiting_most = settings.sizes.waiting_pulls_max;
        let answer_room = AnswerRoom::new(&budget, output_most, router.shards(), waiting_most);
        let (limit, input_most) = (settings.connections_max, settings.input_bytes_max);
        let connections = Connections::new(id, limit, &settings.tls, input_most, &budget);
        let queues = Queues::new(id, router.shards());
        let timer_room = TimerRoom::new(settings.config.timer_memory_bytes_max);
        let body_room = BodyRoom::new(settings.sizes.bodies_memory_max);
        let offsets = OffsetTable::with_limit(settings.sizes.tables.offsets_bytes).into();
        let offset_resets = OffsetResets::with_limit(settings.sizes.tables.resets).into();
        let usage = Usage::with_limit(settings.sizes.tables.next_pulls_bytes);
        Rc::new(Shard {
            id,
            runtime,
            settings,
            router,
            calls: Calls::default(),
            view: RefCell::new(view),
            view_version: ViewVersion::new(published),
            queues,
            queue_starts: QueueStarts::default(),
            queue_watchers: QueueWatchers::default(),
            waiting_pulls,
            held_pulls: HeldPulls::default(),
            answer_room,
            body_room,
            waiting_sends: WaitingSends::default(),
            logs_behind: LogsBehind::default(),
            offsets,
            offset_resets,
            offset_writes: OffsetWrites::default(),
            connections,
            ended: Ended::default(),
            rounds: Rc::default(),
            copies: Turn::default(),
            client_calls: ClientCalls::default(),
            delayed_passed_over: Cell::default(),
            transactions: Transactions::default(),
            timer_room,
            pull_counts: PullCounts::default(),
            usage,
            probe: Probe::default(),
            lag_times: RefCell::default(),
            control_plane: OnceCell::new(),
            arrivals: OnceCell::new(),
            held_messages: RefCell::default(),
            stopping: Cell::new(false),
            properties: Cell::default(),
            turn_ms: Cell::new(0),
            random: Cell::new(0x9E37_79B9 ^ u32::from(id.0)),
            appending: Cell::new(false),
            reported_full: Cell::new(None),
        })
    }

    /// A number that spreads messages over queues; nothing secret.
    pub fn random(&self) -> u32 {
        let mut next = self.random.get();
        next ^= next << 13;
        next ^= next >> 17;
        next ^= next << 5;
        self.random.set(next);
        next
    }

    /// What a send of a client of this version is checked against.
    pub fn send_context<'a>(&'a self, view: &'a View, version: i32) -> SendContext<'a> {
        let live = &*view.live;
        let config = &live.config;
        SendContext {
            broker_permission: config.broker_permission,
            accept_from: config.start_accept_send_request_time_stamp,
            broker_ip: &config.broker_ip1,
            transactions: &live.transactions,
            body_bytes_max: config.max_message_size as usize,
            auto_create_group: config.auto_create_subscription_group,
            own_properties: live.own_properties.of(version),
            delay_levels: &self.settings.delay_levels,
            timers: live.timers,
            now: self.turn_ms.get(),
            random: self.random(),
        }
    }

    /// What may change while the broker runs, as it is now.
    pub fn live(&self) -> Arc<LiveSettings> {
        self.view.borrow().live.clone()
    }

    pub fn topic(&self, name: &str) -> Option<Arc<TopicView>> {
        self.view.borrow().topics.get(name).cloned()
    }

    pub fn apply(&self, change: Change) {
        if let Change::TopicRemoved(name, ends) = &change
            && let Some(topic) = self.topic(name)
        {
            self.record_deletion(name, topic.topic.first_log, ends.iter().copied());
        }
        let rechecked = match &change {
            Change::Group(group) => !group.consume_enable || !group.consume_broadcast_enable,
            Change::Topic(topic) => !topic.topic.is_readable(),
            Change::GroupRemoved(_) | Change::TopicRemoved(..) => true,
            _ => false,
        };
        let recheck = rechecked.then(|| change.clone());
        let replaced = self.view.borrow_mut().apply(change);
        if let Some(old) = replaced.filter(|old| old.topics.len() > FEW_SUBSCRIPTIONS) {
            // The last shard that gives it back would be held up.
            let runtime = self.runtime.clone();
            self.runtime.spawn(Shares::Background, "subscriptions of before", async move {
                runtime.aside(move || drop(old)).await;
            });
        }
        if let Some(change) = recheck {
            self.recheck_held(&change);
        }
    }

    /// Something new can be read from queues of this shard.
    pub fn arrived(self: &Rc<Self>, log: LogId, queues: &[QueueHandle]) {
        for queue in queues {
            self.queue_watchers.wake(log, *queue);
        }
        if let Some(arrivals) = self.arrivals.get() {
            arrivals.arrived(self, log, queues);
        }
    }

    /// Sends what was collected: replies on own connections, batches to other shards.
    pub fn flush(&self) {
        self.connections.flush();
        self.router.flush();
    }
}
