//! Access control (`aclEnable`): who may do what, and how that is changed while the broker runs.

mod changes;
mod matrix;

use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use ringmq_remoting::codes::{request, response};
use socket2::{Domain, Socket, Type};

use crate::client::{Answer, Client};
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(
    accounts_send_and_consume_what_they_may,
    batches_and_light_pulls_need_the_same_permissions,
    what_is_checked_is_what_is_handled,
    white_addresses_need_no_account,
);

pub const SECRET: &str = "a-secret-1";

/// `limited` may little, `admin-one` everything, `friend-1` comes from an address of its own.
pub const FILE: &str = "
globalWhiteRemoteAddresses:
  - 127.0.0.77
accounts:
  - accessKey: limited
    secretKey: a-secret-1
    defaultTopicPerm: DENY
    defaultGroupPerm: DENY
    topicPerms: [both=PUB|SUB, pub=PUB, sub=SUB]
    groupPerms: [it_group=SUB]
  - accessKey: admin-one
    secretKey: a-secret-1
    admin: true
  - accessKey: friend-1
    secretKey: a-secret-1
    whiteRemoteAddress: 127.0.0.78-79
";

pub fn server(name: &str, shards: u32) -> (tempfile::TempDir, Server) {
    let directory = process::directory(name);
    std::fs::write(directory.path().join("plain_acl.yml"), FILE).expect("the directory is ours");
    let extra = vec![("aclEnable", "true".to_owned())];
    let settings = Settings { shards, extra, ..Settings::default() };
    let server = Server::start(directory.path(), &settings);
    (directory, server)
}

pub fn limited(server: &Server) -> Client {
    server.client().signing("limited", SECRET)
}

pub fn admin(server: &Server) -> Client {
    server.client().signing("admin-one", SECRET)
}

/// A client that comes from this address.
pub fn from(server: &Server, last: u8) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
    socket.bind(&address.into()).expect("all of 127.0.0.0/8 is ours");
    socket.connect(&server.address.into()).expect("the broker listens");
    Client::over(TcpStream::from(socket))
}

pub fn refused(answer: &Answer, why: &str) {
    let remark = format!("org.apache.rocketmq.acl.common.AclException: {why}");
    assert_eq!((answer.code, &*answer.remark), (response::SYSTEM_ERROR, &*remark));
}

fn make_topics(server: &Server) {
    let mut admin = admin(server);
    for topic in ["both", "pub", "sub", "none"] {
        admin.create_topic(topic, 2).expect("an answer").expect(response::SUCCESS);
        admin.send(topic, 0, b"first").expect("an answer").expect(response::SUCCESS);
    }
}

fn accounts_send_and_consume_what_they_may(shards: u32) {
    let (_directory, server) = server("accounts", shards);
    make_topics(&server);
    let mut client = limited(&server);
    for (topic, sends, pulls) in
        [("both", true, true), ("pub", true, false), ("sub", false, true), ("none", false, false)]
    {
        let denied = format!("No default permission for topic:{topic}");
        let sent = client.send(topic, 0, b"second").expect("an answer");
        match sends {
            true => drop(sent.expect(response::SUCCESS)),
            false => refused(&sent, &denied),
        }
        match client.pull(topic, 0, 0, 32) {
            Ok(pulled) => assert!(pulls && pulled.messages.len() == 1 + usize::from(sends)),
            Err(error) => assert!(!pulls && error.to_string().contains(&denied), "{error}"),
        }
        assert_eq!(client.max_offset(topic, 0).expect("allowed"), 1 + i64::from(sends));
    }
    let beat = |group: &str| {
        format!(
            "{{\"clientID\":\"c\",\"consumerDataSet\":[{{\"groupName\":\"{group}\",\
             \"subscriptionDataSet\":[{{\"topic\":\"both\",\"subString\":\"*\"}}]}}],\
             \"producerDataSet\":[]}}"
        )
    };
    let answer = client.call(request::HEART_BEAT, &[], beat("it_group").as_bytes());
    answer.expect("an answer").expect(response::SUCCESS);
    let answer = client.call(request::HEART_BEAT, &[], beat("others").as_bytes());
    refused(&answer.expect("an answer"), "No default permission for group:others");
    // A retry topic stands for its group.
    let retry = client.send("%RETRY%others", 0, b"x").expect("an answer");
    refused(&retry, "No default permission for group:others");
    // One-way requests are refused without a word.
    client.start(request::SEND_MESSAGE_V2, true, &[("b", "none")], b"x").expect("it is sent");
    assert_eq!(client.max_offset("none", 0).expect("allowed"), 1);
    let made = client.create_topic("made", 1).expect("an answer");
    refused(&made, "Need admin permission for request code=17, but accessKey=limited is not");
    let all = admin(&server).call(request::GET_ALL_TOPIC_CONFIG, &[], b"").expect("an answer");
    assert!(!String::from_utf8_lossy(&all.body).contains("\"made\""));
}

