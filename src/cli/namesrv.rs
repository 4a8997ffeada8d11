//! `ringmq namesrv`.

use std::process::ExitCode;

use ringmq_base::config::NamesrvConfig;

use super::{logging, name_server, options, signals::Stop};

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    configuration: options::Configuration,
}

pub fn run(options: Options) -> anyhow::Result<ExitCode> {
    let _log = logging::start();
    let stop = Stop::register()?;
    let Options { configuration } = options;
    let loaded = NamesrvConfig::load(configuration.file.as_deref(), &configuration.set)?;
    if options::show(&loaded, configuration.print) {
        return Ok(ExitCode::SUCCESS);
    }
    ringmq_io::gate::check(None, 1)?;
    let memory = ringmq_io::gate::memory_limit();
    let (config, _) = name_server::fit(loaded, &memory, name_server::Place::Process)?;
    let tls = config.tls();
    let (server, _) = name_server::start(config, tls, "listenPort in its configuration")?;
    stop.wait();
    server.stop();
    Ok(ExitCode::SUCCESS)
}
