use super::*;
use crate::keys::hash_of;

const LIMITS: BufferLimits = BufferLimits { block_entries: 10, sealed_max: 4 };

/// Where the record of a message begins.
fn at(number: u64) -> u64 {
    number * 200
}

fn note(buffer: &mut KeyBuffer, number: u64, time: i64, properties: &str) {
    buffer.note(&Noted {
        topic: "T",
        sys_flag: 0,
        properties: properties.as_bytes(),
        position: at(number) + 32,
        end: at(number + 1),
        store_timestamp: time,
    });
}

fn encoded(buffer: &KeyBuffer, until: u64) -> Vec<u8> {
    let mut out = Vec::new();
    buffer.encode_section(until, &mut out);
    out
}

fn find(buffer: &KeyBuffer, key: &str, begin_ms: i64, end_ms: i64) -> Vec<u64> {
    let hash = hash_of("T", key.as_bytes());
    let mut found = Vec::new();
    let wanted = Wanted { hash, before: u64::MAX, begin_ms, end_ms };
    buffer.search(&wanted, 100, &mut found);
    found.iter().map(|position| (position - 32) / 200).collect()
}

#[test]
fn messages_are_found_by_unique_id_and_by_each_word() {
    let mut buffer = KeyBuffer::new(LIMITS, at(100));
    note(&mut buffer, 100, 5000, "KEYS\x01a b\x02UNIQ_KEY\x01u1\x02");
    note(&mut buffer, 200, 9000, "KEYS\x01b a b\x02");
    assert_eq!(find(&buffer, "u1", 0, i64::MAX), [100]);
    assert_eq!(find(&buffer, "a", 0, i64::MAX), [200, 100]);
    assert_eq!(find(&buffer, "b", 0, i64::MAX), [200, 100]);
    assert_eq!(find(&buffer, "b", 0, 8000), [100]);
    assert_eq!(find(&buffer, "b", 8500, i64::MAX), [200]);
    assert_eq!(find(&buffer, "c", 0, i64::MAX), [0; 0]);
    assert_eq!((buffer.newest(), buffer.frontier()), ((at(200) + 32, 9000), at(201)));
}

#[test]
fn rolled_back_messages_and_those_noted_before_are_left_out() {
    let mut buffer = KeyBuffer::new(LIMITS, at(100));
    for (number, sys_flag) in [(99, 0), (100, 12), (101, 4), (102, 8), (102, 0)] {
        let (properties, end) = (b"UNIQ_KEY\x01u", at(number + 1));
        let position = at(number) + 32;
        buffer.note(&Noted { topic: "T", sys_flag, properties, position, end, store_timestamp: 1 });
    }
    assert_eq!(find(&buffer, "u", 0, 9), [102, 101]);
}

#[test]
fn the_entries_of_a_message_stay_in_one_block() {
    let mut buffer = KeyBuffer::new(LIMITS, at(100));
    (0..3).for_each(|n| note(&mut buffer, 100 + n, 1000, "KEYS\x01a b c\x02UNIQ_KEY\x01d\x02"));
    let block = buffer.oldest().expect("two messages fill it");
    assert_eq!((block.entries.len(), block.from, block.to), (8, at(100), at(102)));
    assert_eq!((buffer.open.from, buffer.open.entries.len()), (at(102), 4));
    note(&mut buffer, 103, 1000, "KEYS\x01a b c d e f");
    assert_eq!((buffer.sealed[1].to, buffer.open.from), (at(104), at(104)));
    assert_eq!(find(&buffer, "a", 0, 2000), [103, 102, 101, 100]);
}

#[test]
fn a_block_ends_where_its_times_end() {
    let mut buffer = KeyBuffer::new(LIMITS, at(100));
    note(&mut buffer, 100, 1000, "KEYS\x01a");
    note(&mut buffer, 101, 1000 + 65_535_999, "KEYS\x01a");
    assert!(buffer.oldest().is_none());
    note(&mut buffer, 102, 1000 + 65_536_000, "KEYS\x01a");
    assert_eq!(buffer.oldest().map(|block| (block.to, block.last_ms)), Some((at(102), 65_536_999)));
    assert_eq!(find(&buffer, "a", 65_537_000, i64::MAX), [102]);
    // A clock that went back changes nothing.
    note(&mut buffer, 103, 5, "KEYS\x01a");
    assert_eq!(find(&buffer, "a", 65_537_000, i64::MAX), [103, 102]);
}

