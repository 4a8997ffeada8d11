//! What `top` asks servers, by a thread of its own so that keys never wait.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use anyhow::ensure;
use ringmq_client::{Answer, CallError, Client, Lane};
use ringmq_remoting::body::{
    ClusterInfo, ConsumeStats, KVTable, SubscriptionGroupWrapper, TopicConfigSerializeWrapper,
    TopicStatsTable,
};
use ringmq_remoting::codes::group::is_system_group;
use ringmq_remoting::codes::topic::{is_system_topic, reply_topic};
use ringmq_remoting::codes::{request, response};
use ringmq_remoting::fastjson;

use crate::questions::{MASTER, clusters};

/// Questions under way to a broker.
const UNDER_WAY: usize = 64;
const NAP: Duration = Duration::from_millis(500);

/// How things stand.
#[derive(Debug)]
pub struct Sample {
    pub at: Instant,
    /// By name.
    pub brokers: BTreeMap<String, Broker>,
    pub topics: BTreeMap<String, Topic>,
    pub groups: BTreeMap<String, Group>,
    pub problems: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Broker {
    pub address: String,
    pub version: String,
    /// Messages since it started to count.
    pub put: i64,
    pub got: i64,
    /// The share of the disk that is in use, 0 to 1.
    pub disk: f64,
}

#[derive(Clone, Debug, Default)]
pub struct Topic {
    /// Sum of the offsets behind the last messages.
    pub written: i64,
    pub kept: i64,
    /// Messages that groups have yet to consume.
    pub lag: i64,
}

#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Sum of its offsets.
    pub consumed: i64,
    pub lag: i64,
    /// Messages that it has pulled and not confirmed, as far as brokers tell.
    pub inflight: Option<i64>,
    /// The topic with the greatest lag.
    pub topic: String,
}

/// Asks all masters again and again, by connections that stay.
pub struct Poll {
    client: Client,
    lanes: HashMap<String, Lane>,
}

impl Poll {
    pub fn new(client: Client) -> Poll {
        Poll { client, lanes: HashMap::new() }
    }

    /// Asks everything once.
    ///
    /// # Errors
    /// If no name server answers; what brokers do not answer is a problem of the sample.
    pub fn sample(&mut self) -> anyhow::Result<Sample> {
        let info = clusters(&mut self.client)?;
        let mut sample = Sample {
            at: Instant::now(),
            brokers: BTreeMap::new(),
            topics: BTreeMap::new(),
            groups: BTreeMap::new(),
            problems: Vec::new(),
        };
        for (name, data) in &info.broker_addr_table {
            let Some(address) = data.broker_addrs.get(&MASTER) else { continue };
            if let Err(why) = self.broker(&mut sample, name, address, &info) {
                self.lanes.remove(address);
                sample.problems.push(format!("{name}: {why:#}"));
            }
        }
        sample.problems.extend(
            sample.brokers.is_empty().then(|| "the name servers know no broker".to_owned()),
        );
        Ok(sample)
    }

