use std::net::{IpAddr, Ipv4Addr};

use ringmq_remoting::{codes::request, frame::Serialization};

use super::*;
use crate::subscription::{ConsumeFromWhere, ConsumeType, Subscription, Topics};

const CONTEXT: PullContext<'_> = PullContext {
    broker_permission: 6,
    broker_ip: "10.0.0.1",
    auto_create_group: true,
    property_filter: true,
    consumer: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 5000),
};

fn header<'a>() -> PullHeader<'a> {
    PullHeader {
        consumer_group: "g",
        topic: "T",
        queue_id: 3,
        queue_offset: 0,
        max_msg_nums: 32,
        sys_flag: 0,
        commit_offset: 0,
        suspend_timeout_millis: 0,
        subscription: None,
        sub_version: 5,
        expression_type: Some("TAG"),
        max_msg_bytes: None,
        request_source: None,
        opaque: 0,
        oneway: false,
        code: request::PULL_MESSAGE,
        version: 0,
        serialization: Serialization::Json,
    }
}

fn online(version: i64, text: &str, expression_type: &str) -> GroupSubscriptions {
    let subscription =
        Subscription::new("T", text, Vec::new(), Vec::new(), version, expression_type);
    GroupSubscriptions {
        consume_type: ConsumeType::Passively,
        message_model: MessageModel::Clustering,
        consume_from_where: ConsumeFromWhere::LastOffset,
        topics: vec![subscription].into(),
    }
}

fn refused(
    header: &PullHeader<'_>,
    group: &Group,
    topic: Option<&Topic>,
    subscriptions: Option<&GroupSubscriptions>,
) -> (i32, String) {
    let refusal = check(&CONTEXT, header, Some(group), topic, subscriptions).expect_err("refused");
    (refusal.code, refusal.remark)
}

#[test]
fn a_push_consumer_pulls_by_its_heartbeat() {
    let (group, topic) = (Group::new("g"), Topic::new("T", 4, 6));
    let online = online(5, "a", "TAG");
    let decision = check(&CONTEXT, &header(), Some(&group), Some(&topic), Some(&online));
    let Ok(PullDecision::Read(filter)) = decision else { panic!("read") };
    assert!(filter.keep(97) && !filter.keep(98));
}

#[test]
fn a_pull_consumer_brings_its_subscription_along() {
    let (group, topic) = (Group::new("g"), Topic::new("T", 4, 6));
    let mut header = header();
    header.sys_flag = pull_flag::SUBSCRIPTION;
    for (text, expected) in [(None, true), (Some("*"), true), (Some("b"), false)] {
        header.subscription = text;
        let decision = check(&CONTEXT, &header, Some(&group), Some(&topic), None);
        let Ok(PullDecision::Read(filter)) = decision else { panic!("read") };
        assert_eq!(filter.keep(97), expected);
    }
    header.subscription = Some("||");
    assert_eq!(refused(&header, &group, Some(&topic), None).0, code::SUBSCRIPTION_PARSE_FAILED);
    (header.subscription, header.expression_type) = (Some("a > 5"), Some("SQL92"));
    let decision = check(&CONTEXT, &header, Some(&group), Some(&topic), None);
    assert!(matches!(decision, Ok(PullDecision::Read(Filter::Sql(_)))));
    header.subscription = Some("a >");
    let (code, remark) = refused(&header, &group, Some(&topic), None);
    assert_eq!(code, code::SUBSCRIPTION_PARSE_FAILED);
    assert!(remark.starts_with("parse the consumer's subscription failed: character 3"));
    let long = "a=1 OR ".repeat(PULLED_EXPRESSION_BYTES_MAX / 7 + 1) + "a=1";
    header.subscription = Some(&long);
    let (code, remark) = refused(&header, &group, Some(&topic), None);
    assert_eq!(code, code::SUBSCRIPTION_PARSE_FAILED);
    let expected = format!("SQL92 expression has {} bytes, at most 16384 are", long.len());
    assert!(remark.contains(&expected), "{remark}");
    header.subscription = Some(&long[7..]);
    let decision = check(&CONTEXT, &header, Some(&group), Some(&topic), None);
    assert!(matches!(decision, Ok(PullDecision::Read(Filter::Sql(_)))));
}