#[test]
fn a_buffer_that_nobody_empties_stops_taking() {
    let mut buffer = KeyBuffer::new(LIMITS, at(100));
    (0..60).for_each(|n| note(&mut buffer, 100 + n, 1000, "KEYS\x01a"));
    assert!(buffer.is_lagging() && buffer.frontier() == at(140));
    assert_eq!(find(&buffer, "a", 0, 2000).len(), 40);
    for _ in 0..3 {
        let block = buffer.oldest().expect("four are there");
        buffer.retire(block);
    }
    buffer.resume();
    (0..60).for_each(|n| note(&mut buffer, 100 + n, 1000, "KEYS\x01a"));
    assert_eq!((buffer.frontier(), find(&buffer, "a", 0, 2000).len()), (at(160), 30));
}

#[test]
fn a_section_brings_back_what_is_in_no_run() {
    let mut buffer = KeyBuffer::new(LIMITS, at(100));
    (0..25).for_each(|n| note(&mut buffer, 100 + n, 1000 * n as i64, "KEYS\x01a"));
    let positions = |to: u64| (100..to).rev().collect::<Vec<_>>();
    for until in [100, 101, 109, 110, 111, 119, 120, 124, 125] {
        let section = encoded(&buffer, at(until));
        for covered in [100, 105, 110, 120] {
            let restored = KeyBuffer::restore(LIMITS, Some(&section), at(covered), at(until));
            assert_eq!(restored.frontier(), at(covered.max(until)), "{until} {covered}");
            assert!(!restored.is_lagging());
            let mut found = find(&restored, "a", 0, i64::MAX);
            assert!(found.iter().all(|position| *position >= covered));
            let mut expected = positions(until);
            expected.retain(|position| *position >= covered);
            assert_eq!(found, expected);
            // The replay is idempotent, from wherever it begins.
            let mut restored = restored;
            (0..25).for_each(|n| note(&mut restored, 100 + n, 1000 * n as i64, "KEYS\x01a"));
            found = find(&restored, "a", 0, i64::MAX);
            assert_eq!(found.len() as u64, 125 - covered);
            let again = encoded(&restored, at(125));
            let twice = KeyBuffer::restore(LIMITS, Some(&again), at(covered), at(125));
            assert_eq!(find(&twice, "a", 0, i64::MAX), found);
        }
    }
}

#[test]
fn lost_runs_and_damaged_sections_are_noticed() {
    let mut buffer = KeyBuffer::new(LIMITS, at(100));
    (0..25).for_each(|n| note(&mut buffer, 100 + n, 1000, "KEYS\x01a"));
    let block = buffer.oldest().expect("full");
    buffer.retire(block);
    let section = encoded(&buffer, at(125));
    let restored = KeyBuffer::restore(LIMITS, Some(&section), at(100), at(125));
    assert!(restored.is_lagging() && restored.frontier() == at(100), "the run is gone");
    assert!(!KeyBuffer::restore(LIMITS, Some(&section), at(110), at(125)).is_lagging());
    assert!(!KeyBuffer::restore(LIMITS, None, at(110), at(110)).is_lagging());
    for length in 0..section.len() {
        let cut = KeyBuffer::restore(LIMITS, Some(&section[..length]), at(110), at(125));
        assert!(cut.is_lagging() && cut.frontier() == at(110));
    }
    for byte in 0..section.len() {
        let mut damaged = section.clone();
        damaged[byte] ^= 0xFF;
        let _ = KeyBuffer::restore(LIMITS, Some(&damaged), at(110), at(125));
    }
}

/// `cargo test --release -p ringmq-store --lib noting_costs -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, only meaningful in release"]
fn noting_costs() {
    let properties = "KEYS\x01order-1234567\x02UNIQ_KEY\x01AC11000100002A9F2A9F00000000ABCD\x02\
                      WAIT\x01true\x02TAGS\x01TagA\x02CLUSTER\x01DefaultCluster\x02";
    let unique = properties.split_once('\x02').expect("two").1;
    let limits = BufferLimits { block_entries: 65_280, sealed_max: 32 };
    for properties in [unique, properties, "WAIT\x01true\x02TAGS\x01TagA\x02"] {
        let mut buffer = KeyBuffer::new(limits, 1);
        let mut best = u128::MAX;
        for round in 0..40_u64 {
            let began = std::time::Instant::now();
            for n in 0..60_000 {
                note(&mut buffer, round * 60_000 + n + 1, 1000, properties);
            }
            best = best.min(began.elapsed().as_nanos() / 60_000);
            while let Some(block) = buffer.oldest() {
                buffer.retire(block);
            }
        }
        println!("{best} ns a message with {} bytes of properties", properties.len());
    }
}
