//! The commands of `ringmq`.

mod advertised;
mod broker;
mod config;
mod doctor;
mod example;
mod health;
mod logging;
mod name_server;
mod namesrv;
mod options;
mod reload;
mod service;
mod signals;
mod standalone;
mod store_watch;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

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
    /// What RocketMQ's mqadmin does and more: asks running servers, changes topics and groups.
    Admin(ringmq_admin::Admin),
    /// Load tool: produces and consumes, reports messages a second and latency.
    Bench(Box<ringmq_benchmark::Arguments>),
    /// Whether this machine is fit for a server, or (--store) a store is sound; changes nothing.
    Doctor(doctor::Options),
    /// Whether a server of this machine is well: ends with 0 if so, else with 1 and the reason.
    Health(health::Options),
    /// Prints what makes a shell complete commands and options (bash, zsh, fish).
    Completion(ringmq_admin::Completion),
    /// Writes man pages of all commands into a directory.
    Man(ringmq_admin::Manual),
    /// What RocketMQ's tutorials run by tools.sh.
    #[command(subcommand, hide = true)]
    Example(example::Example),
    /// Version and build.
    Version,
}

/// What was typed; a wrong line ends the process, of administration with one sentence.
fn parsed() -> anyhow::Result<Arguments> {
    let line = ringmq_admin::canonical(std::env::args_os().collect());
    let is_admin = line.get(1).is_some_and(|word| word == "admin");
    match Arguments::command().try_get_matches_from(line) {
        Ok(matches) => Ok(Arguments::from_arg_matches(&matches)?),
        Err(error) if is_admin && error.use_stderr() => {
            eprintln!("ringmq admin: {}", ringmq_admin::sentence(&error));
            std::process::exit(error.exit_code())
        }
        Err(error) => error.exit(),
    }
}

pub fn run() -> anyhow::Result<ExitCode> {
    match parsed()?.command {
        Command::Standalone(options) => standalone::run(options),
        Command::Namesrv(options) => namesrv::run(options),
        Command::Broker(options) => broker::run(options),
        Command::Config(options) => config::run(options),
        Command::Admin(admin) => admin.run(),
        Command::Bench(arguments) => ringmq_benchmark::run(*arguments),
        Command::Doctor(options) => Ok(doctor::run(&options)),
        Command::Completion(shell) => shell.run(Arguments::command()).map(|()| ExitCode::SUCCESS),
        Command::Man(manual) => manual.run(Arguments::command()).map(|()| ExitCode::SUCCESS),
        Command::Example(which) => example::run(&which),
        Command::Health(options) => health::run(&options),
        Command::Version => {
            println!("ringmq {}", env!("CARGO_PKG_VERSION"));
            Ok(ExitCode::SUCCESS)
        }
    }
}
