//! `ringmq standalone`: name server and broker in one process.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};

use ringmq_base::config::{AddressList, BrokerConfig, Loaded, NamesrvConfig};

use super::{
    broker, logging, name_server, options, reload::Reloader, service::Service, signals::Signals,
};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// Directory of all data.
    #[arg(long, value_name = "DIR", default_value = "./data")]
    store: PathBuf,
    /// Port of the name server.
    #[arg(long, value_name = "PORT", default_value_t = 9876)]
    namesrv_port: u16,
    /// Port of the broker.
    #[arg(long, value_name = "PORT")]
    listen_port: Option<u16>,
    /// Address or host name that clients are told; 127.0.0.1 lets only this machine in.
    #[arg(long, value_name = "HOST")]
    advertise: Option<String>,
    /// CPUs to use, such as 0,1 or 0-3; all that the process may use if not given.
    #[arg(long, value_name = "LIST")]
    cores: Option<String>,
    #[command(flatten)]
    configuration: options::Configuration,
}

pub fn run(options: Options) -> anyhow::Result<ExitCode> {
    let _log = logging::start();
    let signals = Signals::register()?;
    let mut set = options.configuration.set;
    let port = options.namesrv_port;
    set.extend(options.listen_port.map(|port| ("listenPort".to_owned(), port.to_string())));
    set.extend(options.advertise.map(|ip| ("brokerIP1".to_owned(), ip)));
    set.extend(options.cores.map(|list| ("cores".to_owned(), list)));
    let store = options.store.display().to_string();
    let preset =
        [("storePathRootDir".to_owned(), store), ("brokerName".to_owned(), "broker-a".to_owned())];
    let file = options.configuration.file;
    let again = move || {
        let mut loaded = BrokerConfig::load_with_preset(file.as_deref(), &preset, &set)?;
        let bind = loaded.config.bind_address;
        let own = if bind.is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { bind };
        loaded.config.namesrv_addr = AddressList(vec![SocketAddr::new(own, port).to_string()]);
        Ok(loaded)
    };
    let loaded = again()?;
    let bind = loaded.config.bind_address;
    if options::show(&loaded, options.configuration.print) {
        return Ok(ExitCode::SUCCESS);
    }
    let namesrv = namesrv_config(port, &bind.to_string(), &loaded.config)?;
    ringmq_io::gate::check(None, 1)?;
    let memory = ringmq_io::gate::memory_limit();
    let (namesrv, beside) = name_server::fit(namesrv, &memory, name_server::Place::Broker)?;
    let (namesrv, _) = name_server::start(namesrv, loaded.config.tls(), "--namesrv-port")?;
    let read = loaded.clone();
    let started = match broker::start(loaded, &memory, beside) {
        Ok(started) => started,
        Err(error) => {
            namesrv.stop();
            return Err(error);
        }
    };
    greet(&started.broker.settings, port);
    let service = Service::new();
    let (names, shards) = (namesrv.heartbeat(), started.broker.heartbeat());
    service.ready(move |patience| {
        let silent = broker::silent(&shards, patience);
        silent.into_iter().chain(names.silent(patience)).collect()
    });
    let mut reloader = Reloader::new(read, again);
    signals.wait(|| {
        service.reloading(|| {
            started.broker.read_files_again();
            namesrv.read_files_again();
            reloader.reload(|keys| started.broker.reload(keys));
        });
    });
    service.stopping();
    let code = started.stop();
    namesrv.stop();
    Ok(code)
}

fn namesrv_config(
    port: u16,
    bind: &str,
    broker: &BrokerConfig,
) -> anyhow::Result<Loaded<NamesrvConfig>> {
    let kv = broker.store_path_root_dir.join("namesrv").join("kvConfig.json");
    let set = [
        ("listenPort".to_owned(), port.to_string()),
        ("bindAddress".to_owned(), bind.to_owned()),
        ("kvConfigPath".to_owned(), kv.display().to_string()),
    ];
    Ok(NamesrvConfig::load(None, &set)?)
}

fn greet(settings: &ringmq_broker::settings::BrokerSettings, namesrv_port: u16) {
    let store = settings.store_path.canonicalize().unwrap_or_else(|_| settings.store_path.clone());
    let told = &settings.advertised;
    let host = told.rsplit_once(':').map_or(told.as_str(), |(host, _)| host);
    println!("RingMQ {} serves.", env!("CARGO_PKG_VERSION"));
    println!();
    let listens = |port| SocketAddr::new(settings.bind_address, port);
    println!("  name server       {}", listens(namesrv_port));
    println!("  broker            {}", listens(settings.listen_port));
    println!("  clients are told  {told} (--advertise changes it)");
    println!("  data              {}", store.display());
    let flush =
        if settings.flush_sync { "on disk (SYNC_FLUSH)" } else { "by the device (ASYNC_FLUSH)" };
    println!("  acknowledged when {flush}");
    println!();
    println!("Send a first message, from another terminal:");
    println!("  ringmq bench both -n {host}:{namesrv_port} -t TopicTest --duration 5");
    println!("or with any RocketMQ client: name server address {host}:{namesrv_port}.");
}
