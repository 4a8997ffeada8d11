//! A log that takes what another one has written: the same bytes, the same queues, and nothing
//! shown or acknowledged before it may be.

use ringmq_base::LogPosition;
use ringmq_io::{
    Shares, Spawn as _,
    sim::{Sim, SimDisk},
};

use super::*;
use crate::{
    CopiedRange, Leadership, LogEnds, Opening, RawError, SegmentFacts,
    files::{
        envelope::{self, Envelope, Kind},
        mark::Mark,
        pair::Side as _,
        segment::HEADER_BYTES,
    },
};

/// Of a follower whose master's log begins with a segment of `epoch`.
fn following(flush: FlushMode, epoch: u32) -> LogOptions {
    let bytes = options(flush).segment_bytes;
    let first = SegmentFacts { start: LogPosition(0), bytes, epoch };
    LogOptions { opening: Opening::Follows, first_segment: Some(first), ..options(flush) }
}

/// Carries what the follower has room for and does not have; false if that is nothing.
async fn carry(master: &TestLog, follower: &TestLog, random: &mut Random) -> bool {
    let from = follower.ends().end;
    for facts in master.segment_facts(from) {
        match follower.announce_segment(facts) {
            Ok(()) => {}
            Err(RawError::Segment { .. }) => break,
            Err(error) => panic!("{error}"),
        }
    }
    let mut bytes = Vec::new();
    let most = 1 + random.index(12_000);
    let end = match master.copy_appended(from, most, &mut bytes) {
        CopiedRange::Records { end, .. } => end,
        CopiedRange::End => return false,
        CopiedRange::Cold => {
            let (read, range) = master.read_raw(from, most).await.expect("reads");
            let CopiedRange::Records { end, .. } = range else { panic!("{range:?} behind {from}") };
            bytes = read;
            end
        }
    };
    assert!(end > from && !bytes.is_empty());
    loop {
        let position = follower.ends().end;
        // Behind an end of segment the log goes on in another one: all of it was taken.
        let Some(rest) = (end.0.checked_sub(position.0)).map(|rest| rest as usize) else {
            return true;
        };
        let skip = bytes.len().checked_sub(rest).expect("what was taken stays");
        match follower.append_raw(position, &bytes[skip..]) {
            Ok(()) => return true,
            Err(RawError::Append(AppendError::Busy { .. })) => follower.room().await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Carries until the follower has everything, and waits until it is written.
async fn catch_up(master: &TestLog, follower: &TestLog, random: &mut Random) {
    while carry(master, follower, random).await {}
    assert_eq!(follower.ends().end, master.ends().end);
    while follower.ends().written < follower.ends().end {
        follower.progressed().await;
    }
}

/// The bytes of a log on disk up to `end`, segment by segment.
fn log_bytes(disk: &SimDisk, end: u64) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for path in segment_files(disk) {
        let start = crate::files::segment::parse_name(&path.file_name().unwrap().to_string_lossy());
        let start = start.expect("a segment's name");
        if start + HEADER_BYTES > end {
            continue;
        }
        let mut bytes = disk.read_file(&path).expect("is there");
        // What is behind the end of segment was never written.
        bytes.truncate(usize::try_from(end - start).unwrap_or(usize::MAX).min(bytes.len()));
        files.push((path, bytes));
    }
    files
}

#[test]
fn a_follower_has_the_bytes_of_its_master_and_shows_what_it_may() {
    for (seed, flush) in
        (0..20).flat_map(|seed| [(seed, FlushMode::Sync), (seed, FlushMode::Async)])
    {
        let sim = Sim::new(seed);
        let disk = SimDisk::new(seed + 1000);
        let oracle = SharedOracle::default();
        let end = sim.run(async |runtime| {
            let other = sim.runtime_on(&disk);
            let (master, _) = open(&runtime, options(flush), &oracle).await.expect("opens");
            let nobody = SharedOracle::default();
            let (follower, _) = open(&other, following(flush, 1), &nobody).await.expect("opens");
            let work = {
                let (runtime, master, oracle) = (runtime.clone(), master.clone(), oracle.clone());
                async move {
                    workload(&runtime, &master, &oracle, 400).await;
                }
            };
            runtime.spawn(Shares::Foreground, "workload", work);
            let mut random = runtime.random();
            while oracle.borrow().acknowledged.len() < 400 {
                if !carry(&master, &follower, &mut random).await {
                    runtime.sleep(Duration::from_micros(100)).await;
                }
            }
            catch_up(&master, &follower, &mut random).await;
            let LogEnds { committed, written, .. } = follower.ends();
            assert!(committed.0 < HEADER_BYTES + 1 && written == master.ends().written);
            check_all(&follower, &nobody).await;
            assert!(nobody.borrow().seen.is_empty(), "seed {seed}: shown before it was allowed");
            // A part, then all: what is shown is what the master has there.
            for part in [written.0 / 3, written.0 / 2, written.0] {
                follower.allow(LogPosition(part));
                assert!(follower.ends().committed.0 == part);
                check_all(&follower, &oracle).await;
            }
            check_promises(&follower, &oracle).await;
            follower.close().await.expect("closes");
            master.close().await.expect("closes");
            written.0
        });
        let (one, two) = (log_bytes(sim.disk(), end), log_bytes(&disk, end));
        assert!(one.len() > 1, "seed {seed}: several segments");
        for ((path, bytes), (_, other)) in one.iter().zip(&two) {
            let length = bytes.len().min(other.len());
            assert!(bytes[..length] == other[..length], "seed {seed}: {}", path.display());
        }
        assert_eq!(one.len(), two.len());
    }
}

#[test]
fn nothing_is_acknowledged_before_the_replicas_allow_it() {
    let sim = Sim::new(7);
    let oracle = SharedOracle::default();
    sim.run(async |runtime| {
        let opening = Opening::Leads { epoch: 5 };
        let options = LogOptions { opening, ..options(FlushMode::Sync) };
        let (log, _) = open(&runtime, options, &oracle).await.expect("opens");
        let queue = log.queue(TOPICS[0], 0);
        log.watch(queue);
        let mut ends = Vec::new();
        for number in 0..10 {
            append(&log, &oracle, 0, 0, vec![number; 100]).expect("room");
            ends.push(log.ends().end);
        }
        while log.ends().written < log.ends().end {
            log.progressed().await;
        }
        assert_eq!((oracle.borrow().acknowledged.len(), log.bounds(queue)), (0, (0, 0)));
        assert!(oracle.borrow().arrived.is_empty());
        for (at, end) in ends.iter().enumerate() {
            log.allow(LogPosition(end.0 - 1));
            assert_eq!(oracle.borrow().acknowledged.len(), at);
            log.allow(*end);
            log.allow(LogPosition(0));
            let count = at + 1;
            assert_eq!(oracle.borrow().acknowledged.len(), count);
            assert_eq!(log.bounds(queue), (0, count as i64));
        }
        assert_eq!(oracle.borrow().arrived, [queue]);
        // Allowed ahead: each counts when it is written.
        log.allow(LogPosition(1 << 40));
        append(&log, &oracle, 0, 0, vec![9; 100]).expect("room");
        assert_eq!(oracle.borrow().acknowledged.len(), 10);
        log.clone().close().await.expect("closes");
        assert_eq!(oracle.borrow().acknowledged.len(), 11);
    });
}

/// A record as a master may send it.
fn sealed(kind: Kind, epoch: u32, position: u64, payload: &[u8]) -> Vec<u8> {
    let envelope = Envelope::new(kind, payload.len(), epoch, 0, 0);
    let mut bytes = vec![0; envelope.stride()];
    bytes[envelope::BYTES..envelope::BYTES + payload.len()].copy_from_slice(payload);
    envelope.seal(&mut bytes, position);
    bytes
}

#[test]
fn what_cannot_stand_in_the_log_is_refused_and_nothing_of_it_kept() {
    let sim = Sim::new(8);
    let oracle = SharedOracle::default();
    sim.run(async |runtime| {
        let disk = SimDisk::new(9);
        let other = sim.runtime_on(&disk);
        let (master, _) = open(&runtime, options(FlushMode::Sync), &oracle).await.expect("opens");
        let nobody = SharedOracle::default();
        let following = following(FlushMode::Sync, 1);
        let (follower, _) = open(&other, following, &nobody).await.expect("opens");
        let start = follower.ends().end;
        assert!(matches!(master.append_raw(start, &[0; 64]), Err(RawError::Leads)));
        append(&master, &oracle, 0, 0, vec![1; 100]).expect("room");
        let second = master.ends().end;
        append(&master, &oracle, 0, 0, vec![2; 100]).expect("room");
        let mut good = Vec::new();
        master.copy_appended(start, 1 << 20, &mut good);
        let first = (second.0 - start.0) as usize;
        let before = follower.ends();
        let refuse = |position: LogPosition, bytes: &[u8], wanted: &str| {
            let error = follower.append_raw(position, bytes).expect_err(wanted).to_string();
            assert!(error.contains(wanted), "{error}");
            assert_eq!(follower.ends(), before, "{wanted}");
            assert!(follower.find_queue(TOPICS[0], 0).is_none(), "{wanted}");
        };
        refuse(second, &good[first..], "a log that ends at");
        refuse(start, &good[first..], "wrong checksum");
        for at in [0, 20, 40, 100] {
            let mut bad = good.clone();
            bad[at] ^= 4;
            refuse(start, &bad[..first], "is not one that can stand there");
        }
        refuse(start, &good[..first - 1], "is not one that can stand there");
        refuse(start, &good[..10], "cut off");
        refuse(start, &[0; 32], "zeros");
        refuse(start, &sealed(Kind::Metadata, 1, start.0, b"x"), "a metadata record");
        refuse(start, &sealed(Kind::EpochStart, 1, start.0, b"x"), "an epoch start of 1 bytes");
        refuse(start, &sealed(Kind::EndOfSegment, 1, start.0, b"x"), "an end of segment of");
        refuse(start, &sealed(Kind::EndOfSegment, 1, start.0, b""), "the next is due");
        refuse(start, &sealed(Kind::Message, 1, start.0, b"x"), "is not one that can stand there");
        refuse(start, &sealed(Kind::Message, 1, start.0, &[0; 70_000]), "can stand there");
        // The second message of the queue without the first: at a place of its own.
        let payload = &good[first + envelope::BYTES..];
        refuse(start, &sealed(Kind::Message, 1, start.0, payload), "is not one that can stand");
        while let Err(error) = follower.append_raw(start, &good) {
            assert!(matches!(error, RawError::Append(AppendError::Busy { .. })), "{error}");
            follower.room().await;
        }
        let end = follower.ends().end;
        assert_eq!(end, master.ends().end);
        let stale = follower.append_raw(end, &sealed(Kind::Message, 0, end.0, b"x"));
        let stale = stale.expect_err("of an earlier epoch").to_string();
        assert!(stale.contains("epoch 0 after epoch 1"), "{stale}");
        append(&follower, &nobody, 0, 0, vec![1]).expect_err("it follows");
    });
}

#[test]
fn a_segment_is_made_as_the_master_names_it_and_no_other() {
    let sim = Sim::new(10);
    let oracle = SharedOracle::default();
    sim.run(async |runtime| {
        let following = following(FlushMode::Sync, 3);
        let (log, _) = open(&runtime, following, &oracle).await.expect("opens");
        let facts = log.segment_facts(LogPosition(0))[0];
        let next = SegmentFacts { start: LogPosition(facts.bytes), bytes: 128 << 10, epoch: 5 };
        assert_eq!(facts.epoch, 3);
        log.announce_segment(facts).expect("is there");
        let other = SegmentFacts { epoch: 9, ..facts };
        let refused = log.announce_segment(other);
        assert!(matches!(refused, Err(RawError::OtherSegment { .. })), "{refused:?}");
        let far = SegmentFacts { start: LogPosition(1 << 30), ..next };
        assert!(matches!(log.announce_segment(far), Err(RawError::Segment { .. })));
        log.announce_segment(next).expect("the next");
        log.announce_segment(next).expect("it was announced");
        while log.segment_facts(next.start).is_empty() {
            runtime.sleep(Duration::from_micros(100)).await;
        }
        assert_eq!(log.segment_facts(next.start), [next]);
        log.announce_segment(next).expect("it was made");
        log.close().await.expect("closes");
    });
}

#[test]
fn a_leadership_begins_with_a_record_of_its_epoch() {
    let sim = Sim::new(11);
    let oracle = SharedOracle::default();
    let start = Leadership { leader: 2, set_version: 7, time_ms: 5 };
    sim.run(async |runtime| {
        let (log, _) = open(&runtime, options(FlushMode::Sync), &oracle).await.expect("opens");
        append(&log, &oracle, 0, 0, vec![1; 100]).expect("room");
        let end = log.ends().end;
        log.start_epoch(9, start).await.expect("begins");
        append(&log, &oracle, 0, 0, vec![2; 100]).expect("room");
        assert_eq!(log.epoch(), 9);
        let mut bytes = Vec::new();
        log.copy_appended(end, 1 << 20, &mut bytes);
        let first = Envelope::open(&bytes, end.0).expect("intact");
        assert_eq!((first.kind, first.epoch), (Kind::EpochStart, 9));
        assert_eq!(Leadership::read(&bytes[envelope::BYTES..envelope::BYTES + 24]), Some(start));
        log.close().await.expect("closes");
    });
    sim.run(async |runtime| {
        let (log, found) = open(&runtime, options(FlushMode::Sync), &oracle).await.expect("opens");
        assert_eq!(found.epoch, 10);
        check_promises(&log, &oracle).await;
        log.close().await.expect("closes");
    });
}

/// Both blocks of the mark.
fn marks(disk: &SimDisk) -> [Mark; 2] {
    let bytes = disk.read_file("store/log-000/mark").expect("is there");
    [&bytes[..4096], &bytes[4096..]].map(|block| Mark::read(block).expect("is whole"))
}

#[test]
fn a_copy_counts_from_where_it_is_told_and_no_more_at_once() {
    let sim = Sim::new(12);
    let oracle = SharedOracle::default();
    sim.run(async |runtime| {
        let disk = SimDisk::new(13);
        let other = sim.runtime_on(&disk);
        let (master, _) = open(&runtime, options(FlushMode::Sync), &oracle).await.expect("opens");
        let (follower, _) =
            open(&other, following(FlushMode::Sync, 1), &oracle).await.expect("opens");
        let mut random = runtime.random();
        for number in 0..10 {
            append(&master, &oracle, 0, 0, vec![number; 500]).expect("room");
        }
        catch_up(&master, &follower, &mut random).await;
        assert!(marks(&disk).iter().all(|mark| !mark.claims), "it has just joined");
        // Not before what it counts from is settled, and a mark says so.
        let end = follower.ends().end;
        follower.count_from(end);
        follower.allow(LogPosition(end.0 - 8));
        runtime.sleep(Duration::from_millis(100)).await;
        assert!(marks(&disk).iter().all(|mark| !mark.claims));
        follower.allow(end);
        while !marks(&disk).iter().any(|mark| mark.claims) {
            runtime.sleep(Duration::from_millis(1)).await;
        }
        let newest = marks(&disk).into_iter().max_by_key(|mark| mark.sequence).expect("two");
        assert!(newest.claims && newest.position == end.0);
        follower.count_no_more().await.expect("is written");
        assert!(marks(&disk).iter().all(|mark| !mark.claims), "durable in both blocks");
        follower.close().await.expect("closes");
    });
}

/// What is committed ends exactly where a segment does, and more is there: no snapshot may begin to
/// read where there is no record.
#[test]
fn nothing_is_lost_behind_a_segment_at_whose_end_the_commit_stands() {
    for flush in [FlushMode::Sync, FlushMode::Async] {
        let sim = Sim::new(14);
        let disk = SimDisk::new(15);
        let oracle = SharedOracle::default();
        // Only marks tell the next start what is committed.
        let follows = LogOptions { snapshot_bytes: 1 << 40, ..following(flush, 1) };
        let end = sim.run(async |runtime| {
            let other = sim.runtime_on(&disk);
            let (master, _) = open(&runtime, options(flush), &oracle).await.expect("opens");
            let (follower, found) = open(&other, follows.clone(), &oracle).await.expect("opens");
            let mut from = LogPosition(found.end);
            let mut random = runtime.random();
            workload(&runtime, &master, &oracle, 200).await;
            catch_up(&master, &follower, &mut random).await;
            let boundary = loop {
                let (_, range) = follower.read_raw(from, 1 << 20).await.expect("reads");
                let CopiedRange::Records { end, next } = range else { panic!("one segment only") };
                if end != next {
                    break end;
                }
                from = next;
            };
            follower.allow(boundary);
            assert!(boundary < follower.ends().end);
            while !marks(&disk).iter().any(|mark| mark.committed == boundary.0) {
                runtime.sleep(Duration::from_millis(1)).await;
            }
            follower.ends().end
        });
        sim.crash();
        let sim = Sim::with_disk(16, &disk.kill(1));
        sim.run(async |runtime| {
            for life in 0..3 {
                let opened = open(&runtime, follows.clone(), &oracle).await;
                let (follower, found) = opened.expect("opens");
                assert_eq!(LogPosition(found.end), end, "{flush:?}, life {life}");
                follower.close().await.expect("closes");
            }
        });
    }
}
