use ringmq_base::record::Record;

use super::*;
use crate::{message_properties::text, refusal::code};

const RULES: TransactionRules =
    TransactionRules { reject: false, time_out_ms: 6_000, checks_max: 2, age_max_ms: 3_600_000 };

fn record<'a>(topic: &'a str, properties: &'a [u8]) -> Record<'a> {
    let host = "10.0.0.1:10911".parse().expect("address");
    Record {
        size: 0,
        body_crc: 0,
        queue_id: 0,
        flag: 0,
        queue_offset: 7,
        physical_offset: 4096,
        sys_flag: 1,
        born_timestamp: 0,
        born_host: host,
        store_timestamp: 0,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: b"",
        topic,
        properties,
    }
}

const HALF: &[u8] = b"TRAN_MSG\x01true\x02PGROUP\x01p\x02UNIQ_KEY\x01id\x02TAGS\x01a\x02\
    REAL_TOPIC\x01T\x02REAL_QID\x013\x02";

fn end(group: &str, offset: i64, position: i64, asked: i32) -> EndTransactionRequestHeader {
    EndTransactionRequestHeader {
        producer_group: group.to_owned(),
        tran_state_table_offset: offset,
        commit_log_offset: position,
        commit_or_rollback: asked,
        ..EndTransactionRequestHeader::default()
    }
}

#[test]
fn an_end_is_compared_with_its_half_as_in_java() {
    let record = record(HALF_TOPIC, HALF);
    let half = Half::of(&record).expect("a half");
    assert_eq!((half.real_topic, half.real_queue, half.group), ("T", 3, "p"));
    assert_eq!((half.committed_flag(), half.tags_code()), (9, 97));
    assert_eq!(half.unique_key(), Some("id"));
    assert_eq!(half.check(&end("p", 7, 4096, 8)), Ok(()));
    for (wrong, remark) in [
        (end("q", 8, 0, 8), "The producer group wrong"),
        (end("p", 8, 0, 8), "The transaction state table offset wrong"),
        (end("p", 7, 0, 8), "The commit log offset wrong"),
    ] {
        let refusal = half.check(&wrong).expect_err("another half");
        assert_eq!((refusal.code, &*refusal.remark), (code::SYSTEM_ERROR, remark));
    }
}

#[test]
fn only_records_of_the_half_topic_are_halves() {
    for (topic, properties) in [
        ("T", HALF),
        (HALF_TOPIC, b"PGROUP\x01p\x02".as_slice()),
        (HALF_TOPIC, b"REAL_TOPIC\x01T\x02REAL_QID\x01x\x02"),
        (HALF_TOPIC, b"REAL_TOPIC\x01SCHEDULE_TOPIC_XXXX\x02REAL_QID\x010\x02"),
    ] {
        let record = record(topic, properties);
        let refusal = Half::of(&record).expect_err("no half");
        assert_eq!(refusal.remark, "Find prepared transaction message failed");
    }
}

#[test]
fn what_is_asked_is_one_of_three() {
    let of = |value| asked(&end("p", 0, 0, value));
    assert_eq!(of(0), Ok(None));
    assert_eq!(of(8), Ok(Some(Decision::Commit)));
    assert_eq!(of(12), Ok(Some(Decision::Rollback)));
    assert_eq!(of(4).expect_err("prepared").remark, "commitOrRollback field wrong");
}

#[test]
fn a_decision_says_where_its_message_is() {
    let stored = StoredWith { topic: "T", queue_id: 3, offset: 42 };
    let written = decision_properties(Some(stored)).expect("no separator");
    assert_eq!(StoredWith::of(&written), Some(stored));
    assert_eq!(text(&written, TAGS), Some("d"));
    assert_eq!(StoredWith::of(&decision_properties(None).expect("no topic")), None);
}

#[test]
fn a_half_is_immune_as_long_as_it_asks_for_and_not_longer_than_it_is_kept() {
    let from = |properties: &[u8]| RULES.check_from(properties, 1_000);
    assert_eq!(from(b""), 7_000);
    for (asked, expected) in
        [("2", 3_000), ("0", 1_000), ("-1", 7_000), ("x", 7_000), ("9999999999999", 3_601_000)]
    {
        let properties = format!("CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}{asked}\u{2}");
        assert_eq!(from(properties.as_bytes()), expected, "{asked}");
    }
}

#[test]
fn a_half_is_checked_when_it_is_due_and_given_up_after_the_last_check() {
    let mut sweeps = Sweeps::default();
    let mut half = Checked { offset: 3, check_from: 6_000, stored_at: Some(0) };
    let mut sweep = |now, half: &Checked| {
        let step = step(&RULES, half, &sweeps, now);
        sweeps.add(Sweep { at: now, end: 10 }, RULES.checks_max);
        step
    };
    assert_eq!(sweep(5_000, &half), CheckStep::NotYet);
    assert_eq!(sweep(6_000, &half), CheckStep::Check { times: 1 });
    assert_eq!(sweep(66_000, &half), CheckStep::Check { times: 2 });
    assert_eq!(sweep(126_000, &half), CheckStep::GiveUp);
    half.check_from = 200_000;
    assert_eq!(sweep(200_000, &half), CheckStep::Check { times: 1 });
    assert_eq!(sweep(3_600_001, &half), CheckStep::GiveUp, "as old as messages are kept");
    half.stored_at = None;
    half.check_from = 3_600_001;
    assert_eq!(sweep(3_600_001, &half), CheckStep::Check { times: 2 });
}

#[test]
fn the_producer_hears_how_often_it_is_asked() {
    let properties = check_properties(HALF, 3);
    assert_eq!(text(&properties, "TRANSACTION_CHECK_TIMES"), Some("3"));
    assert!(properties.starts_with(HALF));
    let again = check_properties(&properties, 4);
    assert_eq!(text(&again, "TRANSACTION_CHECK_TIMES"), Some("4"));
    assert_eq!(again.len(), properties.len());
    let long = [b"k\x01".as_slice(), &vec![b'v'; 32_760], b"\x02"].concat();
    assert_eq!(check_properties(&long, 1), long, "there is no room");
}
