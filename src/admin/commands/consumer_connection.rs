//! `consumerConnection`.

use ringmq_remoting::body::{Connection, SubscriptionData};
use ringmq_remoting::codes::version;

use crate::output::{Column, Page, Table};
use crate::questions::groups;
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The consumer group.
    #[arg(short = 'g', long = "consumerGroup", value_name = "GROUP")]
    group: String,
    /// The broker that is asked; else all.
    #[arg(short = 'b', long = "brokerAddr", value_name = "ADDRESS")]
    broker: Option<String>,
}

const CONNECTIONS: &[Column] = &[
    Column::new("#ClientId", "clientId"),
    Column::new("#ClientAddr", "address"),
    Column::new("#Language", "language"),
    Column::new("#Version", "version"),
];
const SUBSCRIPTIONS: &[Column] = &[
    Column::new("#Topic", "topic"),
    Column::new("#SubExpression", "expression"),
    Column::new("#Type", "type").wide(),
];

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &["-n 127.0.0.1:9876 -g GROUP"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let broker = self.broker.as_deref();
        let found = groups::connection(&mut session.client, &self.group, broker)?;
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "null".to_owned());
        let (kind, model) = (text(&found.consume_type), text(&found.message_model));
        let from = text(&found.consume_from_where);
        Ok(Page::default()
            .table(connections(&found.connection_set))
            .text("\nBelow is subscription:")
            .table(subscriptions(found.subscription_table.values()))
            .text("")
            .fact("consumeType", format!("ConsumeType: {kind}"), kind)
            .fact("messageModel", format!("MessageModel: {model}"), model)
            .fact("consumeFromWhere", format!("ConsumeFromWhere: {from}"), from))
    }
}

fn connections(connections: &[Connection]) -> Table {
    let mut table = Table::new("connections", CONNECTIONS);
    for connection in connections {
        table.row([
            connection.client_id.as_str().into(),
            connection.client_addr.as_str().into(),
            connection.language.as_str().into(),
            version::name(connection.version).into(),
        ]);
    }
    table
}

fn subscriptions<'a>(subscriptions: impl Iterator<Item = &'a SubscriptionData>) -> Table {
    let mut table = Table::new("subscriptions", SUBSCRIPTIONS);
    for one in subscriptions {
        let kind = one.expression_type.as_deref().unwrap_or_default();
        table.row([one.topic.as_str().into(), one.sub_string.as_str().into(), kind.into()]);
    }
    table
}
