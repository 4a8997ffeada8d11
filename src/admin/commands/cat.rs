//! `cat`.

use std::io::{BufWriter, Write};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use ringmq_client::CallError;
use ringmq_remoting::codes::property;

use crate::output::{Format as OutputFormat, Page, Table};
use crate::pipes::{
    Delimiter, Format, Interrupt, Line, Parcel, Plan, Reader, Sender, Start, line_of, lines,
    own_properties, pairs_text, parcel_of, when,
};
use crate::questions::messages::{Message, Queue};
use crate::questions::print::MESSAGES;
use crate::questions::sends::writable;
use crate::session::{Run, Session};

/// A batch has so many messages and bytes, so that brokers append it in one go.
const BATCH_MESSAGES: usize = 512;
const BATCH_BYTES: usize = 192 * 1024;
/// What a message takes in a batch beside its body and its own properties: lengths and its id.
const MESSAGE_BYTES: usize = 64;
/// How long an interrupt may go unseen.
const NAP: Duration = Duration::from_millis(100);
/// Bytes that are written at once.
const WRITE_BYTES: usize = 64 * 1024;

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The topic.
    #[arg(short = 't', long)]
    topic: String,
    /// Sends what comes on standard input, a message a line; without it messages are read.
    #[arg(short = 'P', long)]
    produce: bool,
    /// Only this queue, of each broker.
    #[arg(short = 'p', long, value_name = "QUEUE")]
    queue: Option<i32>,
    /// Only queues of the broker with this name.
    #[arg(long, value_name = "NAME")]
    broker: Option<String>,
    /// Where reading begins in each queue: first, end, an offset, -N for the last N messages, or
    /// @TIME, where a time is milliseconds since 1970, yyyy-MM-dd#HH:mm:ss, or how long ago: @-2h.
    #[arg(
        short = 'o',
        long,
        value_name = "PLACE",
        default_value = "first",
        allow_hyphen_values = true,
        conflicts_with = "produce"
    )]
    offset: String,
    /// Ends behind the messages that were there when it began, instead of waiting for new ones.
    #[arg(short = 'e', long, conflicts_with = "produce")]
    exit: bool,
    /// Ends before messages that were stored at this time or later.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, conflicts_with = "produce")]
    until: Option<String>,
    /// Ends after so many messages.
    #[arg(short = 'c', long, value_name = "COUNT", conflicts_with = "produce")]
    count: Option<u64>,
    /// How a message is printed: %s body, %k keys, %g tags, %t topic, %p queue, %b broker,
    /// %o offset, %T store time, %B born time, %i id, %I offset id, %r times given back, %S bytes
    /// of the body, %h properties, %{NAME} one of them, %%, and escapes as in -D.
    #[arg(short = 'f', long, value_name = "FORMAT", conflicts_with_all = ["produce", "json"])]
    format: Option<String>,
    /// Messages as lines of JSON with all that is known of them; with -P such lines are sent.
    #[arg(short = 'J', long)]
    json: bool,
    /// What ends a message: \n, \r, \t, \0, \\ and \xNN stand for bytes.
    #[arg(
        short = 'D',
        long,
        value_name = "TEXT",
        default_value = "\\n",
        allow_hyphen_values = true
    )]
    delimiter: String,
    /// What stands between the keys of a message and its body.
    #[arg(
        short = 'K',
        long,
        value_name = "TEXT",
        conflicts_with = "json",
        allow_hyphen_values = true
    )]
    key_delimiter: Option<String>,
    /// Reads messages with these tags, separated by ||; sends messages with this tag.
    #[arg(short = 'g', long, value_name = "TAGS", conflicts_with = "sql")]
    tags: Option<String>,
    /// Reads messages whose properties are so.
    #[arg(long, value_name = "EXPRESSION", conflicts_with = "produce")]
    sql: Option<String>,
    /// Sends messages with this key.
    #[arg(short = 'k', long, requires = "produce", conflicts_with = "key_delimiter")]
    key: Option<String>,
    /// Sends messages with this property; may be given more than once.
    #[arg(short = 'H', long, value_name = "NAME=VALUE", requires = "produce")]
    header: Vec<String>,
    /// Sends each message by itself. Without it several lines that are there go as a batch.
    #[arg(long, requires = "produce")]
    no_batch: bool,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &[
        "-n 127.0.0.1:9876 -t TopicTest -e # all messages, a line each",
        "-n 127.0.0.1:9876 -t TopicTest -o end -f '%T\\x20%k\\x20%s\\n' # what comes from now on",
        "-n 127.0.0.1:9876 -t TopicTest -o @-2h -c 10 -g red||blue",
        "-n 127.0.0.1:9876 -t TopicTest -e -J # as lines of JSON",
        "-n 127.0.0.1:9876 -t TopicTest -P -K : # lines key:body of standard input",
        "-n 127.0.0.1:9876 -t TopicTest -P -J # what -e -J or dlq export has written",
    ];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let interrupt = Interrupt::watch()?;
        match self.produce {
            true => self.send(session, &interrupt)?,
            false => self.read(session, &interrupt)?,
        }
        Ok(Page::default())
    }
}

