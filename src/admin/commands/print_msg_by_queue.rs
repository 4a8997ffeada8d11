//! `printMsgByQueue`.

use crate::output::{Column, Page, Table};
use crate::questions::messages::Queue;
use crate::questions::print::{Selection, Tags, show};
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    selection: Selection,
    /// The broker's name.
    #[arg(short = 'a', long = "brokerName", value_name = "NAME")]
    broker: String,
    /// The queue.
    #[arg(short = 'i', long = "queueId", value_name = "QUEUE")]
    queue: i32,
    /// Prints the messages.
    #[arg(short = 'p', long = "print", value_name = "true|false", default_value = "false",
        action = clap::ArgAction::Set)]
    print: bool,
    /// With bodies.
    #[arg(short = 'd', long = "printBody", value_name = "true|false", default_value = "false",
        action = clap::ArgAction::Set)]
    body: bool,
    /// Counts the messages of each tag.
    #[arg(short = 'f', long = "calculate", value_name = "true|false", default_value = "false",
        action = clap::ArgAction::Set)]
    count: bool,
}

const TAGS: &[Column] = &[Column::new("#Tag", "tag"), Column::new("#Count", "count")];

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &[
        "-n 127.0.0.1:9876 -t TopicTest -a broker-a -i 0 -p true -d true",
        "-n 127.0.0.1:9876 -t TopicTest -a broker-a -i 0 -f true # messages of each tag",
    ];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let topic = &self.selection.topic;
        let queue = Queue::of(&mut session.client, topic, &self.broker, self.queue)?;
        let range = self.selection.range(session, &queue)?;
        let mut tags = Tags::default();
        range.read(session, &queue, |session, messages| {
            tags.count(messages);
            if self.print { show(session, messages, self.body) } else { Ok(()) }
        })?;
        let table = Table::new("tags", TAGS);
        for (tag, count) in tags.sorted().into_iter().filter(|_| self.count) {
            let text = format!("Tag: {tag:<30} Count: {count}");
            session.show(&table, &text, &[tag.into(), count.into()])?;
        }
        Ok(Page::default())
    }
}
