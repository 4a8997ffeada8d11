//! Printing the messages of queues as they are read.

use std::collections::BTreeMap;

use crate::output::{Column, Table};
use crate::session::Session;

use super::messages::{Message, Queue};
use super::resets::time;

pub const MESSAGES: &[Column] = &[
    Column::new("", "id"),
    Column::new("", "broker"),
    Column::new("", "queue"),
    Column::new("", "offset"),
    Column::new("", "stored"),
    Column::new("", "tags"),
    Column::new("", "keys"),
    Column::new("", "body"),
];

/// Which messages are wanted.
#[derive(clap::Args, Debug)]
pub struct Selection {
    /// The topic.
    #[arg(short = 't', long = "topic")]
    pub topic: String,
    /// Taken for RocketMQ's sake; bodies are shown as UTF-8.
    #[arg(short = 'c', long = "charsetName", value_name = "NAME", hide = true)]
    _charset: Option<String>,
    /// * or tags separated by ||.
    #[arg(short = 's', long = "subExpression", value_name = "EXPRESSION", default_value = "*")]
    pub expression: String,
    /// Stored then or later: milliseconds since 1970 or yyyy-MM-dd#HH:mm:ss:SSS.
    #[arg(short = 'b', long = "beginTimestamp", value_name = "TIME")]
    begin: Option<String>,
    /// Stored before.
    #[arg(short = 'e', long = "endTimestamp", value_name = "TIME")]
    end: Option<String>,
}

impl Selection {
    /// Where they are in a queue.
    pub fn range(&self, session: &mut Session, queue: &Queue) -> anyhow::Result<Range<'_>> {
        let times = (
            self.begin.as_deref().map(time).transpose()?,
            self.end.as_deref().map(time).transpose()?,
        );
        Range::of(session, queue, times, &self.expression)
    }
}

/// Which messages of a queue are read.
#[derive(Clone, Copy, Debug)]
pub struct Range<'a> {
    /// The first offset.
    pub begin: i64,
    /// Behind the last offset.
    pub end: i64,
    /// `*`, or tags separated by `||`.
    pub expression: &'a str,
}

impl<'a> Range<'a> {
    /// All of a queue, or what was stored between two times (milliseconds since 1970).
    pub fn of(
        session: &mut Session,
        queue: &Queue,
        (begin, end): (Option<i64>, Option<i64>),
        expression: &'a str,
    ) -> anyhow::Result<Range<'a>> {
        let client = &mut session.client;
        let begin = match begin {
            Some(time) => queue.at(client, time)?,
            None => queue.min(client)?,
        };
        let end = match end {
            Some(time) => queue.at(client, time)?,
            None => queue.max(client)?,
        };
        Ok(Range { begin, end, expression })
    }

    /// Reads them; gives why it ended before the end, in the words of RocketMQ, with the offset.
    pub fn read(
        &self,
        session: &mut Session,
        queue: &Queue,
        mut found: impl FnMut(&mut Session, &[Message]) -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<(&'static str, i64)>> {
        let mut offset = self.begin;
        while offset < self.end {
            let max = self.end - offset;
            let pulled = queue.pull(&mut session.client, offset, max, self.expression)?;
            // a broker that does not go on would be asked for ever
            let is_stuck = pulled.next <= offset;
            offset = pulled.next;
            match pulled.status {
                "FOUND" => found(session, &pulled.messages)?,
                "NO_MATCHED_MSG" => {}
                status => return Ok(Some((status, offset))),
            }
            if is_stuck {
                return Ok(Some((pulled.status, offset)));
            }
        }
        Ok(None)
    }
}

/// Shows messages as RocketMQ prints them.
pub fn show(session: &mut Session, messages: &[Message], with_body: bool) -> anyhow::Result<()> {
    let table = Table::new("messages", MESSAGES);
    for message in messages {
        let text = if session.printer.is_for_people() {
            let body = if with_body { message.text() } else { "NOT PRINT BODY".to_owned() };
            format!("MSGID: {} {} BODY: {body}", message.id(), message.describe())
        } else {
            String::new()
        };
        session.show(&table, &text, &message.cells(with_body))?;
    }
    Ok(())
}

/// How many messages have each tag.
#[derive(Debug, Default)]
pub struct Tags(BTreeMap<String, u64>);

impl Tags {
    pub fn count(&mut self, messages: &[Message]) {
        for tag in messages.iter().filter_map(Message::tags).filter(|tag| !tag.is_empty()) {
            *self.0.entry(tag.to_owned()).or_default() += 1;
        }
    }

    /// The most frequent first.
    pub fn sorted(self) -> Vec<(String, u64)> {
        let mut all: Vec<_> = self.0.into_iter().collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        all
    }
}
