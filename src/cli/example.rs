//! `ringmq example`: what RocketMQ's tutorials run by the names of Java classes (`tools.sh`).

use std::process::ExitCode;

use clap::Subcommand;
use ringmq_benchmark::quickstart;

#[derive(Subcommand)]
pub enum Example {
    /// Sends 1,000 messages to TopicTest, at the name servers of NAMESRV_ADDR.
    QuickstartProducer,
    /// Takes the messages of TopicTest until it is told to end.
    QuickstartConsumer,
}

pub fn run(which: &Example) -> anyhow::Result<ExitCode> {
    match which {
        Example::QuickstartProducer => quickstart::run_producer(),
        Example::QuickstartConsumer => quickstart::run_consumer(),
    }
}
