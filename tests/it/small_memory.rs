//! Brokers in memory cgroups so small that they would be killed if their budgets did not follow
//! from the limit. Needs root, and the controller of memory in /sys/fs/cgroup.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ringmq_remoting::codes::response;

use crate::client::Client;
use crate::needs::needs;
use crate::process::{self, Process};
use crate::server::{Server, Settings};
use crate::shards::for_shards;

const MIB: u64 = 1 << 20;
const SENDERS: usize = 8;
const SENDS: usize = 30;
const BODY_BYTES: usize = 3 << 20;
/// Connections that send three quarters of a message of 4 MiB.
const HALF_FRAMES: usize = 40;
const HALF_BODY_BYTES: usize = 3 << 20;
const IDLE: usize = 300;

for_shards!(a_broker_lives_in_little_memory_under_any_load, what_was_set_must_fit_into_the_memory);

/// A cgroup of version 1 or 2 with a limit of memory; removed when the process in it has ended.
pub struct MemoryGroup {
    directory: PathBuf,
}

impl MemoryGroup {
    pub fn new(bytes: u64) -> Result<MemoryGroup, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringmq-memory-{}-{number}", std::process::id());
        let root = Path::new("/sys/fs/cgroup");
        let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        let (directory, limit) = if controllers.contains("memory") {
            (root.join(name), "memory.max")
        } else if root.join("memory").is_dir() {
            (root.join("memory").join(name), "memory.limit_in_bytes")
        } else {
            return Err("no controller of memory in /sys/fs/cgroup".into());
        };
        fs::create_dir(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        let group = MemoryGroup { directory };
        fs::write(group.directory.join(limit), bytes.to_string())
            .map_err(|error| format!("{limit}: {error}"))?;
        Ok(group)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Processes that the kernel ended for want of memory.
    pub fn killed(&self) -> u64 {
        let files = ["memory.events", "memory.oom_control"];
        let texts = files.map(|file| fs::read_to_string(self.directory.join(file)));
        let text = texts.into_iter().find_map(Result::ok).expect("one of both");
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.map_or(0, |count| count.trim().parse().expect("a count"))
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // it is busy until the kernel has let go of the process
        let gone = (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(2));
            fs::remove_dir(&self.directory).is_ok()
        });
        assert!(gone || std::thread::panicking(), "{} stays", self.directory.display());
    }
}

fn memory_for(shards: u32) -> u64 {
    match shards {
        1 => 128 * MIB,
        2 => 192 * MIB,
        _ => 384 * MIB,
    }
}

/// What the line about budgets says that the process stays under.
pub fn printed_bytes(output: &str) -> u64 {
    let (_, rest) = output.split_once("this process stays under ").expect("said at start");
    let (number, rest) = rest.split_once(' ').expect("a number and a unit");
    assert!(rest.starts_with("MiB: process "), "{rest}");
    (number.parse::<f64>().expect("a number") * MIB as f64) as u64
}

/// Most resident memory of its own so far; pages of the binary, which can be read again, aside.
pub fn own_bytes(process: &Process) -> u64 {
    let path = format!("/proc/{}/status", process.pid());
    let status = fs::read_to_string(path).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("RssAnon");
    let number = line.split_whitespace().nth(1).expect("a number");
    number.parse::<u64>().expect("kilobytes") * 1024
}

fn a_broker_lives_in_little_memory_under_any_load(shards: u32) {
    let found = MemoryGroup::new(memory_for(shards));
    let Some(group) = needs("a_broker_lives_in_little_memory", found) else {
        return;
    };
    let directory = process::directory("small-memory");
    let cgroup = Some(group.directory.clone());
    let extra = vec![("mappedFileSizeCommitLog", (64 * MIB).to_string())];
    let settings = Settings { shards, cgroup, extra, ..Settings::default() };
    let server = Server::start(directory.path(), &settings);
    server.process.allows("take all of inputBytesMax");
    let printed = printed_bytes(&server.process.output());
    assert!(printed < memory_for(shards), "{printed}");
    let mut honest = server.client();
    honest.create_topic("small", 4).expect("the broker serves").expect(0);
    let idle: Vec<_> = (0..IDLE).map(|_| server.client()).collect();
    let most = attack(&server, &mut honest);
    println!("{shards} shards: at most {most} bytes of {printed} printed");
    assert_eq!(group.killed(), 0, "the kernel ended it");
    assert!(most < printed, "{most} bytes of its own, {printed} printed");
    honest.send("small", 0, b"after").expect("an answer").expect(response::SUCCESS);
    drop(idle);
    drop(server);
}

