//! `dlq resend`.

use std::collections::HashMap;

use anyhow::{Context, anyhow};
use ringmq_remoting::codes::property;
use ringmq_remoting::codes::topic::retry_topic;

use super::letters::{COLUMNS, Chosen, Letters, cells, line, origin};
use crate::output::{Cell, Page, Table};
use crate::pipes::{Interrupt, Parcel, Progress, Rate, Sender, own_properties};
use crate::questions::messages::{Message, Queue};
use crate::questions::sends::writable;
use crate::session::Session;

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    chosen: Chosen,
    /// To this topic, whatever topic they come from.
    #[arg(short = 't', long, value_name = "TOPIC")]
    topic: Option<String>,
    /// To this group alone, by its retry topic. Without it all groups that consume the original
    /// topic get the messages.
    #[arg(long, conflicts_with = "topic")]
    to_group: bool,
    /// At most so many messages a second.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Shows what would be sent, and sends nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Options {
    pub fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let interrupt = Interrupt::watch()?;
        let letters = self.chosen.read(session)?;
        let mut work = Work::new(self, interrupt);
        let result = work.all(session, letters);
        work.progress.end();
        if result.is_err() {
            work.sender.settle(&work.interrupt);
        }
        let stored = work.sender.stored;
        result.with_context(|| format!("{stored} messages were sent again"))?;
        Ok(work.page(session.printer.is_for_people()))
    }
}

/// Where each message goes, and how far it is.
struct Work<'a> {
    options: &'a Options,
    interrupt: Interrupt,
    sender: Sender,
    rate: Rate,
    progress: Progress,
    queues: HashMap<String, Vec<Queue>>,
    taken: u64,
    /// Messages that do not say where they come from.
    homeless: u64,
    /// When the newest of them became a dead letter: milliseconds since 1970.
    newest: i64,
}

impl Work<'_> {
    fn new(options: &Options, interrupt: Interrupt) -> Work<'_> {
        Work {
            options,
            interrupt,
            sender: Sender::new(),
            rate: Rate::new(options.rate.filter(|_| !options.dry_run)),
            progress: Progress::new(),
            queues: HashMap::new(),
            taken: 0,
            homeless: 0,
            newest: 0,
        }
    }

    fn all(&mut self, session: &mut Session, mut letters: Letters<'_>) -> anyhow::Result<()> {
        let table = Table::new("messages", COLUMNS);
        let total = letters.total();
        loop {
            let sender = &mut self.sender;
            let Some(message) = letters.next(&self.interrupt, || sender.look())? else { break };
            let Some(topic) = self.topic(&message) else {
                self.homeless += 1;
                continue;
            };
            self.rate.wait(&self.interrupt);
            if self.interrupt.has_come() {
                break;
            }
            self.taken += 1;
            self.newest = self.newest.max(message.stored);
            if self.options.dry_run {
                let text = format!("would go to {topic}: {}", line(&message));
                session.show(&table, &text, &cells(&message))?;
                continue;
            }
            self.send(session, &topic, message)?;
            self.progress.show("sent again", letters.seen, total);
        }
        self.sender.finish()
    }

    fn topic(&self, message: &Message) -> Option<String> {
        match &self.options.topic {
            Some(topic) => Some(topic.clone()),
            None if self.options.to_group => {
                origin(message).map(|_| retry_topic(&self.options.chosen.group))
            }
            None => origin(message).map(str::to_owned),
        }
    }

    fn send(&mut self, session: &mut Session, topic: &str, message: Message) -> anyhow::Result<()> {
        if !self.queues.contains_key(topic) {
            let queues = writable(&mut session.client, topic)?;
            self.queues.insert(topic.to_owned(), queues);
        }
        let queues = self.queues.get(topic).context("it was just put there")?;
        let turn = usize::try_from(self.taken).unwrap_or(0) % queues.len();
        // the group is sure to be where it has given the message up
        let near = queues.iter().find(|queue| queue.id == 0 && queue.broker == message.broker);
        let near = near.filter(|_| self.options.to_group);
        let queue = near.or_else(|| queues.get(turn)).context("a topic has a queue")?;
        let mut properties = own_properties(&message.properties);
        if self.options.to_group {
            // by which consumers know what topic it is of
            let origin = origin(&message).unwrap_or_default().to_owned();
            properties.push((property::RETRY_TOPIC.to_owned(), origin));
        }
        let number = u64::try_from(message.queue_offset).unwrap_or(0);
        let parcel = Parcel { body: message.body, properties };
        let sent = self.sender.send(&session.client, queue, &[parcel], number);
        sent.with_context(|| format!("to {topic}"))
    }

    fn page(&self, for_people: bool) -> Page {
        let count = if self.options.dry_run { self.taken } else { self.sender.stored };
        let what = if self.options.dry_run { "would be sent again" } else { "were sent again" };
        let mut text = format!("{count} messages {what}");
        if count > 0 {
            let next = self.newest.saturating_add(1);
            let time = Cell::time_ms(next, "").text.replace(' ', "#").replace(',', ":");
            text += &format!("; --begin {time} means those that came later");
        }
        let mut page = Page::default();
        match self.options.dry_run {
            // programs have read the messages
            true => page = if for_people { page.text(text) } else { page },
            false => page.done(text, [("resent", count.into()), ("newest", self.newest.into())]),
        }
        if self.homeless > 0 {
            page.problems.push(anyhow!(
                "{} messages do not say what topic they come from: -t names one",
                self.homeless
            ));
        }
        if self.interrupt.has_come() {
            page.problems.push(anyhow!("interrupted"));
        }
        page
    }
}
