//! A whole broker on the simulated machine, with a disk that fills up and gets space again.

use std::{
    net::SocketAddr,
    sync::{Arc, mpsc},
    time::Duration,
};

use ringmq_base::{ShardId, config::BrokerConfig};
use ringmq_io::{
    Clock as _, Net, Runtime as _, Shares, Spawn as _, Stream,
    mailbox::mailbox,
    sim::{Sim, SimRuntime, SimStream},
};
use ringmq_remoting::{
    body::StoragePlan,
    codes::{request, response},
    command::Header,
    encode,
    frame::{Frame, Serialization},
};

use crate::{
    facts::Facts,
    mesh::Message,
    router::Lanes,
    serve::{Seat, run},
};

const MIB: u64 = 1 << 20;
const PORT: u16 = 10_911;

fn config(keys: &[(&str, &str)]) -> BrokerConfig {
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

/// Starts a broker of one shard; it ends with the simulation, or at the message that comes back.
fn start(runtime: &SimRuntime, config: BrokerConfig) -> ringmq_io::mailbox::Sender<Message> {
    let facts = Facts::new(config, Vec::new(), 1, runtime.now_ms()).expect("sound facts");
    let (requests, requests_inbox) = mailbox::<Message>(1024);
    let (replies, replies_inbox) = mailbox::<Message>(1024);
    let (report, _) = mpsc::channel();
    let seat = Seat {
        id: ShardId(0),
        facts: Arc::new(facts),
        lanes: vec![Lanes { requests: requests.clone(), replies }],
        requests: requests_inbox,
        replies: replies_inbox,
        report,
    };
    let own = runtime.clone();
    runtime.spawn(Shares::Foreground, "broker", async move { run(own, seat).await });
    requests
}

struct Client {
    stream: SimStream,
    opaque: i32,
}

struct Answer {
    code: i32,
    remark: String,
    fields: std::collections::BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Client {
    async fn connect(runtime: &SimRuntime) -> Client {
        let address = SocketAddr::from(([127, 0, 0, 1], PORT));
        loop {
            match runtime.net().connect(address).await {
                Ok(stream) => return Client { stream, opaque: 0 },
                Err(_) => runtime.sleep(Duration::from_millis(1)).await,
            }
        }
    }

    async fn call(&mut self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> Answer {
        self.opaque += 1;
        let mut out = Vec::new();
        let json = Serialization::Json;
        encode::request(&mut out, json, code, self.opaque, false, fields, body);
        let mut rest = out.as_slice();
        while !rest.is_empty() {
            let count = self.stream.write(rest).await.expect("the broker reads");
            rest = &rest[count..];
        }
        let mut frame = self.exactly(4).await;
        let length = u32::from_be_bytes(*frame.first_chunk().expect("four bytes")) as usize;
        let behind = self.exactly(length).await;
        frame.extend(behind);
        let frame = Frame::parse(&frame).expect("a frame");
        let header = Header::decode(&frame).expect("a header");
        let fields = header.fields.iter();
        Answer {
            code: header.code,
            remark: header.remark.as_deref().unwrap_or_default().to_owned(),
            fields: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: frame.body.to_vec(),
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

    async fn send(&mut self, body: &[u8]) -> Answer {
        let fields = [
            ("a", "producer"),
            ("b", "Topic"),
            ("c", "TBW102"),
            ("d", "1"),
            ("e", "0"),
            ("f", "0"),
            ("g", "1"),
            ("h", "0"),
            ("i", ""),
            ("j", "0"),
            ("k", "false"),
            ("l", "0"),
            ("m", "false"),
        ];
        self.call(request::SEND_MESSAGE_V2, &fields, body).await
    }

    async fn offset(&mut self, code: i32) -> i64 {
        let answer = self.call(code, &[("topic", "Topic"), ("queueId", "0")], b"").await;
        answer.fields["offset"].parse().expect("a number")
    }

    async fn plan(&mut self) -> StoragePlan {
        let answer = self.call(request::STORAGE_PLAN, &[], b"").await;
        serde_json::from_slice(&answer.body).expect("a plan")
    }

    async fn commit(&mut self, offset: i64) {
        let offset = offset.to_string();
        let fields = [
            ("consumerGroup", "readers"),
            ("topic", "Topic"),
            ("queueId", "0"),
            ("commitOffset", offset.as_str()),
        ];
        self.call(request::UPDATE_CONSUMER_OFFSET, &fields, b"").await;
    }
}

/// Sends until the answer is another one; how many were stored, and that answer.
async fn fill(client: &mut Client, most: usize) -> (usize, Option<Answer>) {
    for sent in 0..most {
        let answer = client.send(&[7; 60_000]).await;
        if answer.code != response::SUCCESS {
            return (sent, Some(answer));
        }
    }
    (most, None)
}

#[test]
fn a_full_disk_refuses_sends_and_takes_them_again_as_soon_as_there_is_space() {
    for seed in 0..3 {
        let sim = Sim::new(seed);
        sim.disk().set_capacity(16 * MIB);
        sim.run(async |runtime| {
            let keys = [("cleanFileForciblyEnable", "false"), ("cleanResourceInterval", "100")];
            start(&runtime, config(&keys));
            let mut client = Client::connect(&runtime).await;
            let (sent, refused) = fill(&mut client, 1000).await;
            let refused = refused.expect("the disk is full at some time");
            assert!(sent > 100, "{sent}");
            assert_eq!(refused.code, response::SERVICE_NOT_AVAILABLE);
            let names_the_key = refused.remark.contains("diskSpaceWarningLevelRatio = 90 %");
            assert!(names_the_key && refused.remark.contains("store"), "{}", refused.remark);
            let plan = client.plan().await;
            let disk = plan.disk.expect("the disk tells");
            assert!(disk.state == "refuse" && disk.used_permille > 900, "{disk:?}");
            assert_eq!(client.offset(request::GET_MIN_OFFSET).await, 0, "nothing was deleted");
            sim.disk().set_capacity(64 * MIB);
            runtime.sleep(Duration::from_millis(1500)).await;
            assert_eq!(client.send(b"again").await.code, response::SUCCESS);
            assert_eq!(client.offset(request::GET_MAX_OFFSET).await, sent as i64 + 1);
        });
    }
}

#[test]
fn a_disk_that_gives_no_space_makes_the_oldest_messages_go_at_once() {
    let sim = Sim::new(4);
    sim.disk().set_capacity(256 * MIB);
    sim.run(async |runtime| {
        let keys = [
            ("diskMaxUsedSpaceRatio", "95"),
            ("diskSpaceCleanForciblyRatio", "99"),
            ("diskSpaceWarningLevelRatio", "99"),
            ("cleanResourceInterval", "3600000"),
        ];
        start(&runtime, config(&keys));
        let mut client = Client::connect(&runtime).await;
        let (sent, refused) = fill(&mut client, 100).await;
        assert!(refused.is_none() && sent == 100);
        // Nobody looks for an hour; the refused send is what has it looked at.
        sim.disk().set_capacity(7 * MIB);
        let (_, refused) = fill(&mut client, 100).await;
        let refused = refused.expect("no space");
        assert_eq!(refused.code, response::SERVICE_NOT_AVAILABLE, "{}", refused.remark);
        runtime.sleep(Duration::from_secs(4)).await;
        assert!(client.offset(request::GET_MIN_OFFSET).await > 0);
        assert_eq!(client.send(b"again").await.code, response::SUCCESS);
    });
}

#[test]
fn a_disk_that_fills_up_loses_its_oldest_messages_instead_of_refusing() {
    let sim = Sim::new(5);
    sim.disk().set_capacity(32 * MIB);
    sim.run(async |runtime| {
        start(&runtime, config(&[("cleanResourceInterval", "100")]));
        let mut client = Client::connect(&runtime).await;
        for _ in 0..100 {
            let (_, refused) = fill(&mut client, 10).await;
            assert!(refused.is_none_or(|answer| panic!("{}", answer.remark)));
            // A producer that leaves time to clean; faster ones are held up by refusals.
            runtime.sleep(Duration::from_millis(300)).await;
        }
        let min = client.offset(request::GET_MIN_OFFSET).await;
        assert!(min > 300, "{min}");
        let plan = client.plan().await;
        assert!(plan.deleted_segments > 10 && plan.disk.is_some_and(|disk| disk.state != "refuse"));
        let offset = "0";
        let fields = [
            ("consumerGroup", "readers"),
            ("topic", "Topic"),
            ("queueId", "0"),
            ("queueOffset", offset),
            ("maxMsgNums", "1"),
            ("sysFlag", "4"),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", "0"),
            ("subscription", "*"),
            ("subVersion", "0"),
        ];
        let answer = client.call(request::PULL_MESSAGE, &fields, b"").await;
        assert_eq!(answer.code, response::PULL_OFFSET_MOVED, "{}", answer.remark);
        assert_eq!(answer.fields["nextBeginOffset"], answer.fields["minOffset"]);
        assert_eq!(answer.fields["minOffset"], min.to_string());
    });
}

#[test]
fn what_a_group_has_not_consumed_stays_until_it_has_if_the_operator_says_so() {
    let sim = Sim::new(6);
    sim.disk().set_capacity(256 * MIB);
    sim.run(async |runtime| {
        let keys = [("deleteUnconsumedWhenFull", "false"), ("retentionBytes", "4194304")];
        start(&runtime, config(&keys));
        let mut client = Client::connect(&runtime).await;
        assert_eq!(client.send(b"first").await.code, response::SUCCESS);
        client.commit(1).await;
        let (_, refused) = fill(&mut client, 200).await;
        assert!(refused.is_none());
        runtime.sleep(Duration::from_secs(5)).await;
        let min = client.offset(request::GET_MIN_OFFSET).await;
        assert!(min <= 1, "unconsumed messages were deleted: the queue begins at {min}");
        let plan = client.plan().await;
        let behind = plan.logs.iter().find_map(|log| log.unconsumed.as_ref()).expect("one is");
        assert_eq!((behind.group.as_str(), behind.topic.as_str()), ("readers", "Topic"));
        client.commit(150).await;
        runtime.sleep(Duration::from_secs(5)).await;
        let min = client.offset(request::GET_MIN_OFFSET).await;
        assert!((100..=150).contains(&min), "{min}");
    });
}

#[test]
fn an_order_deletes_nothing_that_has_not_expired() {
    let sim = Sim::new(7);
    sim.disk().set_capacity(256 * MIB);
    sim.run(async |runtime| {
        start(&runtime, config(&[]));
        let mut client = Client::connect(&runtime).await;
        fill(&mut client, 100).await;
        let answer = client.call(request::DELETE_EXPIRED_COMMITLOG, &[], b"").await;
        assert_eq!(answer.code, response::SUCCESS);
        runtime.sleep(Duration::from_secs(3)).await;
        assert_eq!(client.offset(request::GET_MIN_OFFSET).await, 0);
        // Three days later they have.
        sim.jump_wall_clock(73 * 3_600_000);
        client.call(request::DELETE_EXPIRED_COMMITLOG, &[], b"").await;
        runtime.sleep(Duration::from_secs(3)).await;
        assert!(client.offset(request::GET_MIN_OFFSET).await > 50);
    });
}
