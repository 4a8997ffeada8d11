//! Setting the offsets of groups to those of a time.

use std::collections::BTreeMap;

use anyhow::Context;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use ringmq_client::{CallError, Client};
use ringmq_remoting::body::{MessageQueue, OffsetWrapper, TopicRouteData, TopicStatsTable};
use ringmq_remoting::codes::{request, response};
use serde::Deserialize;

use super::{any_member, ask, groups, route};
use crate::output::{Column, Page, Table};

/// What `now` means to brokers.
const LATEST: i64 = -1;

const RESET: &[Column] = &[
    Column::new("#brokerName", "broker"),
    Column::new("#queueId", "queue"),
    Column::new("#offset", "offset"),
];
const ROLLED_BACK: &[Column] = &[
    Column::new("#brokerName", "broker"),
    Column::new("#queueId", "queue"),
    Column::new("#brokerOffset", "brokerOffset"),
    Column::new("#consumerOffset", "consumerOffset"),
    Column::new("#timestampOffset", "timestampOffset"),
    Column::new("#rollbackOffset", "rollbackOffset"),
];

/// Whose offsets are set.
#[derive(clap::Args, Debug)]
pub struct Whose {
    /// The consumer group.
    #[arg(short = 'g', long = "group")]
    pub group: String,
    /// The topic.
    #[arg(short = 't', long = "topic")]
    pub topic: String,
    /// Forward, too.
    #[arg(short = 'f', long = "force", value_name = "true|false", default_value = "true",
        action = clap::ArgAction::Set)]
    pub force: bool,
    /// Only brokers of this cluster; of one of many queues (LMQ) its parent topic.
    #[arg(short = 'c', long = "cluster", alias = "cplus", value_name = "NAME", num_args = 0..=1,
        default_missing_value = "")]
    pub cluster: Option<String>,
}

/// To which time.
#[derive(clap::Args, Debug)]
pub struct When {
    /// now, milliseconds since 1970, or a local time yyyy-MM-dd#HH:mm:ss:SSS.
    #[arg(short = 's', long = "timestamp", value_name = "TIME", allow_negative_numbers = true)]
    pub time: String,
}

/// A reset as it was asked for.
pub struct Reset<'a> {
    pub whose: &'a Whose,
    /// Milliseconds since 1970, or -1 for the end of the queues.
    pub time: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Offsets {
    offset_table: BTreeMap<MessageQueue, i64>,
}

/// `now`, milliseconds since 1970, or a local time `yyyy-MM-dd#HH:mm:ss:SSS`.
///
/// # Errors
/// If it is none of them.
pub fn time(text: &str) -> anyhow::Result<i64> {
    if text == "now" {
        return Ok(LATEST);
    }
    if let Ok(ms) = text.parse::<i64>() {
        return Ok(ms);
    }
    local_time(text).with_context(|| {
        format!(
            "the time {text:?} is neither now, nor milliseconds since 1970, nor like \
             2026-11-30#12:00:00:000"
        )
    })
}

fn local_time(text: &str) -> Option<i64> {
    let (date, clock) = text.split_once(['#', ' ', 'T'])?;
    let mut parts = clock.split(':');
    let clock = [parts.next()?, parts.next()?, parts.next().unwrap_or("00")].join(":");
    let ms: i64 = parts.next().unwrap_or("0").parse().ok().filter(|ms| (0..1000).contains(ms))?;
    let at: DateTime = format!("{date}T{clock}").parse().ok()?;
    let at: Timestamp = at.to_zoned(TimeZone::system()).ok()?.timestamp();
    parts.next().is_none().then(|| at.as_millisecond() + ms)
}

