//! `startMonitoring` beside a broker of RocketMQ, which writes down whom it has sent to another
//! offset; what such a broker answers is made here.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use ringmq_base::record::{NewRecord, Placement};
use ringmq_remoting::codes::{request, response};
use ringmq_remoting::encode::{self, Value};
use ringmq_remoting::frame::Serialization;
use ringmq_test_client::{Answer, forget_environment};
use serde_json::json;

use crate::client::Client;
use crate::name_server::NameServer;
use crate::process::{self, binary};

const TOPIC: &str = "OFFSET_MOVED_EVENT";
const GROUP: &str = "__MONITOR_CONSUMER";

/// The queue with the events, and how far the group of monitors is.
#[derive(Default)]
struct Events {
    stored: Vec<Vec<u8>>,
    committed: Option<i64>,
}

impl Events {
    fn store(&mut self, asked: i64, new: i64) {
        let body = json!({
            "consumerGroup": "payers",
            "messageQueue": {"topic": "Orders", "brokerName": "java-a", "queueId": 3},
            "offsetRequest": asked,
            "offsetNew": new,
        });
        let body = body.to_string();
        let host = SocketAddr::from(([127, 0, 0, 1], 10911));
        let record = NewRecord {
            topic: TOPIC,
            queue_id: 0,
            flag: 0,
            sys_flag: 0,
            born_timestamp: 1_700_000_000_000,
            born_host: host,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: body.as_bytes(),
            properties: [b"KEYS\x01payers\x02", b"TAGS\x01payers\x02", b""],
        };
        let queue_offset = i64::try_from(self.stored.len()).expect("few");
        let place =
            Placement { queue_offset, physical_offset: 0, store_timestamp: 1_700_000_000_001 };
        let mut bytes = vec![0; record.size()];
        record.encode(&mut bytes, &place);
        self.stored.push(bytes);
    }

    /// Code, header fields and body.
    fn answer(&mut self, asked: &Answer) -> (i32, Vec<(&'static str, i64)>, Vec<u8>) {
        let end = i64::try_from(self.stored.len()).expect("few");
        if asked.code != request::GET_MAX_OFFSET {
            assert_eq!(
                asked.fields["consumerGroup"],
                match asked.code {
                    request::PULL_MESSAGE => "TOOLS_CONSUMER",
                    _ => GROUP,
                }
            );
        }
        assert_eq!((&*asked.fields["topic"], &*asked.fields["queueId"]), (TOPIC, "0"));
        match asked.code {
            request::GET_MAX_OFFSET => (response::SUCCESS, vec![("offset", end)], Vec::new()),
            request::QUERY_CONSUMER_OFFSET => match self.committed {
                Some(offset) => (response::SUCCESS, vec![("offset", offset)], Vec::new()),
                None => (response::QUERY_NOT_FOUND, Vec::new(), Vec::new()),
            },
            request::UPDATE_CONSUMER_OFFSET => {
                self.committed = Some(asked.number("commitOffset"));
                (response::SUCCESS, Vec::new(), Vec::new())
            }
            request::PULL_MESSAGE => {
                let at = asked.number("queueOffset");
                let begin = usize::try_from(at).expect("an offset");
                // One a pull, however many are asked for.
                let found = self.stored.get(begin).expect("nothing else is pulled").clone();
                let fields =
                    vec![("nextBeginOffset", at + 1), ("minOffset", 0), ("maxOffset", end)];
                (response::SUCCESS, fields, found)
            }
            other => panic!("nobody asks for {other}"),
        }
    }
}

/// Answers for as long as the test runs.
fn serve(listener: TcpListener, events: Arc<Mutex<Events>>) {
    for stream in listener.incoming() {
        let mut peer = Client::over(stream.expect("a connection"));
        let events = events.clone();
        thread::spawn(move || {
            while let Ok(asked) = peer.request() {
                let (code, fields, body) = events.lock().expect("no panic").answer(&asked);
                let fields: Vec<_> =
                    fields.into_iter().map(|(name, value)| (name, Value::Int(value))).collect();
                let (mut out, form) = (Vec::new(), Serialization::Json);
                encode::response(&mut out, form, asked.opaque, code, None, &fields, &body)
                    .expect("fits");
                if std::io::Write::write_all(peer.stream(), &out).is_err() {
                    break;
                }
            }
        });
    }
}

/// Has the name server know a broker with the topic, for as long as the connection lasts.
fn register(names: &NameServer, address: SocketAddr) -> Client {
    let topic = json!({
        "perm": 6, "readQueueNums": 1, "topicName": TOPIC, "topicSysFlag": 0, "writeQueueNums": 1,
    });
    let body = json!({
        "topicConfigSerializeWrapper": {
            "dataVersion": {"counter": 1, "timestamp": 1},
            "topicConfigTable": {TOPIC: topic},
        },
        "filterServerList": [],
    });
    let address = address.to_string();
    let fields = [
        ("brokerName", "java-a"),
        ("clusterName", "DefaultCluster"),
        ("brokerAddr", address.as_str()),
        ("brokerId", "0"),
        ("bodyCrc32", "0"),
    ];
    let mut client = names.client();
    let answer = client.call(request::REGISTER_BROKER, &fields, body.to_string().as_bytes());
    answer.expect("an answer").expect(response::SUCCESS);
    client
}

fn monitor(names: &NameServer, more: &[&str]) -> String {
    let mut command = Command::new(binary());
    command.args(["admin", "startMonitoring", "--interval", "0"]).args(more);
    forget_environment(&mut command);
    command.env("NAMESRV_ADDR", names.address.to_string());
    let output = command.output().expect("the binary can be started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    String::from_utf8(output.stdout).expect("text")
}

// Single: no broker of ours runs.
#[test]
fn monitors_show_whom_brokers_sent_to_other_offsets_since_the_last_time() {
    let directory = process::directory("commands-monitor");
    let names = NameServer::start(directory.path(), &[]);
    names.process.allows("is dropped: its connection has ended");
    let round = "[MONITOR] =========================================";
    let empty = format!("{round}beginRound\n{round}endRound\n");
    assert_eq!(monitor(&names, &[]), empty, "there is no broker");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let events = Arc::new(Mutex::new(Events::default()));
    let shared = events.clone();
    thread::spawn(move || serve(listener, shared));
    let _broker = register(&names, address);
    let store = |asked, new| events.lock().expect("no panic").store(asked, new);
    store(1, 2);
    assert_eq!(monitor(&names, &[]), empty, "it begins at the end, as RocketMQ's");
    store(5, 70);
    store(900, 80);
    let line = |asked: i64, new: i64| {
        format!(
            "[MONITOR] reportDeleteMsgsEvent: DeleteMsgsEvent [offsetMovedEvent=OffsetMovedEvent \
             [consumerGroup=payers, messageQueue=MessageQueue [topic=Orders, brokerName=java-a, \
             queueId=3], offsetRequest={asked}, offsetNew={new}], eventTimestamp=1700000000001]\n"
        )
    };
    let expected = [line(5, 70), line(900, 80), empty.clone()].concat();
    assert_eq!(monitor(&names, &[]), expected);
    assert_eq!(events.lock().expect("no panic").committed, Some(3));
    assert_eq!(monitor(&names, &[]), empty, "each is shown once");
    store(6, 90);
    let rows = monitor(&names, &["--output", "json"]);
    let row: serde_json::Value = serde_json::from_str(rows.trim()).expect("one row");
    assert_eq!((&row["group"], &row["offsetNew"]), (&"payers".into(), &90.into()), "{rows}");
}
