//! A name server on a port of its own.

use std::fmt::Write;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use ringmq_remoting::codes::request;

use crate::client::Client;
use crate::process::Process;
use crate::server::free_port;

/// Longest wait for the first answer, beside other tests.
const START_TIMEOUT: Duration = Duration::from_secs(30);

pub struct NameServer {
    pub process: Process,
    pub address: SocketAddr,
}

impl NameServer {
    /// Starts one with further keys and waits until it answers.
    pub fn start(directory: &Path, keys: &[(&str, String)]) -> NameServer {
        NameServer::start_in(directory, keys, None)
    }

    /// The same, for which `connect` makes clients that it serves.
    pub fn start_with(
        directory: &Path,
        keys: &[(&str, String)],
        connect: impl Fn(SocketAddr) -> io::Result<Client>,
    ) -> NameServer {
        let mut server = NameServer::spawn(directory, keys, None);
        server.await_answer(connect);
        server
    }

    /// The same in a cgroup.
    pub fn start_in(
        directory: &Path,
        keys: &[(&str, String)],
        cgroup: Option<&Path>,
    ) -> NameServer {
        let mut server = NameServer::spawn(directory, keys, cgroup);
        server.await_answer(Client::connect);
        server
    }

    fn spawn(directory: &Path, keys: &[(&str, String)], cgroup: Option<&Path>) -> NameServer {
        let port = free_port();
        let ip = keys.iter().find(|(key, _)| *key == "bindAddress");
        let ip: IpAddr = ip.map_or("127.0.0.1", |(_, ip)| ip.as_str()).parse().expect("an address");
        // On a busy machine a test may take longer than a broker may be silent.
        let mut text = format!(
            "listenPort={port}\nbindAddress={ip}\nserverChannelMaxIdleTimeSeconds=0\n\
             brokerChannelExpiredTime=3600000\nkvConfigPath={}\n",
            directory.join("kvConfig.json").display()
        );
        for (key, value) in keys.iter().filter(|(key, _)| *key != "bindAddress") {
            writeln!(text, "{key}={value}").expect("a string takes all");
        }
        let file = directory.join(format!("namesrv-{port}.conf"));
        std::fs::write(&file, text).expect("the directory can be written");
        let log = directory.join(format!("namesrv-{port}.log"));
        let arguments = ["namesrv", "-c", file.to_str().expect("UTF-8")];
        let process = match cgroup {
            Some(group) => Process::start_in_cgroup(&arguments, log, group),
            None => Process::start(&arguments, log),
        };
        NameServer { process, address: SocketAddr::new(ip, port) }
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address).expect("the name server listens")
    }

    fn await_answer(&mut self, connect: impl Fn(SocketAddr) -> io::Result<Client>) {
        let began = Instant::now();
        let asks = |address| {
            let mut client = connect(address)?;
            client.call(request::GET_BROKER_CLUSTER_INFO, &[], b"")
        };
        while asks(self.address).is_err() {
            let ended = self.process.ended();
            let waits = ended.is_none() && began.elapsed() < START_TIMEOUT;
            assert!(waits, "the name server does not answer:\n{}", self.process.output());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
