//! `top`: printed once, and live in a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::time::Duration;

use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};
use ringmq_remoting::codes::response;

use super::cluster::Cluster;
use crate::shards::for_shards;

for_shards!(brokers_topics_and_groups_are_watched, a_terminal_is_left_as_it_was);

const PATIENCE: Duration = Duration::from_secs(60);

fn brokers_topics_and_groups_are_watched(shards: u32) {
    let cluster = Cluster::start("commands-top", shards);
    cluster.works("updateTopic -c DefaultCluster -t Watched -r 1 -w 1");
    let mut client = cluster.client(0);
    for body in [b"one", b"two"] {
        client.send("Watched", 0, body).expect("an answer").expect(response::SUCCESS);
    }
    let seen = cluster.json("top --interval 0.1");
    let names: Vec<_> = seen["brokers"].as_array().expect("rows").iter().collect();
    assert_eq!(
        (&names[0]["broker"], &names[1]["broker"]),
        (&"broker-a".into(), &"broker-b".into())
    );
    assert_eq!(names[1]["address"].as_str(), Some(&*cluster.address(1)));
    let topics = seen["topics"].as_array().expect("rows");
    let watched = topics.iter().find(|row| row["topic"] == "Watched").expect("the topic");
    assert_eq!((&watched["messages"], &watched["inPerSecond"]), (&2.into(), &0.0.into()));
    assert_eq!(topics.len(), 1, "those of brokers and clusters are not shown: {seen}");
    // a pipe is no terminal
    let text = cluster.works("top --once -i 0.1 --sort name");
    assert!(
        text.starts_with("#Broker #Address #Version #In/s #Out/s #Disk%\nbroker-a <a> "),
        "{text}"
    );
    assert!(text.contains("\n#Group #Consumed/s #Lag #Inflight #MostOf"), "{text}");
    cluster.fails("top -i 0", 2, "is not between 0.1 and 3600 seconds");
    cluster.fails("top -n 127.0.0.1:1", 4, "127.0.0.1:1");
}

fn a_terminal_is_left_as_it_was(shards: u32) {
    let cluster = Cluster::start("commands-top-live", shards);
    cluster.works("updateTopic -b {a} -t Live -r 1 -w 1");
    let size = Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(&size, None).expect("a terminal");
    let before = tcgetattr(&terminal.slave).expect("a terminal");
    assert!(before.local_flags.contains(LocalFlags::ICANON | LocalFlags::ECHO));
    let end = || Stdio::from(terminal.slave.try_clone().expect("a descriptor"));
    let mut command = cluster.command("top -i 0.2");
    command.env("TERM", "xterm").stdin(end()).stdout(end()).stderr(end());
    let mut child = command.spawn().expect("the binary can be started");
    drop(command);
    let mut keys = File::from(terminal.master);
    let mut out = keys.try_clone().expect("a descriptor");
    let (sender, parts) = channel();
    std::thread::spawn(move || {
        let mut part = [0; 4096];
        while let Ok(read @ 1..) = out.read(&mut part) {
            if sender.send(part[..read].to_vec()).is_err() {
                return;
            }
        }
    });
    let mut shown = String::new();
    let mut until = |text: &str| {
        while !shown.contains(text) {
            let part = parts.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{text}: {shown}"));
            shown += &String::from_utf8_lossy(&part);
        }
    };
    until("\u{1b}[?1049h");
    until("Live");
    until("sort by rate, lag, name (rate)");
    let during = tcgetattr(&terminal.slave).expect("a terminal");
    assert!(!during.local_flags.intersects(LocalFlags::ICANON | LocalFlags::ECHO));
    keys.write_all(b"l").expect("a terminal");
    until("sort by rate, lag, name (lag)");
    keys.write_all(b"q").expect("a terminal");
    // the cursor, the screen of before, and lines that are read and echoed as before
    until("\u{1b}[?25h");
    until("\u{1b}[?1049l");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert_eq!(tcgetattr(&terminal.slave).expect("a terminal"), before);
}
