//! Registration with the name servers: one task and one lasting connection a name server, because
//! a name server forgets a broker whose connection closes.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use ringmq_base::read_buffer::ReadBuffer;
use ringmq_io::{
    Net, Runtime, Shares, Stream,
    signal::{Event, Notify},
};
use ringmq_remoting::{
    codes::{request, response},
    command::Header,
    encode::{self, EncodeError},
    frame::{self, Frame, Scan, Serialization},
};
use serde_json::json;

use crate::shard::{Shard, settings::Facts};
use ringmq_rules::{meta::MetaChange, topics::Topic};

/// How long [`Registrar::settled`] waits for name servers that do not answer.
const SETTLE_MAX: Duration = Duration::from_secs(3);
/// First and longest pause before a name server that failed is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

struct Server {
    address: SocketAddr,
    /// Something to register, or the end.
    wanted: Event,
    /// The change counter that this name server knows.
    known: Cell<u64>,
    connected: Cell<bool>,
}

pub struct Registrar {
    servers: Vec<Rc<Server>>,
    /// Counts the changes of topics.
    changes: Cell<u64>,
    /// Time of the data version that name servers are told, in milliseconds since 1970. It differs
    /// after every change: a name server ignores a registration with the version that it has. That
    /// of the table will not do, which is ahead by the changes that are not durable yet.
    version_ms: Cell<i64>,
    /// The last change of each topic name that changed, for incremental registration.
    changed: RefCell<BTreeMap<Arc<str>, u64>>,
    progress: Notify,
    stopping: Cell<bool>,
}

#[derive(Debug, thiserror::Error)]
enum RegisterError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("it closed the connection")]
    Closed,
    #[error("it did not answer within {0:?}")]
    Timeout(Duration),
    #[error("it answered with code {code}: {remark}")]
    Refused { code: i32, remark: String },
    #[error("its answer is malformed: {0}")]
    Malformed(String),
    #[error("the request to it cannot be written: {0}")]
    Encode(#[from] EncodeError),
}

impl Registrar {
    pub fn new(facts: &Facts) -> Self {
        let servers = facts.name_servers.iter().map(|address| {
            Rc::new(Server {
                address: *address,
                wanted: Event::default(),
                known: Cell::new(0),
                connected: Cell::new(false),
            })
        });
        Registrar {
            servers: servers.collect(),
            changes: Cell::new(1),
            version_ms: Cell::new(facts.boot_timestamp),
            changed: RefCell::default(),
            progress: Notify::default(),
            stopping: Cell::new(false),
        }
    }

    /// Notes a change that is durable; name servers hear of changes of topics at once.
    pub fn changed(&self, change: &MetaChange) {
        let (name, version) = match change {
            MetaChange::TopicPut { topic, version } => (&topic.name, version),
            MetaChange::TopicDelete { topic, version, .. } => (topic, version),
            _ => return,
        };
        let count = self.changes.get() + 1;
        self.changes.set(count);
        self.version_ms.set(version.timestamp.max(self.version_ms.get() + 1));
        self.changed.borrow_mut().insert(name.clone(), count);
        for server in &self.servers {
            server.wanted.set();
        }
    }

    /// Resolves when all name servers that answer know the topics as they are now.
    pub async fn settled<R: Runtime>(&self, runtime: &R) {
        let target = self.changes.get();
        let known = || {
            let behind =
                |server: &Rc<Server>| server.connected.get() && server.known.get() < target;
            !self.servers.iter().any(behind)
        };
        let all = async {
            while !known() {
                self.progress.wait().await;
            }
        };
        futures_lite::future::or(all, runtime.sleep(SETTLE_MAX)).await;
    }

    /// Starts a task for each name server.
    pub fn start<R: Runtime>(&self, shard: &Rc<Shard<R>>) {
        for server in &self.servers {
            let (server, shard, runtime) = (server.clone(), shard.clone(), shard.runtime.clone());
            runtime.spawn(Shares::Admin, "registration", async move {
                keep_registered(&shard, &server).await;
            });
        }
    }

    /// Unregisters from all name servers that are connected.
    pub async fn unregister(&self) {
        self.stopping.set(true);
        for server in &self.servers {
            server.wanted.set();
        }
        while self.servers.iter().any(|server| server.connected.get()) {
            self.progress.wait().await;
        }
    }
}

async fn keep_registered<R: Runtime>(shard: &Rc<Shard<R>>, server: &Server) {
    let control = shard.control.get().expect("registration runs on the control shard").clone();
    let registrar = &control.registrar;
    let mut pause = RETRY.0;
    while !registrar.stopping.get() {
        let outcome = registered(shard, server).await;
        server.connected.set(false);
        registrar.progress.notify();
        match outcome {
            Ok(()) => return,
            Err((error, true)) => {
                pause = RETRY.0;
                tracing::warn!(namesrv = %server.address, %error, "registration lost");
            }
            Err((error, false)) => {
                tracing::warn!(namesrv = %server.address, %error, ?pause, "cannot register");
            }
        }
        let woken = async {
            while !registrar.stopping.get() {
                server.wanted.take().await;
            }
        };
        futures_lite::future::or(shard.runtime.sleep(pause), woken).await;
        pause = (pause * 2).min(RETRY.1);
    }
}

