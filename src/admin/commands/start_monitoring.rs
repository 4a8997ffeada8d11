//! `startMonitoring`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use ringmq_client::{CallError, Client};
use ringmq_remoting::body::{MessageQueue, OffsetWrapper, TopicStatsTable};
use ringmq_remoting::codes::{request, topic::RETRY_PREFIX};

use crate::output::{Cell, Column, Page, Table};
use crate::questions::groups::{self, RunningInfo};
use crate::questions::members::{are_alike, troubles};
use crate::questions::moved_offsets::MovedOffsets;
use crate::questions::{ask, brokers_with, route, topics};
use crate::session::{Run, Session, pause};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// Seconds between rounds; 0 for one round only.
    #[arg(long = "interval", value_name = "SECONDS", default_value_t = 60)]
    seconds: u64,
}

const UNDONE: &[Column] = &[
    Column::new("", "group"),
    Column::new("", "topic"),
    Column::new("", "undone"),
    Column::new("", "undoneOfOneQueue"),
    Column::new("", "behindMs"),
];
const MOVED: &[Column] = &[
    Column::new("", "group"),
    Column::new("", "topic"),
    Column::new("", "broker"),
    Column::new("", "queue"),
    Column::new("", "offsetRequest"),
    Column::new("", "offsetNew"),
    Column::new("", "timeMs"),
];
const NOTICES: &[Column] =
    &[Column::new("", "group"), Column::new("", "clientId"), Column::new("", "what")];

impl Run for Options {
    const EXAMPLES: &'static [&'static str] =
        &["-n 127.0.0.1:9876", "-n 127.0.0.1:9876 --interval 0 --output json # once"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let mut events = MovedOffsets::default();
        loop {
            moved(session, &mut events)?;
            round(session)?;
            if self.seconds == 0 {
                return Ok(Page::default());
            }
            pause(Duration::from_secs(self.seconds));
        }
    }
}

/// Which consumers RocketMQ's brokers have sent to other offsets.
fn moved(session: &mut Session, events: &mut MovedOffsets) -> anyhow::Result<()> {
    let table = Table::new("moved", MOVED);
    let Session { client, printer } = session;
    let read = events.read(client, |event| {
        let queue = &event.message_queue;
        let text = format!("[MONITOR] reportDeleteMsgsEvent: {}", event.describe());
        let row = [
            event.consumer_group.as_str().into(),
            queue.topic.as_str().into(),
            queue.broker_name.as_str().into(),
            i64::from(queue.queue_id).into(),
            event.offset_request.into(),
            event.offset_new.into(),
            event.time.into(),
        ];
        Ok(printer.row(&table, &text, &row)?)
    });
    match read {
        Err(error) if error.is::<CallError>() => {
            session.say(&format!("[MONITOR] events of moved offsets cannot be read: {error:#}"))
        }
        other => other,
    }
}

/// Looks at the groups that have members.
fn round(session: &mut Session) -> anyhow::Result<()> {
    session.say("[MONITOR] =========================================beginRound")?;
    for topic in topics(&mut session.client)? {
        let Some(group) = topic.strip_prefix(RETRY_PREFIX) else { continue };
        // groups come and go; the next round sees the others
        let Ok(members) = groups::connection(&mut session.client, group, None) else { continue };
        if let Ok(stats) = groups::progress(&mut session.client, group, None) {
            undone(session, group, stats.offset_table)?;
        }
        let mut infos = BTreeMap::new();
        for member in members.connection_set {
            let id = member.client_id;
            if let Ok(info) = groups::running(&mut session.client, group, &id, false) {
                infos.insert(id, info);
            }
        }
        notices(session, group, &infos)?;
    }
    session.say("[MONITOR] =========================================endRound")
}

/// What a group has yet to consume, a row for each topic.
fn undone(
    session: &mut Session,
    group: &str,
    offsets: BTreeMap<MessageQueue, OffsetWrapper>,
) -> anyhow::Result<()> {
    let mut by_topic: BTreeMap<String, Vec<(MessageQueue, OffsetWrapper)>> = BTreeMap::new();
    for (queue, offsets) in offsets {
        by_topic.entry(queue.topic.clone()).or_default().push((queue, offsets));
    }
    let table = Table::new("undone", UNDONE);
    for (topic, queues) in by_topic {
        let last = stored_last(&mut session.client, &topic).unwrap_or_default();
        let (mut total, mut most, mut behind) = (0, 0, 0);
        for (queue, offsets) in queues {
            let count = offsets.broker_offset.saturating_sub(offsets.consumer_offset);
            total += count.max(0);
            most = most.max(count);
            if let Some(last) = last.get(&queue).filter(|_| offsets.last_timestamp > 0) {
                behind = behind.max(last.saturating_sub(offsets.last_timestamp));
            }
        }
        let text = format!(
            "[MONITOR] reportUndoneMsgs: UndoneMsgs [consumerGroup={group}, topic={topic}, \
             undoneMsgsTotal={total}, undoneMsgsSingleMQ={most}, undoneMsgsDelayTimeMills={behind}]"
        );
        let row = [group.into(), topic.into(), total.into(), most.into(), behind.into()];
        session.show(&table, &text, &row)?;
    }
    Ok(())
}

/// When the last message of each queue was stored, in milliseconds since 1970.
fn stored_last(client: &mut Client, topic: &str) -> anyhow::Result<BTreeMap<MessageQueue, i64>> {
    let mut all = BTreeMap::new();
    for (_, address) in brokers_with(&route(client, topic)?) {
        let (code, fields) = (request::GET_TOPIC_STATS_INFO, [("topic", topic)]);
        let stats: TopicStatsTable = ask(client, address, code, &fields)?;
        let queues = stats.offset_table.into_iter();
        all.extend(queues.map(|(queue, offsets)| (queue, offsets.last_update_timestamp)));
    }
    Ok(all)
}

/// What is wrong with the members.
fn notices(
    session: &mut Session,
    group: &str,
    infos: &BTreeMap<String, RunningInfo>,
) -> anyhow::Result<()> {
    const HEAD: &str = "[MONITOR]  [NOTIFY] reportConsumerRunningInfo: ConsumerGroup:";
    let table = Table::new("notices", NOTICES);
    let now = Timestamp::now().as_millisecond();
    if !are_alike(infos, now) {
        let what = "Subscription different";
        let row = [group.into(), Cell::missing(""), what.into()];
        session.show(&table, &format!("{HEAD} {group}, {what}"), &row)?;
    }
    for trouble in troubles(infos, now) {
        let text =
            format!("{HEAD} {group}, ClientId: {}, {}", trouble.client_id, trouble.describe());
        let what = format!("{} {}", trouble.queue, trouble.what);
        session.show(&table, &text, &[group.into(), trouble.client_id.into(), what.into()])?;
    }
    Ok(())
}
