//! Single requests: who may make them and what they answer.

use std::path::PathBuf;

use ringmq_base::config::{AdminAccess, NamesrvConfig, Table};
use ringmq_io::sim::{Sim, SimDisk};
use ringmq_remoting::{
    codes::{request, response},
    command::Header,
};

use super::*;
use crate::{
    answer::Peer,
    kv::{Change, KvLimits, KvTable, ORDER_TOPIC_NAMESPACE, file},
    route::{
        ConnectionId,
        test::{master, slave},
    },
    work::test::Alone,
};

struct Asked {
    sim: Sim,
    server: NameServer<SimDisk>,
    now_ms: u64,
    local: bool,
}

impl Asked {
    fn new(config: NamesrvConfig) -> Asked {
        Asked::with_kv(config, &KvTable::default())
    }

    fn with_kv(config: NamesrvConfig, table: &KvTable) -> Asked {
        let sim = Sim::new(1);
        let path = PathBuf::from("/ns/kv.json");
        let (saved, work) = (RefCell::new(table.clone()), Alone::default());
        let save = file::save(sim.disk(), &path, &saved, None, &work);
        sim.block_on(save).expect("an intact disk");
        let limits = KvLimits { entries: 100, bytes: 16 << 20 };
        let kv = sim.block_on(KvStore::open(sim.disk().clone(), path, limits)).expect("empty");
        Asked::start(sim, config, kv)
    }

    fn start(sim: Sim, config: NamesrvConfig, kv: KvStore<SimDisk>) -> Asked {
        let live = sim.block_on(LiveKeys::open(sim.disk().clone(), config));
        let (live, config) = live.expect("an intact disk");
        Asked { server: NameServer::new(config, kv, live), sim, now_ms: 0, local: true }
    }

    /// The same name server after a restart with this configuration.
    fn restart(self, config: NamesrvConfig) -> Asked {
        Asked::start(self.sim, config, self.server.kv)
    }

