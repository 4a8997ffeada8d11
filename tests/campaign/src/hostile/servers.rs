//! A broker and a name server as processes, each in a memory cgroup of its own if the machine
//! allows it.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use ringmq_remoting::codes::{request, response};
use ringmq_test_client::{forget_environment, queue_fields};

use super::{
    cgroup::Cgroup,
    priority::Processors,
    wire::{Link, texts},
};

const START_PATIENCE: Duration = Duration::from_secs(30);
const STOP_PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Ports of campaigns; tests of `tests/it` take those below.
const FIRST_PORT: u16 = 30_000;

/// What the servers are started with.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Memory of each cgroup in bytes; `None`: no cgroup.
    pub memory: Option<u64>,
    /// Further keys of the broker.
    pub keys: Vec<(&'static str, String)>,
    /// The file with accounts, if the broker checks them.
    pub accounts: Option<&'static str>,
    /// CPUs of the broker, as `--cores` takes them.
    pub cores: Option<String>,
}

/// A server under attack.
pub struct Server {
    pub name: &'static str,
    pub address: SocketAddr,
    child: Child,
    log: PathBuf,
    /// Says why there is none.
    pub cgroup: Result<Cgroup, String>,
}

impl Server {
    fn start(
        name: &'static str,
        port: u16,
        words: &[&str],
        at: &Path,
        memory: Option<u64>,
    ) -> Server {
        let cgroup = match memory {
            Some(bytes) => Cgroup::create(name, bytes),
            None => Err("none is wanted".to_owned()),
        };
        let binary = binary();
        let mut command = match &cgroup {
            Ok(cgroup) => cgroup.command(&binary),
            Err(_) => Command::new(&binary),
        };
        let log = at.join(format!("{name}.log"));
        let output = File::create(&log).expect("the log can be created");
        command.args(words).stdin(Stdio::null());
        forget_environment(&mut command);
        // Log lines go to standard error; on standard output it says that it serves.
        command.stdout(Stdio::null()).stderr(output);
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("cannot start {}: {error}: cargo build --release", binary.display())
        });
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Server { name, address, child, log, cgroup }
    }

    fn await_answer(&mut self, asks: impl Fn(&mut Link) -> bool) {
        let began = Instant::now();
        while !Link::open(self.address).is_ok_and(|mut link| asks(&mut link)) {
            let alive = self.is_alive() && began.elapsed() < START_PATIENCE;
            assert!(alive, "the {} does not start:\n{}", self.name, self.output());
            thread::sleep(LOOK_EVERY);
        }
    }

    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// How it ended by itself, if it did.
    pub fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }

    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Resident bytes now, and the most there ever were; zeros when it has ended.
    pub fn resident(&self) -> (u64, u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let kilobytes = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name));
            let number = line.and_then(|line| line.split_whitespace().nth(1));
            number.and_then(|number| number.parse::<u64>().ok()).unwrap_or(0)
        };
        (kilobytes("VmRSS:") << 10, kilobytes("VmHWM:") << 10)
    }

    /// What it had of the processors until now.
    pub fn processors(&self) -> Processors {
        Processors::of(self.child.id())
    }

    /// Stops it in order, or says that it does not stop.
    pub fn stop(&mut self) -> Result<(), String> {
        let pid = i32::try_from(self.child.id()).expect("pids are positive");
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        let began = Instant::now();
        while self.is_alive() {
            if began.elapsed() > STOP_PATIENCE {
                return Err(format!("the {} does not stop within {STOP_PATIENCE:?}", self.name));
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A name server and a broker that is registered there.
pub struct Servers {
    pub broker: Server,
    pub names: Server,
    directory: PathBuf,
}

impl Servers {
    /// Starts both below `directory` and waits until both answer.
    pub fn start(directory: &Path, settings: &Settings) -> Servers {
        let directory = directory.join(format!("servers-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).expect("the directory can be written");
        let (port, names_port) = (free_port(), free_port());
        let names_file = directory.join("namesrv.conf");
        let kv = directory.join("kv.json");
        let text = format!("listenPort={names_port}\nkvConfigPath={}\n", kv.display());
        fs::write(&names_file, text).expect("the directory can be written");
        let words = ["namesrv", "-c", text_of(&names_file)];
        let mut names =
            Server::start("name server", names_port, &words, &directory, settings.memory);
        let cluster =
            |link: &mut Link| link.call(request::GET_BROKER_CLUSTER_INFO, &[], b"").is_ok();
        names.await_answer(cluster);
        let file = directory.join("broker.conf");
        fs::write(&file, configuration(&directory, port, names_port, settings))
            .expect("the directory can be written");
        if let Some(accounts) = settings.accounts {
            fs::write(directory.join("plain_acl.yml"), accounts)
                .expect("the directory can be written");
        }
        let mut words = vec!["broker", "-c", text_of(&file)];
        if let Some(cores) = &settings.cores {
            words.extend(["--cores", cores]);
        }
        let mut broker = Server::start("broker", port, &words, &directory, settings.memory);
        broker.await_answer(|link| {
            let fields = queue_fields("TBW102", 0);
            let answer = link.call(request::GET_MAX_OFFSET, &fields, b"");
            let checks = settings.accounts.is_some();
            answer.is_ok_and(|answer| {
                answer.code == response::SUCCESS || checks && answer.remark.contains("AclException")
            })
        });
        names.await_answer(|link| {
            let fields = texts(&[("topic", "TBW102")]);
            let answer = link.call(request::GET_ROUTEINFO_BY_TOPIC, &fields, b"");
            answer.is_ok_and(|answer| answer.code == response::SUCCESS)
        });
        Servers { broker, names, directory }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        let _ = self.broker.child.kill();
        let _ = self.broker.child.wait();
        if std::env::var_os("RINGMQ_CAMPAIGN_KEEP").is_none() {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

fn configuration(directory: &Path, port: u16, names: u16, settings: &Settings) -> String {
    let store = directory.join("store");
    let mut text = format!(
        "brokerName=broker-a\nbrokerIP1=127.0.0.1\nlistenPort={port}\n\
         namesrvAddr=127.0.0.1:{names}\nflushDiskType=ASYNC_FLUSH\nstorePathRootDir={}\n\
         mappedFileSizeCommitLog=67108864\nretentionBytes=1073741824\nzeroAheadBytes=4194304\n\
         diskMaxUsedSpaceRatio=95\ndiskSpaceCleanForciblyRatio=99\n\
         diskSpaceWarningLevelRatio=99\nenablePropertyFilter=true\n",
        store.display(),
    );
    if settings.accounts.is_some() {
        text.push_str("aclEnable=true\n");
    }
    for (key, value) in &settings.keys {
        text.push_str(&format!("{key}={value}\n"));
    }
    text
}

fn text_of(path: &Path) -> &str {
    path.to_str().expect("the path is UTF-8")
}

/// `RINGMQ`, or the release build beside this program.
pub fn binary() -> PathBuf {
    match std::env::var_os("RINGMQ") {
        Some(path) => path.into(),
        None => std::env::current_exe().expect("a program has a path").with_file_name("ringmq"),
    }
}

/// A port that was free a moment ago; the broker takes the one two below as well.
fn free_port() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 100).expect("below 100") * 20;
    loop {
        let port = FIRST_PORT + (start + NEXT.fetch_add(4, Ordering::Relaxed)) % 2_700;
        let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if free(port) && free(port - 2) {
            return port;
        }
    }
}
