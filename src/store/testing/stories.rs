use ringmq_io::{Spawn as _, sim::Sim};

use super::*;
use crate::{Boundary, Case, open_manifest};

const FLUSHES: [FlushMode; 2] = [FlushMode::Sync, FlushMode::Async];

#[test]
fn messages_are_visible_when_acknowledged_and_stay_over_restarts() {
    for (seed, flush) in (0..20).flat_map(|seed| FLUSHES.map(|flush| (seed, flush))) {
        let sim = Sim::new(seed);
        let oracle = SharedOracle::default();
        for life in 0..3 {
            sim.run(async |runtime| {
                let (log, found) = open(&runtime, options(flush), &oracle).await.expect("opens");
                assert_eq!(found.case, if life == 0 { Case::New } else { Case::Clean });
                assert_eq!(found.epoch, life + 1);
                check_promises(&log, &oracle).await;
                workload(&runtime, &log, &oracle, 150).await;
                log.close().await.expect("closes");
                let oracle = oracle.borrow();
                assert_eq!(oracle.acknowledged.len(), oracle.appended.len(), "seed {seed}");
            });
        }
    }
}

#[test]
fn a_write_takes_along_what_was_appended_meanwhile() {
    let sim = Sim::new(3);
    let oracle = SharedOracle::default();
    sim.run(async |runtime| {
        let (log, _) = open(&runtime, options(FlushMode::Sync), &oracle).await.expect("opens");
        append(&log, &oracle, 0, 0, vec![1; 100]).expect("room");
        let queue = log.queue(TOPICS[0], 0);
        assert_eq!(log.bounds(queue), (0, 0), "not visible yet");
        let status = |from| {
            let limits = ReadLimits { messages: 9, bytes: 9999, scan: 9 };
            log.plan_read(queue, from, &limits, |_| true).expect("in memory").status
        };
        assert_eq!(status(0), ReadStatus::QueueEmpty);
        // The flusher starts with the first; the others come while it writes.
        while log.counters().writes == 0 {
            append(&log, &oracle, 0, 0, vec![2; 10]).expect("room");
            runtime.sleep(Duration::from_micros(5)).await;
        }
        log.clone().close().await.expect("closes");
        let (_, max) = log.bounds(queue);
        assert!(max > 3 && log.counters().writes < max.unsigned_abs());
        assert_eq!(status(0), ReadStatus::Found);
        assert_eq!(status(max), ReadStatus::OffsetOverflowOne);
        assert_eq!(status(max + 1), ReadStatus::OffsetOverflowBadly);
        assert_eq!(status(-1), ReadStatus::OffsetTooSmall);
    });
}

#[test]
fn limits_filters_and_single_records_are_honoured() {
    let sim = Sim::new(4);
    let oracle = SharedOracle::default();
    sim.run(async |runtime| {
        let (log, _) = open(&runtime, options(FlushMode::Sync), &oracle).await.expect("opens");
        let queue = log.queue("TopicA", 0);
        let mut places = Vec::new();
        for number in 0..100_u8 {
            let body = [number; 50];
            let record = record("TopicA", 0, &body);
            let tags = i64::from(number % 4) - 1;
            places.push(log.append(queue, &record, tags, |_| None).expect("room"));
            runtime.sleep(Duration::from_millis(1)).await;
        }
        let size = places[0].size;
        let plan = |from, messages, bytes, scan, tag: i64| {
            let limits = ReadLimits { messages, bytes, scan };
            let keep = |tags| tag == 9 || tags == tag;
            log.plan_read(queue, from, &limits, keep).expect("in memory")
        };
        assert_eq!(plan(0, 32, 1 << 20, 800, 9).extents.len(), 32);
        assert_eq!(plan(0, 32, 1, 800, 9).extents.len(), 1);
        assert_eq!(plan(0, 32, 3 * size, 800, 9).extents.len(), 3);
        let filtered = plan(0, 3, 1 << 20, 800, -1);
        assert_eq!((filtered.extents.len(), filtered.next_offset), (3, 9));
        let none = plan(0, 3, 1 << 20, 10, 77);
        assert_eq!((none.status, none.next_offset), (ReadStatus::NoMatched, 10));
        for place in &places {
            let bytes = log.read_record(place.physical).await.expect("reads").expect("is there");
            let record = Record::decode(&bytes).expect("decodes");
            assert_eq!(record.queue_offset, place.queue_offset);
            let beside = PhysicalOffsetOf(place.physical.get() + 8).get();
            assert_eq!(log.read_record(beside).await.expect("reads"), None);
        }
        let times: Vec<i64> = places.iter().map(|place| place.store_timestamp).collect();
        check_times(&log, queue, &times).await;
        log.close().await.expect("closes");
    });
}

struct PhysicalOffsetOf(i64);

impl PhysicalOffsetOf {
    fn get(self) -> ringmq_base::PhysicalOffset {
        ringmq_base::PhysicalOffset::from_wire(self.0).expect("not negative")
    }
}

async fn check_times(log: &TestLog, queue: QueueHandle, times: &[i64]) {
    let (first, last) = (times[0], times[times.len() - 1]);
    for time in first - 2..last + 3 {
        let at = async |boundary| log.offset_by_time(queue, time, boundary).await.expect("reads");
        let lower = times.iter().filter(|other| **other < time).count() as i64;
        let upper = times.iter().filter(|other| **other <= time).count() as i64;
        assert_eq!(at(Boundary::Lower).await, lower);
        assert_eq!(at(Boundary::Upper).await, (upper - 1).max(0));
        let nearest = at(Boundary::Nearest49).await;
        let distance = times.iter().map(|other| (other - time).abs()).min();
        assert_eq!(Some((times[nearest as usize] - time).abs()), distance);
    }
}

