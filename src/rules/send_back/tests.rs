use super::*;
use crate::message_properties::{REAL_QUEUE_ID, REAL_TOPIC, text};

const NOW: i64 = 1_700_000_000_000;

fn record(properties: &[u8], reconsume_times: i32) -> Record<'_> {
    let host = "10.0.0.1:10911".parse().expect("address");
    Record {
        size: 0,
        body_crc: 0,
        queue_id: 2,
        flag: 0,
        queue_offset: 0,
        physical_offset: 0,
        sys_flag: 0,
        born_timestamp: 0,
        born_host: host,
        store_timestamp: 0,
        store_host: host,
        reconsume_times,
        prepared_transaction_offset: 0,
        body: b"",
        topic: "T",
        properties,
    }
}

fn request<'a>(delay_level: i32) -> SendBackRequest<'a> {
    SendBackRequest { group: "g", offset: 0, delay_level, max_reconsume_times: None, version: 409 }
}

fn sent_back<'a>(request: &SendBackRequest<'a>, record: &Record<'_>) -> (SendBack<'a>, Vec<u8>) {
    let levels = DelayLevels::default();
    let back =
        decide(request, (&Group::new("g"), 1), record, &levels, NOW, 7).expect("short names");
    let mut out = Vec::new();
    back.write_properties(record, || "ID".to_owned(), &mut out).expect("no separator");
    (back, out)
}

#[test]
fn a_first_failure_comes_back_after_level_three() {
    let (back, properties) = sent_back(&request(0), &record(b"TAGS\x01a\x02WAIT\x01true", 0));
    assert_eq!((back.level, back.queue_id(), back.reconsume_times), (Some(3), 2, 1));
    assert_eq!((back.tags_code, back.real_topic()), (NOW + 10_000, "%RETRY%g".to_owned()));
    let expected = b"TAGS\x01a\x02RETRY_TOPIC\x01T\x02WAIT\x01false\x02DELAY\x013\x02\
        ORIGIN_MESSAGE_ID\x01ID\x02REAL_TOPIC\x01%RETRY%g\x02REAL_QID\x010\x02";
    assert_eq!(properties, expected);
}

#[test]
fn later_failures_keep_the_first_topic_and_id() {
    let sent = b"RETRY_TOPIC\x01First\x02ORIGIN_MESSAGE_ID\x01OLD\x02DELAY\x013\x02\
        REAL_TOPIC\x01x\x02REAL_QID\x019\x02";
    let (back, properties) = sent_back(&request(0), &record(sent, 4));
    assert_eq!((back.level, back.reconsume_times), (Some(7), 5));
    let value = |name| text(&properties, name);
    assert_eq!((value(RETRY_TOPIC), value(ORIGIN_MESSAGE_ID)), (Some("First"), Some("OLD")));
    assert_eq!((value(REAL_TOPIC), value(REAL_QUEUE_ID)), (Some("%RETRY%g"), Some("0")));
    assert_eq!(value(DELAY), Some("7"));
    assert_eq!(properties.windows(6).filter(|part| part == b"DELAY\x01").count(), 1);
}

#[test]
fn the_client_may_choose_the_level() {
    assert_eq!(sent_back(&request(1), &record(b"", 9)).0.level, Some(1));
    assert_eq!(sent_back(&request(99), &record(b"", 9)).0.level, Some(18));
}

#[test]
fn the_last_failure_goes_to_the_dead_letter_topic_at_once() {
    for (delay_level, reconsume_times, dead) in [(0, 15, false), (0, 16, true), (-1, 0, true)] {
        let (back, _) = sent_back(&request(delay_level), &record(b"", reconsume_times));
        assert_eq!(back.dead_letter, dead);
    }
    let (back, properties) = sent_back(&request(0), &record(b"TAGS\x01a", 16));
    assert_eq!((back.level, back.queue_id(), back.tags_code), (None, 0, 97));
    assert_eq!(back.real_topic(), "%DLQ%g");
    assert_eq!((text(&properties, DELAY), text(&properties, REAL_TOPIC)), (Some("0"), None));
}

#[test]
fn a_limit_of_the_client_counts_if_the_client_is_new_enough() {
    let mut request = SendBackRequest { max_reconsume_times: Some(2), ..request(0) };
    assert!(sent_back(&request, &record(b"", 2)).0.dead_letter);
    request.version = V3_4_9 - 1;
    assert!(!sent_back(&request, &record(b"", 2)).0.dead_letter);
}

#[test]
fn what_cannot_be_sent_back_is_refused_or_dropped() {
    let group = Group::new("g");
    let step = |group, permission| check(&request(0), group, permission, "10.0.0.1");
    assert_eq!(step(Some(&group), 6), Ok(SendBackStep::Load { retry_queues: 1 }));
    let none = Group { retry_queues: 0, ..group.clone() };
    assert_eq!(step(Some(&none), 6), Ok(SendBackStep::Drop));
    assert_eq!(step(None, 6).expect_err("refused").code, code::SUBSCRIPTION_GROUP_NOT_EXIST);
    assert_eq!(step(Some(&group), 4).expect_err("refused").code, code::NO_PERMISSION);
    assert!(check_retry_topic(&Topic::new("%RETRY%g", 1, 6)).is_ok());
    assert!(check_retry_topic(&Topic::new("%RETRY%g", 1, 4)).is_err());
    assert_eq!(message_not_found(5).remark, "look message by offset failed, 5");
}