    fn broker(
        &mut self,
        sample: &mut Sample,
        name: &str,
        address: &str,
        info: &ClusterInfo,
    ) -> anyhow::Result<()> {
        let lane = match self.lanes.entry(address.to_owned()) {
            std::collections::hash_map::Entry::Occupied(lane) => lane.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(self.client.lane(address)?)
            }
        };
        let known = lane.ask(request::GET_BROKER_RUNTIME_INFO, &[], &[])?;
        sample.brokers.insert(name.to_owned(), Broker::of(address, &known)?);
        let topics = lane.ask(request::GET_ALL_TOPIC_CONFIG, &[], &[])?;
        let topics: TopicConfigSerializeWrapper = fastjson::from_slice(&topics.body)?;
        let mut topics: Vec<String> = topics.topic_config_table.into_keys().collect();
        // each broker and each cluster has a topic with its name
        topics.retain(|topic| {
            let is_of_cluster =
                |cluster: &String| topic == cluster || *topic == reply_topic(cluster);
            let is_own = topic == name || info.cluster_addr_table.keys().any(is_of_cluster);
            !is_own && !is_system_topic(topic)
        });
        let code = request::GET_TOPIC_STATS_INFO;
        for (topic, answer) in topics.iter().zip(ask_all(lane, code, "topic", &topics)?) {
            let Some(answer) = answer else { continue };
            let stats: TopicStatsTable = fastjson::from_slice(&answer.body)?;
            let entry = sample.topics.entry(topic.clone()).or_default();
            for offsets in stats.offset_table.values() {
                entry.written += offsets.max_offset;
                entry.kept += offsets.max_offset - offsets.min_offset;
            }
        }
        let groups = lane.ask(request::GET_ALL_SUBSCRIPTIONGROUP_CONFIG, &[], &[])?;
        let groups: SubscriptionGroupWrapper = fastjson::from_slice(&groups.body)?;
        let mut groups: Vec<String> = groups.subscription_group_table.into_keys().collect();
        groups.retain(|group| !is_system_group(group));
        let code = request::GET_CONSUME_STATS;
        for (group, answer) in groups.iter().zip(ask_all(lane, code, "consumerGroup", &groups)?) {
            if let Some(answer) = answer {
                sample.add(group, &fastjson::from_slice(&answer.body)?);
            }
        }
        Ok(())
    }
}

impl Sample {
    fn add(&mut self, name: &str, stats: &ConsumeStats) {
        if stats.offset_table.is_empty() {
            // it has never consumed anything
            return;
        }
        let group = self.groups.entry(name.to_owned()).or_default();
        let mut most = 0;
        for (queue, offsets) in &stats.offset_table {
            let lag = offsets.broker_offset.saturating_sub(offsets.consumer_offset).max(0);
            group.consumed += offsets.consumer_offset.max(0);
            group.lag += lag;
            if let Some(next) = offsets.pull_offset {
                let pulled = next.saturating_sub(offsets.consumer_offset).clamp(0, lag);
                group.inflight = Some(group.inflight.unwrap_or(0) + pulled);
            }
            if lag >= most {
                most = lag;
                group.topic.clone_from(&queue.topic);
            }
            if let Some(topic) = self.topics.get_mut(&queue.topic) {
                topic.lag += lag;
            }
        }
    }
}

impl Broker {
    fn of(address: &str, answer: &Answer) -> anyhow::Result<Broker> {
        let known: KVTable = fastjson::from_slice(&answer.body)?;
        let text = |key: &str| known.table.get(key).map_or("", String::as_str);
        Ok(Broker {
            address: address.to_owned(),
            version: text("brokerVersionDesc").to_owned(),
            put: text("msgPutTotalTodayNow").parse().unwrap_or(0),
            got: text("msgGetTotalTodayNow").parse().unwrap_or(0),
            disk: text("commitLogDiskRatio").parse().unwrap_or(0.0),
        })
    }
}

/// Asks the same of many; `None` where the answer is a refusal, as when one has gone meanwhile.
fn ask_all(
    lane: &mut Lane,
    code: i32,
    field: &str,
    names: &[String],
) -> anyhow::Result<Vec<Option<Answer>>> {
    let mut answers: Vec<Option<Answer>> = Vec::new();
    answers.resize_with(names.len(), || None);
    let mut under_way = HashMap::new();
    let mut names = names.iter().enumerate();
    loop {
        while under_way.len() < UNDER_WAY
            && let Some((place, name)) = names.next()
        {
            under_way.insert(lane.send(code, &[(field, name)], &[])?, place);
        }
        if under_way.is_empty() {
            return Ok(answers);
        }
        let Some((opaque, answer)) = lane.receive(NAP)? else { continue };
        let place = under_way.remove(&opaque);
        if answer.code == response::NO_PERMISSION {
            let (address, code) = (lane.address().to_owned(), answer.code);
            return Err(CallError::Refused { address, code, remark: answer.remark }.into());
        }
        ensure!(place.is_some(), "an answer that nothing was asked for");
        if let Some(slot) = place.and_then(|place| answers.get_mut(place))
            && answer.code == response::SUCCESS
        {
            *slot = Some(answer);
        }
    }
}
