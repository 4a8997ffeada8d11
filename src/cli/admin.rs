//! `ringmq admin`: questions to running servers.

mod storage_plan;

use std::{process::ExitCode, time::Duration};

use anyhow::ensure;
use clap::Subcommand;
use ringmq_benchmark::{control::Control, tls::TlsOptions};

/// How long a server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(clap::Args)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// What brokers keep on disk, what will be deleted when and why. Changes nothing.
    #[command(name = "storagePlan")]
    StoragePlan(storage_plan::Options),
}

pub fn run(options: Options) -> anyhow::Result<ExitCode> {
    match options.command {
        Command::StoragePlan(options) => storage_plan::run(&options),
    }
}

/// Which brokers a command is for.
#[derive(clap::Args)]
struct Target {
    /// Name servers, host:port, several separated by ;: all masters that they know.
    #[arg(short = 'n', long = "namesrvAddr", value_name = "ADDRESSES", env = "NAMESRV_ADDR")]
    namesrv: Option<String>,
    /// One broker, host:port.
    #[arg(short = 'b', long = "brokerAddr", value_name = "ADDRESS")]
    broker: Option<String>,
    #[command(flatten)]
    tls: TlsOptions,
}

impl Target {
    /// A client and the addresses of the brokers.
    fn connect(&self) -> anyhow::Result<(Control, Vec<String>)> {
        let name_servers = self.namesrv.as_deref().unwrap_or_default();
        let mut control = Control::of(name_servers, self.tls.connector()?, TIMEOUT);
        if let Some(broker) = &self.broker {
            return Ok((control, vec![broker.clone()]));
        }
        ensure!(self.namesrv.is_some(), "give name servers with -n or a broker with -b");
        let masters = control.masters()?;
        Ok((control, masters.into_iter().map(|(_, address)| address).collect()))
    }
}
