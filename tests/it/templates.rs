//! Configurations as those of RocketMQ's `distribution/conf` (4.9.8, 5.3.3): each starts, or says
//! in one sentence what is not there yet. Written anew: their keys and values count, and where they
//! stand. What this machine needs otherwise (ports, directories) is set above the file.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::process::{self, Process};
use crate::server::{DISK_LEVELS, free_port};

const PATIENCE: Duration = Duration::from_secs(60);

enum Outcome {
    /// It serves, with this in its log, if something.
    Starts(&'static str),
    /// It ends with one sentence that has this.
    Says(&'static str),
}

use Outcome::{Says, Starts};

const NO_SLAVES: &str = "RingMQ has no replication yet, so there are no slaves";
const NO_REPLICATION: &str = "asks for replication, which RingMQ does not have yet";
const NO_CONTAINER: &str = "asks for several brokers in one process";
const NO_EFFECT: &str = "(replication and failover), so it has NO EFFECT";

/// What all brokers but those of controllers, containers and DLedger have.
const USUAL: &str = "brokerClusterName=DefaultCluster\ndeleteWhen=04\nfileReservedTime=48\n\
                     flushDiskType=ASYNC_FLUSH\n";
/// The same with blanks, as `broker.conf` has it.
const BLANKS: &str = "\nbrokerClusterName = DefaultCluster\nbrokerName = broker-a\nbrokerId = 0\n\
                      deleteWhen = 04\nfileReservedTime = 48\nbrokerRole = ASYNC_MASTER\n\
                      flushDiskType = ASYNC_FLUSH\n";
const DLEDGER: &str = "brokerClusterName = RaftCluster\nbrokerName=RaftNode00\nlistenPort=30911\n\
                       namesrvAddr=127.0.0.1:9876\nstorePathRootDir=/tmp/rmqstore/node00\n\
                       storePathCommitLog=/tmp/rmqstore/node00/commitlog\n\
                       enableDLegerCommitLog=true\ndLegerGroup=RaftNode00\n\
                       dLegerPeers=n0-127.0.0.1:40911;n1-127.0.0.1:40912;n2-127.0.0.1:40913\n\
                       ## must be unique\ndLegerSelfId=n0\nsendMessageThreadPoolNums=16\n";
const IN_CONTAINER: &str = "brokerClusterName=DefaultCluster\nbrokerName=broker-a\n\
                            flushDiskType=ASYNC_FLUSH\nstorePathRootDir=/root/broker-a/store\n\
                            storePathCommitLog=/root/broker-a/store/commitlog\nlistenPort=10911\n\
                            haListenPort=10912\ntotalReplicas=2\ninSyncReplicas=2\n\
                            minInSyncReplicas=1\nenableAutoInSyncReplicas=true\n\
                            slaveReadEnable=true\nbrokerHeartbeatInterval=1000\n\
                            brokerNotActiveTimeoutMillis=5000\nsendHeartbeatTimeoutMillis=1000\n\
                            enableSlaveActingMaster=true\n";
const CONTAINER: &str = "listenPort=10811\nnamesrvAddr=127.0.0.1:9876\n\
                         fetchNamesrvAddrByAddressServer=false\n\
                         brokerConfigPaths=/etc/broker-a.conf:/etc/broker-b.conf\n";
const ELECTED: &str = "brokerClusterName = DefaultCluster\nbrokerName = broker-a\nbrokerId = -1\n\
                       brokerRole = SLAVE\ndeleteWhen = 04\nfileReservedTime = 48\n\
                       enableControllerMode = true\ncontrollerAddr = 127.0.0.1:9878\n\
                       namesrvAddr = 127.0.0.1:9876\nallAckInSyncStateSet=true\n\
                       listenPort=30911\nstorePathRootDir=/tmp/rmqstore/node00\n\
                       storePathCommitLog=/tmp/rmqstore/node00/commitlog\n";
const CONTROLLER: &str = "controllerDLegerGroup = group1\ncontrollerDLegerSelfId = n0\n\
                          controllerDLegerPeers = n0-127.0.0.1:9878\n";
/// Java reads lines of a comment that is none in such a file as keys that nobody has.
const XML_COMMENT: &str = "<!--\n  Some licence, (the \"L\"); see\n\n  http://example.org/it\n\
                           -->\nlistenPort = 9876\nenableControllerInNamesrv = true\n";

fn of(name: &str, role: &str, id: u32) -> String {
    format!("{USUAL}brokerName={name}\nbrokerRole={role}\nbrokerId={id}\n")
}

/// Files, which program they are for, what they have, and what comes of it.
fn templates() -> Vec<(&'static str, &'static str, String, Outcome)> {
    let master = |name| of(name, "ASYNC_MASTER", 0);
    let waits = |name| of(name, "SYNC_MASTER", 0);
    let slave = |name| of(name, "SLAVE", 1);
    let contained = |role: &str| format!("{IN_CONTAINER}{role}\n");
    vec![
        ("broker.conf", "broker", BLANKS.to_owned(), Starts("")),
        ("2m-noslave/broker-a", "broker", master("broker-a"), Starts("")),
        ("2m-noslave/broker-b", "broker", master("broker-b"), Starts("")),
        ("2m-noslave/broker-trace", "broker", master("broker-trace"), Starts("")),
        ("2m-2s-async/broker-a", "broker", master("broker-a"), Starts("")),
        ("2m-2s-async/broker-b", "broker", master("broker-b"), Starts("")),
        ("2m-2s-*/broker-a-s", "broker", slave("broker-a"), Says(NO_SLAVES)),
        ("2m-2s-*/broker-b-s", "broker", slave("broker-b"), Says(NO_SLAVES)),
        ("2m-2s-sync/broker-a", "broker", waits("broker-a"), Says(NO_SLAVES)),
        ("2m-2s-sync/broker-b", "broker", waits("broker-b"), Says(NO_SLAVES)),
        ("dledger/broker-n0", "broker", DLEDGER.to_owned(), Says(NO_REPLICATION)),
        ("dledger/broker-n1", "broker", DLEDGER.replace("=n0", "=n1"), Says(NO_REPLICATION)),
        (
            "container/broker-*-in-container1",
            "broker",
            contained("brokerRole=SYNC_MASTER\nbrokerId=0"),
            Says(NO_SLAVES),
        ),
        (
            "container/broker-*-in-container2",
            "broker",
            contained("brokerRole=SLAVE\nbrokerId=1"),
            Says(NO_SLAVES),
        ),
        ("container/broker-container1", "broker", CONTAINER.to_owned(), Says(NO_CONTAINER)),
        ("container/nameserver", "namesrv", "supportActingMaster=true\n".to_owned(), Starts("")),
        ("controller/quick-start/broker-n0", "broker", ELECTED.to_owned(), Says(NO_REPLICATION)),
        (
            "controller/quick-start/namesrv",
            "namesrv",
            format!("enableControllerInNamesrv = true\n{CONTROLLER}"),
            Starts(NO_EFFECT),
        ),
        (
            "controller/cluster-3n-namesrv-plugin/namesrv-n0",
            "namesrv",
            format!("{XML_COMMENT}{CONTROLLER}"),
            Starts(NO_EFFECT),
        ),
        ("controller/controller-standalone", "namesrv", CONTROLLER.to_owned(), Starts(NO_EFFECT)),
    ]
}

/// Starts the program with the file as it is.
fn start(directory: &Path, program: &str, text: &str) -> Process {
    let file = directory.join("template.conf");
    fs::write(&file, text).expect("our own directory");
    let path = |name: &str| directory.join(name).display().to_string();
    let mut keys = vec![("listenPort", free_port().to_string())];
    if program == "broker" {
        keys.extend(DISK_LEVELS.map(|(key, value)| (key, value.to_owned())));
        keys.extend([
            ("brokerIP1", "127.0.0.1".to_owned()),
            ("storePathRootDir", path("store")),
            ("zeroAheadBytes", "4194304".to_owned()),
            ("shards", "1".to_owned()),
        ]);
    } else {
        keys.push(("kvConfigPath", path("kvConfig.json")));
    }
    let set = keys.iter().flat_map(|(key, value)| ["--set".to_owned(), format!("{key}={value}")]);
    let mut arguments = vec![program.to_owned(), "-c".to_owned(), path("template.conf")];
    arguments.extend(set);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Process::start(&arguments, directory.join("log"))
}

// Single: what a start does with the file is the same for any number of shards.
#[test]
fn each_template_starts_or_says_what_is_not_there() {
    for (name, program, text, outcome) in templates() {
        let directory = process::directory("templates");
        let mut process = start(directory.path(), program, &text);
        match outcome {
            Starts(said) => {
                if !said.is_empty() {
                    process.expects(said);
                }
                if text.starts_with("<!--") {
                    process.expects("line 1: unknown key");
                    process.allows("unknown key");
                }
                process.await_line("boot success. serializeType=JSON");
                process.signal(Signal::SIGTERM);
                let status = process.wait(PATIENCE);
                assert_eq!(status.code(), Some(0), "{name}: {}", process.output());
            }
            Says(part) => {
                process.allows("cannot start");
                process.allows("so it has NO EFFECT");
                process.allows("replication is not there yet");
                let status = process.wait(PATIENCE);
                let output = process.output();
                assert_eq!(status.code(), Some(1), "{name}: {output}");
                let sentences: Vec<_> =
                    output.lines().filter(|line| line.starts_with("ringmq: ")).collect();
                assert_eq!(sentences.len(), 1, "{name}: {output}");
                assert!(sentences.concat().contains(part), "{name}: {output}");
            }
        }
    }
}
