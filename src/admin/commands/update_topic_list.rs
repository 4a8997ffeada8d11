//! `updateTopicList`.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use ringmq_remoting::codes::request;
use serde_json::{Value, json};

use crate::output::Page;
use crate::session::{Run, Session};
use crate::target::Target;

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// A file with a list of settings in JSON, as exportMetadata and RocketMQ have them.
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    file: PathBuf,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] =
        &["-n 127.0.0.1:9876 -c DefaultCluster -f settings.json"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let place = || self.file.display().to_string();
        let text = std::fs::read_to_string(&self.file).with_context(place)?;
        let list: Value = serde_json::from_str(&text).with_context(place)?;
        ensure!(list.is_array(), "{} holds no list: begin it with [", self.file.display());
        let body = json!({ "topicConfigList": list }).to_string();
        let mut page = Page::default();
        for address in self.target.masters(client)? {
            let code = request::UPDATE_AND_CREATE_TOPIC_LIST;
            page.add(client.ask(&address, code, &[], body.as_bytes()).map(|_| {
                let mut page = Page::default();
                let text = format!(
                    "submit batch of topic config to {address} success, please check the \
                     result later."
                );
                page.done(text, [("broker", address.into())]);
                page
            }));
        }
        Ok(page)
    }
}
