//! The commands of `ringmq`.

mod admin;
mod advertised;
mod broker;
mod config;
mod doctor;
mod example;
mod logging;
mod name_server;
mod namesrv;
mod options;
mod service;
mod signals;
mod standalone;
mod store_watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Message broker for Apache RocketMQ clients, on io_uring with one thread per core.
#[derive(Parser)]
#[command(name = "ringmq", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Name server and broker in one process: the quickest way to a first message.
    Standalone(standalone::Options),
    /// The name server alone.
    Namesrv(namesrv::Options),
    /// A broker alone, registered with name servers.
    Broker(broker::Options),
    /// What servers make of a configuration file, without starting one.
    Config(config::Options),
    /// Questions to running servers.
    Admin(admin::Options),
    /// Load tool: produces and consumes, reports messages a second and latency.
    Bench(Box<ringmq_benchmark::Arguments>),
    /// Checks a store while its broker is stopped, and changes nothing. Ends with 0 if it is sound,
    /// 1 if it is damaged, 2 if it could not be checked.
    Doctor(doctor::Options),
    /// What RocketMQ's tutorials run by tools.sh.
    #[command(subcommand, hide = true)]
    Example(example::Example),
    /// Version and build.
    Version,
}

pub fn run() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Standalone(options) => standalone::run(options),
        Command::Namesrv(options) => namesrv::run(options),
        Command::Broker(options) => broker::run(options),
        Command::Config(options) => config::run(options),
        Command::Admin(options) => admin::run(options),
        Command::Bench(arguments) => ringmq_benchmark::run(*arguments),
        Command::Doctor(options) => Ok(doctor::run(&options)),
        Command::Example(which) => example::run(&which),
        Command::Version => {
            println!("ringmq {}", env!("CARGO_PKG_VERSION"));
            Ok(ExitCode::SUCCESS)
        }
    }
}
