//! What happens before the load: routes, creation of topics, first offsets. Blocking, one request
//! at a time.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use ringmq_client::{Answer, Client, resolve};
use ringmq_remoting::body::TopicRouteData;
use ringmq_remoting::codes::{request, response};
use ringmq_remoting::fastjson;
use ringmq_tls::Connector;

use crate::arguments::{DEFAULT_QUEUES, Options};
use crate::consumer::Offsets;
use crate::plan::Plan;

/// Brokers tell the name servers about a new topic at once, but not everything is at once.
const ROUTE_PATIENCE: Duration = Duration::from_secs(30);
const ROUTE_INTERVAL: Duration = Duration::from_millis(100);
/// Topic whose route stands in for one that does not exist yet.
const AUTO_CREATE_TOPIC: &str = "TBW102";
const MASTER_ID: i64 = 0;
const PERM_READ: i32 = 4;
const PERM_WRITE: i32 = 2;

/// Which side of a queue the load needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The topic may be created by the broker on the first send.
    Write,
    /// The topic must exist; it is awaited for some time.
    Read,
}

/// What the load tool asks name servers and brokers.
pub struct Control {
    client: Client,
    name_servers: String,
}

impl Control {
    /// A client that has not connected yet.
    pub fn new(options: &Options, connector: Option<Connector>) -> Control {
        let client = Client::new(&options.namesrv, connector, options.timeout);
        Control { client, name_servers: options.namesrv.clone() }
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
                let count = u32::try_from(count).unwrap_or(0);
                let queues = if data.perm & perm == 0 { 0 } else { count.min(limit) };
                if let Some(address) = master(&route, &data.broker_name).filter(|_| queues > 0) {
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
                let answer = self.client.call(&broker.address.to_string(), code, &fields, &[])?;
                let offset = answer.number("offset").filter(|_| answer.code == response::SUCCESS);
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
                let Some(address) = master(&route, &data.broker_name) else {
                    continue;
                };
                let code = request::UPDATE_AND_CREATE_TOPIC;
                let answer = self.client.call(&address, code, &fields, &[])?;
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
    fn await_route(
        &mut self,
        topic: &str,
        must_exist: bool,
    ) -> anyhow::Result<(TopicRouteData, bool)> {
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

    fn route(&mut self, topic: &str) -> anyhow::Result<Option<TopicRouteData>> {
        let fields = [("topic", topic), ("acceptStandardJsonOnly", "true")];
        let (server, answer) =
            self.client.call_name_server(request::GET_ROUTEINFO_BY_TOPIC, &fields, &[])?;
        match answer.code {
            response::SUCCESS => {
                let route = fastjson::from_slice(&answer.body);
                Ok(Some(route.with_context(|| format!("route of {topic} at {server}"))?))
            }
            response::TOPIC_NOT_EXIST => Ok(None),
            code => bail!("name server {server}: code {code} {}", answer.remark),
        }
    }
}

fn master(route: &TopicRouteData, broker: &str) -> Option<String> {
    let data = route.broker_datas.iter().find(|data| data.broker_name == broker)?;
    data.broker_addrs.get(&MASTER_ID).cloned()
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
        let route: TopicRouteData = fastjson::from_slice(text.as_bytes()).expect("a route");
        assert_eq!(master(&route, "broker-a").as_deref(), Some("127.0.0.1:10911"));
        assert_eq!(master(&route, "broker-b"), None);
        assert_eq!((route.queue_datas[0].read_queue_nums, route.queue_datas[0].perm), (8, 6));
    }
}
