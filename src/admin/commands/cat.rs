//! `cat`.

use std::io::{BufRead, Write};
use std::time::Duration;

use anyhow::{Context, ensure};
use ringmq_client::{CallError, Client};
use ringmq_remoting::codes::property;

use crate::output::{Page, Table};
use crate::questions::format::Format;
use crate::questions::messages::{Message, Queue};
use crate::questions::print::MESSAGES;
use crate::questions::resets::time;
use crate::questions::sends::{New, send, writable};
use crate::session::{Run, Session, pause};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// Sends each line of standard input.
    #[arg(short = 'P', long, conflicts_with_all = ["begin", "exit", "format"])]
    produce: bool,
    /// Only this broker, by its name.
    #[arg(short = 'b', long = "brokerName", value_name = "NAME")]
    broker: Option<String>,
    /// Only this queue.
    #[arg(short = 'q', long = "queueId", value_name = "QUEUE")]
    queue: Option<i32>,
    /// Where to begin: beginning, end, an offset, -N for N before the end, or s@TIME with
    /// milliseconds since 1970 or yyyy-MM-dd#HH:mm:ss:SSS.
    #[arg(
        short = 'o',
        long = "offset",
        id = "begin",
        value_name = "OFFSET",
        default_value = "beginning",
        allow_hyphen_values = true
    )]
    begin: String,
    /// Ends at the end of the queues instead of waiting for more.
    #[arg(short = 'e', long = "exit")]
    exit: bool,
    /// Ends after so many messages.
    #[arg(short = 'c', long = "count", value_name = "COUNT")]
    count: Option<u64>,
    /// What is written of each message: %s body, %k keys, %g tag, %t topic, %b broker, %q queue,
    /// %o offset, %i id, %I offset id, %T stored and %B born (ms since 1970), %S bytes of the
    /// body, %P properties, %% a percent sign, \n, \t, \0.
    #[arg(short = 'f', long, default_value = "%s\\n")]
    format: String,
    /// Only these tags, separated by ||; with -P the tag of what is sent.
    #[arg(short = 'g', long, value_name = "TAGS")]
    tag: Option<String>,
    /// With -P: what stands between the key and the body in a line.
    #[arg(short = 'K', long, value_name = "TEXT", requires = "produce")]
    key_delimiter: Option<String>,
}

/// Between two looks at queues that have nothing new.
const IDLE: Duration = Duration::from_millis(100);

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &[
        "-n 127.0.0.1:9876 -t TopicTest -e # all bodies, a line each",
        "-n 127.0.0.1:9876 -t TopicTest -o -10 -e -f %q/%o:%s\\n",
        "-n 127.0.0.1:9876 -t TopicTest -o s@2026-11-30#12:00:00:000 --output json",
        "-n 127.0.0.1:9876 -t TopicTest -P -K : -g TagA # lines KEY:BODY from standard input",
    ];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        if self.produce { self.produce(session) } else { self.consume(session) }
    }
}

impl Options {
    fn keep(&self, mut queues: Vec<Queue>) -> anyhow::Result<Vec<Queue>> {
        queues.retain(|queue| {
            self.broker.as_ref().is_none_or(|broker| queue.broker == *broker)
                && self.queue.is_none_or(|id| queue.id == id)
        });
        if queues.is_empty() {
            let text = format!("topic {} has no such queue: see topicRoute", self.topic);
            return Err(CallError::NotFound(text).into());
        }
        Ok(queues)
    }

    fn produce(&self, session: &mut Session) -> anyhow::Result<Page> {
        let queues = self.keep(writable(&mut session.client, &self.topic)?)?;
        let mut lines = std::io::stdin().lock();
        let mut line = Vec::new();
        let (mut number, max) = (0u64, self.count.unwrap_or(u64::MAX));
        while number < max {
            line.clear();
            if lines.read_until(b'\n', &mut line).context("standard input")? == 0 {
                break;
            }
            let place = usize::try_from(number)? % queues.len();
            number += 1;
            let queue = queues.get(place).context("there is a queue")?;
            self.send_line(&mut session.client, queue, &line)
                .with_context(|| format!("line {number}; those before it are sent"))?;
        }
        let mut page = Page::default();
        page.done(format!("{number} messages are sent"), [("messages", number.into())]);
        Ok(page)
    }

    fn send_line(&self, client: &mut Client, queue: &Queue, line: &[u8]) -> anyhow::Result<()> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let mut properties = Vec::new();
        let mut body = line;
        if let Some(delimiter) = &self.key_delimiter {
            ensure!(!delimiter.is_empty(), "-K is empty: name what stands behind the key");
            let text = std::str::from_utf8(line).context("a line that is no UTF-8")?;
            let (key, rest) = text.split_once(delimiter.as_str()).with_context(|| {
                format!("a line without {delimiter:?}, which -K says stands behind the key")
            })?;
            properties.push((property::KEYS.to_owned(), key.to_owned()));
            body = rest.as_bytes();
        }
        properties.extend(self.tag.clone().map(|tag| (property::TAGS.to_owned(), tag)));
        send(client, queue, &New { topic: &self.topic, body, properties })?;
        Ok(())
    }

    fn consume(&self, session: &mut Session) -> anyhow::Result<Page> {
        let format = Format::parse(&self.format)?;
        let expression = self.tag.as_deref().unwrap_or("*");
        let client = &mut session.client;
        let queues = self.keep(Queue::readable(client, &self.topic)?)?;
        let mut places = Vec::new();
        for queue in queues {
            let end = queue.max(client)?;
            places.push((self.first(client, &queue, end)?, end, queue));
        }
        let mut left = self.count.unwrap_or(u64::MAX);
        while left > 0 {
            let mut found = 0;
            for (offset, end, queue) in &mut places {
                if self.exit && *offset >= *end {
                    continue;
                }
                let pulled = queue.pull(&mut session.client, *offset, 32, expression)?;
                *offset = pulled.next.max(*offset);
                found += pulled.messages.len();
                show(session, &format, &pulled.messages, &mut left)?;
                if pulled.status == "NO_NEW_MSG" && self.exit {
                    *offset = *end;
                }
            }
            let is_over = places.iter().all(|(offset, end, _)| offset >= end);
            if self.exit && is_over {
                break;
            }
            if found == 0 && is_over {
                pause(IDLE);
            }
        }
        Ok(Page::default())
    }

    /// The offset that reading begins at.
    fn first(&self, client: &mut Client, queue: &Queue, end: i64) -> anyhow::Result<i64> {
        let min = queue.min(client)?;
        let begin = self.begin.trim();
        if let Some(at) = begin.strip_prefix("s@") {
            return queue.at(client, time(at)?);
        }
        let offset = match begin {
            "beginning" => min,
            "end" => end,
            number => {
                let number: i64 = number.parse().with_context(|| {
                    format!("{number:?} is neither beginning, end, an offset, -N nor s@TIME")
                })?;
                if number < 0 { end.saturating_add(number) } else { number }
            }
        };
        Ok(offset.max(min))
    }
}

fn show(
    session: &mut Session,
    format: &Format,
    messages: &[Message],
    left: &mut u64,
) -> anyhow::Result<()> {
    let mut out = Vec::new();
    let table = Table::new("messages", MESSAGES);
    for message in messages {
        if *left == 0 {
            break;
        }
        *left -= 1;
        if session.printer.is_for_people() {
            format.write(&mut out, message);
        } else {
            session.show(&table, "", &message.cells(true))?;
        }
    }
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&out)?;
    Ok(stdout.flush()?)
}
