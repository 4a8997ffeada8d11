//! A shard: one executor with its connections, the logs and queues that it owns, and its copy of
//! the shared view. Lives on one thread; other shards reach it through the router only.

pub mod acks;
pub mod answering;
pub mod client_calls;
pub mod queue_starts;
pub mod router;
pub mod settings;
pub mod view;
pub mod view_version;

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    sync::Arc,
};

use ringmq_base::{LogId, ShardId};
use ringmq_io::{Net, Runtime};
use ringmq_remoting::{
    codes::response,
    encode::{self, EncodeError},
};
use ringmq_store::{Log, QueueHandle};
use smallvec::SmallVec;

use crate::{
    control::{Control, retention::Storage, statistics::Pulled},
    engines::{delay::QueueWatchers, long_poll::LongPoll},
    messages::{
        Message, Origin,
        ask::{Answer, Ask, Asked},
    },
    net::{connection::Connection, connections::Connections},
    requests::Handled,
    shard::{
        acks::LogSink,
        client_calls::ClientCalls,
        queue_starts::Begins,
        router::Router,
        settings::Facts,
        view::{Change, TopicView, View, log_of},
        view_version::{Publication, Published},
    },
};
use ringmq_rules::{
    ConnectionId, offsets::OffsetTable, refusal::Refusal, send_check::SendFacts, topics::Topic,
};

pub type BrokerLog<R> = Log<R, LogSink<R>>;
pub type ShardConnection<R> = Connection<<<R as Runtime>::Net as Net>::Stream>;

/// The shard that owns topics, groups, clients and locks.
pub const CONTROL: ShardId = ShardId(0);

/// By queue id. In place for topics of the usual size: one wait for memory less for each message
/// when there are many topics.
type Handles = SmallVec<[Option<QueueHandle>; 8]>;

pub struct Shard<R: Runtime> {
    pub id: ShardId,
    pub runtime: R,
    pub facts: Arc<Facts>,
    pub router: Router,
    pub asked: Asked,
    pub view: RefCell<View>,
    pub publication: Publication,
    pub offsets: RefCell<OffsetTable>,
    pub connections: Connections<R>,
    pub client_calls: ClientCalls,
    pub waiting: LongPoll,
    pub watchers: QueueWatchers,
    pub begins: Begins,
    pub pulled: Pulled,
    /// Delayed messages that could not be delivered, ever.
    pub delayed_passed_over: Cell<u64>,
    /// By delay level: the next message to deliver.
    pub delay_offsets: RefCell<BTreeMap<i32, i64>>,
    /// On the control shard only.
    pub control: OnceCell<Rc<Control<R>>>,
    pub stopping: Cell<bool>,
    /// Most of it is of use on the control shard only.
    pub storage: Storage,
    /// Room to edit the properties of a message in.
    pub properties: Cell<Vec<u8>>,
    random: Cell<u32>,
    /// Wall clock of the current turn, in milliseconds.
    pub turn_ms: Cell<i64>,
    log_count: Cell<u16>,
    /// By log id: the logs that this shard owns.
    logs: OnceCell<Vec<Option<BrokerLog<R>>>>,
    /// By topic id, then queue id: handles that were looked up before.
    handles: RefCell<Vec<Handles>>,
}

impl<R: Runtime> Shard<R> {
    pub fn new(runtime: R, facts: Arc<Facts>, router: Router, published: Published) -> Rc<Self> {
        let router_id = router.id;
        let connections = Connections::new(router.id, facts.connections_max);
        Rc::new(Shard {
            id: router.id,
            runtime,
            facts,
            router,
            asked: Asked::default(),
            view: RefCell::default(),
            publication: Publication::new(published),
            offsets: RefCell::default(),
            connections,
            client_calls: ClientCalls::default(),
            waiting: LongPoll::default(),
            watchers: QueueWatchers::default(),
            begins: Begins::default(),
            pulled: Pulled::default(),
            delayed_passed_over: Cell::default(),
            delay_offsets: RefCell::default(),
            control: OnceCell::new(),
            stopping: Cell::new(false),
            storage: Storage::default(),
            properties: Cell::default(),
            random: Cell::new(0x9E37_79B9 ^ u32::from(router_id.0)),
            turn_ms: Cell::new(0),
            log_count: Cell::new(1),
            logs: OnceCell::new(),
            handles: RefCell::default(),
        })
    }