/// Connects, registers now and whenever needed. Ends without an error when the broker stops; else
/// with the error and whether a registration had succeeded.
async fn registered<R: Runtime>(
    shard: &Rc<Shard<R>>,
    server: &Server,
) -> Result<(), (RegisterError, bool)> {
    let control = shard.control.get().expect("checked by the caller");
    let registrar = &control.registrar;
    let mut succeeded = false;
    let timeout = Duration::from_millis(shard.facts.config.register_broker_timeout_ms);
    let mut session = Session::<R>::connect(shard, server.address, timeout)
        .await
        .map_err(|error| (error, succeeded))?;
    let mut full = true;
    loop {
        if registrar.stopping.get() {
            let fields = identity(&shard.facts);
            let _ = session.call(request::UNREGISTER_BROKER, &fields, &[]).await;
            return Ok(());
        }
        let target = registrar.changes.get();
        let since = if full { None } else { Some(server.known.get()) };
        let body = body(shard, since).to_string().into_bytes();
        let mut fields = identity(&shard.facts);
        let crc = ringmq_base::checksum::body_crc(&body).to_string();
        let ha = format!("{}:{}", shard.facts.store_host.ip(), shard.facts.ha_port());
        fields.extend([("haServerAddr", ha), ("compressed", "false".to_owned())]);
        fields.push(("bodyCrc32", crc));
        let done = session.call(request::REGISTER_BROKER, &fields, &body).await;
        done.map_err(|error| (error, succeeded))?;
        if !succeeded {
            tracing::info!(namesrv = %server.address, "registered");
        }
        succeeded = true;
        server.connected.set(true);
        server.known.set(target);
        registrar.progress.notify();
        if registrar.changes.get() > target {
            full = false;
            continue;
        }
        let period = Duration::from_millis(shard.facts.config.register_name_server_period_ms);
        full = session.idle(period, &server.wanted).await.map_err(|error| (error, succeeded))?;
    }
}

fn identity(facts: &Facts) -> Vec<(&'static str, String)> {
    vec![
        ("brokerName", facts.config.broker_name.clone()),
        ("brokerAddr", facts.store_host.to_string()),
        ("clusterName", facts.config.broker_cluster_name.clone()),
        ("brokerId", facts.config.broker_id.to_string()),
    ]
}

/// The topics, all or those that changed after `since`. A deletion can only be told by all: name
/// servers keep what an incremental registration does not name.
fn body<R: Runtime>(shard: &Shard<R>, since: Option<u64>) -> serde_json::Value {
    let control = shard.control.get().expect("checked by the caller");
    let tables = control.tables.borrow();
    let changed = control.registrar.changed.borrow();
    let newer = |name: &str, since: u64| changed.get(name).is_some_and(|count| *count > since);
    let mut since = since;
    if let Some(count) = since {
        let gone =
            changed.iter().any(|(name, at)| *at > count && tables.topics.get(name).is_none());
        // A single topic is refused by 5.x name servers from a broker that they do not know.
        if gone {
            since = None;
        }
    }
    let permission = shard.view.borrow().permission;
    let topics = tables.topics.iter().filter(|topic| since.is_none_or(|at| newer(&topic.name, at)));
    let table: serde_json::Map<String, serde_json::Value> =
        topics.map(|topic| (topic.name.to_string(), topic_config(topic, permission))).collect();
    let version = tables.topics.version();
    json!({
        "topicConfigSerializeWrapper": {
            "topicConfigTable": table,
            "dataVersion": {
                "timestamp": control.registrar.version_ms.get(),
                "counter": version.counter,
                "stateVersion": version.state_version,
            },
        },
        "filterServerList": [],
    })
}

/// brokerPermission takes bits away from all topics, as Java does when it registers.
fn topic_config(topic: &Topic, permission: i32) -> serde_json::Value {
    let mut config = json!({
        "topicName": &*topic.name,
        "readQueueNums": topic.read_queues,
        "writeQueueNums": topic.write_queues,
        "perm": if permission == 6 { topic.perm } else { topic.perm & permission },
        "topicFilterType": topic.filter_type.name(),
        "topicSysFlag": topic.sys_flag,
        "order": topic.order,
    });
    if !topic.attributes.is_empty() {
        config["attributes"] = json!(topic.attributes);
    }
    config
}

