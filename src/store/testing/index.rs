//! The queue index: pages, snapshots and what becomes of them.

use ringmq_io::{
    Disk as _, Runtime as _,
    sim::{Sim, SimDisk},
};

use super::*;
use crate::ReadAhead;

const QUEUES: i32 = 3;
const TOPIC: &str = "TopicA";

fn small(flush: FlushMode) -> LogOptions {
    LogOptions { hot_tail_bytes: 4 << 10, ..options(flush) }
}

fn body(queue_id: i32, offset: i64) -> Vec<u8> {
    format!("{queue_id}/{offset}").into_bytes()
}

/// Appends `count` small messages to random queues.
async fn fill(runtime: &SimRuntime, log: &TestLog, count: usize) {
    let mut random = runtime.random();
    let mut sent = 0;
    while sent < count {
        let queue_id = random.below(QUEUES as u64) as i32;
        let queue = log.queue(TOPIC, queue_id);
        let next = log.shared.state.borrow_mut().index.queue(queue).next();
        match log.append(queue, &record(TOPIC, queue_id, &body(queue_id, next)), next, |_| None) {
            Ok(appended) => assert_eq!(appended.queue_offset, next),
            Err(AppendError::Busy { .. } | AppendError::Full { .. }) => {
                log.room().await;
                continue;
            }
            Err(AppendError::Fenced { .. }) => return,
            Err(error) => panic!("{error}"),
        }
        sent += 1;
        if random.chance(1, 20) {
            runtime.sleep(Duration::from_micros(random.below(3000))).await;
        }
    }
}

/// Reads all queues by plans and single entries: offsets, bodies and tags are those of the fill.
async fn check(log: &TestLog) -> i64 {
    let mut total = 0;
    for queue_id in 0..QUEUES {
        let Some(queue) = log.find_queue(TOPIC, queue_id) else { continue };
        let (min, max) = log.bounds(queue);
        let limits = ReadLimits { messages: 64, bytes: 1 << 20, scan: 500 };
        let mut next = min;
        while next < max {
            let plan = match log.plan_read(queue, next, &limits, |_| true) {
                Ok(plan) => plan,
                Err(needed) => {
                    log.fetch(needed).await.expect("the page is there");
                    continue;
                }
            };
            assert_eq!(plan.status, ReadStatus::Found);
            let mut bytes = Vec::new();
            log.read_cold(&plan, &mut bytes).await.expect("reads");
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let record = Record::decode(rest).expect("whole");
                assert_eq!((record.queue_offset, record.body), (next, &*body(queue_id, next)));
                rest = &rest[record.size..];
                next += 1;
            }
            assert_eq!(next, plan.next_offset);
        }
        for offset in [min, (min + max) / 2, max - 1] {
            let entry = log.entry(queue, offset).await.expect("reads");
            let tags = entry.filter(|_| offset < max).map(|entry| entry.tags_code);
            assert_eq!(tags, (min < max).then_some(offset));
        }
        total += max;
    }
    total
}

#[test]
fn pages_and_snapshots_serve_what_memory_does_not_keep() {
    for (seed, flush) in [(1, FlushMode::Sync), (2, FlushMode::Async), (3, FlushMode::Sync)] {
        let sim = Sim::new(seed);
        for life in 1..5 {
            sim.run(async |runtime| {
                let oracle = SharedOracle::default();
                let (log, found) = open(&runtime, small(flush), &oracle).await.expect("opens");
                assert_eq!(check(&log).await, (life - 1) * 3000, "seed {seed}");
                assert!(life == 1 || found.records == 0, "closed in order: {found:?}");
                fill(&runtime, &log, 3000).await;
                runtime.sleep(Duration::from_millis(100)).await;
                assert_eq!(check(&log).await, life * 3000, "seed {seed}");
                let counters = log.counters();
                assert!(counters.index_pages > 5 && counters.snapshots > 2, "{counters:?}");
                assert!(counters.index_reads > 0, "{counters:?}");
                log.close().await.expect("closes");
            });
        }
    }
}

#[test]
fn entries_that_are_read_ahead_are_found_without_waiting() {
    let sim = Sim::new(6);
    sim.run(async |runtime| {
        let oracle = SharedOracle::default();
        let options = LogOptions { index_cache_pages: 16, ..small(FlushMode::Sync) };
        let (log, _) = open(&runtime, options, &oracle).await.expect("opens");
        fill(&runtime, &log, 6000).await;
        runtime.sleep(Duration::from_millis(100)).await;
        let queue = log.find_queue(TOPIC, 1).expect("it is filled");
        let (min, max) = log.bounds(queue);
        let (mut ahead, mut calls, mut waited) = (ReadAhead::default(), 0, 0);
        for offset in min..max {
            let before = ahead.until;
            log.read_ahead(queue, offset, &mut ahead).await;
            calls += u64::from(ahead.until != before);
            let reads = log.counters().index_reads;
            let entry = log.entry(queue, offset).await.expect("reads").expect("it is there");
            assert_eq!(entry.tags_code, offset);
            waited += log.counters().index_reads - reads;
        }
        // The cache may have dropped a page for another one.
        assert!(calls > 1 && waited <= 2, "{calls} calls, {waited} pages waited for");
        assert!(log.counters().index_reads > calls, "{calls} calls");
        let mut ahead = ReadAhead::default();
        log.read_ahead(queue, max, &mut ahead).await;
        assert_eq!(ahead.until, i64::MAX);
        log.close().await.expect("closes");
    });
}

