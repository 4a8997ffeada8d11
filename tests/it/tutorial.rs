//! What RocketMQ's tutorials have people type, by the scripts as they are installed and as they are
//! in a checkout.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use ringmq_remoting::codes::request;
use ringmq_test_client::forget_environment;

use crate::client::Client;
use crate::process::{self, Process, binary};
use crate::server::{DISK_LEVELS, free_port};

const PATIENCE: Duration = Duration::from_secs(60);
const MESSAGES: usize = 1000;
const NAMESRV: &str = "The Name Server boot success. serializeType=JSON";

/// An installation with a name server and a broker that are configured to run beside others.
struct Installed {
    home: PathBuf,
    namesrv: String,
    broker: String,
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts")
}

/// Copies the scripts into `bin`; `benchmark` below `benchmark`.
fn copy_scripts(bin: &Path, benchmark: &Path) {
    for (from, to) in [(scripts(), bin), (scripts().join("benchmark"), benchmark)] {
        fs::create_dir_all(to).expect("a new directory");
        for entry in fs::read_dir(from).expect("there are scripts") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                let name = path.file_name().expect("a file has a name");
                fs::copy(&path, to.join(name)).expect("copied");
            }
        }
    }
}

impl Installed {
    /// Below a directory with a space in its name, as some people have them.
    fn new(directory: &Path) -> Installed {
        let home = directory.join("my mq");
        copy_scripts(&home.join("bin"), &home.join("benchmark"));
        symlink(binary(), home.join("bin/ringmq")).expect("a link");
        fs::create_dir_all(home.join("conf")).expect("a new directory");
        let (names, port) = (free_port(), free_port());
        let kv = directory.join("kvConfig.json");
        let text = format!("listenPort={names}\nkvConfigPath={}\n", kv.display());
        fs::write(home.join("conf/namesrv.conf"), text).expect("written");
        let levels = DISK_LEVELS.map(|(key, value)| format!("{key}={value}\n")).concat();
        let text = format!(
            "brokerName=broker-a\nbrokerIP1=127.0.0.1\nlistenPort={port}\nshards=1\n\
             zeroAheadBytes=4194304\n{levels}storePathRootDir={}\n",
            directory.join("store").display()
        );
        fs::write(home.join("conf/broker.conf"), text).expect("written");
        let (namesrv, broker) = (format!("localhost:{names}"), format!("127.0.0.1:{port}"));
        Installed { home, namesrv, broker }
    }

    /// What somebody types after `cd FROM`.
    fn typed(&self, from: &Path, line: &str) -> Command {
        let mut command = Command::new("sh");
        let line = format!("export NAMESRV_ADDR={}; {line}", self.namesrv);
        command.args(["-c", &line]).current_dir(from);
        forget_environment(&mut command);
        command
    }

    fn run(&self, from: &Path, line: &str) -> Output {
        self.typed(from, line).output().expect("there is a shell")
    }

    /// `nohup sh mqnamesrv ... &` and the like, until it says that it serves.
    fn start(&self, from: &Path, line: &str, log: &str, said: &str) -> Process {
        let log = self.home.join(log);
        let mut process = Process::spawn(self.typed(from, &format!("exec {line}")), log);
        await_lines(&mut process, said, 1);
        process
    }

    fn boot_line(&self) -> String {
        let Installed { broker, namesrv, .. } = self;
        format!(
            "The broker[broker-a, {broker}] boot success. serializeType=JSON and name server is \
             {namesrv}"
        )
    }
}

