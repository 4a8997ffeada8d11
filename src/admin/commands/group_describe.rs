//! `groupDescribe`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ringmq_base::units::human_bytes;
use ringmq_client::{CallError, Client};
use ringmq_remoting::body::{
    ConsumerConnection, MessageQueue, OffsetWrapper, QueryConsumeQueueResponseBody,
    QueryConsumeTimeSpanBody, TopicStatsTable,
};
use ringmq_remoting::codes::request;

use crate::output::{Cell, Column, Page, Table};
use crate::questions::diagnosis::{Group, Known, Level};
use crate::questions::groups::{self, RunningInfo};
use crate::questions::{any_member, ask, brokers_with, clusters, route};
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The consumer group.
    #[arg(short = 'g', long = "groupName", value_name = "GROUP")]
    group: String,
    /// Only this topic.
    #[arg(short = 't', long = "topic")]
    topic: Option<String>,
    /// Only queues with which something is wrong.
    #[arg(short = 'w', long = "wrong")]
    wrong: bool,
}

const COLUMNS: &[Column] = &[
    Column::new("#Topic", "topic"),
    Column::new("#Broker Name", "broker"),
    Column::new("#QID", "queue"),
    Column::new("#Owner", "owner"),
    Column::new("#Last Pull", "lastPull"),
    Column::new("#Last Commit", "lastCommit"),
    Column::new("#Committed", "committed").right(),
    Column::new("#End", "end").right().wide(),
    Column::new("#Lag", "lag").right(),
    Column::new("#Inflight", "inflight").right(),
    Column::new("#Bytes", "lagBytes").right(),
    Column::new("#Seconds", "lagSeconds").right(),
    Column::new("#Diagnosis", "diagnosis"),
    Column::new("#Level", "level").wide(),
];
/// Entries that the sizes of what waits are taken from.
const SAMPLE: i64 = 32;

/// All that was asked.
struct Asked {
    now: i64,
    may_consume: bool,
    members: ConsumerConnection,
    /// By client, of those that tell.
    infos: BTreeMap<String, RunningInfo>,
    offsets: BTreeMap<MessageQueue, (OffsetWrapper, bool)>,
    /// How long the next message of a queue has been waiting, in milliseconds.
    waits: BTreeMap<MessageQueue, i64>,
    /// By the name of the broker.
    addresses: BTreeMap<String, String>,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &[
        "-n 127.0.0.1:9876 -g GROUP",
        "-n 127.0.0.1:9876 -g GROUP -w --watch 5 # only what is wrong",
    ];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let asked = self.ask(client)?;
        let mut table = Table::new("queues", COLUMNS);
        let (mut wrong, mut lag_total, mut inflight_total) = (0, 0i64, 0i64);
        for (queue, (offsets, committed)) in &asked.offsets {
            let known = asked.known(queue, offsets, *committed);
            let (level, diagnosis) = known.diagnosis();
            wrong += i32::from(level == Level::Wrong);
            lag_total = lag_total.wrapping_add(known.lag);
            inflight_total = inflight_total.wrapping_add(known.inflight.unwrap_or(0));
            if self.wrong && level != Level::Wrong {
                continue;
            }
            let bytes = bytes_behind(client, &asked, queue, offsets, known.lag);
            table.row(asked.row(queue, offsets, &known, bytes, (level, diagnosis)));
        }
        let count = asked.members.connection_set.len();
        let members = asked.members.connection_set.iter().map(|one| one.client_id.as_str());
        let members: Vec<&str> = members.collect();
        let head = match count {
            0 => format!("Group {}: no member is connected", self.group),
            _ => format!("Group {}: {count} members: {}", self.group, members.join(", ")),
        };
        let summary = match wrong {
            0 => format!("Nothing is wrong with its {} queues", asked.offsets.len()),
            _ => format!("Something is wrong with {wrong} of {} queues", asked.offsets.len()),
        };
        Ok(Page::default()
            .fact("members", head, members)
            .table(table)
            .fact("lag", format!("{lag_total} messages are not consumed"), lag_total)
            .fact("inflight", format!("{inflight_total} of them are in flight"), inflight_total)
            .fact("wrong", summary, wrong))
    }
}

