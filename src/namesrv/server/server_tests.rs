//! The name server on a simulated network and disk, asked by frames as brokers and clients send
//! them.

use std::{cell::RefCell, net::SocketAddr, path::PathBuf, rc::Rc, time::Duration};

use ringmq_base::{checksum::crc32, config::NamesrvConfig};
use ringmq_io::{
    Clock, Disk, Net, Runtime, Shares, Spawn, Stream,
    sim::{Sim, SimRuntime, SimStream},
};
use ringmq_remoting::{
    codes::{request, response},
    command::Header,
    encode,
    frame::{self, Frame, Scan, Serialization},
};

use super::*;

/// As a broker of 4.9 writes it.
const BODY: &str = concat!(
    r#"{"filterServerList":[],"topicConfigSerializeWrapper":{"dataVersion":{"counter":2,"#,
    r#""timestamp":1700000000000},"topicConfigTable":{"T":{"order":false,"perm":6,"#,
    r#""readQueueNums":8,"topicFilterType":"SINGLE_TAG","topicName":"T","topicSysFlag":0,"#,
    r#""writeQueueNums":8},"U":{"perm":6,"readQueueNums":1,"topicName":"U","#,
    r#""writeQueueNums":1}}}}"#
);

#[derive(Debug)]
struct Reply {
    code: i32,
    opaque: i32,
    remark: String,
    fields: Vec<(String, String)>,
    body: String,
    serialization: Serialization,
}

struct Client {
    stream: SimStream,
    input: RefCell<Vec<u8>>,
}

impl Client {
    async fn connect(runtime: &SimRuntime, address: SocketAddr) -> Client {
        let stream = runtime.net().connect(address).await.expect("the server listens");
        Client { stream, input: RefCell::default() }
    }

    async fn send(&self, bytes: &[u8]) {
        let mut written = 0;
        while written < bytes.len() {
            written += self.stream.write(&bytes[written..]).await.expect("connected");
        }
    }

    /// The next reply, `None` at the end of the stream.
    async fn receive(&self) -> Option<Reply> {
        loop {
            let mut input = self.input.borrow().clone();
            if let Scan::Complete { length } = frame::scan(&input).expect("a frame") {
                let frame = Frame::parse(&input).expect("a frame");
                let header = Header::decode(&frame).expect("a header");
                assert!(header.is_response());
                let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
                let reply = Reply {
                    code: header.code,
                    opaque: header.opaque,
                    remark: header.remark.as_deref().unwrap_or_default().to_owned(),
                    fields: header.fields.iter().map(owned).collect(),
                    body: String::from_utf8(frame.body.to_vec()).expect("text"),
                    serialization: frame.serialization,
                };
                self.input.replace(input.split_off(length));
                return Some(reply);
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.input.borrow_mut().extend_from_slice(&bytes[..count]),
            }
        }
    }

