//! Response bodies: compact JSON with keys in the order of Java. Clients of other languages cut
//! some of these bodies by hand, so there is no blank in them.

use std::{collections::BTreeMap, fmt::Write};

use crate::route::{
    DataVersion,
    lookup::{Route, RouteBroker},
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

/// `TopicRouteData`.
pub fn route(route: &Route<'_>, order_topic_conf: Option<&str>, keys: NumberKeys) -> String {
    let mut out = String::with_capacity(512);
    out.push_str("{\"brokerDatas\":");
    list(&mut out, route.brokers.iter(), |out, data| broker(out, data, keys));
    out.push_str(",\"filterServerTable\":{}");
    if let Some(conf) = order_topic_conf {
        out.push_str(",\"orderTopicConf\":");
        text(&mut out, conf);
    }
    out.push_str(",\"queueDatas\":");
    list(&mut out, route.queues.iter(), |out, (name, data)| {
        out.push_str("{\"brokerName\":");
        text(out, name);
        number(out, ",\"perm\":", data.perm);
        number(out, ",\"readQueueNums\":", data.read_queue_nums);
        number(out, ",\"topicSysFlag\":", data.topic_sys_flag);
        number(out, ",\"writeQueueNums\":", data.write_queue_nums);
        out.push('}');
    });
    out.push('}');
    out
}

/// `ClusterInfo`.
pub fn cluster_info<'a>(
    brokers: impl Iterator<Item = RouteBroker<'a>>,
    clusters: impl Iterator<Item = (&'a str, impl Iterator<Item = &'a str>)>,
    keys: NumberKeys,
) -> String {
    let mut out = "{\"brokerAddrTable\":{".to_owned();
    for (index, data) in brokers.enumerate() {
        comma(&mut out, index);
        text(&mut out, data.name);
        out.push(':');
        broker(&mut out, &data, keys);
    }
    out.push_str("},\"clusterAddrTable\":{");
    for (index, (cluster, names)) in clusters.enumerate() {
        comma(&mut out, index);
        text(&mut out, cluster);
        out.push(':');
        list(&mut out, names, text);
    }
    out.push_str("}}");
    out
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

/// `TopicList`.
pub fn topic_list<'a>(
    topics: impl Iterator<Item = &'a str>,
    broker_address: Option<&str>,
) -> String {
    let mut out = "{".to_owned();
    if let Some(address) = broker_address {
        out.push_str("\"brokerAddr\":");
        text(&mut out, address);
        out.push(',');
    }
    out.push_str("\"topicList\":");
    list(&mut out, topics, text);
    out.push('}');
    out
}

/// `KVTable`.
pub fn kv_table(entries: &BTreeMap<String, String>) -> String {
    let mut out = "{\"table\":{".to_owned();
    for (index, (key, value)) in entries.iter().enumerate() {
        comma(&mut out, index);
        text(&mut out, key);
        out.push(':');
        text(&mut out, value);
    }
    out.push_str("}}");
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

fn list<T>(
    out: &mut String,
    items: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut String, T),
) {
    out.push('[');
    for (index, item) in items.enumerate() {
        comma(out, index);
        write(out, item);
    }
    out.push(']');
}

fn comma(out: &mut String, index: usize) {
    if index > 0 {
        out.push(',');
    }
}

fn number(out: &mut String, before: &str, value: impl std::fmt::Display) {
    write!(out, "{before}{value}").expect("a String takes everything");
}

fn text(out: &mut String, value: &str) {
    out.push_str(&serde_json::to_string(value).expect("a string has a JSON form"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::test::{master, slave, table};

    #[test]
    fn a_route_is_what_java_writes() {
        let mut table = table();
        table.register(&master("b", "1.2.3.4:10911"), 0).expect("fits");
        table.register(&slave("b", "1.2.3.5:10911", 1), 0).expect("fits");
        let data = table.route("t").expect("known");
        assert_eq!(
            route(&data, None, NumberKeys::of(409, false)),
            concat!(
                r#"{"brokerDatas":[{"brokerAddrs":{"0":"1.2.3.4:10911","1":"1.2.3.5:10911"},"#,
                r#""brokerName":"b","cluster":"c"}],"filterServerTable":{},"#,
                r#""queueDatas":[{"brokerName":"b","perm":6,"readQueueNums":8,"#,
                r#""topicSysFlag":0,"writeQueueNums":8}]}"#
            )
        );
        let old = route(&data, Some("b:8"), NumberKeys::of(317, false));
        assert!(old.contains(r#"{0:"1.2.3.4:10911",1:"1.2.3.5:10911"}"#), "{old}");
        assert!(old.contains(r#""orderTopicConf":"b:8""#), "{old}");
        assert_eq!(NumberKeys::of(317, true), NumberKeys::Quoted);
    }

    #[test]
    fn clusters_members_and_lists_are_compact() {
        let mut table = table();
        table.register(&master("b", "m:1"), 0).expect("fits");
        assert_eq!(
            cluster_info(table.brokers(), table.clusters(), NumberKeys::Quoted),
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
        assert_eq!(topic_list(table.topics(), None), r#"{"topicList":["t","u"]}"#);
        assert_eq!(topic_list([].into_iter(), Some("m")), r#"{"brokerAddr":"m","topicList":[]}"#);
    }
}
