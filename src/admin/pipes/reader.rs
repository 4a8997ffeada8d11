//! Reading queues of a topic, those of each broker by a thread with a connection of its own.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use anyhow::Context;
use ringmq_client::{Answer, CallError, Client, Lane};
use ringmq_remoting::body::QueryConsumeQueueResponseBody;
use ringmq_remoting::codes::{pull_flag, request, response};
use ringmq_remoting::fastjson;

use super::interrupt::Interrupt;
use crate::questions::messages::{Message, Queue, decode};

/// The group by which tools pull.
const GROUP: &str = "TOOLS_CONSUMER";
/// Messages of one pull; brokers give fewer.
const MESSAGES_MAX: &str = "256";
/// Messages that are looked up one after the other.
const LOOKED_UP: &str = "32";
/// How long a broker holds a pull for new messages.
const HOLD: Duration = Duration::from_secs(15);
/// Pulls that may wait for whoever takes the messages.
const PULLS_WAITING: usize = 16;
/// How long an interrupt may go unseen.
const NAP: Duration = Duration::from_millis(100);

/// Where reading begins in each queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    First,
    /// Behind the last message.
    End,
    Offset(i64),
    /// So many messages before the end.
    Last(i64),
    /// The first that was stored at this time (milliseconds since 1970) or later.
    Time(i64),
}

/// What is read.
#[derive(Clone, Debug)]
pub struct Plan {
    pub start: Start,
    /// Ends behind what was last when it began.
    pub to_the_end: bool,
    /// Ends before what was stored at this time (milliseconds since 1970) or later.
    pub until: Option<i64>,
    /// `*`, tags separated by `||`, or an expression of SQL.
    pub expression: String,
    pub is_sql: bool,
    /// Messages of queues that must not be read are looked up, one by one.
    pub looks_up: bool,
}

/// What comes from a thread.
enum Event {
    Messages(Vec<Message>),
    Ended,
    Failed(anyhow::Error),
}

/// Messages of several queues, each in its order.
pub struct Reader {
    events: Receiver<Event>,
    /// Queues that have not come to their end.
    open: usize,
    /// Messages that there are to read, before any filter.
    pub total: u64,
}

impl Reader {
    /// Begins to read.
    ///
    /// # Errors
    /// If a broker does not say where its queues begin and end, or cannot be connected to.
    pub fn start(client: &mut Client, queues: &[Queue], plan: &Plan) -> anyhow::Result<Reader> {
        let mut brokers: HashMap<String, Vec<Cursor>> = HashMap::new();
        let (mut total, mut open) = (0, 0);
        for queue in queues {
            let (next, end) = plan.range(client, queue)?;
            if next < end {
                let to = if plan.is_bounded() { end } else { i64::MAX };
                total += u64::try_from(end - next).unwrap_or(0);
                let cursor = Cursor { queue: queue.clone(), next, end: to };
                brokers.entry(queue.address.clone()).or_default().push(cursor);
                open += 1;
            } else if !plan.is_bounded() {
                let cursor = Cursor { queue: queue.clone(), next, end: i64::MAX };
                brokers.entry(queue.address.clone()).or_default().push(cursor);
                open += 1;
            }
        }
        let (sender, events) = sync_channel(PULLS_WAITING);
        for (address, cursors) in brokers {
            let lane = client.lane(&address)?.with_more_patience(HOLD);
            let spare = if plan.looks_up { Some(client.lane(&address)?) } else { None };
            let (plan, out) = (plan.clone(), sender.clone());
            let mut puller = Puller { lane, spare, plan, under_way: HashMap::new(), out };
            // it ends with its queues, or when nobody takes its messages
            std::thread::spawn(move || puller.run(cursors));
        }
        Ok(Reader { events, open, total })
    }

