//! A real file system that runs full, and a device that is slow: 256 MiB of ext4 on a loop device.
//! Needs root, mkfs.ext4, loop devices and a controller of block devices.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ringmq_campaign::checker::{Checker, Queue};
use ringmq_campaign::messages::{Lengths, Sent};

use crate::client::{Answer, Client};
use crate::needs::needs;
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(
    a_full_disk_refuses_with_a_reason_loses_nothing_and_goes_on_by_itself,
    a_slow_disk_delays_acknowledgements_and_loses_nothing,
);

const IMAGE_BYTES: u64 = 256 << 20;
const TOPIC: &str = "full";
const QUEUES: i32 = 2;
/// Sends until the disk must be full: more than it holds.
const SENDS_MAX: usize = 2_000;
/// After space is back.
const RESUME_TIMEOUT: Duration = Duration::from_secs(10);
const CYCLES: usize = 2;
const SLOW_BYTES_A_SECOND: u64 = 2 << 20;
const SLOW_SENDS: usize = 24;

/// A file system of its own, mounted below a directory; gone when dropped.
struct Mount {
    directory: tempfile::TempDir,
}

fn command(program: &str, arguments: &[&OsStr]) -> Result<(), String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

impl Mount {
    /// Mounts it where a server of the directory has its store.
    fn new(name: &str) -> Result<Mount, String> {
        let own = fs::metadata("/proc/self").map_err(|error| error.to_string())?;
        if own.uid() != 0 {
            return Err("only root may mount".into());
        }
        let directory = process::directory(name);
        let image = directory.path().join("image");
        let file = File::create(&image).map_err(|error| error.to_string())?;
        file.set_len(IMAGE_BYTES).map_err(|error| error.to_string())?;
        let flags = ["-q", "-F", "-m", "0"].map(OsStr::new);
        command("mkfs.ext4", &[flags.as_slice(), &[image.as_os_str()]].concat())?;
        let mount = Mount { directory };
        fs::create_dir(mount.store()).map_err(|error| error.to_string())?;
        let store = mount.store();
        let flags = ["-o", "loop"].map(OsStr::new);
        let places = [image.as_os_str(), store.as_os_str()];
        command("mount", &[flags.as_slice(), &places].concat())?;
        Ok(mount)
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn store(&self) -> PathBuf {
        self.path().join("store")
    }

    fn ballast(&self) -> PathBuf {
        self.store().join("ballast")
    }

    /// Takes all space that is left.
    fn fill(&self) {
        let mut file = File::create(self.ballast()).expect("there is room for a name");
        let mut chunk = vec![7; 1 << 20];
        while !chunk.is_empty() {
            if file.write_all(&chunk).and_then(|()| file.sync_data()).is_err() {
                chunk.truncate(chunk.len() / 2);
            }
        }
    }

    fn free(&self) {
        fs::remove_file(self.ballast()).expect("it was written");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let store = self.store();
        if command("umount", &[store.as_os_str()]).is_err() {
            let lazily = command("umount", &[OsStr::new("-l"), store.as_os_str()]);
            if let Err(error) = lazily {
                println!("cannot unmount {}: {error}", store.display());
            }
        }
    }
}

/// A producer with a memory.
struct Producer {
    sent: Sent,
    checker: Checker,
    turn: usize,
}

impl Producer {
    fn new() -> Producer {
        let lengths = Lengths { usual_max: 900_000, large_max: 1, large_one_in: 0 };
        Producer { sent: Sent::new(lengths), checker: Checker::default(), turn: 0 }
    }

    fn send(&mut self, client: &mut Client) -> Answer {
        let id = self.sent.next_id(1);
        self.sent.count(1);
        self.turn += 1;
        let queue = i32::try_from(self.turn).expect("small") % QUEUES;
        let reply = client.send(TOPIC, queue, &self.sent.body(id)).expect("an answer");
        if reply.code == 0 {
            self.checker.acked(&(TOPIC.to_owned(), queue), reply.number("queueOffset"), id);
        }
        reply
    }

