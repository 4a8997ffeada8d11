//! `consumerStatus` and `consumer`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use jiff::Timestamp;
use ringmq_client::Client;
use ringmq_remoting::body::MessageQueue;
use ringmq_remoting::codes::version;
use serde_json::json;

use crate::output::{Cell, Column, Page, Table};
use crate::questions::groups::{self, ProcessQueue, RunningInfo};
use crate::questions::members::{are_alike, troubles};
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The consumer group.
    #[arg(short = 'g', long = "consumerGroup", value_name = "GROUP")]
    group: String,
    /// Only this member; its details are printed instead of written into a file.
    #[arg(short = 'i', long = "clientId", value_name = "ID")]
    client_id: Option<String>,
    /// The broker that is asked for the members; else all.
    #[arg(short = 'b', long = "brokerAddr", value_name = "ADDRESS")]
    broker: Option<String>,
    /// With the stacks of the member's threads.
    #[arg(short = 's', long = "jstack")]
    stacks: bool,
}

const COLUMNS: &[Column] = &[
    Column::new("#Index", "index"),
    Column::new("#ClientId", "clientId"),
    Column::new("#Version", "version"),
    Column::new("#ConsumerRunningInfoFile", "file"),
];
impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &[
        "-n 127.0.0.1:9876 -g GROUP",
        "-n 127.0.0.1:9876 -g GROUP -i CLIENT -s # details with stacks of threads",
    ];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        if let Some(id) = &self.client_id {
            let info = groups::running(client, &self.group, id, self.stacks)?;
            return Ok(Page::document(details(&info).trim_end(), value(&info)));
        }
        let found = Found::ask(client, &self.group, self.broker.as_deref(), self.stacks)?;
        let mut table = Table::new("members", COLUMNS);
        for (place, member) in found.files.iter().enumerate() {
            let [id, version, file] = member.each_ref().map(|text| text.as_str().into());
            table.row([(place + 1).into(), id, version, file]);
        }
        Ok(found.page(table))
    }
}

/// `consumer`.
#[derive(clap::Args, Debug)]
pub struct Consumer {
    /// The consumer group.
    #[arg(short = 'g', long = "consumerGroup", value_name = "GROUP")]
    group: String,
    /// With the stacks of the members' threads.
    #[arg(short = 's', long = "jstack")]
    stacks: bool,
}

impl Run for Consumer {
    const EXAMPLES: &'static [&'static str] =
        &["-n 127.0.0.1:9876 -g GROUP", "-n 127.0.0.1:9876 -g GROUP -s # with stacks of threads"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let found = Found::ask(&mut session.client, &self.group, None, self.stacks)?;
        let mut table = Table::new("members", COLUMNS).without_heads();
        for (place, member) in found.files.iter().enumerate() {
            let [id, version, file] = member.each_ref().map(|text| text.as_str().into());
            table.row([Cell::new(format!("{:03}", place + 1), place + 1), id, version, file]);
        }
        Ok(found.page(table))
    }
}

/// What the members of a group tell.
struct Found {
    /// Id, version, and the file that has the details.
    files: Vec<[String; 3]>,
    infos: BTreeMap<String, RunningInfo>,
    now: i64,
    problems: Vec<anyhow::Error>,
}

impl Found {
    fn ask(
        client: &mut Client,
        group: &str,
        broker: Option<&str>,
        stacks: bool,
    ) -> anyhow::Result<Found> {
        let members = groups::connection(client, group, broker)?;
        let now = Timestamp::now().as_millisecond();
        let (mut files, mut infos, mut problems) = (Vec::new(), BTreeMap::new(), Vec::new());
        for member in members.connection_set {
            let id = member.client_id;
            match groups::running(client, group, &id, stacks) {
                Err(error) => problems.push(error),
                Ok(info) => {
                    let file = write(now, &id, &info)?;
                    files.push([id.clone(), version::name(member.version), file]);
                    infos.insert(id, info);
                }
            }
        }
        Ok(Found { files, infos, now, problems })
    }

    fn page(self, table: Table) -> Page {
        let Found { infos, now, problems, .. } = self;
        let mut page = Page::default();
        page.problems = problems;
        if infos.is_empty() {
            return page;
        }
        page = page.table(table);
        if !are_alike(&infos, now) {
            let text = "\n\nWARN: Different subscription in the same group of consumer!!!";
            return page.fact("sameSubscriptions", text, false);
        }
        let text = "\n\nSame subscription in the same group of consumer\n\n\nRebalance OK";
        page = page.fact("sameSubscriptions", text, true);
        for trouble in troubles(&infos, now) {
            let text = trouble.describe();
            let id = trouble.client_id.into();
            let (queue, what) = (trouble.queue.into(), trouble.what.into());
            page.done(text, [("clientId", id), ("queue", queue), ("trouble", what)]);
        }
        page
    }
}

/// Writes what a member told below the current directory, as RocketMQ does; gives the path.
fn write(now: i64, id: &str, info: &RunningInfo) -> anyhow::Result<String> {
    // a client chooses its id: it must not choose a directory
    let name: String = id.chars().map(|c| if "/\\\0".contains(c) { '_' } else { c }).collect();
    let path = format!("{now}/{name}");
    let write = || {
        std::fs::create_dir_all(now.to_string())?;
        std::fs::write(Path::new(&path), details(info))
    };
    write().with_context(|| format!("cannot write {path} below the current directory"))?;
    Ok(path)
}