#[test]
fn sql_is_refused_when_switched_off_or_wrong() {
    let (group, topic) = (Group::new("g"), Topic::new("T", 4, 6));
    let off = PullContext { property_filter: false, ..CONTEXT };
    let answer = |context: &PullContext<'_>, text: &str| {
        let online = online(5, text, "SQL92");
        let refusal = check(context, &header(), Some(&group), Some(&topic), Some(&online));
        refusal.expect_err("refused")
    };
    let expected = "The broker does not support consumer to filter message by SQL92";
    let refusal = answer(&off, "a > 5");
    assert_eq!(refusal.code, code::SYSTEM_ERROR);
    assert!(refusal.remark.starts_with(expected), "{}", refusal.remark);
    assert_eq!(answer(&CONTEXT, "a >").code, code::FILTER_DATA_NOT_EXIST);
    assert_eq!(check_subscription("a > 5", "SQL92", true), Ok(()));
    assert_eq!(check_subscription("*", "TAG", false), Ok(()));
    let refused = |text, kind, on| check_subscription(text, kind, on).expect_err("refused").code;
    assert_eq!(refused("a > 5", "SQL92", false), code::SYSTEM_ERROR);
    assert_eq!(refused("a >", "SQL92", true), code::SUBSCRIPTION_PARSE_FAILED);
    assert_eq!(refused("a", "GROOVY", true), code::SUBSCRIPTION_PARSE_FAILED);
    assert_eq!(refused("a", "GROOVY", false), code::SYSTEM_ERROR);
    let online = online(5, "a", "GROOVY");
    let refusal = check(&CONTEXT, &header(), Some(&group), Some(&topic), Some(&online));
    assert_eq!(refusal.expect_err("refused").code, code::FILTER_DATA_NOT_EXIST);
}

#[test]
fn a_pull_ahead_of_its_heartbeat_is_told_so() {
    let (group, topic) = (Group::new("g"), Topic::new("T", 4, 6));
    let refused = |online: Option<&_>| refused(&header(), &group, Some(&topic), online);
    let (code, remark) = refused(None);
    assert_eq!(code, code::SUBSCRIPTION_NOT_EXIST);
    assert!(remark.starts_with("the consumer's group info not exist\nSee http://rocketmq"));
    let mut other = online(5, "*", "TAG");
    other.topics = Topics::default();
    assert!(refused(Some(&other)).1.starts_with("the consumer's subscription not exist"));
    let (code, remark) = refused(Some(&online(4, "*", "TAG")));
    assert_eq!((code, &*remark), (25, "the consumer's subscription not latest"));
}

#[test]
fn what_may_not_be_read_is_refused_with_the_texts_of_java() {
    let (group, topic) = (Group::new("g"), Topic::new("T", 4, 6));
    let online = online(5, "*", "TAG");
    let context = PullContext { broker_permission: 2, ..CONTEXT };
    let refusal = check(&context, &header(), Some(&group), Some(&topic), Some(&online));
    let expected = "the broker[10.0.0.1] pulling message is forbidden";
    assert_eq!(refusal.expect_err("refused").remark, expected);
    let disabled = Group { consume_enable: false, ..group.clone() };
    let (code, remark) = refused(&header(), &disabled, Some(&topic), Some(&online));
    assert_eq!((code, &*remark), (16, "subscription group no permission, g"));
    assert_eq!(refused(&header(), &group, None, Some(&online)).0, code::TOPIC_NOT_EXIST);
    let write_only = Topic::new("T", 4, 2);
    let (code, remark) = refused(&header(), &group, Some(&write_only), Some(&online));
    assert_eq!((code, &*remark), (16, "the topic[T] pulling message is forbidden"));
    for queue_id in [-1, 4] {
        let header = PullHeader { queue_id, ..header() };
        let (code, remark) = refused(&header, &group, Some(&topic), Some(&online));
        let expected = format!(
            "queueId[{queue_id}] is illegal, topic:[T] topicConfig.readQueueNums:[4] \
             consumer:[/10.0.0.2:5000]"
        );
        assert_eq!((code, remark), (1, expected));
    }
}