impl Reset<'_> {
    /// Has the brokers tell the members of the group, or sets the offsets where none is connected.
    pub fn online_or_not(&self, client: &mut Client, said: &str) -> anyhow::Result<Page> {
        match self.online(client) {
            Ok(page) if said.is_empty() => Ok(page),
            Ok(page) => Ok(Page::default().text(self.describe("group", said)).and(page)),
            Err(error) if is_offline(&error) => self.offline(client, said),
            Err(error) => Err(error),
        }
    }

    fn describe(&self, who: &str, said: &str) -> String {
        let Reset { whose: Whose { group, topic, force, .. }, time } = self;
        format!(
            "rollback consumer offset by specified {who}[{group}], topic[{topic}], \
             force[{force}], timestamp(string)[{said}], timestamp(long)[{time}]"
        )
    }

    fn online(&self, client: &mut Client) -> anyhow::Result<Page> {
        let Whose { group, topic, force, .. } = self.whose;
        let (time, force) = (self.time.to_string(), force.to_string());
        let fields = [
            ("topic", topic.as_str()),
            ("group", group),
            ("timestamp", time.as_str()),
            ("isForce", &force),
        ];
        let mut offsets = BTreeMap::new();
        for data in &self.route(client)?.broker_datas {
            let Some(address) = any_member(data) else { continue };
            let code = request::INVOKE_BROKER_TO_RESET_OFFSET;
            offsets.extend(ask::<Offsets>(client, address, code, &fields)?.offset_table);
        }
        let mut table = Table::new("queues", RESET);
        for (queue, offset) in offsets {
            table.row([queue.broker_name.into(), queue.queue_id.into(), offset.into()]);
        }
        Ok(Page::default().table(table))
    }

    /// Sets the offsets on the brokers; members that are connected do not hear of it.
    pub fn offline(&self, client: &mut Client, said: &str) -> anyhow::Result<Page> {
        let mut table = Table::new("queues", ROLLED_BACK);
        for data in &self.route(client)?.broker_datas {
            let Some(address) = any_member(data) else { continue };
            for (queue, offsets) in self.queues(client, address)? {
                let found = offset_at(client, address, &queue, self.time)?;
                let mut set = offsets.consumer_offset;
                if self.whose.force || found <= set {
                    groups::commit(client, address, &self.whose.group, &queue, found)?;
                    set = found;
                }
                table.row([
                    queue.broker_name.into(),
                    queue.queue_id.into(),
                    offsets.broker_offset.into(),
                    offsets.consumer_offset.into(),
                    found.into(),
                    set.into(),
                ]);
            }
        }
        let page = Page::default();
        let page =
            if said.is_empty() { page } else { page.text(self.describe("consumerGroup", said)) };
        Ok(page.table(table))
    }

    fn route(&self, client: &mut Client) -> anyhow::Result<TopicRouteData> {
        let Whose { topic, cluster, .. } = self.whose;
        let Some(cluster) = cluster.as_deref().filter(|cluster| !cluster.is_empty()) else {
            return route(client, topic);
        };
        if let Ok(mut found) = route(client, topic) {
            found.broker_datas.retain(|data| data.cluster.as_deref() == Some(cluster));
            if !found.broker_datas.is_empty() {
                return Ok(found);
            }
        }
        // the parent of one of many queues (LMQ), which have no route of their own
        route(client, cluster)
    }

    /// The queues of the topic on a broker, and how far the group is: at the start of those that
    /// it has not consumed.
    fn queues(
        &self,
        client: &mut Client,
        address: &str,
    ) -> anyhow::Result<BTreeMap<MessageQueue, OffsetWrapper>> {
        let Whose { group, topic, .. } = self.whose;
        let stats = groups::progress_on(client, address, group, None)?;
        let mut known = stats.offset_table;
        known.retain(|queue, _| queue.topic == *topic);
        if !known.is_empty() {
            return Ok(known);
        }
        let fields = [("topic", topic.as_str())];
        let stats: TopicStatsTable = ask(client, address, request::GET_TOPIC_STATS_INFO, &fields)?;
        for (queue, offsets) in stats.offset_table {
            let (broker_offset, consumer_offset) = (offsets.max_offset, offsets.min_offset);
            let offsets =
                OffsetWrapper { broker_offset, consumer_offset, ..OffsetWrapper::default() };
            known.insert(queue, offsets);
        }
        Ok(known)
    }
}

/// The offset of the first message that was stored then or later.
pub fn offset_at(
    client: &mut Client,
    address: &str,
    queue: &MessageQueue,
    time: i64,
) -> anyhow::Result<i64> {
    let (id, text) = (queue.queue_id.to_string(), time.to_string());
    let mut fields = vec![("topic", queue.topic.as_str()), ("queueId", id.as_str())];
    let code = if time == LATEST {
        request::GET_MAX_OFFSET
    } else {
        fields.push(("timestamp", &text));
        request::SEARCH_OFFSET_BY_TIMESTAMP
    };
    let answer = client.ask(address, code, &fields, &[])?;
    answer.number("offset").context("an answer without an offset")
}

/// Whether nobody is there to be told; brokers say something else where the group has not
/// consumed some queue yet.
fn is_offline(error: &anyhow::Error) -> bool {
    match error.downcast_ref() {
        Some(CallError::Refused { code, remark, .. }) => {
            *code == response::CONSUMER_NOT_ONLINE
                || (*code == response::SYSTEM_ERROR && remark.contains("not exist"))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_mqadmin_takes_them() {
        assert_eq!(time("now").expect("a time"), -1);
        assert_eq!(time("1700000000000").expect("a time"), 1_700_000_000_000);
        let exact = time("2026-11-30#12:00:01:250").expect("a time");
        assert_eq!(exact - time("2026-11-30#12:00:00:000").expect("a time"), 1250);
        assert_eq!(time("2026-11-30 12:00").expect("a time"), exact - 1250);
        for wrong in ["", "yesterday", "2026-11-30", "2026-11-30#12:00:00:000:1", "2026-13-30#1:2"]
        {
            let why = time(wrong).expect_err(wrong).to_string();
            assert!(why.contains("neither now, nor milliseconds"), "{why}");
        }
    }
}
