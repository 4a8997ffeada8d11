//! Keys of the configuration that administrators change while the broker runs
//! (UPDATE_BROKER_CONFIG, `mqadmin updateBrokerConfig`).

use nix::sys::signal::Signal;
use ringmq_remoting::codes::{request, response};

use crate::client::Client;
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(
    changed_keys_have_their_effect_on_every_shard,
    a_restart_keeps_changed_keys_unless_the_file_was_changed_since,
    what_is_not_live_is_refused_and_nothing_is_changed,
);

fn change(client: &mut Client, text: &str) -> (i32, String) {
    let answer =
        client.call(request::UPDATE_BROKER_CONFIG, &[], text.as_bytes()).expect("an answer");
    (answer.code, answer.remark)
}

fn changed(client: &mut Client, text: &str) {
    assert_eq!(change(client, text), (response::SUCCESS, String::new()), "{text}");
}

/// The value of a key as tools see it.
fn shown(client: &mut Client, key: &str) -> String {
    let answer = client.call(request::GET_BROKER_CONFIG, &[], b"").expect("an answer");
    let text = String::from_utf8(answer.body).expect("text");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{key}=")));
    line.unwrap_or_else(|| panic!("no {key} in {text}")).to_owned()
}

fn code_of_send(client: &mut Client, topic: &str, bytes: usize) -> i32 {
    client.send(topic, 0, &vec![b'x'; bytes]).expect("an answer").code
}

fn changed_keys_have_their_effect_on_every_shard(shards: u32) {
    let directory = process::directory("live-keys");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    // Connections of all shards, most likely.
    let mut clients: Vec<Client> = (0..8).map(|_| server.client()).collect();
    clients[0].create_topic("T", 4).expect("an answer").expect(response::SUCCESS);
    changed(&mut clients[0], "maxMessageSize=100\nautoCreateTopicEnable=false\n");
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(code_of_send(client, "T", 100), response::SUCCESS);
        assert_eq!(code_of_send(client, "T", 101), response::MESSAGE_ILLEGAL);
        assert_eq!(code_of_send(client, &format!("New{number}"), 1), response::TOPIC_NOT_EXIST);
        assert_eq!(shown(client, "maxMessageSize"), "100");
    }
    changed(&mut clients[1], "autoCreateTopicEnable=true\nmaxMessageSize=1000");
    changed(&mut clients[2], "brokerPermission=2");
    for client in &mut clients {
        let refused = client.pull("T", 0, 0, 1).map_err(|error| error.to_string());
        assert!(refused.is_err_and(|error| error.contains("refused with 16")));
    }
    changed(&mut clients[3], "brokerPermission=6");
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.pull("T", 0, 0, 1).expect("an answer").code, response::SUCCESS);
        assert_eq!(code_of_send(client, &format!("New{number}"), 1000), response::SUCCESS);
    }
}

fn a_restart_keeps_changed_keys_unless_the_file_was_changed_since(shards: u32) {
    let directory = process::directory("live-restart");
    let with = |extra: &[(&'static str, &str)]| Settings {
        shards,
        extra: extra.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(),
        ..Settings::default()
    };
    let first = [("fileReservedTime", "48"), ("autoCreateTopicEnable", "false")];
    let mut server = Server::start(directory.path(), &with(&first));
    let mut client = server.client();
    changed(
        &mut client,
        "fileReservedTime=24\nautoCreateTopicEnable=true\nlongPollingEnable=false",
    );
    server.process.kill9();

    let mut server = Server::start(directory.path(), &with(&first));
    let mut client = server.client();
    assert_eq!(shown(&mut client, "fileReservedTime"), "24");
    assert_eq!(shown(&mut client, "longPollingEnable"), "false");
    assert_eq!(code_of_send(&mut client, "New", 1), response::SUCCESS, "made of the template");
    server.process.signal(Signal::SIGTERM);
    assert!(server.process.wait(std::time::Duration::from_secs(20)).success());

    let second = [("fileReservedTime", "36"), ("autoCreateTopicEnable", "false")];
    let mut server = Server::start(directory.path(), &with(&second));
    server.process.expects("what an administrator set is dropped");
    let mut client = server.client();
    assert_eq!(shown(&mut client, "fileReservedTime"), "36", "the file is newer");
    assert_eq!(shown(&mut client, "longPollingEnable"), "false");
    server.process.kill9();
    let server = Server::start(directory.path(), &with(&first));
    assert_eq!(shown(&mut server.client(), "fileReservedTime"), "48", "it is not remembered");
}

fn what_is_not_live_is_refused_and_nothing_is_changed(shards: u32) {
    let directory = process::directory("live-refused");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    let mut client = server.client();
    let before = shown(&mut client, "fileReservedTime");
    let refused = [
        ("brokerName=other", response::NO_PERMISSION, "brokerName cannot be changed"),
        ("namesrvAddr=10.0.0.1:9876", response::NO_PERMISSION, "configuration file"),
        ("rocketmqHome=/tmp/x;id", response::NO_PERMISSION, "rocketmqHome"),
        ("fileReservedTime=soon", response::SYSTEM_ERROR, "soon"),
        ("fileReservedTimes=3", response::SYSTEM_ERROR, "did you mean fileReservedTime?"),
        ("maxMessageSize=15000000", response::SYSTEM_ERROR, "4194304"),
    ];
    for (text, code, part) in refused {
        let (found, remark) = change(&mut client, &format!("fileReservedTime=12\n{text}"));
        assert_eq!(found, code, "{text}: {remark}");
        assert!(remark.contains(part), "{text}: {remark}");
        assert_eq!(shown(&mut client, "fileReservedTime"), before, "{text}");
    }
    // As with RocketMQ, keys of its own that mean nothing here are taken.
    server.process.expects("sendMessageThreadPoolNums has no effect and needs none");
    changed(&mut client, "sendMessageThreadPoolNums=16");
}
