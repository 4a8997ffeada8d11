//! `setConsumeMode`.

use ringmq_remoting::codes::request;
use serde_json::json;

use crate::output::Page;
use crate::session::{Run, Session};
use crate::target::Target;

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// The topic.
    #[arg(short = 't', long = "topicName", value_name = "TOPIC")]
    topic: String,
    /// The consumer group.
    #[arg(short = 'g', long = "groupName", value_name = "GROUP")]
    group: String,
    /// How members get messages.
    #[arg(short = 'm', long = "mode", ignore_case = true)]
    mode: Mode,
    /// How many queues members share, with POP.
    #[arg(short = 'q', long = "popShareQueueNum", value_name = "COUNT", default_value_t = 0)]
    shared: i32,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
#[value(rename_all = "UPPER")]
enum Mode {
    Pull,
    Pop,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] =
        &["-n 127.0.0.1:9876 -c DefaultCluster -t TopicTest -g GROUP -m PULL"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let mode = if matches!(self.mode, Mode::Pull) { "PULL" } else { "POP" };
        let Options { topic, group, shared, .. } = self;
        let body = json!({
            "topic": topic, "consumerGroup": group, "mode": mode, "popShareQueueNum": shared,
        });
        let body = body.to_string();
        let mut page = Page::default();
        for address in self.target.masters(client)? {
            let code = request::SET_MESSAGE_REQUEST_MODE;
            let asked = client.ask(&address, code, &[], body.as_bytes());
            page.add(asked.map(|_| {
                let mut page = Page::default();
                let text = format!("set consume mode to {address} success.");
                page.done(text, [("broker", address.into()), ("mode", mode.into())]);
                page
            }));
        }
        let text = format!(
            "topic[{topic}] group[{group}] consume mode[{mode}] popShareQueueNum[{shared}]"
        );
        Ok(if page.is_empty() { page } else { page.text(text) })
    }
}