    async fn ask(&self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> Reply {
        self.send(&frame_of(code, 7, fields, body)).await;
        self.receive().await.expect("an answer")
    }

    async fn register(&self, name: &str, id: &str, address: &str) -> Reply {
        let crc = (crc32(BODY.as_bytes()) & 0x7FFF_FFFF).to_string();
        let fields = [
            ("brokerName", name),
            ("brokerAddr", address),
            ("clusterName", "c"),
            ("haServerAddr", "ha:1"),
            ("brokerId", id),
            ("compressed", "false"),
            ("bodyCrc32", &crc),
        ];
        self.ask(request::REGISTER_BROKER, &fields, BODY.as_bytes()).await
    }

    async fn route(&self, topic: &str) -> Reply {
        self.ask(request::GET_ROUTEINFO_BY_TOPIC, &[("topic", topic)], b"").await
    }
}

fn frame_of(code: i32, opaque: i32, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode::request(&mut bytes, Serialization::Json, code, opaque, false, fields, body)
        .expect("fits");
    bytes
}

fn config() -> NamesrvConfig {
    NamesrvConfig { kv_config_path: PathBuf::from("/ns/kvConfig.json"), ..NamesrvConfig::default() }
}

struct Running {
    address: SocketAddr,
    stop: Rc<Event>,
    stopped: Rc<Event>,
}

fn start(runtime: &SimRuntime, config: NamesrvConfig) -> Running {
    let address = SocketAddr::from(([127, 0, 0, 1], 9876));
    let listener = runtime.net().listen(address).expect("the port is free");
    let (stop, stopped) = (Rc::new(Event::default()), Rc::new(Event::default()));
    let (stopping, ended, own) = (stop.clone(), stopped.clone(), runtime.clone());
    runtime.spawn(Shares::Foreground, "server", async move {
        serve(own, config, &Acceptor::default(), listener, stopping.wait()).await.expect("serves");
        ended.set();
    });
    Running { address, stop, stopped }
}

#[test]
fn a_broker_registers_and_a_client_finds_its_topics() {
    for seed in 0..20 {
        Sim::new(seed).run(async |runtime| {
            let running = start(&runtime, config());
            let broker = Client::connect(&runtime, running.address).await;
            let client = Client::connect(&runtime, running.address).await;
            let missing = client.route("T").await;
            assert_eq!((missing.code, missing.opaque), (response::TOPIC_NOT_EXIST, 7));
            assert!(missing.remark.starts_with("No topic route info in name server for"));
            let reply = broker.register("b", "0", "1.2.3.4:10911").await;
            assert_eq!(reply.code, response::SUCCESS, "{reply:?}");
            let route = client.route("T").await;
            assert!(route.body.contains(r#""brokerAddrs":{"#), "{}", route.body);
            assert!(route.body.contains(r#""readQueueNums":8"#), "{}", route.body);
            let slave = broker.register("b", "1", "1.2.3.5:10911").await;
            let expected = [("haServerAddr", "ha:1"), ("masterAddr", "1.2.3.4:10911")];
            assert_eq!(
                slave.fields,
                expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
            );
            drop(broker);
            runtime.sleep(Duration::from_secs(1)).await;
            assert_eq!(client.route("T").await.code, response::TOPIC_NOT_EXIST);
        });
    }
}

#[test]
fn requests_in_one_write_are_answered_in_order_and_one_way_ones_not() {
    Sim::new(1).run(async |runtime| {
        let running = start(&runtime, config());
        let client = Client::connect(&runtime, running.address).await;
        let mut bytes = frame_of(request::GET_BROKER_CLUSTER_INFO, 1, &[], b"");
        let topics = request::GET_ALL_TOPIC_LIST_FROM_NAMESERVER;
        encode::request(&mut bytes, Serialization::Json, topics, 2, true, &[], b"").expect("fits");
        encode::request(&mut bytes, Serialization::RocketMq, topics, 3, false, &[], b"")
            .expect("fits");
        bytes.extend(frame_of(12_345, 4, &[], b""));
        client.send(&bytes).await;
        let replies =
            [client.receive().await, client.receive().await, client.receive().await].map(|reply| {
                let reply = reply.expect("an answer");
                (reply.opaque, reply.code, reply.serialization)
            });
        let unknown = response::REQUEST_CODE_NOT_SUPPORTED;
        let expected = [
            (1, 0, Serialization::Json),
            (3, 0, Serialization::RocketMq),
            (4, unknown, Serialization::Json),
        ];
        assert_eq!(replies, expected);
    });
}

#[test]
fn a_silent_connection_is_closed_and_its_broker_dropped() {
    Sim::new(2).run(async |runtime| {
        let running = start(&runtime, config());
        let broker = Client::connect(&runtime, running.address).await;
        broker.register("b", "0", "m:1").await;
        let before = runtime.monotonic();
        assert!(broker.receive().await.is_none(), "closed");
        let waited = runtime.monotonic() - before;
        assert!(waited >= Duration::from_secs(119) && waited < Duration::from_secs(130));
        let client = Client::connect(&runtime, running.address).await;
        assert_eq!(client.route("T").await.code, response::TOPIC_NOT_EXIST);
    });
}

/// D10: RocketMQ takes the 0, and closes no connection for its silence then.
#[test]
fn without_a_longest_silence_a_silent_connection_stays() {
    Sim::new(2).run(async |runtime| {
        let config = NamesrvConfig { server_channel_max_idle_time_seconds: 0, ..config() };
        let running = start(&runtime, config);
        let client = Client::connect(&runtime, running.address).await;
        runtime.sleep(Duration::from_secs(3600)).await;
        assert_eq!(client.route("T").await.code, response::TOPIC_NOT_EXIST);
    });
}

#[test]
fn a_malformed_frame_ends_its_connection_only() {
    Sim::new(3).run(async |runtime| {
        let running = start(&runtime, config());
        for bytes in [&[0xFF; 16][..], b"GET / HTTP/1.1\r\n\r\n", &[0, 0, 0, 8, 9, 0, 0, 0]] {
            let client = Client::connect(&runtime, running.address).await;
            client.send(bytes).await;
            assert!(client.receive().await.is_none());
        }
        let client = Client::connect(&runtime, running.address).await;
        assert_eq!(client.route("T").await.code, response::TOPIC_NOT_EXIST);
    });
}

#[test]
fn a_connection_too_many_is_closed() {
    Sim::new(4).run(async |runtime| {
        let running = start(&runtime, NamesrvConfig { connections_max: 1, ..config() });
        let first = Client::connect(&runtime, running.address).await;
        first.route("T").await;
        let second = Client::connect(&runtime, running.address).await;
        assert!(second.receive().await.is_none());
        drop(first);
        runtime.sleep(Duration::from_secs(1)).await;
        let third = Client::connect(&runtime, running.address).await;
        third.route("T").await;
    });
}

#[test]
fn the_kv_configuration_survives_a_power_cut_after_the_answer() {
    for seed in 0..20 {
        let sim = Sim::new(seed);
        sim.run(async |runtime| {
            let running = start(&runtime, config());
            let client = Client::connect(&runtime, running.address).await;
            for value in ["a:4", "a:8"] {
                let fields = [("namespace", "ORDER_TOPIC_CONFIG"), ("key", "T"), ("value", value)];
                let reply = client.ask(request::PUT_KV_CONFIG, &fields, b"").await;
                assert_eq!(reply.code, response::SUCCESS, "{reply:?}");
            }
        });
        let image = sim.disk().power_cut(seed);
        Sim::with_disk(seed, &image).run(async |runtime| {
            let running = start(&runtime, config());
            let client = Client::connect(&runtime, running.address).await;
            let fields = [("namespace", "ORDER_TOPIC_CONFIG"), ("key", "T")];
            let reply = client.ask(request::GET_KV_CONFIG, &fields, b"").await;
            assert_eq!(reply.fields, [("value".to_owned(), "a:8".to_owned())]);
            let reply = client.ask(request::DELETE_KV_CONFIG, &fields, b"").await;
            assert_eq!(reply.code, response::SUCCESS);
            let reply = client.ask(request::GET_KV_CONFIG, &fields, b"").await;
            assert_eq!(reply.code, response::QUERY_NOT_FOUND);
        });
    }
}

#[test]
fn changes_of_the_kv_configuration_at_once_are_all_kept() {
    Sim::new(5).run(async |runtime| {
        let running = start(&runtime, config());
        let clients = Rc::new(Cell::new(0));
        for n in 0..8 {
            let (own, clients, address) = (runtime.clone(), clients.clone(), running.address);
            runtime.spawn(Shares::Foreground, "client", async move {
                let client = Client::connect(&own, address).await;
                let key = format!("k{n}");
                let fields = [("namespace", "n"), ("key", key.as_str()), ("value", "v")];
                client.ask(request::PUT_KV_CONFIG, &fields, b"").await;
                clients.set(clients.get() + 1);
            });
        }
        while clients.get() < 8 {
            runtime.sleep(Duration::from_millis(10)).await;
        }
        let client = Client::connect(&runtime, running.address).await;
        let reply = client.ask(request::GET_KVLIST_BY_NAMESPACE, &[("namespace", "n")], b"").await;
        assert_eq!(reply.body.matches(r#""v""#).count(), 8, "{}", reply.body);
    });
}

#[test]
fn shutdown_closes_connections_and_frees_the_port() {
    Sim::new(6).run(async |runtime| {
        let running = start(&runtime, config());
        let client = Client::connect(&runtime, running.address).await;
        client.route("T").await;
        running.stop.set();
        running.stopped.wait().await;
        assert!(client.receive().await.is_none());
        runtime.sleep(Duration::from_secs(10)).await;
        let again = start(&runtime, config());
        let client = Client::connect(&runtime, again.address).await;
        client.route("T").await;
    });
}

#[test]
fn a_damaged_kv_file_stops_the_start_unless_there_is_a_copy() {
    Sim::new(7).run(async |runtime| {
        let disk = runtime.disk();
        let path = PathBuf::from("/ns/kvConfig.json");
        let mut table = crate::kv::KvTable::default();
        table.apply(&crate::kv::Change::put("n", "k", Some("v")));
        let (saved, work) = (RefCell::new(table.clone()), crate::work::test::Alone::default());
        crate::kv::file::save(disk, &path, &saved, None, &work).await.expect("saved");
        let backup = PathBuf::from("/ns/kvConfig.json.bak");
        disk.rename_durably(&path, &backup).await.expect("renamed");
        let loaded = crate::kv::file::load(disk, &path, 1 << 20).await.expect("the copy");
        assert_eq!(loaded, table);
    });
}

#[test]
fn what_is_too_long_is_refused_before_it_has_come_and_passed_over() {
    Sim::new(1).run(async |runtime| {
        let running = start(&runtime, config());
        let client = Client::connect(&runtime, running.address).await;
        let large = frame_of(request::GET_ROUTEINFO_BY_TOPIC, 7, &[("topic", "T")], &[0; 1 << 20]);
        client.send(&large[..1000]).await;
        let refused = client.receive().await.expect("an answer, before the body");
        assert_eq!((refused.code, refused.opaque), (response::SYSTEM_ERROR, 7));
        assert!(refused.remark.contains("has a body of 1048576 bytes"), "{}", refused.remark);
        client.send(&large[1000..]).await;
        let name = "n".repeat(5000);
        let refused = client.route(&name).await;
        assert!(refused.remark.contains("the header field topic has 5000 bytes"), "{refused:?}");
        assert_eq!(client.route("T").await.code, response::TOPIC_NOT_EXIST, "it goes on");
        let huge = frame_of(request::PUT_KV_CONFIG, 7, &[("value", &"v".repeat(5 << 20))], b"");
        client.send(&huge[..100]).await;
        assert!(client.receive().await.is_none(), "closed");
    });
}