impl Options {
    fn ask(&self, client: &mut Client) -> anyhow::Result<Asked> {
        let group = &self.group;
        let brokers = clusters(client)?.broker_addr_table;
        let mut addresses = BTreeMap::new();
        let mut settings = None;
        for (name, data) in &brokers {
            let Some(address) = any_member(data) else { continue };
            settings = settings.or(groups::settings(client, address, group)?);
            addresses.insert(name.clone(), address.to_owned());
        }
        let members = groups::connection(client, group, None).unwrap_or_default();
        let stats = groups::progress(client, group, None).unwrap_or_default();
        if settings.is_none() && members.connection_set.is_empty() && stats.offset_table.is_empty()
        {
            return Err(CallError::NotFound(format!("no broker knows the group {group}")).into());
        }
        let mut infos = BTreeMap::new();
        for member in &members.connection_set {
            if let Ok(info) = groups::running(client, group, &member.client_id, false) {
                infos.insert(member.client_id.clone(), info);
            }
        }
        let mut offsets: BTreeMap<_, _> = stats
            .offset_table
            .into_iter()
            .map(|(queue, offsets)| {
                let committed = offsets.last_timestamp > 0 || offsets.consumer_offset > 0;
                (queue, (offsets, committed))
            })
            .collect();
        add_untouched(client, &members, &mut offsets);
        if let Some(topic) = &self.topic {
            offsets.retain(|queue, _| queue.topic == *topic);
        }
        let waits = waits(client, group, &offsets, &addresses);
        Ok(Asked {
            now: Timestamp::now().as_millisecond(),
            may_consume: settings.is_none_or(|settings| settings.consume_enable),
            members,
            infos,
            offsets,
            waits,
            addresses,
        })
    }
}

/// Adds queues of topics that the group subscribes to and has consumed nothing of.
fn add_untouched(
    client: &mut Client,
    members: &ConsumerConnection,
    offsets: &mut BTreeMap<MessageQueue, (OffsetWrapper, bool)>,
) {
    for topic in members.subscription_table.keys() {
        // the topic may not be there yet
        let Ok(route) = route(client, topic) else { continue };
        for (_, address) in brokers_with(&route) {
            let fields = [("topic", topic.as_str())];
            let code = request::GET_TOPIC_STATS_INFO;
            let Ok(stats) = ask::<TopicStatsTable>(client, address, code, &fields) else {
                continue;
            };
            for (queue, ends) in stats.offset_table {
                let untouched = OffsetWrapper {
                    broker_offset: ends.max_offset,
                    consumer_offset: ends.min_offset,
                    ..OffsetWrapper::default()
                };
                offsets.entry(queue).or_insert((untouched, false));
            }
        }
    }
}

fn waits(
    client: &mut Client,
    group: &str,
    offsets: &BTreeMap<MessageQueue, (OffsetWrapper, bool)>,
    addresses: &BTreeMap<String, String>,
) -> BTreeMap<MessageQueue, i64> {
    let mut places: Vec<(&str, &str)> =
        offsets.keys().map(|queue| (queue.topic.as_str(), queue.broker_name.as_str())).collect();
    places.sort_unstable();
    places.dedup();
    let mut waits = BTreeMap::new();
    for (topic, broker) in places {
        let Some(address) = addresses.get(broker) else { continue };
        let fields = [("topic", topic), ("group", group)];
        let code = request::QUERY_CONSUME_TIME_SPAN;
        let Ok(spans) = ask::<QueryConsumeTimeSpanBody>(client, address, code, &fields) else {
            continue;
        };
        let spans = spans.consume_time_span_set.into_iter();
        waits.extend(spans.map(|span| (span.message_queue, span.delay_time)));
    }
    waits
}

