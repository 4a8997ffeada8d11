//! A whole broker on the simulated machine, and a client that talks to it.

mod batches;
mod clients;
pub mod cluster;
pub mod complaints;
mod consumer_calls;
mod damaged_keys;
mod delays;
mod deletions;
mod failed_writes;
mod full_tables;
mod lanes;
mod long_batches;
mod long_lists;
mod long_polls;

pub mod metadata;
mod offsets;
mod order;
mod slow_readers;
mod transactions;

use std::{net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use ringmq_base::{ShardId, config::BrokerConfig};
use ringmq_io::{
    Clock as _, Net, Runtime as _, Stream,
    sim::{SimDisk, SimRuntime, SimStream},
};
use ringmq_remoting::{
    codes::request,
    encode::{self, Value},
    frame::Serialization,
};
pub use ringmq_test_client::Answer;
use ringmq_test_client::Send;

use crate::{
    control::Control,
    parts::BrokerParts,
    shard::{Shard, router::Router, settings::BrokerSettings, view_version::Published},
    simulation::{self, Simulated},
};

const PORT: u16 = 10_911;
/// One a millisecond. A start whose metadata log has no space may take a while.
const CONNECT_TRIES: u32 = 10_000;

/// Small segments and a broker that looks after them every second.
pub fn config(keys: &[(&str, &str)]) -> BrokerConfig {
    let fixed = [
        ("brokerName", "sim"),
        ("brokerIP1", "127.0.0.1"),
        ("storePathRootDir", "store"),
        ("mappedFileSizeCommitLog", "1048576"),
        ("zeroAheadBytes", "262144"),
        ("cleanResourceInterval", "1000"),
        ("deleteWhen", "00;01;02;03;04;05;06;07;08;09;10;11;12;13;14;15;16;17;18;19;20;21;22;23"),
    ];
    let set: Vec<_> = fixed
        .iter()
        .chain(keys)
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    BrokerConfig::load(None, &set).expect("sound keys").config
}

/// Starts a broker of one shard; it ends with the simulation, or when told to.
pub fn start(runtime: &SimRuntime, config: BrokerConfig) -> Simulated<SimRuntime> {
    simulation::start(runtime, settings(runtime, config, 1), 1)
}

/// What a broker of so many shards is started with.
pub fn settings(runtime: &SimRuntime, config: BrokerConfig, shards: usize) -> BrokerSettings {
    BrokerSettings::new(config, shards, runtime.now_ms()).expect("sound settings")
}

/// The control object of a broker whose only shard does not serve.
pub async fn control(runtime: &SimRuntime, config: BrokerConfig) -> Rc<Control<SimRuntime>> {
    let settings = Arc::new(BrokerSettings::new(config, 1, 0).expect("sound settings"));
    let BrokerParts { lanes, .. } = BrokerParts::new(&settings, 1);
    let router = Router::new(ShardId(0), lanes, &settings.sizes);
    let shard = Shard::new(runtime.clone(), settings, router, Published::default());
    Control::open(&shard).await.expect("an empty store").0
}

pub struct Client {
    stream: SimStream,
    opaque: i32,
}

impl Client {
    /// Connects as soon as the broker listens.
    pub async fn connect(runtime: &SimRuntime) -> Client {
        let address = SocketAddr::from(([127, 0, 0, 1], PORT));
        for _ in 0..CONNECT_TRIES {
            match runtime.net().connect(address).await {
                Ok(stream) => return Client { stream, opaque: 0 },
                Err(_) => runtime.sleep(Duration::from_millis(1)).await,
            }
        }
        panic!("the broker does not listen within {CONNECT_TRIES} ms");
    }

    pub async fn call(&mut self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> Answer {
        let values: Vec<_> =
            fields.iter().map(|(name, value)| (*name, Value::Str(value))).collect();
        self.call_values(code, &values, body).await
    }

    /// With fields that are typed.
    pub async fn call_values(
        &mut self,
        code: i32,
        fields: &[(&str, Value<'_>)],
        body: &[u8],
    ) -> Answer {
        self.opaque += 1;
        let mut out = Vec::new();
        let json = Serialization::Json;
        encode::request_values(&mut out, json, code, self.opaque, false, fields, body)
            .expect("fits");
        self.write(&out).await;
        self.receive().await
    }

    /// Sends bytes as they are.
    pub async fn write(&mut self, bytes: &[u8]) {
        assert!(self.write_open(bytes).await, "the broker reads");
    }

    /// The same, beside a reader; false if the broker closes the connection.
    pub async fn write_open(&self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        while !rest.is_empty() {
            let Ok(count) = self.stream.write(rest).await else {
                return false;
            };
            rest = &rest[count..];
        }
        true
    }

    /// The next frame of the broker.
    pub async fn receive(&self) -> Answer {
        let mut frame = self.exactly(4).await;
        let length = u32::from_be_bytes(*frame.first_chunk().expect("four bytes")) as usize;
        let behind = self.exactly(length).await;
        frame.extend(behind);
        Answer::decode(&frame).expect("a frame")
    }

    /// Whether the broker has not closed the connection; nothing else is under way.
    pub async fn is_open(&mut self) -> bool {
        let waiting = futures_lite::future::poll_once(self.stream.read(&mut [0])).await;
        waiting.is_none()
    }

    /// Takes so many bytes of whatever the broker sends; false when it has closed the connection.
    pub async fn take(&self, bytes: usize) -> bool {
        let (mut room, mut taken) = (vec![0; bytes], 0);
        while taken < bytes {
            match self.stream.read(&mut room[taken..]).await {
                Ok(count) if count > 0 => taken += count,
                _ => return false,
            }
        }
        true
    }

    /// Whether the broker has closed the connection, behind whatever it sent before.
    pub async fn is_ended(&self) -> bool {
        let mut room = vec![0; 4096];
        loop {
            match futures_lite::future::poll_once(self.stream.read(&mut room)).await {
                Some(Ok(count)) if count > 0 => {}
                Some(_) => return true,
                None => return false,
            }
        }
    }

    async fn exactly(&self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let mut filled = 0;
        while filled < count {
            let read = self.stream.read(&mut bytes[filled..]).await.expect("the broker answers");
            assert!(read > 0, "the broker closed the connection");
            filled += read;
        }
        bytes
    }

    /// To queue 0 of `Topic`.
    pub async fn send(&mut self, body: &[u8]) -> Answer {
        self.send_with("Topic", "", body).await
    }

    /// To queue 0 of a topic.
    pub async fn send_with(&mut self, topic: &str, properties: &str, body: &[u8]) -> Answer {
        let send = Send { topic, queue: 0, queues: 1, properties, batch: false };
        self.call_values(request::SEND_MESSAGE_V2, &send.fields(), body).await
    }

    /// What a request for an offset of that queue answers.
    pub async fn offset(&mut self, code: i32) -> i64 {
        let answer = self.call(code, &[("topic", "Topic"), ("queueId", "0")], b"").await;
        answer.fields["offset"].parse().expect("a number")
    }

    /// Messages that any queue of a topic ever had; `None` if the topic is not there.
    pub async fn stored(&mut self, topic: &str) -> Option<i64> {
        let answer = self.call(request::GET_TOPIC_STATS_INFO, &[("topic", topic)], b"").await;
        let table: ringmq_remoting::body::TopicStatsTable =
            ringmq_remoting::fastjson::from_slice(&answer.body).ok()?;
        Some(table.offset_table.values().map(|queue| queue.max_offset).sum())
    }

    /// A value of the runtime information.
    pub async fn runtime_value(&mut self, key: &str) -> Option<String> {
        let answer = self.call(request::GET_BROKER_RUNTIME_INFO, &[], b"").await;
        let table: ringmq_remoting::body::KVTable =
            ringmq_remoting::fastjson::from_slice(&answer.body).ok()?;
        table.table.get(key).cloned()
    }
}

/// Inverts a bit of the first place on the disk that holds these bytes.
pub fn damage(disk: &SimDisk, wanted: &[u8]) {
    for path in disk.files() {
        let bytes = disk.read_file(&path).unwrap_or_default();
        let found = bytes.windows(wanted.len()).position(|part| part == wanted);
        if let Some(at) = found {
            disk.flip_bit(&path, at as u64 * 8);
            return;
        }
    }
    panic!("{wanted:?} is not on the disk");
}
