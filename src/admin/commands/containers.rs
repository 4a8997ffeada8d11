//! `addBroker` and `removeBroker`: brokers that share a process of RocketMQ 5.

use anyhow::Context;
use ringmq_remoting::codes::request;

use crate::output::Page;
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Add {
    /// The process, host:port.
    #[arg(short = 'c', long = "brokerContainerAddr", value_name = "ADDRESS")]
    container: String,
    /// The broker's configuration file, where the process runs.
    #[arg(short = 'b', long = "brokerConfigPath", value_name = "FILE")]
    file: String,
}

impl Run for Add {
    const EXAMPLES: &'static [&'static str] = &["-c 127.0.0.1:10811 -b conf/broker.conf"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let Add { container, file } = self;
        let fields = [("configPath", file.as_str())];
        session.client.ask(container, request::ADD_BROKER, &fields, &[])?;
        let mut page = Page::default();
        let text = format!("add broker to {container} success");
        page.done(text, [("container", container.as_str().into())]);
        Ok(page)
    }
}

#[derive(clap::Args, Debug)]
pub struct Remove {
    /// The process, host:port.
    #[arg(short = 'c', long = "brokerContainerAddr", value_name = "ADDRESS")]
    container: String,
    /// The broker, as CLUSTER:NAME:ID.
    #[arg(short = 'b', long = "brokerIdentity", value_name = "BROKER")]
    broker: String,
}

impl Run for Remove {
    const EXAMPLES: &'static [&'static str] = &["-c 127.0.0.1:10811 -b DefaultCluster:broker-a:0"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let Remove { container, broker } = self;
        let parts = broker.split_once(':').and_then(|(cluster, rest)| {
            let (name, id) = rest.split_once(':')?;
            Some((cluster, name, id.parse::<u32>().ok()?.to_string()))
        });
        let (cluster, name, id) =
            parts.with_context(|| format!("-b is like DefaultCluster:broker-a:0, not {broker}"))?;
        let fields =
            [("brokerClusterName", cluster), ("brokerName", name), ("brokerId", id.as_str())];
        session.client.ask(container, request::REMOVE_BROKER, &fields, &[])?;
        let mut page = Page::default();
        let text = format!("remove broker from {container} success");
        page.done(text, [("container", container.as_str().into()), ("broker", name.into())]);
        Ok(page)
    }
}
