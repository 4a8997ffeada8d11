//! A name server with two brokers, and commands that are run against them.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use ringmq_test_client::forget_environment;

use crate::client::Client;
use crate::name_server::NameServer;
use crate::process::{self, binary};
use crate::server::{Server, Settings};

const PATIENCE: Duration = Duration::from_secs(60);
pub const BROKERS: [&str; 2] = ["broker-a", "broker-b"];

pub struct Cluster {
    // stopped in this order, so that no broker misses its name server
    pub brokers: [Server; 2],
    pub names: NameServer,
    _directory: tempfile::TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    fn of(output: Output) -> Ran {
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

impl Cluster {
    pub fn start(name: &str, shards: u32) -> Cluster {
        Cluster::start_with(name, shards, &[], None)
    }

    /// With further keys of the brokers, and their file with accounts.
    pub fn start_with(
        name: &str,
        shards: u32,
        keys: &[(&'static str, &str)],
        accounts: Option<&str>,
    ) -> Cluster {
        let directory = process::directory(name);
        let names = NameServer::start(directory.path(), &[]);
        names.process.allows("is dropped: its connection has ended");
        let brokers = BROKERS.map(|name| {
            let place = directory.path().join(name);
            std::fs::create_dir(&place).expect("a new directory");
            if let Some(accounts) = accounts {
                std::fs::write(place.join("plain_acl.yml"), accounts).expect("a new file");
            }
            let mut extra =
                vec![("namesrvAddr", names.address.to_string()), ("brokerName", name.to_owned())];
            extra.extend(keys.iter().map(|(key, value)| (*key, (*value).to_owned())));
            Server::start(&place, &Settings { shards, extra, ..Settings::default() })
        });
        let cluster = Cluster { names, brokers, _directory: directory };
        cluster.until("both brokers are registered", "clusterList", |ran| {
            BROKERS.iter().all(|name| ran.out.contains(name))
        });
        cluster
    }

    pub fn address(&self, broker: usize) -> String {
        self.brokers[broker].address.to_string()
    }

    pub fn client(&self, broker: usize) -> Client {
        self.brokers[broker].client()
    }

    /// `ringmq admin LINE` with this name server; `{a}` and `{b}` stand for the brokers.
    pub fn command(&self, line: &str) -> Command {
        let line = line.replace("{a}", &self.address(0)).replace("{b}", &self.address(1));
        let mut command = Command::new(binary());
        command.arg("admin").args(line.split_whitespace());
        forget_environment(&mut command);
        command.env("NAMESRV_ADDR", self.names.address.to_string()).env("TZ", "UTC");
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, line: &str) -> Ran {
        let output = self.command(line).stdin(Stdio::null()).output();
        Ran::of(output.expect("the binary can be started"))
    }

    /// As [`Cluster::run`], with something to read on standard input.
    pub fn run_with_input(&self, line: &str, input: &[u8]) -> Ran {
        let mut command = self.command(line);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary can be started");
        // one that fails does not read on
        drop(child.stdin.take().expect("piped").write_all(input));
        Ran::of(child.wait_with_output().expect("it ends"))
    }

    /// Runs a command that must work; gives what it prints, with spaces as one.
    pub fn works(&self, line: &str) -> String {
        let ran = self.run(line);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{line}: {}", ran.out);
        self.plain(&ran.out)
    }

    /// Runs a command that must fail with this exit code, print nothing and say this in one line.
    pub fn fails(&self, line: &str, code: i32, part: &str) {
        let ran = self.run(line);
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{line}: {}", ran.err);
        assert!(self.plain(&ran.err).contains(part), "{line}: {}", ran.err);
        assert_eq!(ran.err.lines().count(), 1, "{line}: {}", ran.err);
    }

    /// Runs a command and reads what it prints as JSON.
    pub fn json(&self, line: &str) -> serde_json::Value {
        let ran = self.run(&format!("{line} --output json"));
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{line}: {}", ran.out);
        serde_json::from_str(&ran.out).unwrap_or_else(|why| panic!("{line}: {why}:\n{}", ran.out))
    }

    /// Runs a command until what it prints is so.
    pub fn until(&self, what: &str, line: &str, is_so: impl Fn(&Ran) -> bool) -> Ran {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ran = self.run(line);
            if is_so(&ran) {
                return ran;
            }
            assert!(Instant::now() < deadline, "{what}: {line}: {ran:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lines without spaces at their ends and with one where there are several; addresses by the
    /// names of the brokers, times as `<time>`.
    pub fn plain(&self, text: &str) -> String {
        let text = text.replace(&self.address(0), "<a>").replace(&self.address(1), "<b>");
        let lines = text.lines().map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.join(" ")
        });
        let mut text = mask_times(&lines.collect::<Vec<_>>().join("\n"));
        text.push('\n');
        text
    }
}

/// `2026-11-30 07:00:00` with or without milliseconds becomes `<time>`.
fn mask_times(text: &str) -> String {
    const SHAPE: &[u8] = b"dddd-dd-dd dd:dd:dd";
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_time = rest.len() >= SHAPE.len()
            && rest.bytes().zip(SHAPE).all(|(byte, shape)| match shape {
                b'd' => byte.is_ascii_digit(),
                _ => byte == *shape,
            });
        if is_time {
            out.push_str("<time>");
            rest = &rest[SHAPE.len()..];
            if rest.starts_with(',') {
                rest = &rest[4..];
            }
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}
