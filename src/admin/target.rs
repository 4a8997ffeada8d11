//! Which brokers a command is for, and what else several commands take alike.

use std::path::PathBuf;

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

/// Brokers, and the settings that they are to have.
#[derive(clap::Args, Debug)]
pub struct SettingsFor {
    #[command(flatten)]
    pub target: Target,
    /// A file with a list of settings in JSON, as exportMetadata and RocketMQ have them.
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub file: PathBuf,
}

/// A cluster, and where what is told of it goes.
#[derive(clap::Args, Debug)]
pub struct Export {
    /// The cluster.
    #[arg(short = 'c', long = "clusterName", value_name = "NAME")]
    pub cluster: String,
    /// The directory that the file is written into.
    #[arg(short = 'f', long = "filePath", value_name = "DIRECTORY")]
    pub directory: Option<PathBuf>,
}

/// Two brokers, of which one gets what the other has.
#[derive(clap::Args, Debug)]
pub struct FromTo {
    /// The broker that has them, host:port.
    #[arg(short = 'f', long = "fromBroker", value_name = "ADDRESS")]
    pub from: String,
    /// The broker that gets them.
    #[arg(short = 't', long = "toBroker", value_name = "ADDRESS")]
    pub to: String,
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