impl Options {
    /// The queues that are meant, of those that the topic has.
    fn chosen(&self, mut queues: Vec<Queue>) -> anyhow::Result<Vec<Queue>> {
        queues.retain(|queue| {
            self.queue.is_none_or(|id| queue.id == id)
                && self.broker.as_ref().is_none_or(|name| queue.broker == *name)
        });
        if queues.is_empty() {
            let (topic, which) = (&self.topic, if self.produce { "written" } else { "read" });
            let text =
                format!("topic {topic} has no such queue that can be {which}: see topicRoute");
            return Err(CallError::NotFound(text).into());
        }
        Ok(queues)
    }

    fn plan(&self) -> anyhow::Result<Plan> {
        let (expression, is_sql) = match (&self.tags, &self.sql) {
            (_, Some(sql)) => (sql.clone(), true),
            (Some(tags), None) => (tags.clone(), false),
            (None, None) => ("*".to_owned(), false),
        };
        let start: Start = self.offset.parse()?;
        let until = self.until.as_deref().map(when).transpose()?;
        let (to_the_end, looks_up) = (self.exit, false);
        Ok(Plan { start, to_the_end, until, expression, is_sql, looks_up })
    }

    fn read(&self, session: &mut Session, interrupt: &Interrupt) -> anyhow::Result<()> {
        let form = self.form(session.printer.format)?;
        let plan = self.plan()?;
        let queues = self.chosen(Queue::readable(&mut session.client, &self.topic)?)?;
        let mut out = BufWriter::with_capacity(WRITE_BYTES, std::io::stdout().lock());
        let mut rest = self.count.unwrap_or(u64::MAX);
        if rest == 0 {
            return Ok(());
        }
        let mut reader = Reader::start(&mut session.client, &queues, &plan)?;
        let (mut text, table) = (Vec::new(), Table::new("messages", MESSAGES));
        let mut result = Ok(());
        while rest > 0 {
            let messages = match reader.next(interrupt, || Ok(out.flush()?)) {
                Ok(Some(messages)) => messages,
                Ok(None) => break,
                Err(why) => {
                    result = Err(why);
                    break;
                }
            };
            for message in messages.iter().take(usize::try_from(rest).unwrap_or(usize::MAX)) {
                rest -= 1;
                if matches!(form, Form::Rows) {
                    session.show(&table, "", &message.cells(true))?;
                    continue;
                }
                text.clear();
                form.write(&mut text, message);
                out.write_all(&text)?;
            }
        }
        out.flush()?;
        result
    }

    fn form(&self, output: OutputFormat) -> anyhow::Result<Form> {
        if self.json || output == OutputFormat::Json {
            return Ok(Form::Json);
        }
        if matches!(output, OutputFormat::Csv | OutputFormat::Yaml) {
            return Ok(Form::Rows);
        }
        if let Some(format) = &self.format {
            return Ok(Form::Format(Format::new(format)?));
        }
        let end = Delimiter::new(&self.delimiter)?;
        let key = self.key_delimiter.as_deref().map(Delimiter::new).transpose()?;
        Ok(Form::Plain { key, end })
    }

    fn send(&self, session: &mut Session, interrupt: &Interrupt) -> anyhow::Result<()> {
        let maker = self.maker()?;
        let queues = self.chosen(writable(&mut session.client, &self.topic)?)?;
        let is_delayed = self.header.iter().any(|header| is_delay(header));
        let batches = !(self.no_batch || is_delayed || self.topic.starts_with('%'));
        let input = lines(std::io::stdin(), Delimiter::new(&self.delimiter)?);
        let mut feed = Feed { maker, queues, batches, sender: Sender::new(), turn: 0 };
        let result = feed.run(session, &input, interrupt);
        if result.is_err() {
            feed.sender.settle(interrupt);
        }
        let stored = feed.sender.stored;
        result.with_context(|| format!("{stored} messages were stored"))
    }

    fn maker(&self) -> anyhow::Result<Maker> {
        let mut properties = Vec::new();
        for header in &self.header {
            let (name, value) = header
                .split_once('=')
                .with_context(|| format!("-H {header:?} is not NAME=VALUE"))?;
            let pair = (name.to_owned(), value.to_owned());
            ensure!(
                is_delay(header) || !own_properties(std::slice::from_ref(&pair)).is_empty(),
                "property {name} is one of RocketMQ's own, which producers do not set"
            );
            properties.push(pair);
        }
        let named = [(property::TAGS, &self.tags), (property::KEYS, &self.key)];
        for (name, value) in named {
            properties.extend(value.iter().map(|value| (name.to_owned(), value.clone())));
        }
        pairs_text(&properties)?;
        let key = self.key_delimiter.as_deref().map(Delimiter::new).transpose()?;
        Ok(Maker { key, properties, json: self.json })
    }
}

