//! "Back up" of the page: the copy of a stopped store, the snapshot of one in use, the way back.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use ringmq_remoting::codes::{request, response};
use ringmq_test_client::forget_environment;

use super::page;
use crate::client::Client;
use crate::name_server::NameServer;
use crate::process::{self, Process, binary};
use crate::server::{Server, Settings, configure, free_port};
use crate::shards::for_shards;
use crate::stores::listing;

for_shards!(
    the_copy_of_a_stopped_store_serves_everything,
    a_snapshot_of_a_store_in_use_has_all_that_was_acknowledged,
    a_damaged_store_is_replaced_by_its_backup,
);

const PATIENCE: Duration = Duration::from_secs(60);
const QUEUES: i32 = 4;
const EACH: i64 = 16;

fn settings(shards: u32) -> Settings {
    Settings { shards, sync_flush: true, ..Settings::default() }
}

/// The copy that the page tells to make.
fn copy(from: &Path, to: &Path) {
    let command = "cp -a --sparse=always";
    assert!(page().contains(&format!("    {command} /var/lib/ringmq/broker /backup")));
    let copied = Command::new("cp").args(["-a", "--sparse=always"]).arg(from).arg(to).output();
    let copied = copied.expect("there is cp");
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
}

/// `ringmq doctor --store DIR`: finds nothing wrong, and changes nothing.
fn doctor_finds_it_sound(store: &Path) {
    let before = listing(store);
    let mut command = Command::new(binary());
    command.args(["doctor", "--store"]).arg(store);
    forget_environment(&mut command);
    let Output { status, stdout, stderr } = command.output().expect("the binary is there");
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert_eq!(status.code(), Some(0), "{said}");
    assert_eq!(listing(store), before, "the store was changed");
}

fn stop(mut server: Server) {
    server.process.signal(Signal::SIGTERM);
    assert_eq!(server.process.wait(PATIENCE).code(), Some(0), "{}", server.process.output());
}

fn send(client: &mut Client, from: i64, to: i64) {
    for number in from..to {
        for queue in 0..QUEUES {
            let body = format!("{queue} {number}");
            client.send("T", queue, body.as_bytes()).expect("an answer").expect(0);
        }
    }
}

/// Each queue has these messages, and nothing else.
fn has(client: &mut Client, count: i64) {
    for queue in 0..QUEUES {
        assert_eq!(client.max_offset("T", queue).expect("an answer"), count, "queue {queue}");
        let stored = client.pull("T", queue, 0, 32).expect("an answer").messages;
        let bodies: Vec<_> = stored.into_iter().map(|message| message.body).collect();
        let sent = (0..count).map(|number| format!("{queue} {number}").into_bytes());
        assert_eq!(bodies, sent.collect::<Vec<_>>(), "queue {queue}");
    }
}

fn offset(client: &mut Client, code: i32, offset: Option<i64>) -> i64 {
    let text = offset.unwrap_or(0).to_string();
    let mut fields = vec![("consumerGroup", "G"), ("topic", "T"), ("queueId", "0")];
    fields.extend(offset.map(|_| ("commitOffset", text.as_str())));
    let answer = client.call(code, &fields, b"").expect("an answer").expect(response::SUCCESS);
    if offset.is_some() { 0 } else { answer.number("offset") }
}

fn commit(client: &mut Client, to: i64) {
    offset(client, request::UPDATE_CONSUMER_OFFSET, Some(to));
}

fn committed(client: &mut Client) -> i64 {
    offset(client, request::QUERY_CONSUMER_OFFSET, None)
}

fn the_copy_of_a_stopped_store_serves_everything(shards: u32) {
    let directory = process::directory("backup");
    let server = Server::start(directory.path(), &settings(shards));
    let mut client = server.client();
    client.create_topic("T", QUEUES.unsigned_abs()).expect("an answer").expect(0);
    send(&mut client, 0, EACH);
    commit(&mut client, 5);
    stop(server);
    let backup = process::directory("backup-of");
    copy(&directory.path().join("store"), &backup.path().join("store"));
    // The page has the broker started again before the copy is looked at.
    let server = Server::start(directory.path(), &settings(shards));
    doctor_finds_it_sound(&backup.path().join("store"));
    let copied = Server::start(backup.path(), &settings(shards));
    for one in [&server, &copied] {
        has(&mut one.client(), EACH);
        assert_eq!(committed(&mut one.client()), 5);
    }
    // Both go on, each by itself.
    send(&mut copied.client(), EACH, EACH + 3);
    has(&mut copied.client(), EACH + 3);
    has(&mut server.client(), EACH);
}