    /// Some messages of one queue; `None` at the end of all, or when interrupted. `idle` is called
    /// before it waits.
    ///
    /// # Errors
    /// If a broker refuses a pull, or its connection is lost.
    pub fn next(
        &mut self,
        interrupt: &Interrupt,
        mut idle: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<Vec<Message>>> {
        while self.open > 0 && !interrupt.has_come() {
            let event = match self.events.try_recv() {
                Ok(event) => event,
                Err(_) => {
                    idle()?;
                    match self.events.recv_timeout(NAP) {
                        Ok(event) => event,
                        Err(RecvTimeoutError::Timeout) => continue,
                        Err(RecvTimeoutError::Disconnected) => return Ok(None),
                    }
                }
            };
            match event {
                Event::Messages(messages) => return Ok(Some(messages)),
                Event::Ended => self.open -= 1,
                Event::Failed(why) => return Err(why),
            }
        }
        Ok(None)
    }
}

impl Plan {
    fn is_bounded(&self) -> bool {
        self.to_the_end || self.until.is_some()
    }

    /// Whether a message is from the time that is meant.
    fn is_in_time(&self, message: &Message) -> bool {
        let is_late = |time: i64| message.stored >= time;
        let begins = if let Start::Time(time) = self.start { is_late(time) } else { true };
        begins && !self.until.is_some_and(is_late)
    }

    /// The first offset of a queue, and that behind the last one.
    fn range(&self, client: &mut Client, queue: &Queue) -> anyhow::Result<(i64, i64)> {
        let max = queue.max(client)?;
        // some brokers give the last message for any time behind it
        let end = match self.until {
            Some(time) => queue.at(client, time)?.saturating_add(1).min(max),
            None => max,
        };
        let min = queue.min(client)?;
        let next = match self.start {
            Start::First => min,
            Start::End => max,
            Start::Offset(offset) => offset.max(min),
            Start::Last(count) => max.saturating_sub(count).max(min),
            Start::Time(time) => queue.at(client, time)?,
        };
        Ok((next, end))
    }
}

/// A queue, and how far it is read.
struct Cursor {
    queue: Queue,
    next: i64,
    /// Behind the last offset to be read.
    end: i64,
}

/// Reads the queues of one broker, with a pull under way for each.
struct Puller {
    lane: Lane,
    /// For questions beside the pulls.
    spare: Option<Lane>,
    plan: Plan,
    under_way: HashMap<i32, Cursor>,
    out: SyncSender<Event>,
}

impl Puller {
    fn run(&mut self, cursors: Vec<Cursor>) {
        if let Err(why) = self.pull_all(cursors) {
            drop(self.out.send(Event::Failed(why)));
        }
    }

