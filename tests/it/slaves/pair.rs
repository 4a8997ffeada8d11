//! Two brokers of one name, and a name server.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ringmq_remoting::codes::{request, response};
use ringmq_remoting::fastjson;
use serde_json::Value;

use crate::client::Client;
use crate::name_server::NameServer;
use crate::process;
use crate::server::{Server, Settings, free_port};

pub const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy)]
pub enum Role {
    SyncMaster,
    AsyncMaster,
    Slave,
}

pub struct Pair {
    pub master: Server,
    slave: Option<Server>,
    names: NameServer,
    role: Role,
    shards: u32,
    /// Of master and slave, also when they start again.
    ports: (u16, u16),
    /// Dropped last: the processes write there.
    directory: tempfile::TempDir,
}

impl Pair {
    /// Starts the name server and the master.
    pub fn start(name: &str, role: Role, shards: u32) -> Pair {
        let directory = process::directory(name);
        let names = NameServer::start(directory.path(), &[]);
        // Whoever is killed.
        names.process.allows("is dropped: its connection has ended");
        let ports = (free_port(), free_port());
        let master = start(directory.path(), (role, ports.0), &names, shards);
        Pair { directory, names, role, shards, ports, master, slave: None }
    }

    /// With another number of shards than the master.
    pub fn start_slave(&mut self) {
        let shards = if self.shards == 2 { 1 } else { self.shards };
        self.slave =
            Some(start(self.directory.path(), (Role::Slave, self.ports.1), &self.names, shards));
    }

    pub fn start_master(&mut self) {
        self.master =
            start(self.directory.path(), (self.role, self.ports.0), &self.names, self.shards);
    }

    pub fn slave(&self) -> &Server {
        self.slave.as_ref().expect("it was started")
    }

    pub fn kill_slave(&mut self) {
        let mut slave = self.slave.take().expect("it was started");
        slave.process.kill9();
    }

    pub fn kill_master(&mut self) {
        self.master.process.kill9();
    }

    pub fn stop_slave(&mut self) {
        let mut slave = self.slave.take().expect("it was started");
        stop(&mut slave);
    }

    /// The master first: what it says to the end is what the slave has to have.
    pub fn stop_both(&mut self) {
        stop(&mut self.master);
        self.stop_slave();
    }