/// A snapshot is what a loss of power at that moment would leave: here the files of a process that
/// was halted in the midst of its work.
fn a_snapshot_of_a_store_in_use_has_all_that_was_acknowledged(shards: u32) {
    let directory = process::directory("snapshot");
    let server = Server::start(directory.path(), &settings(shards));
    server.client().create_topic("T", QUEUES.unsigned_abs()).expect("an answer").expect(0);
    let (address, ends) = (server.address, AtomicBool::new(false));
    let acknowledged = [(); QUEUES as usize].map(|()| Mutex::new(0));
    let snapshot = process::directory("snapshot-of");
    let least = thread::scope(|scope| {
        for (queue, acknowledged) in (0..).zip(&acknowledged) {
            let ends = &ends;
            scope.spawn(move || {
                let mut client = Client::connect(address).expect("it listens");
                client.set_timeout(PATIENCE);
                for number in 0.. {
                    if ends.load(Ordering::Relaxed) {
                        return;
                    }
                    let body = format!("{queue} {number}");
                    client.send("T", queue, body.as_bytes()).expect("an answer").expect(0);
                    *acknowledged.lock().expect("no panic") = number + 1;
                }
            });
        }
        let count = || acknowledged.each_ref().map(|count| *count.lock().expect("no panic"));
        let began = Instant::now();
        while count().iter().any(|count| *count < EACH) {
            assert!(began.elapsed() < PATIENCE, "{:?}", count());
            thread::sleep(Duration::from_millis(2));
        }
        server.process.halt();
        let least = count();
        copy(&directory.path().join("store"), &snapshot.path().join("store"));
        server.process.signal(Signal::SIGCONT);
        ends.store(true, Ordering::Relaxed);
        least
    });
    doctor_finds_it_sound(&snapshot.path().join("store"));
    let restored = Server::start(snapshot.path(), &settings(shards));
    let mut client = restored.client();
    for (queue, least) in (0..).zip(least) {
        let end = client.max_offset("T", queue).expect("an answer");
        // One send of each client was under way.
        assert!(end == least || end == least + 1, "queue {queue}: {end}, {least} acknowledged");
        let mut next = 0;
        while next < end {
            let pulled = client.pull("T", queue, next, 32).expect("an answer");
            assert!(!pulled.messages.is_empty(), "queue {queue} at {next} of {end}");
            for message in pulled.messages {
                assert_eq!(message.body, format!("{queue} {next}").into_bytes());
                next += 1;
            }
        }
    }
}

fn a_damaged_store_is_replaced_by_its_backup(shards: u32) {
    let directory = process::directory("restore");
    let store = directory.path().join("store");
    let server = Server::start(directory.path(), &settings(shards));
    let mut client = server.client();
    client.create_topic("T", QUEUES.unsigned_abs()).expect("an answer").expect(0);
    send(&mut client, 0, EACH);
    commit(&mut client, 5);
    stop(server);
    let backup = directory.path().join("backup");
    copy(&store, &backup);
    let server = Server::start(directory.path(), &settings(shards));
    let mut client = server.client();
    send(&mut client, EACH, EACH + 4);
    commit(&mut client, 11);
    stop(server);
    // The mark of a log says up to where all is durable.
    fs::remove_file(store.join("log-000/mark")).expect("a log has one");
    let file = configure(directory.path(), free_port(), &settings(shards));
    let mut refused = Process::start(&["broker", "-c", &file], directory.path().join("refused"));
    refused.expects("cannot start");
    assert_eq!(refused.wait(PATIENCE).code(), Some(1), "{}", refused.output());
    assert!(refused.output().contains("log-000"), "{}", refused.output());

    fs::rename(&store, directory.path().join("damaged")).expect("it is moved away");
    copy(&backup, &store);
    let server = Server::start(directory.path(), &settings(shards));
    let mut client = server.client();
    has(&mut client, EACH);
    assert_eq!(committed(&mut client), 5, "what was consumed since comes again");
    send(&mut client, EACH, EACH + 2);
    has(&mut client, EACH + 2);
}

// Single: a name server has one executor.
#[test]
fn the_copy_of_a_name_servers_data_serves_everything() {
    let directory = process::directory("backup-names");
    let fields = [("namespace", "N"), ("key", "k"), ("value", "v")];
    let mut server = NameServer::start(directory.path(), &[]);
    let put = server.client().call(request::PUT_KV_CONFIG, &fields, b"");
    put.expect("an answer").expect(response::SUCCESS);
    server.process.signal(Signal::SIGTERM);
    assert_eq!(server.process.wait(PATIENCE).code(), Some(0));
    let backup = process::directory("backup-of-names");
    copy(&directory.path().join("kvConfig.json"), &backup.path().join("kvConfig.json"));
    let server = NameServer::start(backup.path(), &[]);
    let got = server.client().call(request::GET_KV_CONFIG, &fields[..2], b"");
    let got = got.expect("an answer").expect(response::SUCCESS);
    assert_eq!(got.fields.get("value").map(String::as_str), Some("v"), "{got:?}");
}