fn await_lines(process: &mut Process, part: &str, count: usize) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let output = process.output();
        let there = output.lines().filter(|line| line.contains(part)).count();
        if there >= count {
            return;
        }
        assert!(process.ended().is_none(), "ended before {part:?}:\n{output}");
        assert!(Instant::now() < deadline, "{there} of {count} times {part:?}:\n{output}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The whole sequence; `bin` as it is typed in the directory `from`.
fn follow(installed: &Installed, from: &Path, bin: &str, conf: &str, round: usize) {
    let line = format!("nohup sh {bin}/mqnamesrv -c {conf}/namesrv.conf");
    let mut names = installed.start(from, &line, &format!("namesrv-{round}.log"), NAMESRV);
    let line = format!("nohup sh {bin}/mqbroker -n {} -c {conf}/broker.conf", installed.namesrv);
    let log = format!("broker-{round}.log");
    let mut broker = installed.start(from, &line, &log, &installed.boot_line());

    let quickstart = "tools.sh org.apache.rocketmq.example.quickstart";
    let sent = installed.run(from, &format!("sh {bin}/{quickstart}.Producer"));
    let output = text(&sent.stdout);
    assert!(sent.status.success(), "{output}\n{}", text(&sent.stderr));
    let begin = "SendResult [sendStatus=SEND_OK, msgId=";
    assert_eq!(output.lines().filter(|line| line.starts_with(begin)).count(), MESSAGES);
    assert_eq!(output.lines().count(), MESSAGES, "nothing else is said");

    let line = format!("sh {bin}/{quickstart}.Consumer");
    let log = format!("consumer-{round}.log");
    let mut consumer = installed.start(from, &line, &log, "Consumer Started.");
    await_lines(
        &mut consumer,
        " Receive New Messages: [MessageExt [brokerName=broker-a, ",
        MESSAGES,
    );
    consumer.signal(Signal::SIGINT);
    assert!(consumer.wait(PATIENCE).success());
    let received = consumer.output();
    assert_eq!(received.lines().count(), 1 + MESSAGES, "each once, none of a run before");
    assert!(received.contains("toString()=Message{topic='TopicTest', flag=0, properties={"));

    administrate(installed, from, bin, round);

    names.allows("is dropped: its connection has ended");
    for (what, process) in [("broker", &mut broker), ("namesrv", &mut names)] {
        let ended = installed.run(from, &format!("sh {bin}/mqshutdown {what}"));
        let pid = process.pid();
        let expected = format!(
            "The mq{what}({pid}) is running...\nSend shutdown request to mq{what}({pid}) OK\n"
        );
        assert_eq!((ended.status.code(), text(&ended.stdout)), (Some(0), expected));
        assert!(process.wait(PATIENCE).success());
        let none = installed.run(from, &format!("sh {bin}/mqshutdown {what}"));
        let expected = format!("No mq{what} running.\n");
        assert_eq!((none.status.code(), text(&none.stdout)), (Some(1), expected));
    }
}

/// What people look at and change by `mqadmin` when the quickstart is through.
fn administrate(installed: &Installed, from: &Path, bin: &str, round: usize) {
    let Installed { namesrv, broker, .. } = installed;
    let run = |command: &str| {
        let line = format!("sh {bin}/mqadmin {command}");
        let ended = installed.run(from, &line);
        let output = text(&ended.stdout);
        assert!(ended.status.success(), "{line}: {output}\n{}", text(&ended.stderr));
        output
    };
    let clusters = run(&format!("clusterList -n {namesrv}"));
    let line = clusters.lines().find(|line| line.contains(broker)).unwrap_or_default();
    assert!(line.starts_with("DefaultCluster") && line.contains("broker-a"), "{clusters}");
    assert!(run(&format!("topicList -n {namesrv}")).lines().any(|line| line == "TopicTest"));

    let topic = format!("TopicOfRound{round}");
    let made = run(&format!("updateTopic -n {namesrv} -c DefaultCluster -t {topic} -r 4 -w 4"));
    assert!(made.contains(&format!("create topic to {broker} success.")), "{made}");
    let deadline = Instant::now() + PATIENCE;
    while !run(&format!("topicList -n {namesrv}")).lines().any(|line| line == topic) {
        assert!(Instant::now() < deadline, "name servers do not hear of {topic}");
    }

    let group = "please_rename_unique_group_name_4";
    let progress = run(&format!("consumerProgress -n {namesrv} -g {group}"));
    let title = progress.lines().next().unwrap_or_default();
    for column in ["#Topic", "#Broker Name", "#QID", "#Broker Offset", "#Consumer Offset", "#Diff"]
    {
        assert!(title.contains(column), "{column} in:\n{progress}");
    }
    let offsets = progress.lines().filter_map(|line| {
        let mut words = line.strip_prefix("TopicTest ")?.split_whitespace();
        assert_eq!(words.next(), Some("broker-a"), "{line}");
        let [queue, stored, consumed] = [(); 3].map(|()| words.next().unwrap_or("none").parse());
        Some((queue.ok()?, stored.ok()?, consumed.ok()?))
    });
    let offsets: Vec<(i64, i64, i64)> = offsets.collect();
    let queues: Vec<i64> = offsets.iter().map(|(queue, ..)| *queue).collect();
    assert_eq!(queues, [0, 1, 2, 3], "{progress}");
    let all = i64::try_from(MESSAGES * round).expect("small");
    assert_eq!(offsets.iter().map(|(_, stored, _)| stored).sum::<i64>(), all, "{progress}");
    assert!(offsets.iter().all(|(_, stored, consumed)| stored == consumed), "{progress}");
    assert!(progress.lines().any(|line| line == "Diff Total: 0"), "{progress}");
}

// Single: what the scripts do is the same for any number of shards.
#[test]
fn the_tutorial_works_as_it_is_typed_twice_and_from_another_directory() {
    let directory = process::directory("tutorial");
    let installed = Installed::new(directory.path());
    let home = installed.home.clone();
    follow(&installed, &home, "bin", "conf", 1);
    follow(&installed, &home, "bin", "conf", 2);
    follow(&installed, &home.join("bin"), ".", "../conf", 3);
    let elsewhere = directory.path().join("elsewhere");
    fs::create_dir(&elsewhere).expect("a new directory");
    symlink(home.join("bin"), elsewhere.join("mq")).expect("a link");
    let quoted = |name| format!("\"{}\"", home.join(name).display());
    follow(&installed, &elsewhere, &quoted("bin"), &quoted("conf"), 4);
    follow(&installed, &elsewhere, "mq", &quoted("conf"), 5);
}

// Single: as above.
#[test]
fn only_what_the_same_scripts_have_started_is_shut_down() {
    let directory = process::directory("foreign");
    let [own, other] = ["own", "other"].map(|name| Installed::new(&directory.path().join(name)));
    let line = "sh bin/mqnamesrv -c conf/namesrv.conf";
    let mut started = own.start(&own.home, line, "namesrv.log", NAMESRV);
    let mut of_others = other.start(&other.home, line, "namesrv.log", NAMESRV);
    let direct = free_port();
    let file = own.home.join("direct.conf");
    let kv = own.home.join("direct.json");
    fs::write(&file, format!("listenPort={direct}\nkvConfigPath={}\n", kv.display()))
        .expect("written");
    let file = file.to_str().expect("UTF-8");
    let mut direct = Process::start(&["namesrv", "-c", file], own.home.join("direct.log"));
    await_lines(&mut direct, NAMESRV, 1);
    let ended = own.run(&own.home, "sh bin/mqshutdown namesrv");
    assert!(text(&ended.stdout).contains(&format!("to mqnamesrv({}) OK", started.pid())));
    assert!(started.wait(PATIENCE).success());
    let none = own.run(&own.home, "sh bin/mqshutdown namesrv; sh bin/mqshutdown console; echo $?");
    assert_eq!(
        text(&none.stdout),
        "No mqnamesrv running.\nUsage: mqshutdown broker | namesrv\n0\n"
    );
    assert!(of_others.ended().is_none() && direct.ended().is_none());
}

// Single: as above.
#[test]
fn what_rocketmq_5_starts_besides_is_refused_with_what_is_there_instead() {
    let directory = process::directory("scripts-5");
    let installed = Installed::new(directory.path());
    let cases = [
        ("mqcontroller -c conf/controller.conf", "controller", "mqcontroller", "conf/2m-noslave"),
        ("mqproxy -n localhost:9876", "proxy", "mqproxy", "the broker (mqbroker) themselves"),
        (
            "mqbrokercontainer -c conf/container.conf",
            "brokerContainer",
            "broker container",
            "start mqbroker -c FILE for each file that brokerConfigPaths names",
        ),
    ];
    for (line, what, title, instead) in cases {
        let refused = installed.run(&installed.home, &format!("sh bin/{line}"));
        let said = text(&refused.stderr);
        assert_eq!((refused.status.code(), said.lines().count()), (Some(1), 1), "{said}");
        let script = line.split(' ').next().expect("a word");
        assert!(said.starts_with(&format!("{script}: ")) && said.contains(instead), "{said}");
        let none = installed.run(&installed.home, &format!("sh bin/mqshutdown {what}"));
        let expected = (Some(1), format!("No {title} running.\n"));
        assert_eq!((none.status.code(), text(&none.stdout)), expected);
    }
}

// Single: as above.
#[test]
fn a_checkout_builds_the_binary_once_and_a_missing_one_is_told() {
    let directory = process::directory("checkout");
    let root = directory.path().join("a checkout");
    copy_scripts(&root.join("scripts"), &root.join("scripts/benchmark"));
    let run = |line: &str| {
        let mut command = Command::new("sh");
        let tools = directory.path().join("tools").display().to_string();
        let path = format!("{tools}:{}", std::env::var("PATH").unwrap_or_default());
        command.args(["-c", line]).current_dir(&root).env("PATH", path);
        forget_environment(&mut command);
        command.output().expect("there is a shell")
    };
    let missing = run("sh scripts/mqadmin --help");
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("the program ringmq is missing"));

    fs::create_dir_all(root.join("src")).expect("a new directory");
    fs::write(root.join("src/main.rs"), "").expect("written");
    fs::create_dir_all(directory.path().join("tools")).expect("a new directory");
    let cargo = directory.path().join("tools/cargo");
    let script = format!(
        "#!/bin/sh\n[ \"$*\" = \"build --release --bin ringmq\" ] && mkdir -p target/release && \
         ln -s \"{}\" target/release/ringmq\n",
        binary().display()
    );
    fs::write(&cargo, script).expect("written");
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).expect("ours");
    let built = run("cd scripts/benchmark && sh ../mqadmin --help");
    assert!(built.status.success(), "{}", text(&built.stderr));
    assert!(text(&built.stderr).contains("building ringmq, once"));
    let again = run("sh scripts/tools.sh org.apache.rocketmq.tools.command.MQAdminStartup --help");
    assert_eq!(text(&again.stdout), text(&built.stdout));
    assert_eq!(text(&again.stderr), "");
    let unknown = run("sh scripts/tools.sh org.example.Other");
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).starts_with("tools.sh: there is no org.example.Other;"));
}