/// About how many bytes wait: as many times the mean size of the first of them.
fn bytes_behind(
    client: &mut Client,
    asked: &Asked,
    queue: &MessageQueue,
    offsets: &OffsetWrapper,
    lag: i64,
) -> Option<u64> {
    if lag <= 0 {
        return Some(0);
    }
    let address = asked.addresses.get(&queue.broker_name)?;
    let (id, index) = (queue.queue_id.to_string(), offsets.consumer_offset.max(0).to_string());
    let count = lag.min(SAMPLE).to_string();
    let fields = [
        ("topic", queue.topic.as_str()),
        ("queueId", id.as_str()),
        ("index", &index),
        ("count", &count),
    ];
    let code = request::QUERY_CONSUME_QUEUE;
    let found: QueryConsumeQueueResponseBody = ask(client, address, code, &fields).ok()?;
    let sizes = found.queue_data.unwrap_or_default();
    let sum: i64 = sizes.iter().map(|entry| i64::from(entry.physic_size.max(0))).sum();
    let mean = sum as f64 / f64::from(u32::try_from(sizes.len()).ok().filter(|n| *n > 0)?);
    Some((mean * lag as f64) as u64)
}

impl Asked {
    fn known<'a>(
        &'a self,
        queue: &MessageQueue,
        offsets: &OffsetWrapper,
        committed: bool,
    ) -> Known<'a> {
        let infos = self.infos.iter();
        let readers = infos
            .filter_map(|(id, info)| {
                let state = info.mq_table.get(queue).filter(|state| !state.droped)?;
                Some((id.as_str(), state))
            })
            .collect();
        let expression = |info: &'a RunningInfo| {
            let mut all = info.subscription_set.iter();
            all.find(|one| one.topic == queue.topic).map(|one| one.sub_string.as_str())
        };
        let mut subscriptions: Vec<_> =
            self.infos.iter().map(|(id, info)| (id.as_str(), expression(info))).collect();
        if subscriptions.is_empty()
            && let Some(one) = self.members.subscription_table.get(&queue.topic)
        {
            subscriptions.push(("the group", Some(one.sub_string.as_str())));
        }
        let silent = self.members.connection_set.iter().map(|member| member.client_id.as_str());
        let group = Group {
            may_consume: self.may_consume,
            broadcasts: self.members.message_model.as_deref() == Some("BROADCASTING"),
            in_order: self.infos.values().any(|info| {
                info.properties.get("PROP_CONSUMEORDERLY").is_some_and(|is| is == "true")
            }),
            members: self.members.connection_set.len(),
            silent: silent.filter(|id| !self.infos.contains_key(*id)).collect(),
            subscriptions,
        };
        let lag = offsets.broker_offset.wrapping_sub(offsets.consumer_offset).max(0);
        let pulled = offsets.pull_offset.map(|next| next.wrapping_sub(offsets.consumer_offset));
        Known {
            now: self.now,
            lag,
            inflight: pulled.map(|pulled| pulled.clamp(0, lag)),
            committed: committed.then_some(offsets.consumer_offset),
            group,
            readers,
        }
    }

    fn row(
        &self,
        queue: &MessageQueue,
        offsets: &OffsetWrapper,
        known: &Known<'_>,
        bytes: Option<u64>,
        (level, diagnosis): (Level, String),
    ) -> [Cell; 14] {
        let none = || Cell::missing("-");
        let reader = known.readers.first();
        let wait = self.waits.get(queue).filter(|wait| **wait >= 0);
        let seconds = |ms: i64| Cell::decimal(ms as f64 / 1000.0, 1);
        [
            queue.topic.as_str().into(),
            queue.broker_name.as_str().into(),
            queue.queue_id.into(),
            reader.map_or_else(none, |(id, _)| (*id).into()),
            reader.map_or_else(none, |(_, state)| Cell::time(state.last_pull_timestamp, "-")),
            Cell::time(offsets.last_timestamp, "-"),
            known.committed.map_or_else(none, Cell::from),
            offsets.broker_offset.into(),
            known.lag.into(),
            known.inflight.map_or_else(none, Cell::from),
            bytes.map_or_else(none, |bytes| Cell::new(human_bytes(bytes), bytes)),
            match (known.lag, wait) {
                (0, _) => seconds(0),
                (_, Some(wait)) => seconds(*wait),
                (_, None) => none(),
            },
            diagnosis.into(),
            format!("{level:?}").to_lowercase().into(),
        ]
    }
}
