//! What happens before the load: routes, creation of topics, first offsets. Blocking, one request
//! at a time.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use ringmq_base::limits::FRAME_BYTES_MAX;
use ringmq_remoting::codes::{request, response};
use ringmq_remoting::command::Header;
use ringmq_remoting::encode;
use ringmq_remoting::frame::{Frame, Serialization};
use ringmq_tls::Connector;
use rustls::StreamOwned;
use serde::Deserialize;

use crate::arguments::{DEFAULT_QUEUES, Options};
use crate::consumer::Offsets;
use crate::plan::Plan;
use crate::tls::shake_hands;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Brokers tell the name servers about a new topic at once, but not everything is at once.
const ROUTE_PATIENCE: Duration = Duration::from_secs(30);
const ROUTE_INTERVAL: Duration = Duration::from_millis(100);
/// Topic whose route stands in for one that does not exist yet.
const AUTO_CREATE_TOPIC: &str = "TBW102";
const MASTER_ID: &str = "0";
const PERM_READ: u32 = 4;
const PERM_WRITE: u32 = 2;

/// Which side of a queue the load needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The topic may be created by the broker on the first send.
    Write,
    /// The topic must exist; it is awaited for some time.
    Read,
}

/// A client of name servers and brokers.
pub struct Control {
    name_servers: Vec<String>,
    connector: Option<Connector>,
    connections: HashMap<String, Box<dyn Duplex>>,
    timeout: Duration,
    opaque: i32,
}

/// A connection, with or without TLS.
trait Duplex: Read + Write {}

impl<T: Read + Write> Duplex for T {}