/// A connection to a name server with one request under way at a time.
struct Session<R: Runtime> {
    runtime: R,
    stream: <R::Net as Net>::Stream,
    buffer: ReadBuffer,
    opaque: i32,
    timeout: Duration,
}

impl<R: Runtime> Session<R> {
    async fn connect(
        shard: &Shard<R>,
        address: SocketAddr,
        timeout: Duration,
    ) -> Result<Self, RegisterError> {
        let runtime = shard.runtime.clone();
        let connect = async { Ok(runtime.net().connect(address).await?) };
        let stream = limited(&runtime, timeout, connect).await?;
        Ok(Session {
            runtime: runtime.clone(),
            stream,
            buffer: ReadBuffer::default(),
            opaque: 0,
            timeout,
        })
    }

    async fn call(
        &mut self,
        code: i32,
        fields: &[(&'static str, String)],
        body: &[u8],
    ) -> Result<(), RegisterError> {
        self.opaque = self.opaque.wrapping_add(1);
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut out = Vec::new();
        encode::request(&mut out, Serialization::Json, code, self.opaque, false, &fields, body)?;
        let (runtime, timeout) = (self.runtime.clone(), self.timeout);
        limited(&runtime, timeout, self.exchange(&out)).await
    }

    async fn exchange(&mut self, out: &[u8]) -> Result<(), RegisterError> {
        let mut written = 0;
        while written < out.len() {
            match self.stream.write(&out[written..]).await? {
                0 => return Err(RegisterError::Closed),
                count => written += count,
            }
        }
        loop {
            let malformed =
                |error: &dyn std::fmt::Display| RegisterError::Malformed(error.to_string());
            match frame::scan(self.buffer.data()).map_err(|error| malformed(&error))? {
                Scan::Incomplete { need } => self.fill(need).await?,
                Scan::Complete { length } => {
                    let data = self.buffer.data().get(..length).unwrap_or_default();
                    let frame = Frame::parse(data).map_err(|error| malformed(&error))?;
                    let header = Header::decode(&frame).map_err(|error| malformed(&error))?;
                    let (code, opaque) = (header.code, header.opaque);
                    let remark = header.remark.as_deref().unwrap_or_default().to_owned();
                    let is_answer = header.is_response() && opaque == self.opaque;
                    self.buffer.consume(length);
                    match (is_answer, code) {
                        (false, _) => {}
                        (true, response::SUCCESS) => return Ok(()),
                        (true, code) => return Err(RegisterError::Refused { code, remark }),
                    }
                }
            }
        }
    }

    async fn fill(&mut self, need: usize) -> Result<(), RegisterError> {
        match self.stream.read(self.buffer.space(need)).await? {
            0 => Err(RegisterError::Closed),
            count => {
                self.buffer.filled(count);
                Ok(())
            }
        }
    }

    /// Waits for the next registration: true after the period (a full one), false when topics
    /// changed. An error when the name server closes the connection meanwhile.
    async fn idle(&mut self, period: Duration, wanted: &Event) -> Result<bool, RegisterError> {
        let runtime = self.runtime.clone();
        let due = async {
            runtime.sleep(period).await;
            Ok(true)
        };
        let woken = async {
            wanted.take().await;
            Ok(false)
        };
        let closed = async {
            loop {
                self.fill(4).await?;
            }
        };
        let first = futures_lite::future::or(due, woken);
        futures_lite::future::or(first, closed).await
    }
}

async fn limited<R: Runtime, T>(
    runtime: &R,
    timeout: Duration,
    work: impl Future<Output = Result<T, RegisterError>>,
) -> Result<T, RegisterError> {
    let limit = async {
        runtime.sleep(timeout).await;
        Err(RegisterError::Timeout(timeout))
    };
    futures_lite::future::or(work, limit).await
}

#[cfg(test)]
mod tests {
    use ringmq_base::config::BrokerConfig;

    use super::*;
    use ringmq_rules::meta::DataVersion;

    #[test]
    fn every_change_of_a_topic_has_a_version_of_its_own() {
        let set = [("brokerIP1".to_owned(), "127.0.0.1".to_owned())];
        let config = BrokerConfig::load(None, &set).expect("sound keys").config;
        let facts = Facts::new(config, Vec::new(), 1, 5_000).expect("sound facts");
        let registrar = Registrar::new(&facts);
        let mut told = vec![registrar.version_ms.get()];
        // The same millisecond twice, and a clock that goes back.
        for (name, now) in [("a", 6_000), ("b", 6_000), ("a", 1_000), ("c", 7_000)] {
            let version = DataVersion { timestamp: now, ..DataVersion::default() };
            registrar.changed(&MetaChange::TopicPut { topic: Topic::new(name, 4, 6), version });
            told.push(registrar.version_ms.get());
        }
        assert_eq!(told, [5_000, 6_000, 6_001, 6_002, 7_000]);
        assert_eq!(registrar.changes.get(), 5);
    }
}