#[test]
fn a_start_reads_only_what_came_after_the_snapshot() {
    let sim = Sim::new(4);
    let oracle = SharedOracle::default();
    let written = sim.run(async |runtime| {
        let (log, _) = open(&runtime, small(FlushMode::Sync), &oracle).await.expect("opens");
        fill(&runtime, &log, 5000).await;
        runtime.sleep(Duration::from_millis(100)).await;
        log.counters().append_bytes
    });
    let image = sim.disk().kill(4);
    Sim::with_disk(5, &image).run(async |runtime| {
        let (log, found) = open(&runtime, small(FlushMode::Sync), &oracle).await.expect("opens");
        assert!(found.bytes < 150 << 10 && found.bytes < written / 4, "{written}: {found:?}");
        assert_eq!(check(&log).await, 5000);
    });
}

/// Runs a life that ends by a crash after `operation`; true if it came to its end.
fn live(seed: u64, disk: &SimDisk, flush: FlushMode, operation: u64) -> bool {
    disk.crash_after_operation(operation);
    let sim = Sim::with_disk(seed, disk);
    let result = sim.try_run(async |runtime| {
        let oracle = SharedOracle::default();
        let (log, _) = open(&runtime, small(flush), &oracle).await.expect("opens");
        check(&log).await;
        fill(&runtime, &log, 1200).await;
        log.close().await.expect("closes");
    });
    result.is_ok()
}

#[test]
fn crashes_at_any_operation_leave_an_index_that_agrees_with_the_log() {
    for (seed, flush) in
        (0..25).flat_map(|seed| [(seed, FlushMode::Sync), (seed, FlushMode::Async)])
    {
        println!("{flush:?}: seed {seed}");
        let mut disk = SimDisk::new(seed);
        for life in 1..5 {
            live(seed * 10 + life, &disk, flush, (seed * 37 + life * 101) % 400 + 1);
            let power = (seed + life).is_multiple_of(2);
            disk = if power { disk.power_cut(seed) } else { disk.kill(seed) };
        }
        Sim::with_disk(seed, &disk).run(async |runtime| {
            let oracle = SharedOracle::default();
            let (log, _) = open(&runtime, small(flush), &oracle).await.expect("opens");
            check(&log).await;
        });
    }
}

#[test]
fn cutting_the_log_raises_the_first_offsets_to_the_message() {
    let sim = Sim::new(11);
    sim.run(async |runtime| {
        let oracle = SharedOracle::default();
        let (log, _) = open(&runtime, small(FlushMode::Sync), &oracle).await.expect("opens");
        fill(&runtime, &log, 4000).await;
        runtime.sleep(Duration::from_millis(100)).await;
        for cut in [10_000, 100_000, 100_000, 300_000] {
            let first = ringmq_base::LogPosition(cut);
            log.prepare_cut(first).await;
            log.cut_queues(first).await.expect("reads pages");
            for queue_id in 0..QUEUES {
                let queue = log.find_queue(TOPIC, queue_id).expect("is there");
                let (min, max) = log.bounds(queue);
                let entry = log.entry(queue, min).await.expect("reads").expect("kept");
                assert!(min > 0 && min < max && entry.physical.position() >= first);
                assert!(log.entry(queue, min - 1).await.expect("reads").is_none());
                let before = log.first_position(queue).expect("has messages");
                assert!(before <= entry.physical.position());
            }
            check(&log).await;
        }
        log.cut_queues(ringmq_base::LogPosition(1 << 47)).await.expect("reads pages");
        let queue = log.find_queue(TOPIC, 0).expect("is there");
        let (min, max) = log.bounds(queue);
        assert!(min == max && max > 1000, "the next offset stays");
        log.close().await.expect("closes");
    });
}

fn index_files(disk: &SimDisk) -> Vec<PathBuf> {
    let mut files = disk.files();
    files.retain(|path| path.extension().is_some_and(|end| end == "idx" || end == "snp"));
    files
}

