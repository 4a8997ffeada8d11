//! `dlq`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use ringmq_client::CallError;
use ringmq_remoting::codes::property;
use ringmq_remoting::codes::topic::{DLQ_PREFIX, retry_topic};

use crate::output::{Cell, Column, Page, Table};
use crate::questions::dead_letters::{Filter, origin_topic, queues, read};
use crate::questions::messages::Message;
use crate::questions::print::Range;
use crate::questions::resets::time;
use crate::questions::sends::{New, send, writable};
use crate::questions::topics;
use crate::session::{Run, Session, pause};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// What to do.
    action: Action,
    /// The consumer group; all groups for list without it.
    #[arg(short = 'g', long = "groupName", value_name = "GROUP")]
    group: Option<String>,
    #[command(flatten)]
    filter: Filter,
    /// At most so many messages.
    #[arg(short = 'c', long = "count", value_name = "COUNT")]
    count: Option<u64>,
    /// For resend: at most so many messages a second.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// For resend: to the topic that they came from, for all its groups; else for this group only.
    #[arg(long)]
    to_topic: bool,
    /// For resend: only says what would be sent.
    #[arg(long)]
    dry_run: bool,
    /// For export: the file, a JSON object a line.
    #[arg(short = 'f', long = "file", required_if_eq("action", "export"))]
    file: Option<PathBuf>,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// Groups with dead letters and how many they have.
    List,
    /// The messages.
    Show,
    /// Sends them again; the dead letters stay until they expire.
    Resend,
    /// Writes them into a file.
    Export,
}

const GROUPS: &[Column] = &[
    Column::new("#Group", "group"),
    Column::new("#Messages", "messages").right(),
    Column::new("#Topic", "topic").wide(),
];
const MESSAGES: &[Column] = &[
    Column::new("#Message ID", "id"),
    Column::new("#Topic", "topic"),
    Column::new("#Dead Since", "stored"),
    Column::new("#Broker Name", "broker"),
    Column::new("#Offset", "offset"),
    Column::new("#Tags", "tags"),
    Column::new("#Keys", "keys"),
    Column::new("#Body", "body"),
];
const RESENT: &[Column] = &[
    Column::new("", "original"),
    Column::new("", "topic"),
    Column::new("", "status"),
    Column::new("", "id"),
];
/// Bytes of a body that people see.
const SHOWN: usize = 60;

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &[
        "list -n 127.0.0.1:9876 # groups with dead letters",
        "show -n 127.0.0.1:9876 -g GROUP -c 10 --contains order-17",
        "resend -n 127.0.0.1:9876 -g GROUP --tag red --rate 50",
        "export -n 127.0.0.1:9876 -g GROUP -f dead.jsonl",
    ];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        match (self.action, &self.group) {
            (Action::List, group) => list(session, group.as_deref()),
            (_, None) => {
                bail!("say whose dead letters with -g GROUP: `dlq list` shows who has any")
            }
            (Action::Show, Some(group)) => self.show(session, group),
            (Action::Resend, Some(group)) => self.resend(session, group),
            (Action::Export, Some(group)) => self.export(session, group),
        }
    }
}

fn list(session: &mut Session, only: Option<&str>) -> anyhow::Result<Page> {
    let client = &mut session.client;
    let mut table = Table::new("groups", GROUPS);
    for topic in topics(client)? {
        let Some(group) = topic.strip_prefix(DLQ_PREFIX) else { continue };
        if only.is_some_and(|only| only != group) {
            continue;
        }
        let mut messages = 0;
        for queue in queues(client, group)? {
            messages += queue.max(client)? - queue.min(client)?;
        }
        table.row([group.into(), messages.into(), topic.as_str().into()]);
    }
    match only.filter(|_| table.rows.is_empty()) {
        Some(group) => {
            Err(CallError::NotFound(format!("group {group} has no dead letters")).into())
        }
        None => Ok(Page::default().table(table)),
    }
}

impl Options {
    /// Hands over the messages that are meant, as they are read; gives how many.
    fn each(
        &self,
        session: &mut Session,
        group: &str,
        mut found: impl FnMut(&mut Session, Message) -> anyhow::Result<()>,
    ) -> anyhow::Result<u64> {
        let begin = self.filter.begin.as_deref().map(time).transpose()?;
        let end = self.filter.end.as_deref().map(time).transpose()?;
        let max = self.count.unwrap_or(u64::MAX);
        let mut taken = 0;
        for queue in queues(&mut session.client, group)? {
            let range = Range::of(session, &queue, (begin, end), "*")?;
            read(session, &queue, (range.begin, range.end), |session, message| {
                if taken < max && self.filter.takes(&message) {
                    taken += 1;
                    found(session, message)?;
                }
                Ok(taken < max)
            })?;
        }
        if taken == 0 {
            let text = format!("group {group} has no such dead letters");
            return Err(CallError::NotFound(text).into());
        }
        Ok(taken)
    }

