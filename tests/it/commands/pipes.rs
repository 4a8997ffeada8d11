//! `cat`: a topic to and from pipes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::cluster::{Cluster, Ran};
use crate::shards::for_shards;

for_shards!(
    lines_go_in_and_come_out,
    reading_begins_and_ends_where_it_should,
    messages_are_printed_as_asked_for,
    what_is_wrong_is_said_once,
    a_reader_that_ends_and_an_interrupt_are_no_errors
);

const PATIENCE: Duration = Duration::from_secs(60);
const TOPIC: &str = "updateTopic -c DefaultCluster -t Pipes -r 2 -w 2";

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// Runs a command that must work and prints something as it is.
fn raw(cluster: &Cluster, line: &str) -> String {
    let ran = cluster.run(line);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{line}");
    ran.out
}

fn pour(cluster: &Cluster, line: &str, input: &str) -> Ran {
    cluster.run_with_input(line, input.as_bytes())
}

fn poured(cluster: &Cluster, line: &str, input: &str) {
    let ran = pour(cluster, line, input);
    assert_eq!((ran.code, &*ran.out, &*ran.err), (0, "", ""), "{line}");
}

fn lines_go_in_and_come_out(shards: u32) {
    let cluster = Cluster::start("commands-cat", shards);
    cluster.works(TOPIC);
    let lines: Vec<String> = (0..20_000).map(|number| format!("line-{number:05}")).collect();
    poured(&cluster, "cat -t Pipes -P", &(lines.join("\n") + "\n"));
    let out = raw(&cluster, "cat -t Pipes -e");
    assert_eq!(sorted(&out), lines);
    // ids are those of 20,000 messages, in spite of batches
    let ids = raw(&cluster, "cat -t Pipes -e -f %i\\n");
    let mut ids = sorted(&ids);
    ids.dedup();
    assert_eq!((ids.len(), ids[0].len()), (20_000, 32));
    // a queue has its lines in the order in which they were sent
    let queue = raw(&cluster, "cat -t Pipes -e -p 1 --broker broker-b");
    let in_order: Vec<&str> = queue.lines().collect();
    assert_eq!((in_order.len() > 1_000, in_order.is_sorted()), (true, true));
    // every queue has some
    let places = raw(&cluster, "cat -t Pipes -e -o 0 -f %b/%p\\n");
    let mut places = sorted(&places);
    places.dedup();
    assert_eq!(places, ["broker-a/0", "broker-a/1", "broker-b/0", "broker-b/1"]);

    let json = raw(&cluster, "cat -t Pipes -e -J");
    cluster.works("updateTopic -c DefaultCluster -t Copy -r 1 -w 1");
    poured(&cluster, "cat -t Copy -P -J", &json);
    assert_eq!(sorted(&raw(&cluster, "cat -t Copy -e")), lines);
    let copied = raw(&cluster, "cat -t Copy -e -f %i\\n");
    assert_eq!(sorted(&copied), ids);
}

fn reading_begins_and_ends_where_it_should(shards: u32) {
    let cluster = Cluster::start("commands-cat-places", shards);
    cluster.works("updateTopic -b {a} -t Places -r 1 -w 1");
    cluster.until("the route is known", "cat -t Places -e", |ran| ran.code == 0);
    poured(&cluster, "cat -t Places -P -g red", "a\nb\nc\n");
    poured(&cluster, "cat -t Places -P -g blue --no-batch", "d\ne\n\n");
    for (options, expected) in [
        ("-e", "a\nb\nc\nd\ne\n"),
        ("-e -o 3", "d\ne\n"),
        ("-e -o -1", "e\n"),
        ("-e -o -100", "a\nb\nc\nd\ne\n"),
        ("-e -o end", ""),
        ("-e -o @-1h", "a\nb\nc\nd\ne\n"),
        ("-e -o @now", ""),
        ("--until -1h", ""),
        ("--until now", "a\nb\nc\nd\ne\n"),
        ("-c 2", "a\nb\n"),
        ("-c 0", ""),
        ("-c 1 -o 1", "b\n"),
        ("-e -g blue", "d\ne\n"),
        ("-e -g blue||red -o -2", "d\ne\n"),
        ("-e -g green", ""),
        ("-e -o 9", ""),
    ] {
        assert_eq!(raw(&cluster, &format!("cat -t Places {options}")), expected, "{options}");
    }
    // it waits for what is not there yet
    let mut child = cluster.spawn("cat -t Places -o end -c 1", Stdio::null());
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let sent = until_it_reads(&cluster, &mut child);
    let mut line = String::new();
    out.read_line(&mut line).expect("text");
    assert!(sent.contains(&line), "{line:?}");
    assert_eq!(child.wait().expect("ended").code(), Some(0));
}