/// Sends, pulls and halves of frames at once beside an honest client; the most memory seen.
fn attack(server: &Server, honest: &mut Client) -> u64 {
    let address = server.address;
    std::thread::scope(|scope| {
        let attackers: Vec<_> = (0..=SENDERS)
            .map(|number| {
                scope.spawn(move || match number {
                    0 => send_halves(address),
                    _ => send_large(address, number),
                })
            })
            .collect();
        let mut most = 0;
        // one that panicked has finished, too
        while attackers.iter().any(|attacker| !attacker.is_finished()) {
            most = most.max(own_bytes(&server.process));
            let reply = honest.send("small", 3, b"honest").expect("an answer");
            let busy = reply.code == response::SYSTEM_BUSY;
            assert!(busy || reply.code == response::SUCCESS, "{} {}", reply.code, reply.remark);
        }
        most
    })
}

/// Sends large messages and pulls what comes of them. A refusal is as good as success, and so is a
/// connection that is closed because it was the slowest of too many.
fn send_large(address: SocketAddr, sender: usize) {
    let connect = || Client::connect(address).expect("the broker listens");
    let mut client = connect();
    let queue = i32::try_from(sender % 4).expect("below 4");
    let body = vec![b'x'; BODY_BYTES];
    for offset in 0..SENDS {
        let Ok(reply) = client.send("small", queue, &body) else {
            client = connect();
            continue;
        };
        let busy = reply.code == response::SYSTEM_BUSY;
        assert!(busy || reply.code == response::SUCCESS, "{} {}", reply.code, reply.remark);
        let offset = i64::try_from(offset).expect("small");
        if client.pull("small", queue, offset, 32).is_err() {
            client = connect();
        }
    }
}

/// Connections that never finish what they began to send. Those that are closed have had their way.
fn send_halves(address: SocketAddr) {
    let header = br#"{"code":310,"flag":0,"language":"JAVA","opaque":1,"version":401,"extFields":{
        "a":"G","b":"small","c":"TBW102","d":"4","e":"0","f":"0","g":"0","h":"0","i":"","j":"0"}}"#;
    let number = |bytes: usize| u32::try_from(bytes).expect("small").to_be_bytes();
    let lengths = [number(4 + header.len() + HALF_BODY_BYTES * 4 / 3), number(header.len())];
    let halves: Vec<_> = (0..HALF_FRAMES)
        .map(|_| {
            let mut stream = TcpStream::connect(address).expect("the broker listens");
            let body = vec![b'x'; HALF_BODY_BYTES];
            let _ = stream.write_all(&[&lengths.concat(), header.as_slice(), &body].concat());
            stream
        })
        .collect();
    drop(halves);
}

/// A start that must fail is better than a process that ends under load.
fn what_was_set_must_fit_into_the_memory(shards: u32) {
    let Some(group) = needs("what_was_set_must_fit", MemoryGroup::new(memory_for(shards))) else {
        return;
    };
    let directory = process::directory("set-memory");
    let cgroup = Some(group.directory.clone());
    let extra = vec![("blockCacheBytes", (1024 * MIB).to_string())];
    let settings = Settings { shards, cgroup, extra, ..Settings::default() };
    let mut server = Server::spawn(directory.path(), &settings);
    let status = server.process.wait(Duration::from_secs(60));
    assert!(!status.success());
    let output = server.process.output();
    assert!(output.contains("lower blockCacheBytes = 1073741824, or raise the limit"), "{output}");
    assert!(output.contains(group.directory.to_str().expect("ascii")), "{output}");
}
