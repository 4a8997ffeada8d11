//! `producerConnection`.

use std::collections::BTreeSet;

use ringmq_client::CallError;
use ringmq_remoting::body::ProducerConnection;
use ringmq_remoting::codes::{request, version};

use crate::output::{Cell, Column, Page, Table};
use crate::questions::{ask, brokers_with, route};
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The producer group.
    #[arg(short = 'g', long = "producerGroup", value_name = "GROUP")]
    group: String,
    /// A topic that it sends to.
    #[arg(short = 't', long = "topic")]
    topic: String,
}

const COLUMNS: &[Column] = &[
    Column::new("#Number", "number"),
    Column::new("#ClientId", "clientId"),
    Column::new("#ClientAddr", "address"),
    Column::new("#Language", "language"),
    Column::new("#Version", "version"),
];

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &["-n 127.0.0.1:9876 -g GROUP -t TopicTest"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let route = route(client, &self.topic)?;
        let mut table = Table::new("connections", COLUMNS).without_heads();
        let mut known = BTreeSet::new();
        let mut failure = None;
        for (_, address) in brokers_with(&route) {
            let fields = [("producerGroup", self.group.as_str())];
            let code = request::GET_PRODUCER_CONNECTION_LIST;
            let found: ProducerConnection = match ask(client, address, code, &fields) {
                Ok(found) => found,
                Err(error) => {
                    failure = Some(error);
                    continue;
                }
            };
            for connection in found.connection_set {
                if !known.insert(connection.client_id.clone()) {
                    continue;
                }
                let number = known.len();
                table.row([
                    Cell::new(format!("{number:04}"), number),
                    connection.client_id.into(),
                    connection.client_addr.into(),
                    connection.language.into(),
                    version::name(connection.version).into(),
                ]);
            }
        }
        match (known.is_empty(), failure) {
            (false, _) => Ok(Page::default().table(table)),
            (true, Some(failure)) => Err(failure),
            (true, None) => {
                let text = format!("Not found the producer group connection: {}", self.group);
                Err(CallError::NotFound(text).into())
            }
        }
    }
}
