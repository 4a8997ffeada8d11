//! `getConsumerStatus`.

use ringmq_client::CallError;
use ringmq_remoting::body::GetConsumerStatusBody;
use ringmq_remoting::codes::request;

use crate::output::{Column, Page, Table};
use crate::questions::{ask, brokers_with, route};
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The consumer group.
    #[arg(short = 'g', long = "group")]
    group: String,
    /// The topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// Only this member.
    #[arg(short = 'i', long = "originClientId", value_name = "ID", default_value = "")]
    member: String,
}

const COLUMNS: &[Column] = &[
    Column::new("#clientId", "clientId"),
    Column::new("#brokerName", "broker"),
    Column::new("#queueId", "queue"),
    Column::new("#offset", "offset"),
];

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &["-n 127.0.0.1:9876 -g GROUP -t TopicTest"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let route = route(client, &self.topic)?;
        let Some((_, address)) = brokers_with(&route).next() else {
            let text = format!("topic {} has no broker", self.topic);
            return Err(CallError::NotFound(text).into());
        };
        let Options { group, topic, member } = self;
        let fields = [("topic", topic.as_str()), ("group", group.as_str()), ("clientAddr", member)];
        let code = request::INVOKE_BROKER_TO_GET_CONSUMER_STATUS;
        let found: GetConsumerStatusBody = ask(client, address, code, &fields)?;
        let mut table = Table::new("queues", COLUMNS);
        for (id, queues) in &found.consumer_table {
            for (queue, offset) in &queues.0 {
                table.row([
                    id.as_str().into(),
                    queue.broker_name.as_str().into(),
                    queue.queue_id.into(),
                    (*offset).into(),
                ]);
            }
        }
        let text = format!(
            "get consumer status from client. group={group}, topic={topic}, \
             originClientId={member}"
        );
        Ok(Page::default().text(text).table(table))
    }
}