    fn ask(&self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> Answer {
        self.work(code, fields, body).0
    }

    /// The same, and how often others had a turn meanwhile.
    fn work(&self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> (Answer, usize) {
        let fields = fields.iter().copied().collect();
        let header = Header { code, version: 409, fields, ..Header::default() };
        let ip = if self.local { [127, 0, 0, 1] } else { [10, 0, 0, 7] };
        let address = (ip, 5).into();
        let peer = Peer { address, local: self.local, connection: ConnectionId(1) };
        let request = Request { header: &header, body, peer, now_ms: self.now_ms };
        let work = Alone::default();
        let answer = self.sim.block_on(self.server.handle(&request, &work));
        (answer, work.pauses.get())
    }

    fn with_brokers(config: NamesrvConfig) -> Asked {
        let asked = Asked::new(config);
        let mut table = asked.server.table().borrow_mut();
        table.register(&master("b", "m:1"), 0).expect("fits");
        table.register(&slave("b", "s:1", 1), 0).expect("fits");
        drop(table);
        asked
    }
}

fn text(answer: Answer) -> String {
    assert_eq!(answer.code, response::SUCCESS, "{answer:?}");
    let bytes = answer.body.into_pieces().collect::<Vec<_>>().concat();
    String::from_utf8(bytes).expect("text")
}

#[test]
fn administration_is_refused_from_other_machines_with_the_remedy() {
    let mut asked = Asked::new(NamesrvConfig::default());
    asked.local = false;
    for code in [100, 102, 205, 318, 327] {
        let answer = asked.ask(code, &[("brokerName", "b"), ("namespace", "n")], b"");
        assert_eq!(answer.code, response::NO_PERMISSION, "{code}");
        assert!(answer.remark.expect("teaches").contains("adminAccess=any"), "{code}");
    }
    // what tells of topics, and what only reads
    let fields =
        [("namespace", "ORDER_TOPIC_CONFIG"), ("key", "t"), ("value", "b:1"), ("topic", "t")];
    for code in [100, 102, 106, 206, 216, 304, 319] {
        assert_eq!(asked.ask(code, &fields, b"").code, response::SUCCESS, "{code}");
    }
    let from_anywhere = [
        NamesrvConfig { admin_allow_remote: true, ..Default::default() },
        NamesrvConfig { admin_access: AdminAccess::Any, ..Default::default() },
    ];
    for config in from_anywhere {
        let mut open = Asked::new(config);
        open.local = false;
        assert_eq!(open.ask(205, &[("brokerName", "b")], b"").fields[0].1, "0");
    }
}

#[test]
fn every_request_of_the_table_is_dispatched_and_no_other() {
    let asked = Asked::new(NamesrvConfig::default());
    for (code, ..) in REQUESTS {
        let answer = asked.ask(*code, &[], b"");
        assert_ne!(answer.code, response::REQUEST_CODE_NOT_SUPPORTED, "{code}");
    }
    for code in [0, -1, 10, 310, 905, 1001, i32::MAX] {
        let answer = asked.ask(code, &[], b"");
        assert_eq!(answer.code, response::REQUEST_CODE_NOT_SUPPORTED);
        assert_eq!(answer.remark, Some(format!(" request type {code} not supported")));
    }
}

#[test]
fn no_path_address_or_security_switch_can_be_set_by_request() {
    let asked = Asked::new(NamesrvConfig::default());
    let before = asked.server.config().clone();
    let texts = [
        "kvConfigPath=/etc/cron.d/x\n",
        "configStorePath=/etc/cron.d/x\n",
        "configStorePathName=/etc/cron.d/x\n",
        "rocketmqHome=/tmp\n",
        "configBlackList=\n",
        "adminAllowRemote=true\n",
        "adminAccess=any\n",
        "listenPort=1\n",
        "orderMessageEnable=true\nkvConfigPath=/x\n",
        "kvConfig\\u0050ath=/x\n",
        "unknownKey=1\n",
    ];
    for body in texts {
        let answer = asked.ask(request::UPDATE_NAMESRV_CONFIG, &[], body.as_bytes());
        assert_eq!(answer.code, response::NO_PERMISSION, "{body}");
        assert!(answer.remark.expect("teaches").contains("orderMessageEnable"), "{body}");
    }
    assert_eq!(*asked.server.config(), before);
}

#[test]
fn switches_can_be_set_all_or_none_and_read_back() {
    let asked = Asked::new(NamesrvConfig::default());
    let bad = b"orderMessageEnable=true\nwaitSecondsForService=soon\n";
    let answer = asked.ask(request::UPDATE_NAMESRV_CONFIG, &[], bad);
    assert_eq!(answer.code, response::SYSTEM_ERROR);
    assert!(answer.remark.expect("teaches").contains("0 to 3600"));
    assert!(!asked.server.config().order_message_enable);
    let good = b"orderMessageEnable=true\nsupportActingMaster=true\nwaitSecondsForService=9999\n";
    assert_eq!(asked.ask(request::UPDATE_NAMESRV_CONFIG, &[], good), Answer::success());
    assert!(asked.server.table().borrow().rules.support_acting_master);
    assert_eq!(asked.server.config().wait_seconds_for_service, 3_600, "the most there is");
    let answer = asked.ask(request::GET_NAMESRV_CONFIG, &[], b"");
    let answer = text(answer);
    assert!(answer.contains("orderMessageEnable=true\n"));
    assert_eq!(answer.lines().count(), NamesrvConfig::KEYS.len());
}

#[test]
fn what_was_set_outlives_a_restart_until_the_configuration_says_something_new() {
    let change = |asked: &Asked, text: &str| {
        let answer = asked.ask(request::UPDATE_NAMESRV_CONFIG, &[], text.as_bytes());
        assert_eq!(answer, Answer::success(), "{text}");
    };
    let seconds = |asked: &Asked| asked.server.config().wait_seconds_for_service;
    let asked = Asked::new(NamesrvConfig::default());
    change(&asked, "orderMessageEnable=true\nwaitSecondsForService=7\n");
    let asked = asked.restart(NamesrvConfig::default());
    assert!(asked.server.config().order_message_enable);
    assert_eq!(seconds(&asked), 7);
    // one of both is said anew: that one counts, also when the old value comes back
    let newer = NamesrvConfig { wait_seconds_for_service: 9, ..Default::default() };
    let asked = asked.restart(newer);
    assert_eq!(seconds(&asked), 9);
    let asked = asked.restart(NamesrvConfig::default());
    assert_eq!(seconds(&asked), 45);
    assert!(asked.server.config().order_message_enable);
    // what is set back is as if it had never been set
    change(&asked, "orderMessageEnable=false\n");
    let on = NamesrvConfig { order_message_enable: true, ..Default::default() };
    let asked = asked.restart(on);
    assert!(asked.server.config().order_message_enable);
}

#[test]
fn order_topics_are_in_routes_only_when_switched_on() {
    for on in [false, true] {
        let config = NamesrvConfig { order_message_enable: on, ..Default::default() };
        let asked = Asked::with_brokers(config);
        let fields = [("namespace", "ORDER_TOPIC_CONFIG"), ("key", "t"), ("value", "b:8")];
        assert_eq!(asked.ask(request::PUT_KV_CONFIG, &fields, b""), Answer::success());
        let route = asked.ask(request::GET_ROUTEINFO_BY_TOPIC, &[("topic", "t")], b"");
        assert_eq!(text(route).contains(r#""orderTopicConf":"b:8""#), on);
    }
}

#[test]
fn routes_wait_for_the_brokers_when_asked_to() {
    let config = NamesrvConfig { need_wait_for_service: true, ..Default::default() };
    let mut asked = Asked::with_brokers(config);
    asked.now_ms = 44_999;
    let early = asked.ask(request::GET_ROUTEINFO_BY_TOPIC, &[("topic", "t")], b"");
    assert_eq!(early, Answer::refuse(response::SYSTEM_ERROR, "name server not ready"));
    asked.now_ms = 45_000;
    text(asked.ask(request::GET_ROUTEINFO_BY_TOPIC, &[("topic", "t")], b""));
}

#[test]
fn a_broker_learns_whether_its_topics_are_known() {
    let asked = Asked::with_brokers(NamesrvConfig::default());
    let ask = |address: &str, body: &[u8]| {
        let fields =
            [("brokerName", "b"), ("brokerAddr", address), ("clusterName", "c"), ("brokerId", "0")];
        asked.ask(request::QUERY_DATA_VERSION, &fields, body)
    };
    let same = ask("m:1", br#"{"counter":1,"timestamp":1}"#);
    assert_eq!(same.fields, [("changed", "false".to_owned())]);
    assert_eq!(text(same), r#"{"counter":1,"stateVersion":0,"timestamp":1}"#);
    let other = ask("m:1", br#"{"counter":2,"timestamp":1}"#);
    assert_eq!(other.fields, [("changed", "true".to_owned())]);
    let unknown = ask("x:1", b"");
    assert_eq!((unknown.fields, unknown.body.len()), (vec![("changed", "true".to_owned())], 0));
}

#[test]
fn heartbeats_of_5_x_keep_a_broker_alive() {
    let mut asked = Asked::with_brokers(NamesrvConfig::default());
    asked.now_ms = 100_000;
    let fields = [("clusterName", "c"), ("brokerAddr", "m:1"), ("brokerName", "b")];
    assert_eq!(asked.ask(request::BROKER_HEARTBEAT, &fields, b""), Answer::success());
    let dropped = asked.server.table().borrow_mut().expire(130_000);
    assert_eq!(dropped.len(), 1, "the slave alone");
    let members = asked.ask(request::GET_BROKER_MEMBER_GROUP, &fields, b"");
    assert_eq!(
        text(members),
        r#"{"brokerMemberGroup":{"brokerAddrs":{"0":"m:1"},"brokerName":"b","cluster":"c"}}"#
    );
}

#[test]
fn damaged_registrations_say_what_is_wrong() {
    let asked = Asked::new(NamesrvConfig::default());
    let fields = [
        ("brokerName", "b"),
        ("brokerAddr", "m:1"),
        ("clusterName", "c"),
        ("brokerId", "0"),
        ("bodyCrc32", "5"),
    ];
    let remark = |fields: &[(&str, &str)], body: &[u8]| {
        let answer = asked.ask(request::REGISTER_BROKER, fields, body);
        assert_eq!(answer.code, response::SYSTEM_ERROR);
        answer.remark.expect("teaches")
    };
    assert_eq!(remark(&fields, b"{}"), "crc32 not match");
    assert!(remark(&fields[..4], b"{").contains("RegisterBrokerBody"));
    assert!(remark(&fields[..3], b"{}").contains("brokerId is missing"));
    let bad = [fields[0], fields[1], fields[2], ("brokerId", "first")];
    assert!(remark(&bad, b"{}").contains("whole number"));
    assert_eq!(asked.ask(request::REGISTER_BROKER, &fields[..4], b"{}"), Answer::success());
}

#[test]
fn single_topics_come_and_go() {
    let asked = Asked::with_brokers(NamesrvConfig::default());
    let body = br#"{"queueDatas":[{"brokerName":"b","perm":6,"readQueueNums":3,
        "topicSysFlag":0,"writeQueueNums":3}]}"#;
    let topic = [("topic", "x")];
    assert_eq!(asked.ask(request::REGISTER_TOPIC_IN_NAMESRV, &topic, body), Answer::success());
    assert!(text(asked.ask(105, &topic, b"")).contains(r#""readQueueNums":3"#));
    assert_eq!(asked.ask(request::DELETE_TOPIC_IN_NAMESRV, &topic, b""), Answer::success());
    assert_eq!(asked.ask(105, &topic, b"").code, response::TOPIC_NOT_EXIST);
    let wiped = asked.ask(request::WIPE_WRITE_PERM_OF_BROKER, &[("brokerName", "b")], b"");
    assert_eq!(wiped.fields, [("wipeTopicCount", "2".to_owned())]);
    let added = asked.ask(request::ADD_WRITE_PERM_OF_BROKER, &[("brokerName", "b")], b"");
    assert_eq!(added.fields, [("addTopicCount", "2".to_owned())]);
}

/// D11: what a name server of RocketMQ 4.9.7 answers when names are missing.
#[test]
fn missing_names_are_names_that_nobody_knows() {
    let asked = Asked::with_brokers(NamesrvConfig::default());
    let remark = |code, fields: &[(&str, &str)], expected: i32| {
        let answer = asked.ask(code, fields, b"");
        assert_eq!(answer.code, expected, "{code} {:?}", answer.remark);
        answer.remark.unwrap_or_default()
    };
    let no_item = "No config item, Namespace: null";
    assert_eq!(remark(101, &[], 22), format!("{no_item} Key: null"));
    assert_eq!(remark(101, &[("namespace", "n")], 22), "No config item, Namespace: n Key: null");
    assert_eq!(remark(219, &[], 22), no_item);
    assert_eq!(remark(100, &[("key", "k"), ("value", "v")], 1), "namespace or key is null");
    assert!(remark(105, &[], 17).contains("for the topic: null"));
    for code in [102, 104, 216, 224, 901] {
        assert_eq!(remark(code, &[], 0), "");
    }
    for (code, field) in [(205, "wipeTopicCount"), (327, "addTopicCount"), (322, "changed")] {
        let answer = asked.ask(code, &[], b"{}");
        assert_eq!((answer.code, answer.fields[0].0), (0, field));
    }
    assert_eq!(asked.server.table().borrow().sizes().2, 2, "both brokers are still there");
}

/// D11: the key-value table as a name server of RocketMQ 4.9.7 answers for it.
#[test]
fn a_namespace_stays_when_it_is_emptied_and_a_put_without_value_makes_one() {
    let asked = Asked::new(NamesrvConfig::default());
    let entry = [("namespace", "n"), ("key", "k"), ("value", "v")];
    assert_eq!(asked.ask(219, &entry[..1], b"").code, response::QUERY_NOT_FOUND);
    assert_eq!(asked.ask(100, &entry[..2], b""), Answer::success());
    assert_eq!(asked.ask(101, &entry[..2], b"").code, response::QUERY_NOT_FOUND);
    assert_eq!(text(asked.ask(219, &entry[..1], b"")), r#"{"table":{}}"#);
    assert_eq!(asked.ask(100, &entry, b""), Answer::success());
    assert_eq!(text(asked.ask(219, &entry[..1], b"")), r#"{"table":{"k":"v"}}"#);
    assert_eq!(asked.ask(102, &entry[..2], b""), Answer::success());
    assert_eq!(text(asked.ask(219, &entry[..1], b"")), r#"{"table":{}}"#);
}

/// D8: what fits no frame is left out of the answer, and the broker is registered all the same.
#[test]
fn order_topics_that_fit_no_frame_do_not_refuse_a_registration() {
    let mut table = KvTable::default();
    // Six bytes each in JSON.
    let value = "\u{1}".repeat(64 * 1024);
    for number in 0..50 {
        table.apply(&Change::put(ORDER_TOPIC_NAMESPACE, &number.to_string(), Some(&value)));
    }
    let asked = Asked::with_kv(NamesrvConfig::default(), &table);
    let fields =
        [("brokerName", "b"), ("brokerAddr", "m:1"), ("clusterName", "c"), ("brokerId", "0")];
    assert_eq!(asked.ask(request::REGISTER_BROKER, &fields, b"{}"), Answer::success());
    assert_eq!(asked.server.table().borrow().sizes().2, 1);
}

/// T2: the work of a long registration, and of whole lists, is done in pieces.
#[test]
fn long_work_is_done_a_little_at_a_time() {
    const TOPICS: usize = 10_000;
    let asked = Asked::new(NamesrvConfig::default());
    let table: Vec<_> = (0..TOPICS).map(|number| format!("topic-{number:05}:{{perm:6}}")).collect();
    let text = format!(
        "{{topicConfigSerializeWrapper:{{dataVersion:{{counter:1}},topicConfigTable:{{{}}}}}}}",
        table.join(",")
    );
    let fields =
        [("brokerName", "b"), ("brokerAddr", "m:1"), ("clusterName", "c"), ("brokerId", "0")];
    let (answer, pauses) = asked.work(request::REGISTER_BROKER, &fields, text.as_bytes());
    assert_eq!(answer, Answer::success());
    // 128 topics at a time, twice.
    assert!(pauses >= 2 * TOPICS / 128, "{pauses}");
    assert_eq!(asked.server.table().borrow().sizes(), (TOPICS, TOPICS, 1));
    for (code, least) in [(206, 8), (224, 8)] {
        let (answer, pauses) = asked.work(code, &[("cluster", "c")], b"");
        assert!(answer.body.len() > TOPICS * 10, "{code}");
        assert!(pauses >= least, "{code}: {pauses}");
    }
    for code in [request::WIPE_WRITE_PERM_OF_BROKER, request::ADD_WRITE_PERM_OF_BROKER] {
        let (answer, pauses) = asked.work(code, &[("brokerName", "b")], b"");
        assert_eq!(answer.fields[0].1, TOPICS.to_string());
        assert!(pauses >= TOPICS / 256, "{code}: {pauses}");
    }
}
