//! Values of the configuration that Java starts with start RingMQ, too.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use ringmq_remoting::codes::{request, response};

use crate::client::Client;
use crate::needs::needs;
use crate::process::{self, Process, binary};
use crate::server::{DISK_LEVELS, Server, Settings, await_route, free_port};
use crate::shards::for_shards;

for_shards!(
    split_and_compressed_registrations_tell_the_name_server_all,
    logs_lie_on_the_disk_that_the_key_names,
);

const ROUTE_MAX: Duration = Duration::from_secs(20);
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

fn write(directory: &Path, name: &str, text: &str) -> String {
    let path: PathBuf = directory.join(name);
    fs::write(&path, text).expect("the directory can be written");
    path.to_str().expect("UTF-8").to_owned()
}

fn name_server(directory: &Path) -> (Process, SocketAddr) {
    let port = free_port();
    let kv = directory.join("kvConfig.json");
    let file = write(
        directory,
        "namesrv.conf",
        &format!("listenPort={port}\nkvConfigPath={}\n", kv.display()),
    );
    let process = Process::start(&["namesrv", "-c", &file], directory.join("namesrv.log"));
    // Brokers are killed at the end of a test.
    process.allows("is dropped: its connection has ended");
    (process, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

// Single: what is read at the start is the same for any number of shards.
/// D10.
#[test]
fn values_that_java_takes_do_not_stop_the_start() {
    let directory = process::directory("configuration");
    let odd = [
        ("maxMessageSize", "16777216"),
        ("diskMaxUsedSpaceRatio", "100"),
        ("autoCreateTopicEnable", "yes"),
        ("deleteWhen", "25"),
    ];
    let mut extra: Vec<_> = odd.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    extra.push(("fileReservedTime", "99999".to_owned()));
    let server = Server::start(directory.path(), &Settings { extra, ..Settings::default() });
    for (key, value) in odd {
        server.process.expects(&format!("{key} = {value:?}"));
    }
    server.process.allows("diskMaxUsedSpaceRatio = 95 is above diskSpaceCleanForciblyRatio");
    let mut client = server.client();
    let config = client.call(request::GET_BROKER_CONFIG, &[], b"").expect("an answer");
    let config = String::from_utf8(config.body).expect("text");
    for line in ["maxMessageSize=15728640", "autoCreateTopicEnable=false", "fileReservedTime=99999"]
    {
        assert!(config.contains(line), "{line} is missing in:\n{config}");
    }
    let refused = client.send("Never", 0, b"x").expect("an answer");
    assert_eq!(refused.code, response::TOPIC_NOT_EXIST);
}

// Single: listening is the control shard's.
/// D10.
#[test]
fn servers_are_reached_by_ipv6_where_the_machine_has_it() {
    let local = TcpListener::bind((Ipv6Addr::LOCALHOST, 0));
    if needs("servers_are_reached_by_ipv6", local.map_err(|error| error.to_string())).is_none() {
        return;
    }
    let levels = DISK_LEVELS.map(|(key, value)| format!("{key}={value}"));
    for bind in [None, Some("bindAddress=[::]"), Some("bindAddress=::1")] {
        let directory = process::directory("ipv6");
        let (namesrv, broker) = (free_port(), free_port());
        let store = directory.path().join("store");
        let (names, port) = (namesrv.to_string(), broker.to_string());
        let mut arguments = vec!["standalone", "--store", store.to_str().expect("UTF-8")];
        arguments.extend(["--namesrv-port", &names, "--listen-port", &port]);
        arguments.extend(["--advertise", "::1", "--set", "shards=1"]);
        for key in levels.iter().map(String::as_str).chain(bind) {
            arguments.extend(["--set", key]);
        }
        let process = Process::start(&arguments, directory.path().join("standalone.log"));
        let local = |port| SocketAddr::from((Ipv6Addr::LOCALHOST, port));
        let route = await_route(local(namesrv), ROUTE_MAX);
        assert!(route.contains(&format!("[::1]:{broker}")), "{route}");
        let mut client = Client::connect(local(broker)).expect("it listens");
        let sent = client.send("TBW102", 0, b"x").expect("an answer");
        assert_eq!(sent.code, response::SUCCESS, "{:?}", sent.remark);
        let by_ipv4 = Client::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, broker)));
        assert_eq!(by_ipv4.is_ok(), bind != Some("bindAddress=::1"));
        drop(process);
    }
}