#[test]
fn broadcasting_needs_the_permission_of_the_group() {
    let topic = Topic::new("T", 4, 6);
    let mut online = online(5, "*", "TAG");
    online.message_model = MessageModel::Broadcasting;
    let group = Group { consume_broadcast_enable: false, ..Group::new("g") };
    let (code, remark) = refused(&header(), &group, Some(&topic), Some(&online));
    assert_eq!((code, &*remark), (16, "the consumer group[g] can not consume by broadcast way"));
    let group = Group::new("g");
    assert!(check(&CONTEXT, &header(), Some(&group), Some(&topic), Some(&online)).is_ok());
}

#[test]
fn an_unknown_group_is_made_unless_switched_off() {
    let decision = check(&CONTEXT, &header(), None, None, None);
    assert_eq!(decision, Ok(PullDecision::CreateGroup));
    let context = PullContext { auto_create_group: false, ..CONTEXT };
    let refusal = check(&context, &header(), None, None, None).expect_err("refused");
    assert_eq!(refusal.code, code::SUBSCRIPTION_GROUP_NOT_EXIST);
}

#[test]
fn a_pull_waits_as_long_as_its_client_says() {
    assert_eq!(suspend_ms(pull_flag::SUSPEND, 15_000, None), Some(15_000));
    assert_eq!(suspend_ms(pull_flag::SUSPEND, 15_000, Some(1000)), Some(1000));
    assert_eq!(suspend_ms(pull_flag::SUSPEND, 0, None), None);
    assert_eq!(suspend_ms(pull_flag::COMMIT_OFFSET, 15_000, None), None);
    assert!(has_commit(pull_flag::COMMIT_OFFSET) && !has_commit(pull_flag::SUSPEND));
}

#[test]
fn one_pull_is_limited_whatever_the_client_asks_for() {
    let all = limits(i32::MAX, Some(i32::MAX));
    assert_eq!(all, ReadLimits { messages: 160, bytes: 256 * 1024, scan: 800 });
    assert_eq!(limits(-1, Some(-1)), ReadLimits { messages: 1, bytes: 256 * 1024, scan: 800 });
    assert_eq!(limits(32, Some(10)).bytes, 10);
}

#[test]
fn a_status_has_the_code_of_java() {
    let empty = GetStatus::NoMessageInQueue;
    assert_eq!((empty.response_code(0), empty.response_code(5)), (19, 21));
    assert_eq!(GetStatus::OffsetOverflowOne.response_code(5), 19);
    assert_eq!(GetStatus::OffsetTooSmall.response_code(5), 21);
    assert_eq!(GetStatus::NoMatchedMessage.response_code(5), 20);
    assert_eq!(GetStatus::Found.name(), "FOUND");
}

#[test]
fn a_pull_that_waits_is_looked_at_again_when_group_or_topic_change() {
    let topic = Topic::new("T", 4, 6);
    let sound = Group::new("g");
    let broadcasting =
        GroupSubscriptions { message_model: MessageModel::Broadcasting, ..online(5, "*", "TAG") };
    let clustering = online(5, "*", "TAG");
    let check = |auto, group: Option<&Group>, topic: Option<&Topic>, online, own| {
        let checked = still_allowed(auto, ("g", group), ("T", topic), online, own);
        checked.err().map(|refusal| refusal.code)
    };
    let topic = Some(&topic);
    assert_eq!(check(true, Some(&sound), topic, Some(&clustering), false), None);
    // It would be made again.
    assert_eq!(check(true, None, topic, None, false), None);
    assert_eq!(check(false, None, topic, None, false), Some(code::SUBSCRIPTION_GROUP_NOT_EXIST));
    let off = Group { consume_enable: false, ..Group::new("g") };
    assert_eq!(check(true, Some(&off), topic, None, true), Some(code::NO_PERMISSION));
    assert_eq!(check(true, Some(&sound), None, None, true), Some(code::TOPIC_NOT_EXIST));
    let unreadable = Topic::new("T", 4, 2);
    let refused = check(true, Some(&sound), Some(&unreadable), None, true);
    assert_eq!(refused, Some(code::NO_PERMISSION));
    let quiet = Group { consume_broadcast_enable: false, ..Group::new("g") };
    for (online, own, wanted) in [
        (&broadcasting, false, Some(code::NO_PERMISSION)),
        (&broadcasting, true, None),
        (&clustering, false, None),
    ] {
        assert_eq!(check(true, Some(&quiet), topic, Some(online), own), wanted);
    }
}