#[test]
fn a_damaged_index_is_made_anew_or_refused_but_never_believed() {
    let sim = Sim::new(7);
    sim.run(async |runtime| {
        let oracle = SharedOracle::default();
        let (log, _) = open(&runtime, small(FlushMode::Sync), &oracle).await.expect("opens");
        fill(&runtime, &log, 4000).await;
        log.close().await.expect("closes");
    });
    let files = index_files(sim.disk());
    assert!(files.len() > 4, "{files:?}");
    let mut random = ringmq_io::sim::Random::new(7);
    for round in 0..60 {
        let file = &files[random.index(files.len())];
        let image = sim.disk().kill(1);
        let length = image.read_file(file).expect("is there").len() as u64;
        let at = random.below(length * 8);
        println!("round {round}: bit {at} of {}", file.display());
        match round % 4 {
            0 => image.remove_file(file),
            1 => image.truncate(file, at / 8),
            2 => image.zero_range(file, at / 8 / 4096 * 4096, 4096),
            _ => image.flip_bit(file, at),
        }
        Sim::with_disk(8, &image).run(async |runtime| {
            let oracle = SharedOracle::default();
            let (log, _) = open(&runtime, small(FlushMode::Sync), &oracle).await.expect("opens");
            assert_eq!(check_or_refused(&log).await, 4000);
            fill(&runtime, &log, 300).await;
            let _ = log.close().await;
        });
        // What was damaged is not met again once the index was made anew.
        Sim::with_disk(9, &image).run(async |runtime| {
            let oracle = SharedOracle::default();
            let (log, _) = open(&runtime, small(FlushMode::Sync), &oracle).await.expect("opens");
            assert_eq!(check_or_refused(&log).await, 4300);
        });
    }
}

/// All queues hold together what was sent; what can be read is right.
async fn check_or_refused(log: &TestLog) -> i64 {
    let mut total = 0;
    for queue_id in 0..QUEUES {
        let queue = log.find_queue(TOPIC, queue_id).expect("the queue is there");
        let (min, max) = log.bounds(queue);
        for offset in min..max {
            match log.entry(queue, offset).await {
                Ok(entry) => {
                    let physical = entry.expect("gapless").physical;
                    let bytes = log.read_record(physical).await.expect("reads").expect("a record");
                    let record = Record::decode(&bytes).expect("whole");
                    assert_eq!((record.queue_id, record.queue_offset), (queue_id, offset));
                    assert_eq!(record.body, body(queue_id, offset));
                }
                Err(crate::ReadError::Damaged { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        total += max;
    }
    total
}

#[test]
fn an_unreadable_entry_is_counted_and_its_place_is_known_to_a_page() {
    let sim = Sim::new(9);
    let oracle = SharedOracle::default();
    sim.run(async |runtime| {
        let (log, _) = open(&runtime, small(FlushMode::Sync), &oracle).await.expect("opens");
        fill(&runtime, &log, 3000).await;
        runtime.sleep(Duration::from_millis(100)).await;
        let queue = log.find_queue(TOPICS[0], 0).expect("there are messages");
        let (min, max) = log.bounds(queue);
        let mut exact = Vec::new();
        for offset in min..max {
            exact.push(log.entry(queue, offset).await.expect("reads").expect("there").physical);
        }
        let read = ringmq_io::sim::OperationKind::Read;
        let rule = ringmq_io::sim::FaultRule::every(Some(read), ringmq_io::sim::Fault::InputOutput);
        sim.disk().add_fault(rule.where_path_contains(".idx"));
        let mut unreadable = 0;
        let mut floors = Vec::new();
        for (offset, exact) in (min..max).zip(exact) {
            let floor = log.position_floor(queue, offset).expect("the queue has it");
            assert!(floor <= exact.position(), "offset {offset}");
            floors.push(floor);
            match log.entry(queue, offset).await {
                Ok(entry) => assert_eq!(entry.expect("there").physical, exact),
                Err(error) => {
                    assert!(error.is_of_medium() && !error.is_lasting(), "{error}");
                    unreadable += 1;
                }
            }
        }
        assert!(unreadable > 200, "{unreadable}");
        assert!(floors.is_sorted());
        floors.dedup();
        assert!(floors.len() > 3, "one place for all of the queue");
        assert_eq!(log.counters().index_unreadable, unreadable);
        assert_eq!(log.position_floor(queue, max), None);
    });
}

#[test]
fn pages_that_fit_into_what_a_disk_has_left_are_written() {
    let disk = SimDisk::new(91);
    let oracle = SharedOracle::default();
    Sim::with_disk(91, &disk).run(async |runtime| {
        let options = LogOptions {
            segment_bytes: 1 << 20,
            zero_ahead_bytes: 1 << 20,
            index_segment_blocks: 1000,
            snapshot_bytes: 1 << 30,
            ..small(FlushMode::Sync)
        };
        let (log, _) = open(&runtime, options, &oracle).await.expect("opens");
        runtime.sleep(Duration::from_secs(1)).await;
        // Less than is allocated at a time, more than the pages of the messages.
        let space = runtime.disk().space(Path::new("store")).await;
        let (free, total) = space.expect("tells");
        disk.set_capacity(total - free + (100 << 10));
        fill(&runtime, &log, 2000).await;
        runtime.sleep(Duration::from_secs(3)).await;
        assert_eq!(log.shared.state.borrow().index.complete_pages(), 0, "pages wait for space");
        log.close().await.expect("closes");
    });
}
