//! Where the queues of a topic are.

use anyhow::{Context as _, bail};
use ringmq_remoting::{
    body::{BrokerData, TopicRouteData},
    codes::{request, response},
};

use super::channel::Channel;

const PERM_READ: i32 = 4;
const PERM_WRITE: i32 = 2;
const MASTER_ID: i64 = 0;
/// Its route stands in for that of a topic that is made by the first message.
const AUTO_CREATE_TOPIC: &str = "TBW102";
/// Queues of such a topic.
const AUTO_CREATE_QUEUES: i32 = 4;

/// A queue, in the order in which all members of a group see them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Queue {
    pub topic: String,
    pub broker: String,
    pub id: i32,
    /// host:port of the master.
    pub address: String,
}

/// What a queue is needed for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Read,
    /// The topic may be made by the first message.
    Write,
}

/// The queues of a topic, sorted; none if it does not exist.
///
/// # Errors
/// When no name server answers.
pub fn queues(name_servers: &str, topic: &str, need: Need) -> anyhow::Result<Vec<Queue>> {
    let (mut route, mut most) = (route(name_servers, topic)?, i32::MAX);
    if route.is_none() && need == Need::Write {
        (route, most) = (self::route(name_servers, AUTO_CREATE_TOPIC)?, AUTO_CREATE_QUEUES);
    }
    let route = route.unwrap_or_default();
    let mut queues = Vec::new();
    for data in &route.queue_datas {
        let (perm, count) = match need {
            Need::Read => (PERM_READ, data.read_queue_nums),
            Need::Write => (PERM_WRITE, data.write_queue_nums),
        };
        let Some(address) = master(&route.broker_datas, &data.broker_name) else { continue };
        if data.perm & perm == 0 {
            continue;
        }
        queues.extend((0..count.min(most)).map(|id| Queue {
            topic: topic.to_owned(),
            broker: data.broker_name.clone(),
            id,
            address: address.clone(),
        }));
    }
    queues.sort();
    Ok(queues)
}

fn master(brokers: &[BrokerData], name: &str) -> Option<String> {
    let broker = brokers.iter().find(|broker| broker.broker_name == name)?;
    broker.broker_addrs.get(&MASTER_ID).cloned()
}

fn route(name_servers: &str, topic: &str) -> anyhow::Result<Option<TopicRouteData>> {
    let mut failed = None;
    let servers = name_servers.split([';', ',']).map(str::trim);
    for server in servers.filter(|server| !server.is_empty()) {
        match ask(server, topic) {
            Ok(route) => return Ok(route),
            Err(error) => failed = Some(error),
        }
    }
    let failed = failed.unwrap_or_else(|| anyhow::anyhow!("NAMESRV_ADDR names no server"));
    Err(failed).with_context(|| format!("no name server of {name_servers} answers"))
}

fn ask(server: &str, topic: &str) -> anyhow::Result<Option<TopicRouteData>> {
    let fields = [("topic", topic), ("acceptStandardJsonOnly", "true")];
    let mut channel = Channel::connect(server)?;
    let answer = channel.call(request::GET_ROUTEINFO_BY_TOPIC, &fields, &[])?;
    match answer.code {
        response::SUCCESS => {
            let route = serde_json::from_slice(&answer.body);
            Ok(Some(route.with_context(|| format!("route of {topic} from {server}"))?))
        }
        response::TOPIC_NOT_EXIST => Ok(None),
        code => bail!("{server}: CODE: {code}  DESC: {}", answer.remark),
    }
}