    /// Takes the opened logs over; by log id, `None` for those of other shards.
    pub fn set_logs(&self, logs: Vec<Option<BrokerLog<R>>>) {
        self.log_count.set(logs.len() as u16);
        assert!(self.logs.set(logs).is_ok(), "logs are opened once");
    }

    pub fn log_count(&self) -> u16 {
        self.log_count.get()
    }

    /// The shard that a log runs on.
    pub fn log_owner(&self, log: LogId) -> ShardId {
        ShardId(log.get() % self.router.shards() as u16)
    }

    pub fn queue_owner(&self, topic: &Topic, queue_id: i32) -> ShardId {
        self.log_owner(log_of(topic, queue_id, self.log_count.get()))
    }

    pub fn log(&self, log: LogId) -> Option<&BrokerLog<R>> {
        self.logs.get()?.get(log.index())?.as_ref()
    }

    pub fn own_logs(&self) -> impl Iterator<Item = &BrokerLog<R>> {
        self.logs.get().into_iter().flatten().flatten()
    }

    /// The log and the handle of a queue that this shard owns. The queue id is within the topic.
    pub fn queue(&self, topic: &TopicView, queue_id: i32) -> (&BrokerLog<R>, QueueHandle) {
        let id = topic.log(queue_id, self.log_count.get());
        let log = self.log(id).expect("requests reach the shard that owns the queue");
        let queue = usize::try_from(queue_id).unwrap_or(0);
        let mut handles = self.handles.borrow_mut();
        let topic_index = topic.id as usize;
        if handles.len() <= topic_index {
            handles.resize(topic_index + 1, Handles::new());
        }
        let queues = &mut handles[topic_index];
        if queues.len() <= queue {
            queues.resize(queue + 1, None);
        }
        let handle = *queues[queue].get_or_insert_with(|| log.queue(&topic.topic.name, queue_id));
        (log, handle)
    }