/// What a server answered.
pub struct Answer {
    pub code: i32,
    pub remark: String,
    offset: Option<i64>,
    pub body: Vec<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Route {
    #[serde(default)]
    queue_datas: Vec<QueueData>,
    #[serde(default)]
    broker_datas: Vec<BrokerData>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueueData {
    broker_name: String,
    read_queue_nums: u32,
    write_queue_nums: u32,
    perm: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BrokerData {
    broker_name: String,
    broker_addrs: HashMap<String, String>,
}

impl Control {
    /// A client that has not connected yet.
    pub fn new(options: &Options, connector: Option<Connector>) -> Control {
        Control::of(&options.namesrv, connector, options.timeout)
    }

    /// A client of these name servers, separated by `;` or `,`, that waits so long for an answer;
    /// with a connector it uses TLS.
    pub fn of(name_servers: &str, connector: Option<Connector>, timeout: Duration) -> Control {
        let servers = name_servers.split([';', ',']).map(str::trim);
        Control {
            name_servers: servers.filter(|text| !text.is_empty()).map(str::to_owned).collect(),
            connector,
            connections: HashMap::new(),
            timeout,
            opaque: 0,
        }
    }

    /// Names and addresses of the masters that the name servers know, sorted.
    ///
    /// # Errors
    /// When no name server answers, or none knows a broker.
    pub fn masters(&mut self) -> anyhow::Result<Vec<(String, String)>> {
        let route = self.route(AUTO_CREATE_TOPIC)?;
        let datas = route.map(|route| route.broker_datas).unwrap_or_default();
        let masters = datas
            .into_iter()
            .filter_map(|mut data| Some((data.broker_name, data.broker_addrs.remove(MASTER_ID)?)));
        let mut masters: Vec<_> = masters.collect();
        masters.sort();
        ensure!(!masters.is_empty(), "{:?} know no broker: is one registered?", self.name_servers);
        Ok(masters)
    }

    /// Finds the queues of all topics, having created the topics if the options say so.
    ///
    /// # Errors
    /// When no name server answers, or there is no broker for a topic.
    pub fn plan(&mut self, options: &Options, need: Need) -> anyhow::Result<Plan> {
        let topics = options.topic_names();
        let mut plan = Plan { default_queues: options.default_queues(), ..Plan::default() };
        if options.create_topics {
            self.create(&topics, options.default_queues())?;
        }
        let must_exist = need == Need::Read || options.create_topics;
        for (index, topic) in topics.iter().enumerate() {
            let (route, exists) = self.await_route(topic, must_exist)?;
            for data in &route.queue_datas {
                let (perm, count) = match need {
                    Need::Write => (PERM_WRITE, data.write_queue_nums),
                    Need::Read => (PERM_READ, data.read_queue_nums),
                };
                let limit = match options.queues {
                    None if !exists => DEFAULT_QUEUES,
                    None => u32::MAX,
                    Some(queues) => queues,
                };
                let queues = if data.perm & perm == 0 { 0 } else { count.min(limit) };
                if let Some(address) = route.master(&data.broker_name).filter(|_| queues > 0) {
                    plan.add(index, &data.broker_name, resolve(&address)?, queues);
                }
            }
        }
        ensure!(
            !plan.brokers.is_empty(),
            "the route of topic {:?} has no master with a queue that allows this: \
             see mqadmin topicRoute",
            options.topic
        );
        plan.topics = topics;
        Ok(plan)
    }

    /// Asks each broker for the smallest or largest offset of each queue of the plan.
    ///
    /// # Errors
    /// When a broker does not answer with an offset.
    pub fn offsets(&mut self, plan: &Plan, smallest: bool) -> anyhow::Result<Offsets> {
        let code = if smallest { request::GET_MIN_OFFSET } else { request::GET_MAX_OFFSET };
        let mut all = Vec::with_capacity(plan.brokers.len());
        for broker in &plan.brokers {
            let mut offsets = Vec::with_capacity(broker.queues.len());
            for queue in &broker.queues {
                let (topic, id) = (&plan.topics[queue.topic], queue.queue.to_string());
                let fields = [("topic", topic.as_str()), ("queueId", id.as_str())];
                let answer = self.call(&broker.address.to_string(), code, &fields)?;
                let offset = answer.offset.filter(|_| answer.code == response::SUCCESS);
                offsets.push(offset.with_context(|| {
                    let Answer { code, remark, .. } = &answer;
                    format!(
                        "broker {}: offset of {topic}, queue {id}: code {code} {remark}",
                        broker.name
                    )
                })?);
            }
            all.push(offsets);
        }
        Ok(all)
    }

    fn create(&mut self, topics: &[String], queues: u32) -> anyhow::Result<()> {
        let Some(route) = self.route(AUTO_CREATE_TOPIC)? else {
            bail!(
                "--create-topics finds brokers by the route of {AUTO_CREATE_TOPIC}, \
                 and there is none"
            )
        };
        let queues = queues.to_string();
        for topic in topics {
            let fields = [
                ("topic", topic.as_str()),
                ("defaultTopic", AUTO_CREATE_TOPIC),
                ("readQueueNums", &queues),
                ("writeQueueNums", &queues),
                ("perm", "6"),
                ("topicFilterType", "SINGLE_TAG"),
                ("topicSysFlag", "0"),
                ("order", "false"),
            ];
            for data in &route.queue_datas {
                let Some(address) = route.master(&data.broker_name) else {
                    continue;
                };
                let answer = self.call(&address, request::UPDATE_AND_CREATE_TOPIC, &fields)?;
                let Answer { code, remark, .. } = answer;
                let broker = &data.broker_name;
                ensure!(
                    code == response::SUCCESS,
                    "broker {broker}: create {topic}: code {code} {remark}"
                );
            }
        }
        Ok(())
    }

    /// The route, and whether it is the topic's own.
    fn await_route(&mut self, topic: &str, must_exist: bool) -> anyhow::Result<(Route, bool)> {
        let deadline = Instant::now() + ROUTE_PATIENCE;
        loop {
            if let Some(route) = self.route(topic)? {
                return Ok((route, true));
            }
            if !must_exist && let Some(route) = self.route(AUTO_CREATE_TOPIC)? {
                return Ok((route, false));
            }
            ensure!(
                Instant::now() < deadline,
                "topic {topic:?} has no route in {:?}: send to it first or use --create-topics; \
                 if the broker should create it, see its autoCreateTopicEnable",
                self.name_servers
            );
            // Name servers do not tell their clients about changes: they are asked.
            std::thread::sleep(ROUTE_INTERVAL);
        }
    }

    fn route(&mut self, topic: &str) -> anyhow::Result<Option<Route>> {
        let mut failure = None;
        for server in self.name_servers.clone() {
            let fields = [("topic", topic), ("acceptStandardJsonOnly", "true")];
            match self.call(&server, request::GET_ROUTEINFO_BY_TOPIC, &fields) {
                Ok(answer) if answer.code == response::SUCCESS => {
                    let route = serde_json::from_slice(&answer.body);
                    return Ok(Some(
                        route.with_context(|| format!("route of {topic} at {server}"))?,
                    ));
                }
                Ok(answer) if answer.code == response::TOPIC_NOT_EXIST => return Ok(None),
                Ok(answer) => bail!("name server {server}: code {} {}", answer.code, answer.remark),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| anyhow::anyhow!("--namesrv names no server")))
    }

    /// Asks a server and waits for its answer, whatever its code.
    ///
    /// # Errors
    /// When there is no connection, or no answer in time.
    pub fn call(
        &mut self,
        address: &str,
        code: i32,
        fields: &[(&str, &str)],
    ) -> anyhow::Result<Answer> {
        let result = self.try_call(address, code, fields);
        if result.is_err() {
            self.connections.remove(address);
        }
        result.with_context(|| format!("request {code} to {address}"))
    }

    fn connect(&self, address: &str) -> anyhow::Result<Box<dyn Duplex>> {
        let mut stream = TcpStream::connect_timeout(&resolve(address)?, CONNECT_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(self.timeout))?;
        let Some(connector) = &self.connector else { return Ok(Box::new(stream)) };
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let tls = shake_hands(connector, host, &mut stream).context("TLS handshake")?;
        Ok(Box::new(StreamOwned::new(*tls, stream)))
    }

    fn try_call(
        &mut self,
        address: &str,
        code: i32,
        fields: &[(&str, &str)],
    ) -> anyhow::Result<Answer> {
        if !self.connections.contains_key(address) {
            let stream = self.connect(address)?;
            self.connections.insert(address.to_owned(), stream);
        }
        let stream = self.connections.get_mut(address).context("the connection was just made")?;
        self.opaque += 1;
        let mut frame = Vec::new();
        encode::request(&mut frame, Serialization::Json, code, self.opaque, false, fields, &[])?;
        stream.write_all(&frame)?;
        loop {
            let mut frame = vec![0; 4];
            stream.read_exact(&mut frame)?;
            let length = frame.first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes));
            ensure!(length as usize <= FRAME_BYTES_MAX, "a frame of {length} bytes");
            frame.resize(4 + length as usize, 0);
            stream.read_exact(frame.get_mut(4..).unwrap_or_default())?;
            let frame = Frame::parse(&frame)?;
            let header = Header::decode(&frame)?;
            if header.is_response() && header.opaque == self.opaque {
                return Ok(Answer {
                    code: header.code,
                    offset: header.fields.get("offset").and_then(|text| text.parse().ok()),
                    body: frame.body.to_vec(),
                    remark: header.remark.map_or_else(String::new, |text| text.into_owned()),
                });
            }
        }
    }
}

impl Route {
    fn master(&self, broker: &str) -> Option<String> {
        let data = self.broker_datas.iter().find(|data| data.broker_name == broker)?;
        data.broker_addrs.get(MASTER_ID).cloned()
    }
}

fn resolve(address: &str) -> anyhow::Result<SocketAddr> {
    let found = address.to_socket_addrs().with_context(|| format!("address {address:?}"))?.next();
    found.with_context(|| format!("{address:?} has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_of_a_java_name_server_is_understood() {
        let text = r#"{"brokerDatas":[{"brokerAddrs":{"0":"127.0.0.1:10911"},
            "brokerName":"broker-a",
            "cluster":"DefaultCluster"}],"filterServerTable":{},
            "queueDatas":[{"brokerName":"broker-a",
            "perm":6,"readQueueNums":8,"topicSysFlag":0,"writeQueueNums":4}]}"#;
        let route: Route = serde_json::from_str(text).expect("a route");
        assert_eq!(route.master("broker-a").as_deref(), Some("127.0.0.1:10911"));
        assert_eq!(route.master("broker-b"), None);
        assert_eq!((route.queue_datas[0].read_queue_nums, route.queue_datas[0].perm), (8, 6));
    }
}