    fn pull_all(&mut self, cursors: Vec<Cursor>) -> anyhow::Result<()> {
        for cursor in cursors {
            self.pull(cursor)?;
        }
        while !self.under_way.is_empty() {
            let Some((opaque, answer)) = self.lane.receive(HOLD)? else { continue };
            let Some(mut cursor) = self.under_way.remove(&opaque) else { continue };
            let messages = self.found(&mut cursor, answer)?;
            let sent = match messages.is_empty() {
                true => Ok(()),
                false => self.out.send(Event::Messages(messages)),
            };
            let sent = match cursor.next < cursor.end {
                true => sent.map(|()| Some(cursor)),
                false => sent.and_then(|()| self.out.send(Event::Ended)).map(|()| None),
            };
            match sent {
                Ok(Some(cursor)) => self.pull(cursor)?,
                Ok(None) => {}
                // nobody takes them any more
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    fn pull(&mut self, cursor: Cursor) -> anyhow::Result<()> {
        let (id, at) = (cursor.queue.id.to_string(), cursor.next.to_string());
        let holds = if self.plan.is_bounded() { 0 } else { pull_flag::SUSPEND };
        let flag = (pull_flag::SUBSCRIPTION | holds).to_string();
        let hold = HOLD.as_millis().to_string();
        let fields = [
            ("consumerGroup", GROUP),
            ("topic", cursor.queue.topic.as_str()),
            ("queueId", id.as_str()),
            ("queueOffset", &at),
            ("maxMsgNums", MESSAGES_MAX),
            ("sysFlag", &flag),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", &hold),
            ("subscription", &self.plan.expression),
            ("subVersion", "0"),
            ("expressionType", if self.plan.is_sql { "SQL92" } else { "TAG" }),
        ];
        let opaque = self.lane.send(request::PULL_MESSAGE, &fields, &[])?;
        self.under_way.insert(opaque, cursor);
        Ok(())
    }

    /// The messages of an answer that are meant; the cursor goes on.
    fn found(&mut self, cursor: &mut Cursor, answer: Answer) -> anyhow::Result<Vec<Message>> {
        let mut next = answer.number("nextBeginOffset").unwrap_or(cursor.next);
        let mut messages = match answer.code {
            response::NO_PERMISSION if self.plan.looks_up => {
                let found = self.look_up(cursor)?;
                next = found.last().map_or(cursor.next, |last| last.queue_offset + 1);
                found
            }
            response::SUCCESS => decode(&answer.body, &cursor.queue.broker)?,
            response::PULL_NOT_FOUND
            | response::PULL_RETRY_IMMEDIATELY
            | response::PULL_OFFSET_MOVED => Vec::new(),
            code => {
                let (address, remark) = (self.lane.address().to_owned(), answer.remark);
                let what = || format!("reading {}", cursor.queue.describe());
                let refused = CallError::Refused { address, code, remark };
                return Err(anyhow::Error::from(refused).context(what()));
            }
        };
        let (from, end) = (cursor.next, cursor.end);
        if self.plan.is_bounded() && next <= cursor.next {
            // what was there when it began has gone
            cursor.end = cursor.next;
        }
        cursor.next = next;
        let tags: Vec<&str> = self.plan.expression.split("||").map(str::trim).collect();
        let all = self.plan.is_sql || self.plan.expression == "*";
        // brokers look for tags by their hashes
        messages.retain(|message| {
            (from..end).contains(&message.queue_offset)
                && self.plan.is_in_time(message)
                && (all || tags.contains(&message.tags().unwrap_or_default()))
        });
        Ok(messages)
    }

    fn look_up(&mut self, cursor: &Cursor) -> anyhow::Result<Vec<Message>> {
        let lane = self.spare.as_mut().context("a plan that looks up has a connection for it")?;
        let queue = &cursor.queue;
        let (id, index) = (queue.id.to_string(), cursor.next.to_string());
        let fields = [
            ("topic", queue.topic.as_str()),
            ("queueId", id.as_str()),
            ("index", &index),
            ("count", LOOKED_UP),
        ];
        let answer = lane.ask(request::QUERY_CONSUME_QUEUE, &fields, &[])?;
        let found: QueryConsumeQueueResponseBody = fastjson::from_slice(&answer.body)?;
        let mut messages = Vec::new();
        for entry in found.queue_data.unwrap_or_default() {
            let offset = entry.physic_offset.to_string();
            let fields = [("offset", offset.as_str())];
            let answer = lane.ask(request::VIEW_MESSAGE_BY_ID, &fields, &[])?;
            messages.extend(decode(&answer.body, &queue.broker)?);
        }
        Ok(messages)
    }
}

impl std::str::FromStr for Start {
    type Err = anyhow::Error;

    /// `first`, `end`, an offset, `-N` or `@TIME`.
    fn from_str(text: &str) -> anyhow::Result<Start> {
        match text {
            "first" | "beginning" | "earliest" => return Ok(Start::First),
            "end" | "latest" => return Ok(Start::End),
            _ => {}
        }
        if let Some(time) = text.strip_prefix('@') {
            return Ok(Start::Time(super::when(time)?));
        }
        let number: i64 = text.parse().with_context(|| {
            format!("{text:?} is no place: first, end, an offset, -N for the last N, or @TIME are")
        })?;
        Ok(if number < 0 { Start::Last(number.saturating_neg()) } else { Start::Offset(number) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_people_write_them() {
        let start = |text: &str| text.parse::<Start>().expect(text);
        assert_eq!(start("first"), Start::First);
        assert_eq!(start("latest"), Start::End);
        assert_eq!(start("12"), Start::Offset(12));
        assert_eq!(start("-3"), Start::Last(3));
        assert_eq!(start("@1700000000000"), Start::Time(1_700_000_000_000));
        for wrong in ["", "x", "@", "@soon"] {
            assert!(wrong.parse::<Start>().is_err(), "{wrong}");
        }
    }
}
