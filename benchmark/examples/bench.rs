//! The load tool alone, without the rest of `ringmq`.

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(name = "bench", version)]
struct Line {
    #[command(flatten)]
    arguments: ringmq_benchmark::Arguments,
}

fn main() -> anyhow::Result<ExitCode> {
    ringmq_benchmark::run(Line::parse().arguments)
}