fn batches_and_light_pulls_need_the_same_permissions(shards: u32) {
    let (_directory, server) = server("forms", shards);
    make_topics(&server);
    let mut client = limited(&server);
    let send = [("a", "g"), ("b", "sub"), ("e", "0"), ("f", "0"), ("g", "0"), ("h", "0")];
    for code in [request::SEND_MESSAGE_V2, request::SEND_BATCH_MESSAGE] {
        let answer = client.call(code, &send, b"x").expect("an answer");
        refused(&answer, "No default permission for topic:sub");
    }
    let send = [("topic", "sub"), ("queueId", "0"), ("sysFlag", "0"), ("bornTimestamp", "0")];
    let answer = client.call(request::SEND_MESSAGE, &send, b"x").expect("an answer");
    refused(&answer, "No default permission for topic:sub");
    for code in [request::PULL_MESSAGE, request::LITE_PULL_MESSAGE, request::QUERY_MESSAGE] {
        let fields = [("topic", "pub"), ("consumerGroup", "it_group")];
        let answer = client.call(code, &fields, b"").expect("an answer");
        refused(&answer, "No default permission for topic:pub");
    }
    assert_eq!(client.max_offset("sub", 0).expect("allowed"), 1);
}

/// A header that says two things is read in one way by whoever checks and whoever handles it.
fn what_is_checked_is_what_is_handled(shards: u32) {
    let (_directory, server) = server("twice", shards);
    make_topics(&server);
    let rest = [
        ("a", "g"),
        ("c", "TBW102"),
        ("d", "4"),
        ("e", "0"),
        ("f", "0"),
        ("g", "0"),
        ("h", "0"),
        ("i", ""),
        ("j", "0"),
        ("k", "false"),
        ("l", "0"),
        ("m", "false"),
        ("AccessKey", "limited"),
    ];
    let json = |fields: &[(&str, &str)]| {
        let members = fields.iter().map(|(name, value)| format!("\"{name}\":\"{value}\""));
        members.collect::<Vec<_>>().join(",")
    };
    let signed = |fields: &[(&'static str, &'static str)], body: &[u8]| {
        let signature = ringmq_rules::acl::signature::sign(SECRET, fields, body);
        format!("{},\"Signature\":\"{signature}\"", json(fields))
    };
    let with = |topic| -> Vec<_> { rest.iter().copied().chain([("b", topic)]).collect() };
    let both = signed(&with("both"), b"x");
    for header in [
        // a second object of fields, before and behind, with a topic and without
        format!("{{\"code\":310,\"extFields\":{{\"b\":\"none\"}},\"extFields\":{{{both}}}}}"),
        format!("{{\"code\":310,\"extFields\":{{{both}}},\"extFields\":{{\"b\":\"none\"}}}}"),
        format!(
            "{{\"code\":310,\"extFields\":{{\"b\":\"none\"}},\"extFields\":{{{}}}}}",
            signed(&rest, b"x")
        ),
        // the other name of the object
        format!("{{\"code\":310,\"ext_fields\":{{\"b\":\"none\"}},\"extFields\":{{{both}}}}}"),
        // a field that is there twice
        format!("{{\"code\":310,\"extFields\":{{\"b\":\"none\",{both}}}}}"),
        format!("{{\"code\":310,\"extFields\":{{{both},\"b\":\"none\"}}}}"),
        // another code first
        format!("{{\"code\":34,\"code\":310,\"extFields\":{{{both},\"b\":\"none\"}}}}"),
        format!("{{\"code\":310,\"Code\":34,\"extFields\":{{{both},\"b\":\"none\"}}}}"),
    ] {
        use std::io::Write;
        let mut client = server.client();
        let length = u32::try_from(4 + header.len() + 1).expect("short");
        let mut frame = length.to_be_bytes().to_vec();
        frame.extend(u32::try_from(header.len()).expect("short").to_be_bytes());
        frame.extend(header.as_bytes());
        frame.push(b'x');
        client.stream().write_all(&frame).expect("the broker reads");
        // Whatever it says: nothing is stored where nothing may be.
        let _ = client.reply();
        assert_eq!(limited(&server).max_offset("none", 0).expect("allowed"), 1, "{header}");
    }
}

fn white_addresses_need_no_account(shards: u32) {
    let (_directory, server) = server("white", shards);
    make_topics(&server);
    let mut stranger = from(&server, 77);
    stranger.create_topic("made", 1).expect("an answer").expect(response::SUCCESS);
    stranger.send("none", 0, b"x").expect("an answer").expect(response::SUCCESS);
    refused(
        &from(&server, 76).send("none", 0, b"x").expect("an answer"),
        "No accessKey is configured",
    );
    // The address of an account needs its name, and no signature.
    let friend = |last, secret| {
        let mut client = from(&server, last).signing("friend-1", secret);
        client.send("both", 0, b"x").expect("an answer")
    };
    friend(78, "wrong").expect(response::SUCCESS);
    refused(&friend(80, "wrong"), "Check signature failed for accessKey=friend-1");
    refused(&friend(80, SECRET), "No default permission for topic:both");
}