#[test]
fn a_watched_queue_is_reported_once() {
    let sim = Sim::new(5);
    let oracle = SharedOracle::default();
    sim.run(async |runtime| {
        let (log, _) = open(&runtime, options(FlushMode::Sync), &oracle).await.expect("opens");
        let (one, two) = (log.queue("TopicA", 0), log.queue("TopicA", 1));
        let pause = async || runtime.sleep(Duration::from_millis(50)).await;
        log.watch(one);
        append(&log, &oracle, 0, 1, vec![1]).expect("room");
        pause().await;
        assert_eq!(oracle.borrow().arrived, []);
        append(&log, &oracle, 0, 0, vec![1]).expect("room");
        pause().await;
        append(&log, &oracle, 0, 0, vec![1]).expect("room");
        pause().await;
        assert_eq!(oracle.borrow().arrived, [one]);
        // Appended and not visible when the watch begins.
        append(&log, &oracle, 0, 1, vec![1]).expect("room");
        log.watch(two);
        log.watch(two);
        pause().await;
        assert_eq!(oracle.borrow().arrived, [one, two]);
        log.close().await.expect("closes");
    });
}

#[test]
fn a_full_disk_refuses_and_recovers_by_itself() {
    for seed in 0..20 {
        let sim = Sim::new(seed);
        let oracle = SharedOracle::default();
        sim.run(async |runtime| {
            let (log, _) = open(&runtime, options(FlushMode::Sync), &oracle).await.expect("opens");
            sim.disk().set_capacity(200 << 10);
            let mut refused = 0;
            let mut random = runtime.random();
            while refused < 10 {
                match append(&log, &oracle, 0, 0, random_body(&mut random)) {
                    Ok(_) => runtime.yield_if_needed().await,
                    Err(AppendError::Busy { .. }) => log.room().await,
                    Err(AppendError::Full { .. }) => {
                        refused += 1;
                        runtime.sleep(Duration::from_millis(150)).await;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            assert!(log.counters().full && log.counters().fenced.is_none());
            sim.disk().set_capacity(100 << 20);
            runtime.sleep(Duration::from_millis(1500)).await;
            append(&log, &oracle, 0, 0, vec![1]).expect("there is space again");
            assert!(!log.counters().full);
            log.close().await.expect("closes");
            assert_eq!(oracle.borrow().acknowledged.len(), oracle.borrow().appended.len());
        });
    }
}

#[test]
fn limits_of_one_message_are_errors() {
    let sim = Sim::new(6);
    let oracle = SharedOracle::default();
    sim.run(async |runtime| {
        let (log, _) = open(&runtime, options(FlushMode::Sync), &oracle).await.expect("opens");
        let result = append(&log, &oracle, 0, 0, vec![0; 64 << 10]);
        assert!(matches!(result, Err(AppendError::TooLarge { .. })), "{result:?}");
        let properties = vec![b'x'; 40_000];
        let large =
            NewRecord { properties: [properties.as_slice(), b"", b""], ..record("TopicA", 0, b"") };
        let result = log.append(log.queue("TopicA", 0), &large, 0, |_| None);
        assert!(matches!(result, Err(AppendError::TooLarge { .. })), "{result:?}");
        // Clients of RocketMQ 4 do not read records of longer topics.
        for (length, fits) in [(127, true), (128, false)] {
            let topic = "t".repeat(length);
            let result = log.append(log.queue(&topic, 0), &record(&topic, 0, b""), 0, |_| None);
            assert_eq!(result.is_ok(), fits, "{length}: {result:?}");
        }
        log.clone().close().await.expect("closes");
        let result = append(&log, &oracle, 0, 0, vec![0]);
        assert!(matches!(result, Err(AppendError::ShuttingDown)), "{result:?}");
    });
}

#[test]
fn a_store_is_created_once_and_foreign_directories_are_left_alone() {
    let sim = Sim::new(7);
    let root = Path::new("store");
    sim.run(async |runtime| {
        let created = open_manifest(&runtime, root, 3).await.expect("creates");
        let opened = open_manifest(&runtime, root, 5).await.expect("opens");
        assert_eq!(created, opened);
        assert_eq!(opened.logs, 3);
    });
    let manifest = sim.disk().read_file("store/MANIFEST").expect("is there");
    for bit in 0..manifest.len() as u64 * 8 {
        if bit % 97 != 0 && bit > 512 {
            continue;
        }
        let disk = sim.disk().power_cut(bit);
        disk.flip_bit("store/MANIFEST", bit);
        let result = Sim::with_disk(1, &disk)
            .run(async |runtime| open_manifest(&runtime, root, 3).await.map(|_| ()));
        assert!(result.is_err(), "bit {bit}");
    }
    for name in ["other/notes.txt", "other/log-000/00000000000000000000.seg"] {
        let sim = Sim::new(8);
        sim.disk().write_file(name, b"mine");
        let result = sim.run(async |runtime| open_manifest(&runtime, Path::new("other"), 1).await);
        assert!(matches!(result, Err(crate::OpenError::Foreign { .. })), "{result:?}");
        assert_eq!(sim.disk().read_file(name).as_deref(), Some(b"mine".as_slice()));
    }
}
