//! Dead letters: which are meant, where they come from, and why.

use ringmq_client::{CallError, Client};
use ringmq_remoting::codes::topic::dlq_topic;
use ringmq_remoting::codes::{property, response};

use crate::output::{Cell, Column};
use crate::pipes::{Filter, Interrupt, Plan, Reader, Start};
use crate::questions::messages::{Message, Queue};
use crate::session::Session;

pub const COLUMNS: &[Column] = &[
    Column::new("", "id"),
    Column::new("", "broker"),
    Column::new("", "queue"),
    Column::new("", "offset"),
    Column::new("", "stored"),
    Column::new("", "born"),
    Column::new("", "origin"),
    Column::new("", "originId"),
    Column::new("", "givenBack"),
    Column::new("", "why"),
    Column::new("", "tags"),
    Column::new("", "keys"),
    Column::new("", "body"),
];

/// Dead letters of a group.
#[derive(clap::Args, Debug)]
pub struct Chosen {
    /// The consumer group.
    #[arg(short = 'g', long, value_name = "GROUP")]
    pub group: String,
    /// At most so many messages.
    #[arg(short = 'c', long, value_name = "COUNT")]
    pub count: Option<u64>,
    #[command(flatten)]
    filter: Filter,
}

/// Dead letters as they are read.
pub struct Letters<'a> {
    chosen: &'a Chosen,
    reader: Reader,
    rest: u64,
    batch: std::vec::IntoIter<Message>,
    /// Messages read, chosen or not.
    pub seen: u64,
}

impl Chosen {
    /// Begins to read.
    ///
    /// # Errors
    /// If the group has none, or they cannot be read.
    pub fn read(&self, session: &mut Session) -> anyhow::Result<Letters<'_>> {
        let (begin, end) = self.filter.times()?;
        let queues = queues(&mut session.client, &self.group)?;
        let expression = self.filter.tags.clone().unwrap_or_else(|| "*".to_owned());
        let start = begin.map_or(Start::First, Start::Time);
        // brokers of long ago let nobody read dead letters
        let (is_sql, looks_up) = (false, true);
        let plan = Plan { start, to_the_end: true, until: end, expression, is_sql, looks_up };
        let reader = Reader::start(&mut session.client, &queues, &plan)?;
        let rest = self.count.unwrap_or(u64::MAX);
        Ok(Letters { chosen: self, reader, rest, batch: Vec::new().into_iter(), seen: 0 })
    }
}

impl Letters<'_> {
    /// The next one that is meant; `None` at the end, and when interrupted.
    ///
    /// # Errors
    /// As [`Reader::next`]; what `idle` fails with.
    pub fn next(
        &mut self,
        interrupt: &Interrupt,
        mut idle: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<Message>> {
        while self.rest > 0 && !interrupt.has_come() {
            for message in self.batch.by_ref() {
                self.seen += 1;
                let (origin, id) = (origin(&message), origin_id(&message));
                if self.chosen.filter.takes(&message, origin, id) {
                    self.rest -= 1;
                    return Ok(Some(message));
                }
            }
            match self.reader.next(interrupt, &mut idle)? {
                Some(messages) => self.batch = messages.into_iter(),
                None => break,
            }
        }
        Ok(None)
    }

    /// Messages that there are to read.
    pub fn total(&self) -> u64 {
        self.reader.total
    }
}

/// The queues with the dead letters of a group.
///
/// # Errors
/// If there are none.
pub fn queues(client: &mut Client, group: &str) -> anyhow::Result<Vec<Queue>> {
    let topic = dlq_topic(group);
    match Queue::all(client, &topic) {
        Ok(queues) => Ok(queues),
        Err(error) => match error.downcast_ref() {
            Some(CallError::Refused { code: response::TOPIC_NOT_EXIST, .. }) => {
                Err(CallError::NotFound(format!("group {group} has no dead letters")).into())
            }
            _ => Err(error),
        },
    }
}

/// The topic that a message was in before its consumer gave it back.
pub fn origin(message: &Message) -> Option<&str> {
    let names = [property::RETRY_TOPIC, property::DLQ_ORIGIN_TOPIC, property::REAL_TOPIC];
    let mut topics = names.into_iter().filter_map(|name| message.property(name));
    topics.find(|topic| !topic.is_empty() && !topic.starts_with('%'))
}

/// The id of the message that was given back first.
pub fn origin_id(message: &Message) -> Option<&str> {
    let names = [property::ORIGIN_MESSAGE_ID, property::DLQ_ORIGIN_MESSAGE_ID];
    names.into_iter().find_map(|name| message.property(name))
}

/// How often it was given back.
fn given_back(message: &Message) -> i32 {
    let by_client = message.property(property::RECONSUME_TIME).and_then(|text| text.parse().ok());
    message.reconsume_times.max(by_client.unwrap_or(0))
}

/// Why a message is there, as far as it tells: brokers do not know what failed.
pub fn why(message: &Message) -> String {
    let limit = message.property(property::MAX_RECONSUME_TIMES);
    match (given_back(message), limit) {
        (0 | 1, None) => "its consumer gave it up at once".to_owned(),
        (count, None) => format!("its consumer gave it back {count} times"),
        (count, Some(limit)) => {
            format!("its consumer gave it back {count} times, at most {limit} were allowed")
        }
    }
}

/// A cell for each of [`COLUMNS`].
pub fn cells(message: &Message) -> [Cell; 13] {
    let text = |text: Option<&str>| text.map_or_else(|| Cell::missing(""), Cell::from);
    [
        message.id().into(),
        message.broker.as_str().into(),
        message.queue.into(),
        message.queue_offset.into(),
        message.stored.into(),
        message.born.into(),
        text(origin(message)),
        text(origin_id(message)),
        given_back(message).into(),
        why(message).into(),
        text(message.tags()),
        text(message.keys()),
        message.text().into(),
    ]
}

/// A line for people.
pub fn line(message: &Message) -> String {
    let place = format!("{}/{}@{}", message.broker, message.queue, message.queue_offset);
    let stored = Cell::time(message.stored, "").text;
    let from = origin(message).unwrap_or("an unknown topic");
    let mut line = format!("{stored} {place} {} of {from}", message.id());
    let named = [("tags", message.tags()), ("keys", message.keys())];
    for (name, text) in named {
        line += &text.map_or_else(String::new, |text| format!(" {name} {text}"));
    }
    line
}
