//! `ringmq namesrv`.

use std::{io::Write as _, process::ExitCode, time::Duration};

use ringmq_base::config::NamesrvConfig;

use super::{
    doctor, logging, name_server, options,
    reload::Reloader,
    service::Service,
    signals::{Signals, limit_stop},
};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// RocketMQ takes it here, too, where it means nothing.
    #[arg(short = 'n', long = "namesrvAddr", value_name = "ADDRESSES", hide = true)]
    namesrv: Option<String>,
    #[command(flatten)]
    configuration: options::Configuration,
}

pub fn run(options: Options) -> anyhow::Result<ExitCode> {
    let _log = logging::start();
    let signals = Signals::register()?;
    let Options { namesrv, configuration } = options;
    if let Some(addresses) = namesrv {
        tracing::warn!(
            "-n {addresses} has no effect: a name server knows no others; its own address is set \
             by listenPort and bindAddress in its configuration (-c)"
        );
    }
    let options::Configuration { file, set, print } = configuration;
    let again = move || NamesrvConfig::load(file.as_deref(), &set);
    let loaded = again()?;
    if options::show(&loaded, print) {
        return Ok(ExitCode::SUCCESS);
    }
    ringmq_io::gate::check(None, 1)?;
    doctor::say_at_start(None, 1);
    let memory = ringmq_io::gate::memory_limit();
    let read = loaded.clone();
    let (config, _) = name_server::fit(loaded, &memory, name_server::Place::Process)?;
    let tls = config.tls();
    let drain = Duration::from_secs(config.shutdown_wait_time_seconds);
    let (server, _) = name_server::start(config, tls, "listenPort in its configuration")?;
    // Whoever started it may not read what it says.
    let _ = writeln!(std::io::stdout(), "The Name Server boot success. serializeType=JSON");
    let service = Service::new();
    let heartbeat = server.heartbeat();
    service.ready(move |patience| heartbeat.silent(patience));
    let mut reloader = Reloader::new(read, again);
    signals.wait(|| {
        service.reloading(|| {
            server.read_files_again();
            reloader.reload(|keys| server.reload(keys));
        });
    });
    tracing::info!("stopping: answers under way are sent");
    service.stopping();
    limit_stop(drain);
    server.stop();
    Ok(ExitCode::SUCCESS)
}