    /// Everything that was acknowledged is served.
    fn check(&mut self, client: &mut Client) {
        for queue_id in 0..QUEUES {
            let queue: Queue = (TOPIC.to_owned(), queue_id);
            let max = client.max_offset(TOPIC, queue_id).expect("the broker serves");
            let (mut messages, mut offset) = (Vec::new(), 0);
            while offset < max {
                let pulled = client.pull(TOPIC, queue_id, offset, 32).expect("the broker serves");
                assert!(pulled.next > offset, "no progress at {offset} of {max}");
                offset = pulled.next;
                let stored = pulled.messages.into_iter();
                messages.extend(stored.map(|message| (message.queue_offset, message.body)));
            }
            self.checker.drained(&self.sent, &queue, &messages);
        }
        assert_eq!(self.checker.violations, []);
    }
}

/// Each log has one segment, which is written to and thus never deleted.
fn start(mount: &Mount, shards: u32) -> Server {
    let levels = [
        ("diskMaxUsedSpaceRatio", "75"),
        ("diskSpaceCleanForciblyRatio", "85"),
        ("diskSpaceWarningLevelRatio", "90"),
    ];
    let extra = levels.map(|(key, value)| (key, value.to_owned())).to_vec();
    let settings = Settings { shards, sync_flush: true, extra, ..Settings::default() };
    let server = Server::start(mount.path(), &settings);
    server.process.allows("No space left on device");
    server
}

fn a_full_disk_refuses_with_a_reason_loses_nothing_and_goes_on_by_itself(shards: u32) {
    let Some(mount) = needs("a_full_disk_refuses", Mount::new("disk-full")) else {
        return;
    };
    let mut server = start(&mount, shards);
    // whichever notices first, as below
    server.process.expects(" are refused");
    let mut client = server.client();
    let queues = QUEUES.unsigned_abs();
    client.create_topic(TOPIC, queues).expect("the broker serves").expect(0);
    let mut producer = Producer::new();
    for cycle in 0..CYCLES {
        for _ in 0..5 {
            producer.send(&mut client).expect(0);
        }
        mount.fill();
        let refusal = (0..SENDS_MAX).find_map(|_| {
            let reply = producer.send(&mut client);
            (reply.code != 0).then_some(reply)
        });
        let refusal = refusal.expect("the disk is full");
        println!("cycle {cycle}: refused with {}: {}", refusal.code, refusal.remark);
        // The growing segment notices first, or the look at the disk's level; both say what to do.
        let remedies = ["free some space", "Free space there"];
        let reason = remedies.iter().any(|remedy| refusal.remark.contains(remedy));
        assert!(reason, "no reason: {refusal:?}");
        producer.check(&mut client);
        mount.free();
        let freed = Instant::now();
        // Queues may be on two shards, and each log finds the space by itself.
        let mut taken = 0;
        while taken < QUEUES {
            taken = if producer.send(&mut client).code == 0 { taken + 1 } else { 0 };
            assert!(freed.elapsed() < RESUME_TIMEOUT, "refused after {:?}", freed.elapsed());
            if taken == 0 {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        println!("cycle {cycle}: taken again after {} ms", freed.elapsed().as_millis());
        producer.check(&mut client);
    }
    // And once more as a dying process leaves it.
    mount.fill();
    while producer.send(&mut client).code == 0 {}
    server.process.kill9();
    mount.free();
    drop(server);
    let server = start(&mount, shards);
    producer.check(&mut server.client());
}

/// Lets the process write so many bytes a second to the device, by the blkio controller of cgroup
/// v1 or the io controller of v2. The group is removed when dropped.
struct Throttle {
    group: PathBuf,
    limit: &'static str,
    device: String,
}

impl Throttle {
    fn new(device: u64, pid: u32) -> Result<Throttle, String> {
        // after the process in it: tests run side by side
        let root = Path::new("/sys/fs/cgroup");
        let device = format!("{}:{}", nix::sys::stat::major(device), nix::sys::stat::minor(device));
        let name = format!("ringmq-test-{pid}");
        let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        let (group, limit, value) = if controllers.contains("io") {
            let value = format!("{device} wbps={SLOW_BYTES_A_SECOND}");
            (root.join(name), "io.max", value)
        } else if root.join("blkio").is_dir() {
            let value = format!("{device} {SLOW_BYTES_A_SECOND}");
            (root.join("blkio").join(name), "blkio.throttle.write_bps_device", value)
        } else {
            return Err("no controller of block devices in /sys/fs/cgroup".into());
        };
        fs::create_dir(&group).map_err(|error| format!("{}: {error}", group.display()))?;
        let throttle = Throttle { group, limit, device };
        throttle.set(&value)?;
        fs::write(throttle.group.join("cgroup.procs"), pid.to_string())
            .map_err(|error| format!("cgroup.procs: {error}"))?;
        Ok(throttle)
    }

    fn set(&self, value: &str) -> Result<(), String> {
        fs::write(self.group.join(self.limit), value)
            .map_err(|error| format!("{}: {error}", self.limit))
    }

    fn lift(&self) {
        let none = if self.limit == "io.max" { "wbps=max" } else { "0" };
        self.set(&format!("{} {none}", self.device)).expect("it could be set");
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        // A group goes when its last process has.
        let _ = fs::remove_dir(&self.group);
    }
}

fn a_slow_disk_delays_acknowledgements_and_loses_nothing(shards: u32) {
    const NAME: &str = "a_slow_disk_delays";
    let Some(mount) = needs(NAME, Mount::new("disk-slow")) else {
        return;
    };
    let device = fs::metadata(mount.store()).expect("it is mounted").dev();
    let mut server = start(&mount, shards);
    let Some(throttle) = needs(NAME, Throttle::new(device, server.process.pid())) else {
        return;
    };
    let mut client = server.client();
    let queues = QUEUES.unsigned_abs();
    client.create_topic(TOPIC, queues).expect("the broker serves").expect(0);
    let mut producer = Producer::new();
    let before = server.process.resident_bytes();
    let began = Instant::now();
    let codes: Vec<i32> = (0..SLOW_SENDS).map(|_| producer.send(&mut client).code).collect();
    let refused = codes.iter().filter(|code| **code != 0).count();
    println!("{SLOW_SENDS} sends in {:?}, {refused} refused", began.elapsed());
    assert!(began.elapsed() > Duration::from_secs(1), "the device is not slow");
    let grown = server.process.resident_bytes().saturating_sub(before);
    assert!(grown < 256 << 20, "memory grew by {grown} bytes");
    throttle.lift();
    producer.send(&mut client).expect(0);
    producer.check(&mut client);
    server.process.kill9();
    drop(server);
    let server = start(&mount, shards);
    producer.check(&mut server.client());
}
