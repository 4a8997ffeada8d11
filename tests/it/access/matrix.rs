//! Every request code x {no signature, wrong key, no permission, wrong address}.

use ringmq_remoting::codes::request::{self, *};

use super::{SECRET, from, refused, server};
use crate::server::Server;
use crate::shards::for_shards;

for_shards!(every_request_is_refused_to_whoever_may_not);

/// Codes that need a topic or a group, and how the refusal names it.
const NEED: &[(i32, &str)] = &[
    (SEND_MESSAGE, "topic:none"),
    (SEND_MESSAGE_V2, "topic:none"),
    (SEND_BATCH_MESSAGE, "topic:none"),
    (PULL_MESSAGE, "topic:none"),
    (LITE_PULL_MESSAGE, "topic:none"),
    (QUERY_MESSAGE, "topic:none"),
    (UPDATE_CONSUMER_OFFSET, "topic:none"),
    (RECALL_MESSAGE, "topic:none"),
    (CONSUMER_SEND_MSG_BACK, "group:others"),
    (UNREGISTER_CLIENT, "group:others"),
    (GET_CONSUMER_LIST_BY_GROUP, "group:others"),
    (LOCK_BATCH_MQ, "group:others"),
    (UNLOCK_BATCH_MQ, "group:others"),
    (HEART_BEAT, "topic:none"),
];

/// Codes that need an account with `admin: true`.
const ADMIN: &[i32] = &[
    UPDATE_AND_CREATE_TOPIC,
    DELETE_TOPIC_IN_BROKER,
    UPDATE_AND_CREATE_SUBSCRIPTIONGROUP,
    DELETE_SUBSCRIPTIONGROUP,
    DELETE_EXPIRED_COMMITLOG,
    UPDATE_BROKER_CONFIG,
    UPDATE_AND_CREATE_TOPIC_LIST,
    UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST,
    CLEAN_EXPIRED_CONSUMEQUEUE,
    CLEAN_UNUSED_TOPIC,
    UPDATE_AND_CREATE_ACL_CONFIG,
    DELETE_ACL_CONFIG,
    UPDATE_GLOBAL_WHITE_ADDRS_CONFIG,
    INVOKE_BROKER_TO_RESET_OFFSET,
    CONSUME_MESSAGE_DIRECTLY,
    CLONE_GROUP_OFFSET,
    RESUME_CHECK_HALF_MESSAGE,
];

/// Everything that a request may name.
const FIELDS: &[(&str, &str)] = &[
    ("topic", "none"),
    ("b", "none"),
    ("queueId", "0"),
    ("group", "others"),
    ("groupName", "others"),
    ("consumerGroup", "others"),
    ("accessKey", "another"),
];

const BODY: &str = "{\"clientID\":\"c\",\"consumerGroup\":\"others\",\"mqSet\":[],\
    \"groupName\":\"others\",\"consumerDataSet\":[{\"groupName\":\"others\",\
    \"subscriptionDataSet\":[{\"topic\":\"none\"}]}],\"producerDataSet\":[]}";

/// All that have a name, and some that have none.
fn codes() -> Vec<i32> {
    let named = (0..4_000).chain(200_000..200_200).chain([STORAGE_PLAN]);
    let mut codes: Vec<i32> = named.filter(|code| request::name(*code).is_some()).collect();
    codes.extend([0, -1, 9_999, i32::MAX]);
    codes
}

fn every_request_is_refused_to_whoever_may_not(shards: u32) {
    let (_directory, server) = server("matrix", shards);
    let codes = codes();
    assert!(codes.len() > 100, "{}", codes.len());
    for code in codes {
        let ask = |client: crate::client::Client| ask(client, code);
        // no signature, from a wrong address as well
        for client in [server.client(), from(&server, 76), from(&server, 80)] {
            refused(&ask(client), "No accessKey is configured");
        }
        // a wrong key, of an account and of none
        for access_key in ["limited", "admin-one", "friend-1"] {
            let wrong = server.client().signing(access_key, "wrong-secret");
            refused(&ask(wrong), &format!("Check signature failed for accessKey={access_key}"));
        }
        let nobody = server.client().signing("nobody-1", SECRET);
        refused(&ask(nobody), "No acl config for nobody-1");
        // the wrong address of an account that has one
        let elsewhere = from(&server, 80).signing("friend-1", "wrong-secret");
        refused(&ask(elsewhere), "Check signature failed for accessKey=friend-1");
        without_permission(&server, code);
    }
}

fn ask(mut client: crate::client::Client, code: i32) -> crate::client::Answer {
    client.call(code, FIELDS, BODY.as_bytes()).expect("an answer")
}

fn without_permission(server: &Server, code: i32) {
    let answer = ask(super::limited(server), code);
    if ADMIN.contains(&code) {
        let why =
            format!("Need admin permission for request code={code}, but accessKey=limited is not");
        refused(&answer, &why);
    } else if let Some((_, name)) = NEED.iter().find(|(other, _)| *other == code) {
        refused(&answer, &format!("No default permission for {name}"));
    } else {
        assert!(!answer.remark.contains("AclException"), "{code}: {answer:?}");
    }
}