/// Whether a property asks for a later delivery, which batches cannot have.
fn is_delay(header: &str) -> bool {
    const NAMES: [&str; 4] = [
        property::DELAY_TIME_LEVEL,
        property::TIMER_DELAY_SEC,
        property::TIMER_DELAY_MS,
        property::TIMER_DELIVER_MS,
    ];
    header.split_once('=').is_some_and(|(name, _)| NAMES.contains(&name))
}

/// How a message is printed.
enum Form {
    Json,
    /// As other lists of messages are shown to programs.
    Rows,
    Format(Format),
    Plain {
        key: Option<Delimiter>,
        end: Delimiter,
    },
}

impl Form {
    fn write(&self, out: &mut Vec<u8>, message: &Message) {
        match self {
            Form::Rows => {}
            Form::Json => out.extend_from_slice(line_of(message).as_bytes()),
            Form::Format(format) => format.write(out, message),
            Form::Plain { key, end } => {
                if let Some(key) = key {
                    out.extend_from_slice(message.keys().unwrap_or_default().as_bytes());
                    out.extend_from_slice(key.bytes());
                }
                out.extend_from_slice(&message.body);
                out.extend_from_slice(end.bytes());
            }
        }
    }
}

/// Makes messages of lines.
struct Maker {
    key: Option<Delimiter>,
    properties: Vec<(String, String)>,
    json: bool,
}

impl Maker {
    /// `None`: the line is empty.
    fn parcel(&self, line: &Line) -> anyhow::Result<Option<Parcel>> {
        if line.bytes.is_empty() {
            return Ok(None);
        }
        let mut parcel = match (&self.key, self.json) {
            (_, true) => parcel_of(&line.bytes)?,
            (None, _) => Parcel { body: line.bytes.clone(), properties: Vec::new() },
            (Some(delimiter), _) => {
                let Some((key, body)) = delimiter.split(&line.bytes) else {
                    bail!("it has no key: -K is not in it")
                };
                let key = std::str::from_utf8(key).context("its key is no UTF-8")?;
                let properties = match key {
                    "" => Vec::new(),
                    key => vec![(property::KEYS.to_owned(), key.to_owned())],
                };
                Parcel { body: body.to_vec(), properties }
            }
        };
        ensure!(!parcel.body.is_empty(), "its body is empty, which brokers do not take");
        for (name, value) in &self.properties {
            parcel.properties.retain(|(other, _)| other != name);
            parcel.properties.push((name.clone(), value.clone()));
        }
        pairs_text(&parcel.properties)?;
        Ok(Some(parcel))
    }
}

/// From lines to queues, which take turns.
struct Feed {
    maker: Maker,
    queues: Vec<Queue>,
    batches: bool,
    sender: Sender,
    turn: usize,
}

impl Feed {
    fn run(
        &mut self,
        session: &Session,
        input: &Receiver<anyhow::Result<Vec<Line>>>,
        interrupt: &Interrupt,
    ) -> anyhow::Result<()> {
        loop {
            if interrupt.has_come() {
                self.sender.finish()?;
                bail!("interrupted; what had been read is stored");
            }
            let lines = match input.try_recv() {
                Ok(lines) => lines?,
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    self.sender.look()?;
                    match input.recv_timeout(NAP) {
                        Ok(lines) => lines?,
                        // the next turn of the loop sees an end
                        Err(_) => continue,
                    }
                }
            };
            self.put(session, &lines)?;
        }
        self.sender.finish()
    }

    fn put(&mut self, session: &Session, lines: &[Line]) -> anyhow::Result<()> {
        let mut parcels: Vec<Parcel> = Vec::new();
        let (mut bytes, mut first) = (0, 0);
        for line in lines {
            let parcel = match self.maker.parcel(line) {
                Ok(Some(parcel)) => parcel,
                Ok(None) => continue,
                Err(why) => {
                    // so that whoever goes on does so with this line
                    if !parcels.is_empty() {
                        self.dispatch(session, &parcels, first)?;
                    }
                    return Err(why.context(format!("line {}", line.number)));
                }
            };
            let properties =
                parcel.properties.iter().map(|(key, value)| key.len() + value.len() + 2);
            let size = parcel.body.len() + properties.sum::<usize>() + MESSAGE_BYTES;
            let is_full = parcels.len() >= BATCH_MESSAGES || bytes + size > BATCH_BYTES;
            if !parcels.is_empty() && (is_full || !self.batches) {
                self.dispatch(session, &parcels, first)?;
                parcels.clear();
                bytes = 0;
            }
            if parcels.is_empty() {
                first = line.number;
            }
            bytes += size;
            parcels.push(parcel);
        }
        if parcels.is_empty() { Ok(()) } else { self.dispatch(session, &parcels, first) }
    }

    fn dispatch(
        &mut self,
        session: &Session,
        parcels: &[Parcel],
        first: u64,
    ) -> anyhow::Result<()> {
        let at = self.turn % self.queues.len();
        self.turn += 1;
        let queue = self.queues.get(at).context("a topic has a queue")?;
        self.sender.send(&session.client, queue, parcels, first)
    }
}