// Single: registration is the control shard's.
/// D10.
#[test]
fn names_stand_for_addresses_and_need_not_be_known_at_the_start() {
    let directory = process::directory("names");
    let (_names, address) = name_server(directory.path());
    let port = address.port();
    let extra = [
        ("namesrvAddr", format!("no-such-host.invalid:9876;localhost:{port}")),
        ("brokerIP2", "also.no-such-host.invalid".to_owned()),
    ];
    let settings = Settings { extra: extra.into(), ..Settings::default() };
    let server = Server::start(directory.path(), &settings);
    server.process.expects("cannot register namesrv=no-such-host.invalid:9876");
    let route = await_route(address, ROUTE_MAX);
    assert!(route.contains("127.0.0.1"), "{route}");
    drop(server);

    let broker = free_port();
    let levels = DISK_LEVELS.map(|(key, value)| format!("{key}={value}\n")).concat();
    let file = write(
        directory.path(),
        "named.conf",
        &format!(
            "brokerName=named\nbrokerIP1=localhost\nlistenPort={broker}\nshards=1\n{levels}\
             zeroAheadBytes=4194304\nnamesrvAddr=localhost:{port}\nstorePathRootDir={}\n",
            directory.path().join("named").display()
        ),
    );
    let process = Process::start(&["broker", "-c", &file], directory.path().join("named.log"));
    let announced = format!("localhost:{broker}");
    let began = std::time::Instant::now();
    while !await_route(address, ROUTE_MAX).contains(&announced) {
        assert!(began.elapsed() < ROUTE_MAX, "never announced:\n{}", process.output());
    }
}

/// D8.
fn split_and_compressed_registrations_tell_the_name_server_all(shards: u32) {
    let directory = process::directory("split");
    let (_names, address) = name_server(directory.path());
    let extra = [
        ("namesrvAddr", address.to_string()),
        ("enableSplitRegistration", "true".to_owned()),
        ("splitRegistrationSize", "2".to_owned()),
        ("compressedRegister", "true".to_owned()),
    ];
    let settings = Settings { shards, extra: extra.into(), ..Settings::default() };
    let server = Server::start(directory.path(), &settings);
    await_route(address, ROUTE_MAX);
    let mut client = server.client();
    let mut names = Client::connect(address).expect("it listens");
    for number in 0..9 {
        let topic = format!("Topic{number}");
        client.create_topic(&topic, 4).expect("an answer").expect(response::SUCCESS);
        let fields = [("topic", &*topic)];
        let route = names.call(request::GET_ROUTEINFO_BY_TOPIC, &fields, b"").expect("an answer");
        assert!(
            String::from_utf8_lossy(&route.body).contains(r#""writeQueueNums":4"#),
            "{topic}: {route:?}"
        );
    }
    for topic in ["BenchmarkTest", "SELF_TEST_TOPIC", "broker-a", "DefaultCluster"] {
        let fields = [("topic", topic)];
        let route = names.call(request::GET_ROUTEINFO_BY_TOPIC, &fields, b"").expect("an answer");
        assert_eq!(route.code, response::SUCCESS, "{topic}");
    }
}

/// D10: the store half is in `server/log_place.rs`.
fn logs_lie_on_the_disk_that_the_key_names(shards: u32) {
    let directory = process::directory("commitlog");
    let logs = directory.path().join("disk2").join("commitlog");
    let extra = vec![("storePathCommitLog", logs.display().to_string())];
    let settings = Settings { shards, extra, ..Settings::default() };
    let mut server = Server::start(directory.path(), &settings);
    let mut client = server.client();
    client.create_topic("T", 4).expect("an answer").expect(response::SUCCESS);
    for queue in 0..4 {
        client.send("T", queue, b"stored").expect("an answer").expect(response::SUCCESS);
    }
    server.process.signal(Signal::SIGTERM);
    assert!(server.process.wait(STOP_TIMEOUT).success());
    let first = logs.join("log-000");
    let files = fs::read_dir(&first).expect("the log is there").count();
    assert!(files > 1, "{files} files");
    let store = directory.path().join("store");
    let checked = Command::new(binary()).args(["doctor", "--store"]).arg(&store).output();
    let checked = checked.expect("the binary runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    // The store remembers: the key may go.
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    let mut client = server.client();
    for queue in 0..4 {
        assert_eq!(client.max_offset("T", queue).expect("an answer"), 1);
    }
}