/// As RocketMQ's clients print themselves.
fn details(info: &RunningInfo) -> String {
    let mut text = "#Consumer Properties#\n".to_owned();
    for (key, value) in &info.properties {
        text += &format!("{key:<40}: {value}\n");
    }
    text += "\n\n#Consumer Subscription#\n";
    for (place, one) in info.subscription_set.iter().enumerate() {
        text += &format!(
            "{:03} Topic: {:<40} ClassFilter: {:<8} SubExpression: {}\n",
            place + 1,
            one.topic,
            one.class_filter_mode.to_string(),
            one.sub_string
        );
    }
    let head = format!("{:<64}  {:<32}  {:<4}  ", "#Topic", "#Broker Name", "#QID");
    text += &format!("\n\n#Consumer Offset#\n{head}{:<20}\n", "#Consumer Offset");
    for (queue, state) in &info.mq_table {
        let MessageQueue { topic, broker_name, queue_id } = queue;
        let offset = state.commit_offset;
        text += &format!("{topic:<32}  {broker_name:<32}  {queue_id:<4}  {offset:<20}\n");
    }
    text += &format!("\n\n#Consumer MQ Detail#\n{head}{:<20}\n", "#ProcessQueueInfo");
    for (queue, state) in &info.mq_table {
        let MessageQueue { topic, broker_name, queue_id } = queue;
        let state = state_text(state);
        text += &format!("{topic:<64}  {broker_name:<32}  {queue_id:<4}  {state}\n");
    }
    text += &format!(
        "\n\n#Consumer RT&TPS#\n{:<64}  {:>14} {:>14} {:>14} {:>14} {:>18} {:>25}\n",
        "#Topic",
        "#Pull RT",
        "#Pull TPS",
        "#Consume RT",
        "#ConsumeOK TPS",
        "#ConsumeFailed TPS",
        "#ConsumeFailedMsgsInHour"
    );
    for (topic, rates) in &info.status_table {
        text += &format!(
            "{topic:<32}  {:>14.2} {:>14.2} {:>14.2} {:>14.2} {:>18.2} {:>25}\n",
            rates.pull_rt,
            rates.pull_tps,
            rates.consume_rt,
            rates.consume_ok_tps,
            rates.consume_failed_tps,
            rates.consume_failed_msgs
        );
    }
    if let Some(stacks) = &info.jstack {
        text += &format!("\n\n#Consumer jstack#\n{stacks}");
    }
    text
}

fn state_text(state: &ProcessQueue) -> String {
    let time = |ms: i64| Cell::compact_time(ms);
    format!(
        "ProcessQueueInfo [commitOffset={}, cachedMsgMinOffset={}, cachedMsgMaxOffset={}, \
         cachedMsgCount={}, cachedMsgSizeInMiB={}, transactionMsgMinOffset={}, \
         transactionMsgMaxOffset={}, transactionMsgCount={}, locked={}, tryUnlockTimes={}, \
         lastLockTimestamp={}, droped={}, lastPullTimestamp={}, lastConsumeTimestamp={}]",
        state.commit_offset,
        state.cached_msg_min_offset,
        state.cached_msg_max_offset,
        state.cached_msg_count,
        state.cached_msg_size_mib,
        state.transaction_msg_min_offset,
        state.transaction_msg_max_offset,
        state.transaction_msg_count,
        state.locked,
        state.try_unlock_times,
        time(state.last_lock_timestamp),
        state.droped,
        time(state.last_pull_timestamp),
        time(state.last_consume_timestamp),
    )
}

fn value(info: &RunningInfo) -> serde_json::Value {
    let queues = info.mq_table.iter().map(|(queue, state)| {
        json!({
            "topic": queue.topic,
            "broker": queue.broker_name,
            "queue": queue.queue_id,
            "commitOffset": state.commit_offset,
            "cachedMessages": state.cached_msg_count,
            "cachedMinOffset": state.cached_msg_min_offset,
            "cachedMaxOffset": state.cached_msg_max_offset,
            "locked": state.locked,
            "dropped": state.droped,
            "lastLockTimestamp": state.last_lock_timestamp,
            "lastPullTimestamp": state.last_pull_timestamp,
            "lastConsumeTimestamp": state.last_consume_timestamp,
        })
    });
    let subscriptions = info.subscription_set.iter();
    let subscriptions =
        subscriptions.map(|one| json!({ "topic": one.topic, "expression": one.sub_string }));
    let rates = info.status_table.iter().map(|(topic, rates)| {
        json!({
            "topic": topic,
            "pullMs": rates.pull_rt,
            "pullTps": rates.pull_tps,
            "consumeMs": rates.consume_rt,
            "consumeOkTps": rates.consume_ok_tps,
            "consumeFailedTps": rates.consume_failed_tps,
            "consumeFailedInHour": rates.consume_failed_msgs,
        })
    });
    json!({
        "properties": info.properties,
        "subscriptions": subscriptions.collect::<Vec<_>>(),
        "queues": queues.collect::<Vec<_>>(),
        "rates": rates.collect::<Vec<_>>(),
        "stacks": info.jstack,
    })
}