/// Sends until a reader, which begins at the end at a time of its own, has what it waits for.
fn until_it_reads(cluster: &Cluster, child: &mut Child) -> Vec<String> {
    let mut sent = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().expect("it can be waited for").is_none() {
        assert!(Instant::now() < deadline, "nothing was read");
        let line = format!("new-{}\n", sent.len());
        poured(cluster, "cat -t Places -P", &line);
        sent.push(line);
    }
    sent
}

fn messages_are_printed_as_asked_for(shards: u32) {
    let cluster = Cluster::start("commands-cat-formats", shards);
    cluster.works("updateTopic -b {a} -t Forms -r 1 -w 1");
    cluster.until("the route is known", "cat -t Forms -e", |ran| ran.code == 0);
    poured(&cluster, "cat -t Forms -P -K : -g red -H who=me -H z=b=c", "k1:one\n:two\nk3:th:ree\n");
    poured(&cluster, "cat -t Forms -P -D -- -k all", "with\nline--last");
    let format = "cat -t Forms -e -f %t/%p@%o|%k|%g|%S|%r|%b|%{who}|%{z}|%%|%s\\x3b\\n";
    let expected = "Forms/0@0|k1|red|3|0|broker-a|me|b=c|%|one;\n\
                    Forms/0@1||red|3|0|broker-a|me|b=c|%|two;\n\
                    Forms/0@2|k3|red|6|0|broker-a|me|b=c|%|th:ree;\n\
                    Forms/0@3|all||9|0|broker-a|||%|with\nline;\n\
                    Forms/0@4|all||4|0|broker-a|||%|last;\n";
    assert_eq!(raw(&cluster, format), expected);
    assert_eq!(raw(&cluster, "cat -t Forms -e -c 2 -K =\\t -D \\0"), "k1=\tone\0=\ttwo\0");
    let properties = raw(&cluster, "cat -t Forms -e -c 1 -f %h");
    for pair in ["who=me", "KEYS=k1", "TAGS=red", "UNIQ_KEY="] {
        assert!(properties.contains(pair), "{properties}");
    }
    let times = raw(&cluster, "cat -t Forms -e -c 1 -f %T-%B");
    assert!(times.split('-').all(|time| time.parse::<u64>().is_ok_and(|ms| ms > 0)), "{times}");
    let ids = raw(&cluster, "cat -t Forms -e -c 1 -f %I");
    assert!(ids.len() == 32 && ids.starts_with("7F000001"), "{ids}");
    let rows = raw(&cluster, "cat -t Forms -e -o 3 --output csv");
    let head = "id,broker,queue,offset,stored,tags,keys,body\n";
    assert!(rows.starts_with(head) && rows.ends_with(",,all,last\n"), "{rows}");
    let line = raw(&cluster, "cat -t Forms -e -c 1 --output json");
    let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((&value["body"], &value["properties"]["z"]), (&"one".into(), &"b=c".into()));
}

