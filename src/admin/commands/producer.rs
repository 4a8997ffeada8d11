//! `producer`.

use std::collections::BTreeMap;

use ringmq_remoting::body::ProducerInfo;
use ringmq_remoting::codes::request;
use serde::Deserialize;

use crate::output::Page;
use crate::questions::ask;
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The broker, host:port.
    #[arg(short = 'b', long = "broker", value_name = "ADDRESS")]
    broker: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Producers {
    data: BTreeMap<String, Vec<ProducerInfo>>,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &["-b 127.0.0.1:10911 -o json"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let code = request::GET_ALL_PRODUCER_INFO;
        let producers: Producers = ask(client, &self.broker, code, &[])?;
        let mut page = Page::default();
        for (group, members) in &producers.data {
            for member in members {
                let ProducerInfo { client_id, remote_ip, language, version, .. } = member;
                let text = format!(
                    "producer group ({group}) instance : clientId={client_id},\
                     remoteIP={remote_ip}, language={language}, version={version}, \
                     lastUpdateTimestamp={}",
                    member.last_update_timestamp
                );
                page.done(
                    text,
                    [
                        ("group", group.as_str().into()),
                        ("clientId", client_id.as_str().into()),
                        ("address", remote_ip.trim_start_matches('/').into()),
                        ("language", language.as_str().into()),
                        ("version", (*version).into()),
                        ("lastUpdateTimestamp", member.last_update_timestamp.into()),
                    ],
                );
            }
        }
        Ok(page)
    }
}