/// Messages of a topic with four queues.
fn stored(client: &mut Client, topic: &str) -> i64 {
    let offset = |queue: &str| {
        let fields = [("topic", topic), ("queueId", queue)];
        let answer = client.call(request::GET_MAX_OFFSET, &fields, b"").expect("an answer");
        answer.find_number("offset").unwrap_or(0)
    };
    ["0", "1", "2", "3"].map(offset).iter().sum()
}

// Single: as above.
/// What is committed is delivered, what is rolled back is not, and the broker asks about the rest.
#[test]
fn the_load_tool_ends_its_transactions_as_it_is_told() {
    let directory = process::directory("transactions");
    let installed = Installed::new(directory.path());
    let home = installed.home.clone();
    let line = "sh bin/mqnamesrv -c conf/namesrv.conf";
    let names = installed.start(&home, line, "namesrv.log", NAMESRV);
    names.allows("is dropped: its connection has ended");
    let line = format!(
        "sh bin/mqbroker -n {} -c conf/broker.conf --set transactionCheckInterval=200 \
         --set transactionTimeOut=0",
        installed.namesrv
    );
    let _broker = installed.start(&home, &line, "broker.log", &installed.boot_line());
    let mut client =
        Client::connect(installed.broker.parse().expect("an address")).expect("it listens");
    let send = |options: &str| {
        let line = format!("bin/ringmq bench transactions -t Halves -s 32 -w 8 {options}");
        let sent = installed.run(&home, &line);
        assert!(sent.status.success(), "{}\n{}", text(&sent.stdout), text(&sent.stderr));
    };
    let mut await_stored = |at_least: i64| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stored = stored(&mut client, "Halves");
            if stored >= at_least {
                return stored;
            }
            assert!(Instant::now() < deadline, "{stored} of {at_least} are stored");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    send("-q 60 --send-rollback-rate 1");
    send("-q 60");
    assert_eq!(await_stored(60), 60, "those that were rolled back are not among them");
    let started =
        installed.run(&home, "sh benchmark/tproducer.sh -t Halves -w 2 -i 20 -su 1 >t.log 2>&1");
    assert!(started.status.success(), "{}", text(&started.stderr));
    await_stored(70);
    let ended = installed.run(&home, "sh benchmark/shutdown.sh tproducer");
    assert!(text(&ended.stdout).starts_with("The benchmark transaction producer("));
    let none = installed.run(&home, "sh benchmark/shutdown.sh bproducer");
    assert_eq!(text(&none.stdout), "No benchmark batch producer running.\n");
}