    /// Asks for the memory that [`Shard::queue`] and an append will touch, if the queue is one of
    /// this shard: what is done in between need not wait for it.
    #[inline]
    pub fn prefetch_queue(&self, topic: &TopicView, queue_id: i32) {
        let Ok(queue) = usize::try_from(queue_id) else {
            return;
        };
        let handles = self.handles.borrow();
        let known = handles.get(topic.id as usize).and_then(|queues| *queues.get(queue)?);
        if let (Some(handle), Some(log)) = (known, self.log(topic.log(queue_id, self.log_count())))
        {
            log.prefetch(handle);
        }
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

    /// What a send is checked against.
    pub fn send_facts<'a>(&'a self, view: &View) -> SendFacts<'a> {
        let config = &self.facts.config;
        SendFacts {
            broker_permission: view.permission,
            accept_from: config.start_accept_send_request_time_stamp,
            broker_ip: &config.broker_ip1,
            // There is nothing yet that would commit or check a transaction.
            reject_transaction: true,
            body_bytes_max: config.max_message_size as usize,
            auto_create_group: config.auto_create_subscription_group,
            cluster_property: &self.facts.cluster_property,
            delay_levels: &self.facts.delay_levels,
            now: self.turn_ms.get(),
            random: self.random(),
        }
    }

    pub fn topic(&self, name: &str) -> Option<Arc<TopicView>> {
        self.view.borrow().topics.get(name).cloned()
    }

    pub fn apply(&self, change: Change) {
        if let Change::TopicRemoved(name, ends) = &change
            && let Some(topic) = self.topic(name)
        {
            self.bury(name, topic.topic.first_log, ends.iter().copied());
        }
        self.view.borrow_mut().apply(change);
    }

    /// Appends a reply to the connection it is for, here or by way of the router. Leaves with the
    /// next [`Shard::flush`].
    ///
    /// A reply that fits no frame is replaced by the error: every request is answered.
    pub fn write_reply(
        &self,
        origin: &Origin,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
    ) {
        if origin.oneway {
            return;
        }
        if let Err(error) = self.write(origin.connection, 1, write) {
            self.answer_error(origin, error);
        }
    }

    #[cold]
    fn answer_error(&self, origin: &Origin, error: EncodeError) {
        tracing::warn!(opaque = origin.opaque, %error, "an answer was not sent");
        let Origin { connection, serialization, opaque, .. } = *origin;
        let remark = format!("the request was handled, but its answer was not sent: {error}");
        let sent = self.write(connection, 1, |out| {
            let code = response::SYSTEM_ERROR;
            encode::response(out, serialization, opaque, code, Some(&remark), &[], &[])
        });
        if sent.is_err() {
            self.close_connection(connection);
        }
    }

    /// Appends a frame for a client's connection that answers nothing.
    ///
    /// # Errors
    /// Those of `write`, which has written nothing then.
    pub fn write_frame(
        &self,
        connection: ConnectionId,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.write(connection, 0, write)
    }

    fn write(
        &self,
        connection: ConnectionId,
        answers: u32,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut outcome = Ok(());
        let write = |out: &mut Vec<u8>| outcome = write(out);
        if connection.shard == self.id.0 {
            self.connections.write(connection, answers, write);
        } else {
            self.router.reply_with(connection, answers, write);
        }
        outcome
    }

    /// Counts a request of a connection of this shard that is to be answered. False: too many are
    /// under way, and this one has been answered so.
    pub fn begin_request(&self, origin: &Origin) -> bool {
        let limit = self.facts.requests_max;
        if origin.oneway || self.connections.begin_request(origin.connection, limit) {
            return true;
        }
        let remark = format!(
            "[OVERLOAD]system busy, start flow control for a while: {limit} requests of this \
             connection are under way, the limit; wait for answers, or raise the key \
             perConnectionRequestsMax"
        );
        // It is not counted, so its answer must not be either.
        let sent = self.write_frame(origin.connection, |out| {
            let Origin { serialization, opaque, .. } = *origin;
            let code = response::SYSTEM_BUSY;
            encode::response(out, serialization, opaque, code, Some(&remark), &[], &[])
        });
        if sent.is_err() {
            self.close_connection(origin.connection);
        }
        false
    }

    pub fn reply(&self, origin: &Origin, handled: &Handled) {
        match handled {
            Ok(response) => self.write_reply(origin, |out| {
                let fields = response.fields.iter().map(|(name, field)| (*name, field.as_value()));
                let fields: Vec<_> = fields.collect();
                encode::response(
                    out,
                    origin.serialization,
                    origin.opaque,
                    response.code,
                    response.remark.as_deref(),
                    &fields,
                    &response.body,
                )
            }),
            Err(refusal) => self.refuse(origin, refusal),
        }
    }

    pub fn refuse(&self, origin: &Origin, refusal: &Refusal) {
        self.write_reply(origin, |out| {
            let remark = Some(refusal.remark.as_str());
            let Origin { serialization, opaque, .. } = *origin;
            encode::response(out, serialization, opaque, refusal.code, remark, &[], &[])
        });
    }

    /// Topics, groups and clients; requests that need them are handled by the control shard.
    pub fn control(&self) -> &Rc<Control<R>> {
        self.control.get().expect("requests of the control plane reach the control shard")
    }

    /// Ends a client's connection, on whatever shard it is.
    pub fn close_connection(&self, connection: ConnectionId) {
        if connection.shard == self.id.0 {
            self.connections.close(connection);
        } else {
            self.router.post(ShardId(connection.shard), Message::Close(connection));
        }
    }

    /// When the message at an offset of any queue was stored, in milliseconds; 0 without one.
    pub async fn stored_at(
        self: &Rc<Self>,
        topic: &Arc<TopicView>,
        queue_id: i32,
        offset: i64,
    ) -> i64 {
        if offset < 0 {
            return 0;
        }
        let ask = Ask::StoredAt { topic: topic.clone(), queue_id, offset };
        match self.ask(self.queue_owner(&topic.topic, queue_id), ask).await {
            Answer::Timestamp(timestamp) => timestamp.unwrap_or(0),
            _ => 0,
        }
    }

    /// Sends what was collected: replies on own connections, batches to other shards.
    pub fn flush(&self) {
        self.connections.flush();
        self.router.flush();
    }

    /// Asks another shard, or this one, and resolves with its answer.
    pub async fn ask(self: &Rc<Self>, to: ShardId, ask: Ask) -> Answer {
        if to == self.id {
            return crate::shard::answering::answer(self, ask).await;
        }
        let (id, receiver) = self.asked.open();
        self.router.post(to, Message::Ask { from: self.id, id, ask: Box::new(ask) });
        self.router.flush();
        receiver.await.expect("open questions live as long as the shard")
    }

    /// Every shard, this one first.
    pub fn everybody(&self) -> impl Iterator<Item = ShardId> + use<R> {
        std::iter::once(self.id).chain(self.router.peers())
    }
}