fn what_is_wrong_is_said_once(shards: u32) {
    let keys = [("maxMessageSize", "1000")];
    let cluster = Cluster::start_with("commands-cat-errors", shards, &keys, None);
    cluster.works("updateTopic -b {a} -t Wrong -r 1 -w 1");
    cluster.until("the route is known", "cat -t Wrong -e", |ran| ran.code == 0);
    cluster.fails("cat -t Nowhere -e", 3, "No topic route info in name server");
    cluster.fails("cat -t Wrong -e -p 7", 3, "topic Wrong has no such queue that can be read");
    cluster.fails("cat -t Wrong -e -f %q", 1, "there is no %q: %s body");
    cluster.fails("cat -t Wrong -e -o x", 1, "\"x\" is no place: first, end, an offset");
    cluster.fails("cat -t Wrong -P -e", 2, "cannot be used with");
    let fails = |line: &str, input: &str, code, part: &str| {
        let ran = pour(&cluster, line, input);
        assert_eq!((ran.code, &*ran.out, ran.err.lines().count()), (code, "", 1), "{ran:?}");
        assert!(ran.err.contains(part), "{ran:?}");
    };
    let long = format!("short\n{}\nlast\n", "x".repeat(2_000));
    fails("cat -t Wrong -P --no-batch", &long, 1, "messages were stored: message 2: 127.0.0.1");
    assert_eq!(raw(&cluster, "cat -t Wrong -e -c 1"), "short\n");
    let no_key = "1 messages were stored: line 2: it has no key: -K is not in it";
    fails("cat -t Wrong -P -K :", "a:b\nc\n", 1, no_key);
    fails(
        "cat -t Wrong -P -K :",
        "a:\n",
        1,
        "line 1: its body is empty, which brokers do not take",
    );
    fails("cat -t Wrong -P -J", "{\n", 1, "line 1: it is no JSON");
    fails("cat -t Wrong -P -J", "{}\n", 1, "line 1: it has neither a text body nor bodyHex");
    fails("cat -t Wrong -P -H REAL_QID=3", "a\n", 1, "REAL_QID is one of RocketMQ's own");
    fails("cat -t Wrong -P -H a", "a\n", 1, "is not NAME=VALUE");
}

fn a_reader_that_ends_and_an_interrupt_are_no_errors(shards: u32) {
    let cluster = Cluster::start("commands-cat-ends", shards);
    cluster.works("updateTopic -b {a} -t Ends -r 1 -w 1");
    cluster.until("the route is known", "cat -t Ends -e", |ran| ran.code == 0);
    let many: String = (0..40_000).map(|number| format!("a rather long line {number}\n")).collect();
    poured(&cluster, "cat -t Ends -P", &many);
    let mut child = cluster.spawn("cat -t Ends", Stdio::null());
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("text");
    assert_eq!(line, "a rather long line 0\n");
    drop(out);
    ends_in_silence(child, 0);

    let mut child = cluster.spawn("cat -t Ends -o -1", Stdio::null());
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    line.clear();
    out.read_line(&mut line).expect("what is there comes although it waits for more");
    assert_eq!(line, "a rather long line 39999\n");
    interrupt(&child);
    ends_in_silence(child, 0);

    // what a producer has read is stored when it is interrupted
    let mut child = cluster.spawn("cat -t Ends -P", Stdio::piped());
    let mut input = child.stdin.take().expect("piped");
    input.write_all(b"the last\n").expect("it is read");
    cluster.until("it is stored", "cat -t Ends -e -o -1", |ran| ran.out == "the last\n");
    interrupt(&child);
    let output = child.wait_with_output().expect("it ends");
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("1 messages were stored: interrupted"), "{err}");
    drop(input);
}

fn interrupt(child: &Child) {
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    kill(pid, Signal::SIGINT).expect("it runs");
}

fn ends_in_silence(child: Child, code: i32) {
    let output = child.wait_with_output().expect("it ends");
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*err), (Some(code), ""));
}

impl Cluster {
    /// Starts `ringmq admin LINE` with pipes for what it says.
    fn spawn(&self, line: &str, input: Stdio) -> Child {
        let mut command: Command = self.command(line);
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the binary can be started")
    }
}
