//! Formats, wrong lines, help, completion and man pages.

use std::process::Command;

use ringmq_test_client::forget_environment;

use super::cluster::Cluster;
use crate::process::{self, binary};

// Single: what is printed is the same for any number of shards.
#[test]
fn every_format_has_the_same_rows() {
    let cluster = Cluster::start("commands-formats", 1);
    cluster.works("updateTopic -b {a} -t Formats -r 1 -w 1");
    let ran = cluster.run("topicStatus -t Formats -o csv");
    let csv = "broker,queue,minOffset,maxOffset,lastUpdated,messages\nbroker-a,0,0,0,,0\n";
    assert_eq!(ran.out, csv);
    let yaml = cluster.run("topicStatus -t Formats -o yaml").out;
    assert!(yaml.contains("- broker: broker-a\n"), "{yaml}");
    let wide = cluster.works("topicStatus -t Formats -o wide");
    assert!(wide.starts_with("#Broker Name #QID #Min Offset #Max Offset #Last Updated #Messages"));
    // a pipe is no terminal
    let table = cluster.run("clusterList").out;
    assert!(!table.contains('\u{1b}'), "{table:?}");
    let made = cluster.json("updateTopic -b {a} -t Formats -r 1 -w 1 -o false");
    assert_eq!(made[0]["topic"]["topicName"], "Formats");
    cluster.fails("topicLst", 2, "there is no command topicLst; did you mean topicList?");
    cluster.fails("topicStatus --tpic x", 2, "there is no option --tpic; did you mean --topic?");
    cluster.fails("topicStatus", 2, "--topic <TOPIC> is missing");
    cluster.fails("updateTopic -b {a} -t A --watch 1", 1, "--watch is for commands that only ask");
    let help = cluster.run("help topicStatus").out;
    assert!(help.contains("Examples:") && help.contains("-t, --topic <TOPIC>"), "{help}");
    assert!(cluster.run("TOPICLIST").out.contains("Formats"), "names count in any case");
}

// Single: no server is started.
#[test]
fn completion_and_man_pages_know_every_command() {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.args(arguments);
        forget_environment(&mut command);
        let output = command.output().expect("the binary can be started");
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completion", shell]);
        assert!(script.contains("topicStatus") && script.contains("namesrvAddr"), "{shell}");
    }
    let directory = process::directory("man");
    run(&["man", directory.path().to_str().expect("UTF-8")]);
    let page = std::fs::read_to_string(directory.path().join("ringmq-admin-topicStatus.1"));
    let page = page.expect("a page for each command");
    assert!(page.contains("Examples:") && page.contains("Offsets of the queues"), "{page}");
}
