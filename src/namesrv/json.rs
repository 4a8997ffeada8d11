//! Response bodies: compact JSON with keys in the order of Java. Clients of other languages cut
//! some of these bodies by hand, so there is no blank in them. Those that may be long are written
//! in pieces.

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use crate::{
    kv::KvTable,
    route::{
        DataVersion, RouteTable,
        lookup::{Place, RouteBroker, Which},
        owners::OwnerId,
    },
    work::{PIECE_BYTES, PIECE_ENTRIES},
};

/// How the keys of `brokerAddrs`, which are numbers, are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberKeys {
    /// `{"0":"host:port"}`: standard JSON.
    Quoted,
    /// `{0:"host:port"}`: what Java wrote before 4.9.4; old clients of other languages parse that.
    Bare,
}

impl NumberKeys {
    /// What a requester of this version reads.
    pub fn of(version: i32, accept_standard_json_only: bool) -> NumberKeys {
        /// 4.9.4.
        const STANDARD_JSON_VERSION: i32 = 401;
        if version >= STANDARD_JSON_VERSION || accept_standard_json_only {
            NumberKeys::Quoted
        } else {
            NumberKeys::Bare
        }
    }
}

/// `TopicRouteData`, in pieces.
pub struct RouteWriter {
    keys: NumberKeys,
    at: RouteAt,
    /// The owner to go on with, and whether it is the first of its list.
    next: (OwnerId, bool),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum RouteAt {
    Begin,
    Brokers,
    Queues,
}

impl RouteWriter {
    pub fn new(keys: NumberKeys) -> RouteWriter {
        RouteWriter { keys, at: RouteAt::Begin, next: (OwnerId::default(), true) }
    }

    /// The next piece; true if it is the last.
    pub fn write(
        &mut self,
        table: &RouteTable,
        topic: &str,
        order_topic_conf: Option<&str>,
        out: &mut String,
    ) -> bool {
        if self.at == RouteAt::Begin {
            out.push_str("{\"brokerDatas\":[");
            self.at = RouteAt::Brokers;
        }
        if self.at == RouteAt::Brokers {
            let keys = self.keys;
            if !self.list(table, topic, out, |out, place| broker(out, &place.broker, keys)) {
                return false;
            }
            out.push_str("],\"filterServerTable\":{}");
            if let Some(conf) = order_topic_conf {
                out.push_str(",\"orderTopicConf\":");
                text(out, conf);
            }
            out.push_str(",\"queueDatas\":[");
            (self.at, self.next) = (RouteAt::Queues, (OwnerId::default(), true));
        }
        let complete = self.list(table, topic, out, |out, Place { broker, queues, .. }| {
            out.push_str("{\"brokerName\":");
            text(out, broker.name);
            number(out, ",\"perm\":", queues.perm);
            number(out, ",\"readQueueNums\":", queues.read_queue_nums);
            number(out, ",\"topicSysFlag\":", queues.topic_sys_flag);
            number(out, ",\"writeQueueNums\":", queues.write_queue_nums);
            out.push('}');
        });
        if complete {
            out.push_str("]}");
        }
        complete
    }

    fn list(
        &mut self,
        table: &RouteTable,
        topic: &str,
        out: &mut String,
        write: impl Fn(&mut String, &Place<'_>),
    ) -> bool {
        let (from, mut first) = self.next;
        for (count, place) in table.places(topic, from).enumerate() {
            if count == PIECE_ENTRIES || out.len() >= PIECE_BYTES {
                self.next = (place.owner, first);
                return false;
            }
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            write(out, &place);
        }
        true
    }
}

/// `ClusterInfo`, in pieces.
pub struct ClusterInfoWriter {
    keys: NumberKeys,
    /// The last broker name written, until all are.
    brokers: Option<Option<String>>,
    begun: bool,
    clusters: ClustersWriter,
}

impl ClusterInfoWriter {
    pub fn new(keys: NumberKeys) -> ClusterInfoWriter {
        let clusters = ClustersWriter::default();
        ClusterInfoWriter { keys, brokers: Some(None), begun: false, clusters }
    }