    /// Waits until sends are acknowledged by two.
    pub fn await_in_sync(&mut self) {
        let mut client = self.master.client();
        client.create_topic("probe", 16).expect("an answer").expect(response::SUCCESS);
        let began = Instant::now();
        for queue in 0..16 {
            while client.send("probe", queue, b"").expect("an answer").code != response::SUCCESS {
                let outputs = (self.master.process.output(), self.slave().process.output());
                assert!(began.elapsed() < PATIENCE, "not in sync: {} {}", outputs.0, outputs.1);
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Waits until the slave shows as much of a topic as its master.
    pub fn await_equal_ends(&self, topic: &str, queues: i32) {
        let (mut master, mut slave) = (self.master.client(), self.slave().client());
        let began = Instant::now();
        for queue in 0..queues {
            let end = master.max_offset(topic, queue).expect("an answer");
            loop {
                let at = slave.max_offset(topic, queue);
                if at.as_ref().is_ok_and(|at| *at == end) {
                    break;
                }
                assert!(began.elapsed() < PATIENCE, "queue {queue} ends at {at:?}, not {end}");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Waits until the name server tells both addresses.
    pub fn await_both_in_route(&self, topic: &str) {
        let mut names = self.names.client();
        let began = Instant::now();
        loop {
            let asked = names.call(request::GET_ROUTEINFO_BY_TOPIC, &[("topic", topic)], b"");
            let body = asked.expect("an answer").body;
            let text = String::from_utf8_lossy(&body);
            let addresses = [self.master.address, self.slave().address].map(|at| at.to_string());
            if addresses.iter().all(|address| text.contains(address)) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "both are not in {text}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until topics, groups and offsets are the same on both.
    pub fn await_equal_metadata(&self) {
        let (mut master, mut slave) = (self.master.client(), self.slave().client());
        let codes = [
            (request::GET_ALL_TOPIC_CONFIG, "topicConfigTable"),
            (request::GET_ALL_SUBSCRIPTIONGROUP_CONFIG, "subscriptionGroupTable"),
            (request::GET_ALL_CONSUMER_OFFSET, "offsetTable"),
        ];
        for (code, table) in codes {
            let began = Instant::now();
            loop {
                let [own, copied] = [&mut master, &mut slave].map(|client| {
                    let answer = client.call(code, &[], b"").expect("an answer");
                    let body: Value = match answer.body.is_empty() {
                        true => Value::Null,
                        false => fastjson::from_slice(&answer.body).expect("a table"),
                    };
                    body.get(table).cloned().unwrap_or_default()
                });
                if own == copied {
                    break;
                }
                assert!(began.elapsed() < PATIENCE, "{table}: {own} and at the slave {copied}");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Both are stopped: what one has and the other does not are zeros at the end of files.
    pub fn compare_logs(&self) {
        let [own, copied] =
            [self.role, Role::Slave].map(|role| segments(&store(self.directory.path(), role)));
        assert_eq!(own.keys().collect::<Vec<_>>(), copied.keys().collect::<Vec<_>>(), "segments");
        for (name, bytes) in &own {
            let other = &copied[name];
            let length = bytes.len().min(other.len());
            let differs = bytes.iter().zip(other).position(|(own, other)| own != other);
            assert_eq!(differs, None, "{} differs from here on", name.display());
            for rest in [&bytes[length..], &other[length..]] {
                assert!(rest.iter().all(|byte| *byte == 0), "{} goes on", name.display());
            }
        }
    }
}

fn stop(server: &mut Server) {
    server.process.signal(nix::sys::signal::Signal::SIGTERM);
    let status = server.process.wait(PATIENCE);
    assert!(status.success(), "{status}: {}", server.process.output());
}

fn store(directory: &Path, role: Role) -> PathBuf {
    match role {
        Role::Slave => directory.join("slave"),
        Role::SyncMaster | Role::AsyncMaster => directory.join("master"),
    }
}

fn start(directory: &Path, (role, port): (Role, u16), names: &NameServer, shards: u32) -> Server {
    let (name, id) = match role {
        Role::SyncMaster => ("SYNC_MASTER", 0),
        Role::AsyncMaster => ("ASYNC_MASTER", 0),
        Role::Slave => ("SLAVE", 1),
    };
    let extra = vec![
        ("brokerRole", name.to_owned()),
        ("brokerId", id.to_string()),
        ("namesrvAddr", names.address.to_string()),
        ("storePathRootDir", store(directory, role).display().to_string()),
        ("slaveReadEnable", "true".to_owned()),
        // Small segments, of which there are few.
        ("mappedFileSizeCommitLog", (8 << 20).to_string()),
        ("retentionBytes", (1 << 30).to_string()),
    ];
    let settings = Settings { shards, extra, port: Some(port), ..Settings::default() };
    let server = Server::start(directory, &settings);
    // Peers that come and go, and that nobody proves who they are.
    for line in ["replication", "slave", "master", "more shards than CPUs", "is not connected"] {
        server.process.allows(line);
    }
    server
}

/// All messages of a queue, which has so many.
pub fn drain(client: &mut Client, topic: &str, queue: i32, count: usize) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let began = Instant::now();
    while found.len() < count {
        let pulled = client.pull(topic, queue, found.len() as i64, 32).expect("an answer");
        found.extend(pulled.messages.into_iter().map(|message| message.body));
        assert!(began.elapsed() < PATIENCE, "queue {queue} has {} of {count}", found.len());
    }
    found
}

fn segments(store: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for log in fs::read_dir(store).expect("a store").map(|entry| entry.expect("an entry").path()) {
        let name = log.file_name().expect("a name").to_string_lossy().into_owned();
        if !name.starts_with("log-") || !log.is_dir() {
            continue;
        }
        for file in fs::read_dir(&log).expect("a log").map(|entry| entry.expect("an entry").path())
        {
            if file.extension().is_some_and(|extension| extension == "seg") {
                let bytes = fs::read(&file).expect("readable");
                let key = file.strip_prefix(store).expect("is in it").to_owned();
                found.insert(key, bytes);
            }
        }
    }
    found
}
