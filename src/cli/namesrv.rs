//! `ringmq namesrv`.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::anyhow;
use ringmq_base::config::NamesrvConfig;

use super::{logging, options, signals::Stop};

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    configuration: options::Configuration,
}

pub fn run(options: Options) -> anyhow::Result<ExitCode> {
    logging::start();
    let stop = Stop::register()?;
    let Options { configuration } = options;
    let loaded = NamesrvConfig::load(configuration.file.as_deref(), &configuration.set)?;
    if options::show(&loaded, configuration.print) {
        return Ok(ExitCode::SUCCESS);
    }
    let address = SocketAddr::new(loaded.config.bind_address, loaded.config.listen_port);
    ringmq_io::gate::check(None, 1)?;
    let server = ringmq_namesrv::start(loaded.config).map_err(|error| anyhow!("{error}"))?;
    tracing::info!(%address, "name server listens");
    stop.wait();
    server.stop();
    Ok(ExitCode::SUCCESS)
}
