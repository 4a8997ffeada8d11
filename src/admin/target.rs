//! Which brokers a command is for.

use ringmq_client::Client;

use crate::questions::members;

/// One broker, or those of a cluster.
#[derive(clap::Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct Target {
    /// One broker, host:port.
    #[arg(short = 'b', long = "brokerAddr", value_name = "ADDRESS")]
    pub broker: Option<String>,
    /// All masters of a cluster.
    #[arg(short = 'c', long = "clusterName", value_name = "NAME")]
    pub cluster: Option<String>,
}

impl Target {
    /// The broker, or all masters of the cluster.
    pub fn masters(&self, client: &mut Client) -> anyhow::Result<Vec<String>> {
        self.addresses(client, false)
    }

    /// The broker, or all members of the cluster.
    pub fn all(&self, client: &mut Client) -> anyhow::Result<Vec<String>> {
        self.addresses(client, true)
    }

    fn addresses(&self, client: &mut Client, slaves: bool) -> anyhow::Result<Vec<String>> {
        match &self.broker {
            Some(broker) => Ok(vec![broker.trim().to_owned()]),
            None => members(client, self.cluster.as_deref().unwrap_or_default(), slaves),
        }
    }
}
