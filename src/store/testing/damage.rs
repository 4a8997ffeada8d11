//! Every row of the recovery table by an image made for it, and flipped bits.

use ringmq_base::{limits::BLOCK_BYTES, record::Placement};
use ringmq_io::sim::{Sim, SimDisk};

use super::*;
use crate::{
    Case, OpenError,
    files::{
        block::BlockWriter,
        envelope::{self, Envelope, Kind},
        segment,
    },
};

const SEGMENT: &str = "store/log-000/00000000000000000000.seg";
const MARK: &str = "store/log-000/mark";

/// Marks only at open and close.
fn rare_marks() -> LogOptions {
    LogOptions {
        checkpoint_interval: Duration::from_secs(1000),
        snapshot_bytes: 1 << 40,
        ..options(FlushMode::Sync)
    }
}

/// A store with these messages, each durable before the next if `one_by_one`. Without a snapshot,
/// so that opening looks at all of it.
fn store(bodies: &[usize], one_by_one: bool, close: bool) -> (SimDisk, SharedOracle) {
    let (disk, oracle) = store_with_snapshots(bodies, one_by_one, close);
    let is_snapshot = |path: &PathBuf| path.extension().is_some_and(|end| end == "snp");
    disk.files().iter().filter(|path| is_snapshot(path)).for_each(|path| disk.remove_file(path));
    (disk, oracle)
}

fn store_with_snapshots(
    bodies: &[usize],
    one_by_one: bool,
    close: bool,
) -> (SimDisk, SharedOracle) {
    let sim = Sim::new(9);
    let oracle = SharedOracle::default();
    sim.run(async |runtime| {
        let (log, _) = open(&runtime, rare_marks(), &oracle).await.expect("opens");
        for length in bodies {
            append_when_room(&log, &oracle, vec![*length as u8; *length]).await;
            if one_by_one {
                runtime.sleep(Duration::from_millis(30)).await;
            }
        }
        runtime.sleep(Duration::from_millis(30)).await;
        if close {
            log.close().await.expect("closes");
        }
    });
    (sim.disk().clone(), oracle)
}

