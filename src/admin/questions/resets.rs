//! Setting the offsets of groups to those of a time.

use std::collections::BTreeMap;

use anyhow::Context;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use ringmq_client::{CallError, Client};
use ringmq_remoting::body::{MessageQueue, OffsetWrapper, TopicStatsTable};
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

/// A reset as it was asked for.
pub struct Reset<'a> {
    pub group: &'a str,
    pub topic: &'a str,
    /// Milliseconds since 1970, or -1 for the end of the queues.
    pub time: i64,
    /// Forward, too.
    pub force: bool,
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
        let Reset { group, topic, time, force } = self;
        format!(
            "rollback consumer offset by specified {who}[{group}], topic[{topic}], \
             force[{force}], timestamp(string)[{said}], timestamp(long)[{time}]"
        )
    }

    fn online(&self, client: &mut Client) -> anyhow::Result<Page> {
        let (time, force) = (self.time.to_string(), self.force.to_string());
        let fields = [
            ("topic", self.topic),
            ("group", self.group),
            ("timestamp", time.as_str()),
            ("isForce", &force),
        ];
        let mut offsets = BTreeMap::new();
        for data in &route(client, self.topic)?.broker_datas {
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
        let route = route(client, self.topic)?;
        for data in &route.broker_datas {
            let Some(address) = any_member(data) else { continue };
            let queues = route.queue_datas.iter();
            let mut queues = queues.filter(|queues| queues.broker_name == data.broker_name);
            let count = queues.next().map_or(0, |queues| queues.read_queue_nums);
            for (queue, offsets) in self.queues(client, address, &data.broker_name, count)? {
                let found = self.offset_at(client, address, &queue)?;
                let mut set = offsets.consumer_offset;
                if self.force || found <= set {
                    groups::commit(client, address, self.group, &queue, found)?;
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

    /// The queues of the topic on a broker, and how far the group is: at the start of those that
    /// it has not consumed.
    fn queues(
        &self,
        client: &mut Client,
        address: &str,
        broker: &str,
        count: i32,
    ) -> anyhow::Result<BTreeMap<MessageQueue, OffsetWrapper>> {
        let stats = groups::progress_on(client, address, self.group, None)?;
        let mut known = stats.offset_table;
        known.retain(|queue, _| queue.topic == self.topic);
        if !known.is_empty() {
            return Ok(known);
        }
        let fields = [("topic", self.topic)];
        let stats: TopicStatsTable = ask(client, address, request::GET_TOPIC_STATS_INFO, &fields)?;
        for id in 0..count {
            let queue = MessageQueue::new(self.topic, broker, id);
            if let Some(offsets) = stats.offset_table.get(&queue) {
                let (broker_offset, consumer_offset) = (offsets.max_offset, offsets.min_offset);
                let offsets =
                    OffsetWrapper { broker_offset, consumer_offset, ..OffsetWrapper::default() };
                known.insert(queue, offsets);
            }
        }
        Ok(known)
    }

    fn offset_at(
        &self,
        client: &mut Client,
        address: &str,
        queue: &MessageQueue,
    ) -> anyhow::Result<i64> {
        let (id, time) = (queue.queue_id.to_string(), self.time.to_string());
        let mut fields = vec![("topic", queue.topic.as_str()), ("queueId", id.as_str())];
        let code = if self.time == LATEST {
            request::GET_MAX_OFFSET
        } else {
            fields.push(("timestamp", &time));
            request::SEARCH_OFFSET_BY_TIMESTAMP
        };
        let answer = client.ask(address, code, &fields, &[])?;
        answer.number("offset").context("an answer without an offset")
    }
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