    fn show(&self, session: &mut Session, group: &str) -> anyhow::Result<Page> {
        let mut table = Table::new("messages", MESSAGES);
        let shortened = session.printer.is_for_people();
        self.each(session, group, |_, message| {
            let text = message.text();
            let short: String = text.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
            let body = if shortened { Cell::new(short, text) } else { text.into() };
            table.row([
                message.id().into(),
                origin_topic(&message).map_or_else(|| Cell::missing("-"), Cell::from),
                Cell::time(message.stored, "-"),
                message.broker.as_str().into(),
                message.queue_offset.into(),
                message.tags().map_or_else(|| Cell::missing("-"), Cell::from),
                message.keys().map_or_else(|| Cell::missing("-"), Cell::from),
                body,
            ]);
            Ok(())
        })?;
        Ok(Page::default().table(table))
    }

    fn resend(&self, session: &mut Session, group: &str) -> anyhow::Result<Page> {
        let table = Table::new("resent", RESENT);
        let (mut sent, mut failed) = (0u64, Vec::new());
        let interval = self.rate.map(|rate| Duration::from_secs(1) / rate);
        let taken = self.each(session, group, |session, message| {
            let origin = origin_topic(&message).with_context(|| {
                format!("{} does not say which topic it came from", message.id())
            })?;
            let topic = if self.to_topic { origin.to_owned() } else { retry_topic(group) };
            let id = message.id();
            if self.dry_run {
                let row = [id.as_str().into(), topic.as_str().into(), "DRY_RUN".into(), "".into()];
                return session.show(&table, &format!("would send {id} to {topic}"), &row);
            }
            if sent > 0
                && let Some(interval) = interval
            {
                pause(interval);
            }
            match again(session, &topic, origin, &message) {
                Ok((status, new)) => {
                    sent += 1;
                    let text = format!("sent {id} to {topic}: {status} {new}");
                    let row = [id.into(), topic.into(), status.into(), new.into()];
                    session.show(&table, &text, &row)
                }
                Err(error) => {
                    failed.push(error.context(format!("message {id}")));
                    // with nobody there to take them the rest would fail, too
                    ensure!(failed.len() < 10, "10 messages failed, the last: {:#}", failed[9]);
                    Ok(())
                }
            }
        })?;
        if !self.dry_run {
            session.say(&format!("{sent} of {taken} are sent; the dead letters stay"))?;
        }
        let mut page = Page::default();
        page.problems.extend(failed);
        Ok(page)
    }

    fn export(&self, session: &mut Session, group: &str) -> anyhow::Result<Page> {
        let path = self.file.as_deref().context("-f is there")?;
        let place = || format!("cannot write {}", path.display());
        let mut file = BufWriter::new(File::create_new(path).with_context(place)?);
        let count = self.each(session, group, |_, message| {
            writeln!(file, "{}", message.value()).with_context(place)
        })?;
        file.flush().with_context(place)?;
        let mut page = Page::default();
        let path = path.display().to_string();
        let text = format!("{count} messages are in {path}");
        page.done(text, [("file", path.into()), ("messages", count.into())]);
        Ok(page)
    }
}

/// Sends a message again: to its topic, or to the group's topic for retries, whose readers take it
/// for one of the topic that it says it came from.
fn again(
    session: &mut Session,
    topic: &str,
    origin: &str,
    message: &Message,
) -> anyhow::Result<(&'static str, String)> {
    /// What told of its death, and what brokers add.
    const GONE: [&str; 10] = [
        property::DLQ_ORIGIN_TOPIC,
        property::DLQ_ORIGIN_MESSAGE_ID,
        property::ORIGIN_MESSAGE_ID,
        property::RETRY_TOPIC,
        property::RECONSUME_TIME,
        property::MAX_RECONSUME_TIMES,
        property::DELAY_TIME_LEVEL,
        property::MIN_OFFSET,
        property::MAX_OFFSET,
        property::CLUSTER,
    ];
    let kept = message.properties.iter().filter(|(key, _)| !GONE.contains(&key.as_str()));
    let mut properties: Vec<_> = kept.cloned().collect();
    if topic != origin {
        properties.push((property::RETRY_TOPIC.to_owned(), origin.to_owned()));
    }
    let client = &mut session.client;
    let queues = writable(client, topic)?;
    let queue = queues.get(fastrand::usize(..queues.len())).context("there is a queue")?;
    let sent = send(client, queue, &New { topic, body: &message.body, properties })?;
    Ok((sent.status, sent.offset_id))
}