async fn append_when_room(log: &TestLog, oracle: &SharedOracle, body: Vec<u8>) {
    loop {
        match append(log, oracle, 0, 0, body.clone()) {
            Ok(_) => return,
            Err(AppendError::Busy { .. }) => log.room().await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Opens a copy of the disk; a refusal must leave every byte as it was.
fn case_of(disk: &SimDisk, options: LogOptions, oracle: &SharedOracle) -> (Case, SimDisk) {
    let copy = disk.kill(5);
    let content = |disk: &SimDisk| -> Vec<_> {
        disk.files().into_iter().map(|path| (disk.read_file(&path), path)).collect()
    };
    let before = content(&copy);
    let result = Sim::with_disk(5, &copy).run(async |runtime| {
        let (log, found) = open(&runtime, options, oracle).await?;
        check_all(&log, oracle).await;
        Ok(found.case)
    });
    match result {
        Ok(case) => (case, copy),
        Err(OpenError::Refused { case, .. }) => {
            assert!(before == content(&copy), "{case:?} changed the disk");
            (case, copy)
        }
        Err(error) => panic!("{error}"),
    }
}

fn expect(disk: &SimDisk, oracle: &SharedOracle, case: Case) {
    assert_eq!(case_of(disk, rare_marks(), oracle).0, case);
}

/// Where the n-th record of the first segment begins in its file, and its bytes.
fn nth(disk: &SimDisk, n: usize) -> (u64, Vec<u8>) {
    let bytes = disk.read_file(SEGMENT).expect("is there");
    let mut at = BLOCK_BYTES;
    for _ in 0..n {
        at += Envelope::open(&bytes[at..], at as u64).expect("a record").stride();
    }
    let rest = &bytes[at..];
    let stride = Envelope::open(rest, at as u64).map_or(0, |envelope| envelope.stride());
    (at as u64, rest[..stride].to_vec())
}

#[test]
fn ends_that_open() {
    let (disk, oracle) = store(&[100, 200], true, true);
    expect(&disk, &oracle, Case::Clean);
    let (disk, oracle) = store(&[100, 200], true, false);
    expect(&disk, &oracle, Case::ZerosAtTail);
    disk.flip_bit(SEGMENT, (nth(&disk, 1).0 + 50) * 8);
    expect(&disk, &oracle, Case::TornTailBehindMark);
    expect(&SimDisk::new(1), &SharedOracle::default(), Case::New);
}

#[test]
fn what_a_torn_tail_left_behind_is_not_taken_for_news() {
    // The second message ends with its block, the third is in the next one.
    let (disk, _) = store(&[100, 100], false, false);
    let (second, bytes) = nth(&disk, 1);
    let fill = 100 + (2 * BLOCK_BYTES - second as usize - bytes.len());
    let (disk, oracle) = store(&[100, fill, 300], false, false);
    assert_eq!(nth(&disk, 2).0, 2 * BLOCK_BYTES as u64);
    disk.flip_bit(SEGMENT, (second + 60) * 8);
    let copy = disk.kill(1);
    Sim::with_disk(2, &copy).run(async |runtime| {
        oracle.borrow_mut().acknowledged.clear();
        let (log, found) = open(&runtime, rare_marks(), &oracle).await.expect("opens");
        assert_eq!((found.case, found.end), (Case::TornTailBehindMark, second));
        append_when_room(&log, &oracle, vec![9; fill]).await;
        runtime.sleep(Duration::from_millis(30)).await;
    });
    assert!(Envelope::open(&nth(&copy, 2).1, 2 * BLOCK_BYTES as u64).is_ok(), "it is still there");
    expect(&copy, &oracle, Case::StaleEpochAtTail);
}

#[test]
fn damage_is_refused() {
    let (disk, oracle) = store(&[100, 200, 300], true, true);
    let damaged = disk.kill(1);
    damaged.flip_bit(SEGMENT, (nth(&disk, 1).0 + 50) * 8);
    expect(&damaged, &oracle, Case::DamageBeforeMark);
    let zeroed = disk.kill(1);
    zeroed.zero_range(SEGMENT, nth(&disk, 2).0, 64);
    expect(&zeroed, &oracle, Case::DamageBeforeMark);

    let (disk, oracle) = store(&[100, 200, 300], true, false);
    disk.flip_bit(SEGMENT, (nth(&disk, 0).0 + 50) * 8);
    expect(&disk, &oracle, Case::DamageBeforeLaterRecord);
}

#[test]
fn missing_and_foreign_files_are_refused() {
    let (disk, oracle) = store(&[9000; 20], true, true);
    let files = segment_files(&disk);
    assert!(files.len() > 3);
    for file in &files[..files.len() - 1] {
        let copy = disk.kill(1);
        copy.remove_file(file);
        expect(&copy, &oracle, Case::MissingSegment);
    }
    let other = LogOptions { store_id: 78, ..rare_marks() };
    assert_eq!(case_of(&disk, other, &oracle).0, Case::ForeignSegment);
    let copy = disk.kill(1);
    copy.write_file(&files[1], &disk.read_file(&files[0]).expect("is there"));
    expect(&copy, &oracle, Case::ForeignSegment);
    let copy = disk.kill(1);
    copy.remove_file(MARK);
    expect(&copy, &oracle, Case::MissingMark);

    let (disk, oracle) = store(&[9000; 2], true, true);
    disk.truncate(SEGMENT, 3 * BLOCK_BYTES as u64);
    let case = case_of(&disk, rare_marks(), &oracle).0;
    assert!(matches!(case, Case::ShortSegment | Case::DamageBeforeMark), "{case:?}");
    disk.truncate(SEGMENT, BLOCK_BYTES as u64);
    expect(&disk, &oracle, Case::ShortSegment);
}

#[test]
fn damaged_and_newer_blocks_are_refused() {
    let (disk, oracle) = store(&[100], true, true);
    let copy = disk.kill(1);
    copy.flip_bit(SEGMENT, 8 * 100);
    expect(&copy, &oracle, Case::DamagedHeader);
    let copy = disk.kill(1);
    copy.flip_bit(MARK, 8 * 20);
    copy.flip_bit(MARK, 8 * 5000);
    expect(&copy, &oracle, Case::DamagedMark);
    let mut block = vec![0; BLOCK_BYTES];
    BlockWriter::new(&mut block, segment::MAGIC, segment::VERSION + 1).seal();
    disk.overwrite(SEGMENT, 0, &block);
    expect(&disk, &oracle, Case::NewerFormat);
}

#[test]
fn one_damaged_block_of_the_mark_is_survived() {
    for block in 0..2 {
        let (disk, oracle) = store(&[100, 200], true, false);
        disk.flip_bit(MARK, 8 * (20 + block * BLOCK_BYTES as u64));
        expect(&disk, &oracle, Case::ZerosAtTail);
    }
}

#[test]
fn an_intact_record_that_does_not_continue_its_queue_is_refused() {
    let (disk, oracle) = store(&[100, 200], true, true);
    let at = nth(&disk, 2).0;
    let message = record(TOPICS[0], 0, b"x");
    let mut bytes = vec![0; envelope::stride(message.size())];
    let physical_offset = (at + envelope::BYTES as u64) as i64;
    let placement = Placement { queue_offset: 7, physical_offset, store_timestamp: 1 };
    message.encode(&mut bytes[envelope::BYTES..envelope::BYTES + message.size()], &placement);
    Envelope::new(Kind::Message, message.size(), 9, 0, 0).seal(&mut bytes, at);
    disk.overwrite(SEGMENT, at, &bytes);
    expect(&disk, &oracle, Case::BrokenQueue);
}

#[test]
fn damage_under_a_running_log_is_an_error_and_no_bytes() {
    let (disk, oracle) = store(&[3000; 20], true, true);
    let sim = Sim::with_disk(3, &disk);
    sim.run(async |runtime| {
        let (log, _) = open(&runtime, rare_marks(), &oracle).await.expect("opens");
        let (at, _) = nth(&disk, 2);
        disk.flip_bit(SEGMENT, (at + 100) * 8);
        let queue = log.queue(TOPICS[0], 0);
        let plan = |from| {
            let limits = ReadLimits { messages: 1, bytes: 9999, scan: 9 };
            log.plan_read(queue, from, &limits, |_| true).expect("in memory")
        };
        let mut out = vec![1, 2, 3];
        let result = log.read_cold(&plan(2), &mut out).await;
        assert!(matches!(result, Err(crate::ReadError::Damaged { .. })), "{result:?}");
        assert_eq!(out, [1, 2, 3]);
        log.read_cold(&plan(3), &mut out).await.expect("the next one is whole");
        let physical = log.entry(queue, 2).await.expect("reads").expect("is there").physical;
        let result = log.read_record(physical).await;
        assert!(matches!(result, Err(crate::ReadError::Damaged { .. })), "{result:?}");
        log.close().await.expect("closes");
    });
}

/// Every seventh bit, or every bit if STORE_EVERY_BIT is set.
#[test]
fn no_flipped_bit_of_the_tail_is_served_or_cuts_what_the_mark_covers() {
    let step = if std::env::var_os("STORE_EVERY_BIT").is_some() { 1 } else { 29 };
    let sim = Sim::new(12);
    let oracle = SharedOracle::default();
    let marked = sim.run(async |runtime| {
        let options = LogOptions { segment_bytes: 1 << 20, ..options(FlushMode::Sync) };
        let (log, _) = open(&runtime, options, &oracle).await.expect("opens");
        let mut random = runtime.random();
        while log.position_range().1.position().0 < 3 * BLOCK_BYTES as u64 {
            append_when_room(&log, &oracle, vec![1; random.below(200) as usize]).await;
            runtime.sleep(Duration::from_millis(3)).await;
        }
        oracle.borrow().acknowledged.len()
    });
    let disk = sim.disk().kill(1);
    drop(sim);
    let first = BLOCK_BYTES as u64 * 8;
    for bit in (first..first + 8 * 8192).step_by(step) {
        let copy = disk.kill(1);
        copy.flip_bit(SEGMENT, bit);
        Sim::with_disk(bit, &copy).run(async |runtime| {
            oracle.borrow_mut().seen.clear();
            let opened = open(&runtime, rare_marks(), &oracle).await;
            let Ok((log, found)) = opened else { return };
            check_all(&log, &oracle).await;
            assert!(found.end >= found.mark, "bit {bit}");
            let seen = oracle.borrow().seen.len();
            assert!(seen + 1 >= marked, "bit {bit}: {seen} of {marked} are left");
        });
    }
}