    /// The next piece; true if it is the last.
    pub fn write(&mut self, table: &RouteTable, out: &mut String) -> bool {
        if !std::mem::replace(&mut self.begun, true) {
            out.push_str("{\"brokerAddrTable\":{");
        }
        if let Some(mut last) = self.brokers.take() {
            let behind = last.clone();
            for (count, data) in table.brokers_after(behind.as_deref()).enumerate() {
                if count == PIECE_ENTRIES || out.len() >= PIECE_BYTES {
                    self.brokers = Some(last);
                    return false;
                }
                comma(out, usize::from(last.is_some()));
                text(out, data.name);
                out.push(':');
                broker(out, &data, self.keys);
                last = Some(data.name.to_owned());
            }
            out.push_str("},\"clusterAddrTable\":{");
        }
        let complete = self.clusters.write(table, out, |out, cluster, name, changed| {
            match changed {
                Some(first) => {
                    out.push_str(if first { "" } else { "]," });
                    text(out, cluster);
                    out.push_str(":[");
                }
                None => out.push(','),
            }
            text(out, name);
        });
        if complete {
            out.push_str(if self.clusters.last.is_some() { "]}}" } else { "}}" });
        }
        complete
    }
}

/// Goes through clusters and their broker names, in pieces.
#[derive(Default)]
struct ClustersWriter {
    last: Option<(String, String)>,
}

impl ClustersWriter {
    /// `write` gets a cluster, a name, and whether the cluster is another one than before, and the
    /// first.
    fn write(
        &mut self,
        table: &RouteTable,
        out: &mut String,
        write: impl Fn(&mut String, &str, &str, Option<bool>),
    ) -> bool {
        let behind = self.last.take();
        let pair = behind.as_ref().map(|(cluster, name)| (cluster.as_str(), name.as_str()));
        let mut last = pair;
        let mut complete = true;
        for (count, (cluster, name)) in table.clusters_after(pair).enumerate() {
            if count == PIECE_ENTRIES || out.len() >= PIECE_BYTES {
                complete = false;
                break;
            }
            let changed = last.is_none_or(|(before, _)| before != cluster);
            write(out, cluster, name, changed.then_some(last.is_none()));
            last = Some((cluster, name));
        }
        self.last = last.map(|(cluster, name)| (cluster.to_owned(), name.to_owned()));
        complete
    }
}

/// `TopicList` of clusters and their broker names, which are topics on every broker, in pieces.
#[derive(Default)]
pub struct SystemTopicsWriter {
    begun: bool,
    clusters: ClustersWriter,
}

impl SystemTopicsWriter {
    /// The next piece; true if it is the last.
    pub fn write(&mut self, table: &RouteTable, out: &mut String) -> bool {
        if !std::mem::replace(&mut self.begun, true) {
            out.push('{');
            if let Some(address) = table.some_address() {
                out.push_str("\"brokerAddr\":");
                text(out, address);
                out.push(',');
            }
            out.push_str("\"topicList\":[");
        }
        let complete = self.clusters.write(table, out, |out, cluster, name, changed| {
            if let Some(first) = changed {
                out.push_str(if first { "" } else { "," });
                text(out, cluster);
            }
            out.push(',');
            text(out, name);
        });
        if complete {
            out.push_str("]}");
        }
        complete
    }
}

/// `TopicList`, in pieces.
#[derive(Default)]
pub struct TopicListWriter {
    next: Option<Arc<str>>,
    begun: bool,
    some: bool,
}

impl TopicListWriter {
    /// The next piece; true if it is the last.
    pub fn write(&mut self, table: &RouteTable, which: Which<'_>, out: &mut String) -> bool {
        if !std::mem::replace(&mut self.begun, true) {
            out.push_str("{\"topicList\":[");
        }
        let mut add = |topic: &str| {
            comma(out, usize::from(std::mem::replace(&mut self.some, true)));
            text(out, topic);
            out.len() >= PIECE_BYTES
        };
        let complete = table.some_topics(which, &mut self.next, 2 * PIECE_ENTRIES, &mut add);
        if complete {
            out.push_str("]}");
        }
        complete
    }
}

/// `KVTable` of a namespace, in pieces.
#[derive(Default)]
pub struct KvTableWriter {
    last: Option<String>,
    begun: bool,
}

impl KvTableWriter {
    /// The next piece; true if it is the last.
    pub fn write(&mut self, table: &KvTable, namespace: &str, out: &mut String) -> bool {
        if !std::mem::replace(&mut self.begun, true) {
            out.push_str("{\"table\":{");
        }
        let behind = self.last.take();
        let mut last = behind.as_deref();
        for (count, (key, value)) in table.entries_after(namespace, last).enumerate() {
            if count == PIECE_ENTRIES || out.len() >= PIECE_BYTES {
                self.last = last.map(str::to_owned);
                return false;
            }
            comma(out, usize::from(last.is_some()));
            text(out, key);
            out.push(':');
            text(out, value);
            last = Some(key);
        }
        out.push_str("}}");
        true
    }
}

/// `GetBrokerMemberGroupResponseBody`.
pub fn member_group(
    cluster: &str,
    name: &str,
    addresses: Option<&BTreeMap<i64, String>>,
    keys: NumberKeys,
) -> String {
    let addresses = addresses.into_iter().flatten();
    let addresses = addresses.map(|(id, address)| (*id, address.as_str())).collect();
    let data =
        RouteBroker { cluster, name, zone_name: None, enable_acting_master: false, addresses };
    let mut out = "{\"brokerMemberGroup\":".to_owned();
    broker(&mut out, &data, keys);
    out.push('}');
    out
}

/// `DataVersion`.
pub fn data_version(version: DataVersion) -> String {
    let DataVersion { state_version, timestamp, counter } = version;
    format!("{{\"counter\":{counter},\"stateVersion\":{state_version},\"timestamp\":{timestamp}}}")
}

fn broker(out: &mut String, data: &RouteBroker<'_>, keys: NumberKeys) {
    out.push_str("{\"brokerAddrs\":{");
    for (index, (id, address)) in data.addresses.iter().enumerate() {
        comma(out, index);
        match keys {
            NumberKeys::Quoted => number(out, "\"", format_args!("{id}\":")),
            NumberKeys::Bare => number(out, "", format_args!("{id}:")),
        }
        text(out, address);
    }
    out.push_str("},\"brokerName\":");
    text(out, data.name);
    out.push_str(",\"cluster\":");
    text(out, data.cluster);
    if data.enable_acting_master {
        out.push_str(",\"enableActingMaster\":true");
    }
    if let Some(zone) = data.zone_name {
        out.push_str(",\"zoneName\":");
        text(out, zone);
    }
    out.push('}');
}

fn comma(out: &mut String, index: usize) {
    if index > 0 {
        out.push(',');
    }
}

fn number(out: &mut String, before: &str, value: impl std::fmt::Display) {
    write!(out, "{before}{value}").expect("a String takes everything");
}

pub fn text(out: &mut String, value: &str) {
    out.push_str(&serde_json::to_string(value).expect("a string has a JSON form"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::test::{Registration, bounds, master, slave, table, topic};
    use crate::route::{Bounds, Rules};

    /// All pieces, and how many there are.
    fn all(mut write: impl FnMut(&mut String) -> bool) -> (String, usize) {
        let (mut whole, mut pieces) = (String::new(), 0);
        loop {
            let mut piece = String::new();
            let complete = write(&mut piece);
            whole.push_str(&piece);
            pieces += 1;
            if complete {
                return (whole, pieces);
            }
        }
    }

    fn route(table: &RouteTable, topic: &str, order: Option<&str>, keys: NumberKeys) -> String {
        let mut writer = RouteWriter::new(keys);
        all(|out| writer.write(table, topic, order, out)).0
    }

    fn topics(table: &RouteTable) -> String {
        let mut writer = TopicListWriter::default();
        all(|out| writer.write(table, Which::All, out)).0
    }

    fn cluster_info(table: &RouteTable) -> (String, usize) {
        let mut writer = ClusterInfoWriter::new(NumberKeys::Quoted);
        all(|out| writer.write(table, out))
    }

    fn system_topics(table: &RouteTable) -> (String, usize) {
        let mut writer = SystemTopicsWriter::default();
        all(|out| writer.write(table, out))
    }

    #[test]
    fn a_route_is_what_java_writes() {
        let mut table = table();
        table.register(&master("b", "1.2.3.4:10911"), 0).expect("fits");
        table.register(&slave("b", "1.2.3.5:10911", 1), 0).expect("fits");
        assert_eq!(
            route(&table, "t", None, NumberKeys::of(409, false)),
            concat!(
                r#"{"brokerDatas":[{"brokerAddrs":{"0":"1.2.3.4:10911","1":"1.2.3.5:10911"},"#,
                r#""brokerName":"b","cluster":"c"}],"filterServerTable":{},"#,
                r#""queueDatas":[{"brokerName":"b","perm":6,"readQueueNums":8,"#,
                r#""topicSysFlag":0,"writeQueueNums":8}]}"#
            )
        );
        let old = route(&table, "t", Some("b:8"), NumberKeys::of(317, false));
        assert!(old.contains(r#"{0:"1.2.3.4:10911",1:"1.2.3.5:10911"}"#), "{old}");
        assert!(old.contains(r#""orderTopicConf":"b:8""#), "{old}");
        assert_eq!(NumberKeys::of(317, true), NumberKeys::Quoted);
    }

    #[test]
    fn clusters_members_and_lists_are_compact() {
        let mut table = table();
        assert_eq!(cluster_info(&table).0, r#"{"brokerAddrTable":{},"clusterAddrTable":{}}"#);
        assert_eq!(system_topics(&table).0, r#"{"topicList":[]}"#);
        table.register(&master("b", "m:1"), 0).expect("fits");
        assert_eq!(
            cluster_info(&table).0,
            concat!(
                r#"{"brokerAddrTable":{"b":{"brokerAddrs":{"0":"m:1"},"brokerName":"b","#,
                r#""cluster":"c"}},"clusterAddrTable":{"c":["b"]}}"#
            )
        );
        let group = table.broker("b").map(|group| &group.addresses);
        assert_eq!(
            member_group("c", "b", group, NumberKeys::Quoted),
            r#"{"brokerMemberGroup":{"brokerAddrs":{"0":"m:1"},"brokerName":"b","cluster":"c"}}"#
        );
        assert_eq!(topics(&table), r#"{"topicList":["t","u"]}"#);
        let other = Registration { cluster: "d".to_owned(), ..master("e", "e:1") };
        table.register(&other, 0).expect("fits");
        assert_eq!(
            system_topics(&table).0,
            r#"{"brokerAddr":"m:1","topicList":["c","b","d","e"]}"#
        );
        assert!(cluster_info(&table).0.ends_with(r#""clusterAddrTable":{"c":["b"],"d":["e"]}}"#));
    }

    /// T2: pieces join to what they would be as a whole.
    #[test]
    fn long_answers_come_in_pieces_that_join() {
        let many =
            Bounds { brokers: 2_000, brokers_per_connection: 2_000, entries: 9_000, ..bounds() };
        let mut table = RouteTable::new(many, Rules::default());
        for number in 0..1_200 {
            let name = format!("b{number:04}");
            let cluster = format!("c{}", number % 3);
            let topics = (0..3).map(|id| topic(&format!("{name}-{id}"), 1));
            let one = Registration {
                cluster,
                topics: topics.chain([topic("all", 2)]).collect(),
                ..master(&name, &format!("{name}:1"))
            };
            table.register(&one, 0).expect("fits");
        }
        let parse = |text: &str| -> serde_json::Value { serde_json::from_str(text).expect(text) };
        let mut writer = RouteWriter::new(NumberKeys::Quoted);
        let (whole, pieces) = all(|out| writer.write(&table, "all", None, out));
        let route = parse(&whole);
        assert_eq!(route["brokerDatas"].as_array().expect("a list").len(), 1_200);
        assert_eq!(route["queueDatas"].as_array().expect("a list").len(), 1_200);
        assert!(pieces >= 8, "{pieces}");
        let (whole, pieces) = cluster_info(&table);
        let info = parse(&whole);
        assert_eq!(info["brokerAddrTable"].as_object().expect("an object").len(), 1_200);
        assert_eq!(info["clusterAddrTable"]["c1"].as_array().expect("a list").len(), 400);
        assert!(pieces >= 8, "{pieces}");
        let (whole, _) = system_topics(&table);
        assert_eq!(parse(&whole)["topicList"].as_array().expect("a list").len(), 1_203);
        let names = parse(&topics(&table));
        assert_eq!(names["topicList"].as_array().expect("a list").len(), 3_601);
        let mut writer = TopicListWriter::default();
        let (whole, _) = all(|out| writer.write(&table, Which::Cluster("c2"), out));
        assert_eq!(parse(&whole)["topicList"].as_array().expect("a list").len(), 1_201);
    }
}
