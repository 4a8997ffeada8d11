use std::net::Ipv4Addr;

use ringmq_remoting::codes::request;

use super::*;
use crate::acl::needs::Resource;

const FILE: &str = "
globalWhiteRemoteAddresses:
  - 10.10.103.*
accounts:
  - accessKey: RocketMQ
    secretKey: 12345678
    defaultTopicPerm: DENY
    defaultGroupPerm: SUB
    topicPerms: [topicA=DENY, topicB=PUB|SUB, topicC=SUB, '%RETRY%groupR=DENY']
    groupPerms: [groupA=DENY, groupB=PUB|SUB]
  - accessKey: rocketmq2
    secretKey: 12345678
    whiteRemoteAddress: 192.168.1.*
    admin: true
  - accessKey: narrow-admin
    secretKey: 12345678
    admin: true
    topicPerms: [topicA=PUB]
";

const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);

fn rules() -> AccessRules {
    let mut rules = AccessRules::default();
    let file = AclFile::parse(FILE).unwrap_or_else(|problem| panic!("{problem}"));
    assert!(rules.add("plain_acl.yml", &file).is_empty());
    rules
}

/// What needs what, as the broker's table has it.
const SEND: Needs = Needs { resource: Resource::ShortTopic, action: Action::Publish };
const PULL: Needs = Needs { resource: Resource::TopicAndConsumerGroup, action: Action::Subscribe };
const BEAT: Needs = Needs { resource: Resource::Subscriptions, action: Action::Subscribe };
const LOCK: Needs = Needs { resource: Resource::LockGroup, action: Action::Subscribe };
const MAKE: Needs = Needs { resource: Resource::Nothing, action: Action::Administer };
const ASK: Needs = Needs { resource: Resource::Nothing, action: Action::Ask };

/// The remark of the refusal, without the name of the exception; empty: allowed.
fn asked(
    code: i32,
    key: Option<&str>,
    fields: &[(&str, &str)],
    body: &[u8],
    needs: Needs,
) -> String {
    let mut fields = fields.to_vec();
    fields.extend(key.map(|key| (ACCESS_KEY, key)));
    let signature = sign(&fields, body);
    fields.push(("Signature", &signature));
    checked(code, &fields, body, needs, ELSEWHERE)
}

fn checked(
    code: i32,
    fields: &[(&str, &str)],
    body: &[u8],
    needs: Needs,
    address: Ipv4Addr,
) -> String {
    let header = Header {
        code,
        version: 409,
        fields: fields.iter().copied().collect(),
        ..Header::default()
    };
    match rules().check(&Asked { header: &header, body, address: address.into() }, needs) {
        Ok(()) => String::new(),
        Err(refusal) => {
            assert_eq!(refusal.code, 1);
            refusal.remark.strip_prefix(EXCEPTION).expect("an exception").to_owned()
        }
    }
}

fn sign(fields: &[(&str, &str)], body: &[u8]) -> String {
    super::super::signature::sign("12345678", fields, body)
}

#[test]
fn whoever_is_not_known_or_has_not_signed_is_refused() {
    let code = request::GET_MAX_OFFSET;
    assert_eq!(asked(code, None, &[], b"", ASK), "No accessKey is configured");
    assert_eq!(asked(code, Some("nobody"), &[], b"", ASK), "No acl config for nobody");
    let unsigned = [(ACCESS_KEY, "RocketMQ")];
    let failed = "Check signature failed for accessKey=RocketMQ";
    assert_eq!(checked(code, &unsigned, b"", ASK, ELSEWHERE), failed);
    assert_eq!(asked(code, Some("RocketMQ"), &[("topic", "any")], b"body", ASK), "");
}

#[test]
fn white_addresses_need_no_signature_and_may_do_everything() {
    let make = request::UPDATE_AND_CREATE_TOPIC;
    assert_eq!(checked(make, &[], b"", MAKE, Ipv4Addr::new(10, 10, 103, 7)), "");
    let white = Ipv4Addr::new(192, 168, 1, 9);
    assert_eq!(checked(make, &[(ACCESS_KEY, "rocketmq2")], b"", MAKE, white), "");
    let failed = checked(make, &[(ACCESS_KEY, "RocketMQ")], b"", MAKE, white);
    assert!(failed.starts_with("Check signature failed"), "{failed}");
}

#[test]
fn topics_and_groups_are_checked_with_their_defaults() {
    let send = |key, topic| asked(request::SEND_MESSAGE_V2, Some(key), &[("b", topic)], b"x", SEND);
    let denied = |name: &str| format!("No default permission for {name}");
    assert_eq!(send("RocketMQ", "topicB"), "");
    assert_eq!(send("RocketMQ", "topicA"), denied("topic:topicA"));
    assert_eq!(send("RocketMQ", "topicC"), denied("topic:topicC"));
    assert_eq!(send("RocketMQ", "topicX"), denied("topic:topicX"));
    assert_eq!(send("RocketMQ", TRACE_TOPIC), "");
    // A retry topic stands for its group, and sending to it is part of consuming.
    assert_eq!(send("RocketMQ", "%RETRY%groupX"), "");
    assert_eq!(send("RocketMQ", "%RETRY%groupA"), denied("group:groupA"));
    assert_eq!(send("RocketMQ", "%RETRY%groupR"), denied("group:groupR"));
    let pull = |topic, group| {
        let fields = [("topic", topic), ("consumerGroup", group)];
        asked(request::PULL_MESSAGE, Some("RocketMQ"), &fields, b"", PULL)
    };
    assert_eq!(pull("topicC", "groupX"), "");
    assert_eq!(pull("topicC", "groupA"), denied("group:groupA"));
    assert_eq!(pull("topicX", "groupB"), denied("topic:topicX"));
    assert_eq!(pull(TRACE_TOPIC, "groupB"), denied("topic:RMQ_SYS_TRACE_TOPIC"));
    assert_eq!(pull("%RETRY%groupB", "groupB"), "");
}

#[test]
fn bodies_name_topics_and_groups_too() {
    let beat =
        |body: &str| asked(request::HEART_BEAT, Some("RocketMQ"), &[], body.as_bytes(), BEAT);
    let consumer = |group: &str, topic: &str| {
        format!(
            "{{\"clientID\":\"c\",\"consumerDataSet\":[{{\"groupName\":\"{group}\",\
             \"subscriptionDataSet\":[{{\"topic\":\"{topic}\"}},{{\"topic\":\"%RETRY%{group}\"}}]\
             }}],\"producerDataSet\":[{{\"groupName\":\"groupA\"}}]}}"
        )
    };
    assert_eq!(beat(&consumer("groupB", "topicB")), "");
    assert_eq!(beat(&consumer("groupA", "topicB")), "No default permission for group:groupA");
    assert_eq!(beat(&consumer("groupB", "topicX")), "No default permission for topic:topicX");
    assert_eq!(beat("{\"clientID\":\"c\"}"), "");
    assert!(!beat("no heartbeat").is_empty());
    let lock = |group: &str| {
        let body = format!("{{\"consumerGroup\":\"{group}\"}}");
        asked(request::LOCK_BATCH_MQ, Some("RocketMQ"), &[], body.as_bytes(), LOCK)
    };
    assert_eq!((lock("groupB"), lock("groupA").is_empty()), (String::new(), false));
}

#[test]
fn administration_needs_an_admin_and_an_admin_needs_no_permission_but_those_it_names() {
    let make =
        |key| asked(request::UPDATE_AND_CREATE_TOPIC, Some(key), &[("topic", "t")], b"", MAKE);
    let refused = "Need admin permission for request code=17, but accessKey=RocketMQ is not";
    assert_eq!(make("RocketMQ"), refused);
    assert_eq!((make("rocketmq2"), make("narrow-admin")), (String::new(), String::new()));
    let send = |key, topic| asked(request::SEND_MESSAGE_V2, Some(key), &[("b", topic)], b"x", SEND);
    assert_eq!(send("rocketmq2", "topicX"), "");
    assert_eq!(send("narrow-admin", "topicA"), "");
    assert_eq!(send("narrow-admin", "topicX"), "No default permission for topic:topicX");
}

#[test]
fn of_accounts_that_are_there_twice_the_first_counts() {
    let mut rules = rules();
    let file = "accounts:\n- {accessKey: RocketMQ, secretKey: other-secret}\n";
    let file = AclFile::parse(file).expect("sound");
    let repeated = rules.add("other.yml", &file);
    assert!(repeated[0].to_string().starts_with("line 2: the account RocketMQ is there already"));
    assert_eq!((rules.accounts(), rules.versions.len()), (3, 2));
    assert!(!format!("{rules:?}").contains("secret"));
}
