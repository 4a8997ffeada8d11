//! Logs that are copies of others: whose epochs they are opened in, where they are cut, and what a
//! crash leaves of that. Crashes at every operation are played by `tests/campaign` as well.

use ringmq_base::{LogPosition, limits::BLOCK_BYTES, record::Placement};
use ringmq_io::sim::{Sim, SimDisk};

use super::*;
use crate::{
    Case, CutError, EpochStart, OpenError, Opening, cut_log,
    files::{
        envelope::{self, Envelope, Kind},
        mark::{self, Mark},
        pair::Side as _,
        salvage,
    },
};

const MARK: &str = "store/log-000/mark";
/// The end of a log without messages.
const EMPTY: u64 = BLOCK_BYTES as u64;

/// The other copies allow everything.
const FAR: LogPosition = LogPosition(1 << 47);

/// Marks only at open, no snapshot: what is appended is not committed.
fn copy(opening: Opening) -> LogOptions {
    LogOptions {
        opening,
        checkpoint_interval: Duration::from_secs(1000),
        snapshot_bytes: 1 << 40,
        ..options(FlushMode::Sync)
    }
}

/// A process that appends so many messages of this length, all of them acknowledged, and is killed;
/// the positions of their envelopes, and behind the last one.
fn append_some(disk: &SimDisk, opening: Opening, count: usize, bytes: usize) -> Vec<u64> {
    let sim = Sim::with_disk(7, disk);
    let places = sim.run(async |runtime| {
        let oracle = SharedOracle::default();
        let (log, _) = open(&runtime, copy(opening), &oracle).await.expect("opens");
        log.allow(FAR);
        let mut places = Vec::new();
        while places.len() < count {
            match append(&log, &oracle, 0, 0, vec![places.len() as u8; bytes]) {
                Ok(appended) => places.push(appended.physical.position().0 - 32),
                Err(_) => log.room().await,
            }
        }
        while oracle.borrow().acknowledged.len() < count {
            runtime.sleep(Duration::from_millis(1)).await;
        }
        places.push(log.position_range().1.position().0);
        places
    });
    sim.crash();
    places
}

/// Opens the log; what it found, and how many messages it has.
fn find(disk: &SimDisk, opening: Opening) -> Result<(Recovery, i64), OpenError> {
    let sim = Sim::with_disk(8, disk);
    let found = sim.run(async |runtime| {
        let oracle = SharedOracle::default();
        let (log, found) = open(&runtime, copy(opening), &oracle).await?;
        log.allow(FAR);
        let messages = log.find_queue(TOPICS[0], 0).map_or(0, |queue| log.bounds(queue).1);
        Ok((found, messages))
    });
    sim.crash();
    found
}

fn cut(disk: &SimDisk, to: u64, epoch: u32) -> Result<crate::LogCut, CutError> {
    let sim = Sim::with_disk(9, disk);
    let result = sim.run(async |runtime| cut_log(&runtime, &copy(Opening::Alone), to, epoch).await);
    sim.crash();
    result
}

fn mark_of(disk: &SimDisk) -> Mark {
    Mark::newest(&disk.read_file(MARK).expect("is there")).expect("is whole")
}

fn content(disk: &SimDisk) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    disk.files().into_iter().map(|path| (path.clone(), disk.read_file(&path))).collect()
}

fn segment_of(position: u64) -> (PathBuf, u64) {
    let start = position / (64 << 10) * (64 << 10);
    (directory().join(crate::files::segment::file_name(start)), start)
}

/// Writes what a leader has appended: message `offset` of the only queue, at `position`. It says
/// that all before it was stable there. Where the next one goes.
fn write_raw(disk: &SimDisk, position: u64, epoch: u32, offset: i64, bytes: usize) -> u64 {
    let body = vec![0xAB; bytes];
    let message = record(TOPICS[0], 0, &body);
    let mut out = vec![0; envelope::stride(message.size())];
    let physical_offset = (position + envelope::BYTES as u64).cast_signed();
    let placement = Placement { queue_offset: offset, physical_offset, store_timestamp: 1 << 50 };
    message.encode(&mut out[envelope::BYTES..envelope::BYTES + message.size()], &placement);
    Envelope::new(Kind::Message, message.size(), epoch, 0, 0).seal(&mut out, position);
    let (path, start) = segment_of(position);
    let at = (position - start) as usize;
    let mut file = disk.read_file(&path).expect("is there");
    let end = (at + out.len()).next_multiple_of(BLOCK_BYTES).max(file.len());
    file.resize(end, 0);
    file[at..at + out.len()].copy_from_slice(&out);
    disk.write_file(&path, &file);
    position + out.len() as u64
}

fn starts(found: &Recovery) -> Vec<(u32, u64)> {
    found.epochs.iter().map(|EpochStart { epoch, start }| (epoch, start)).collect()
}

#[test]
fn epochs_come_from_whom_the_options_say() {
    let disk = SimDisk::new(1);
    let first = append_some(&disk, Opening::Alone, 4, 200);
    let second = append_some(&disk, Opening::Leads { epoch: 5 }, 3, 200);
    assert_eq!(second[0], first[4]);
    // An epoch that was only opened is seen, and has no start.
    let (found, _) = find(&disk, Opening::Leads { epoch: 8 }).expect("opens");
    assert_eq!((found.epoch, found.end), (8, second[3]));
    assert_eq!(starts(&found), [(1, first[0]), (5, first[4]), (8, second[3])]);
    for epoch in [1, 5, 8] {
        let before = content(&disk);
        match find(&disk, Opening::Leads { epoch }) {
            Err(OpenError::EpochSeen { given, seen: 8, .. }) if given == epoch => {}
            other => panic!("{other:?}"),
        }
        assert!(content(&disk) == before, "a refusal changed the disk");
    }
    let (found, messages) = find(&disk, Opening::Follows).expect("opens");
    assert_eq!((found.epoch, messages), (5, 7), "under the epoch of the last record");
    assert_eq!(starts(&found), [(1, first[0]), (5, first[4])]);
    let mark = mark_of(&disk);
    assert_eq!((mark.claims, mark.seen, mark.epoch, mark.cut), (false, 8, 5, second[3]));
    let (found, _) = find(&disk, Opening::Alone).expect("opens");
    assert_eq!((found.epoch, found.committed), (9, second[3]));
    let mark = mark_of(&disk);
    assert_eq!((mark.claims, mark.committed, mark.position), (true, second[3], second[3]));
}

#[test]
fn what_a_leader_found_counts_although_it_is_not_committed() {
    let disk = SimDisk::new(1);
    append_some(&disk, Opening::Alone, 4, 200);
    let (found, _) = find(&disk, Opening::Leads { epoch: 5 }).expect("opens");
    assert_eq!(found.committed, EMPTY);
    let mark = mark_of(&disk);
    assert!(mark.position < mark.cut, "{mark:?}");
    // Behind the mark's position there are records of epochs before the mark's.
    let (again, messages) = find(&disk, Opening::Leads { epoch: 6 }).expect("opens");
    assert_eq!((again.end, messages), (found.end, 4));
}

#[test]
fn a_log_that_was_cut_goes_on_there() {
    // Some of the long ones are in a second segment, which begins with number 6.
    let long = [0, 1, 5, 6, 7, 10].map(|at| (9000, at));
    for (bytes, at) in [(200, 5), (200, 0), (200, 10)].into_iter().chain(long) {
        let disk = SimDisk::new(1);
        let places = append_some(&disk, Opening::Alone, 10, bytes);
        let before = find(&disk.kill(1), Opening::Follows).expect("opens").0.end;
        let done = cut(&disk, places[at], 7).expect("not committed");
        assert_eq!(done.from_end, before);
        assert_eq!(done.salvage.is_some(), at < 10);
        let again = cut(&disk, places[at], 7).expect("the same");
        assert_eq!(again, crate::LogCut { from_end: places[at], salvage: None });
        let (found, messages) = find(&disk, Opening::Follows).expect("opens");
        assert_eq!((found.case, found.end), (Case::CutHere, places[at]), "{bytes} {at}");
        assert_eq!((messages, found.committed), (at as i64, EMPTY));
        assert!(!mark_of(&disk).cutting);
        let (found, messages) = find(&disk, Opening::Leads { epoch: 8 }).expect("opens");
        assert_eq!((found.end, messages), (places[at], at as i64), "{bytes} {at}");
        let more = append_some(&disk, Opening::Leads { epoch: 9 }, 20, bytes);
        assert_eq!(more[0], places[at], "{bytes} {at}");
        let (_, messages) = find(&disk, Opening::Follows).expect("opens");
        assert_eq!(messages, at as i64 + 20);
    }
}

#[test]
fn a_log_may_be_cut_before_the_end_of_a_segment() {
    let disk = SimDisk::new(1);
    let places = append_some(&disk, Opening::Alone, 10, 9000);
    // Where the record stands that says that the log goes on in the next segment.
    let to = places[5] + (places[5] - places[4]);
    assert_eq!(places[6], (64 << 10) + EMPTY);
    cut(&disk, to, 7).expect("not committed");
    let (found, messages) = find(&disk, Opening::Follows).expect("opens");
    assert_eq!((found.case, found.end, messages), (Case::CutHere, to, 6));
    assert_eq!(segment_files(&disk).len(), 1);
    let more = append_some(&disk, Opening::Leads { epoch: 8 }, 3, 9000);
    assert_eq!(more[0], places[6]);
    assert_eq!(find(&disk, Opening::Follows).expect("opens").1, 9);
}

#[test]
fn what_was_cut_is_kept_for_people() {
    let disk = SimDisk::new(1);
    let places = append_some(&disk, Opening::Alone, 10, 9000);
    let bytes = |position: u64, count: usize| {
        let (path, start) = segment_of(position);
        let at = (position - start) as usize;
        disk.read_file(path).expect("is there")[at..at + count].to_vec()
    };
    let records: Vec<Vec<u8>> = places[3..10].iter().map(|place| bytes(*place, 9000)).collect();
    let done = cut(&disk, places[3], 7).expect("not committed");
    let path = done.salvage.expect("something was cut");
    let name = path.file_name().and_then(|name| name.to_str()).expect("plain");
    assert_eq!(salvage::parse_name(name), Some((places[3], 7)));
    let kept = disk.read_file(&path).expect("is there");
    let header = salvage::Header::read(&kept[..BLOCK_BYTES]).expect("whole");
    assert_eq!((header.from, header.end, header.copied), (places[3], places[10], places[10]));
    let base = places[3] / BLOCK_BYTES as u64 * BLOCK_BYTES as u64;
    for (place, record) in places[3..10].iter().zip(records) {
        let at = BLOCK_BYTES + (place - base) as usize;
        assert!(kept[at..at + 9000] == record, "the message at {place}");
    }
    // Two are kept, those of the greatest epochs.
    for epoch in [8, 9] {
        let next = append_some(&disk, Opening::Leads { epoch: epoch * 10 }, 3, 200);
        cut(&disk, next[1], epoch).expect("not committed");
    }
    let names = disk.files().into_iter().filter_map(|path| {
        salvage::parse_name(path.file_name()?.to_str()?).map(|(_, epoch)| epoch)
    });
    let mut epochs: Vec<u32> = names.collect();
    epochs.sort_unstable();
    assert_eq!(epochs, [8, 9]);
}

#[test]
fn no_cut_goes_before_what_is_committed_or_into_a_record() {
    let disk = SimDisk::new(1);
    let places = append_some(&disk, Opening::Alone, 6, 300);
    let refused = |disk: &SimDisk, to: u64| {
        let before = content(disk);
        let refused = cut(disk, to, 7).expect_err("refused");
        assert!(content(disk) == before, "a refusal changed the disk");
        refused
    };
    for to in [places[2] + 8, places[6] + 8, places[6] + 4096] {
        match refused(&disk, to) {
            CutError::NoRecord { to: named, .. } if named == to => {}
            other => panic!("{to}: {other:?}"),
        }
    }
    // Alone, everything found is committed.
    find(&disk, Opening::Alone).expect("opens");
    let more = append_some(&disk, Opening::Leads { epoch: 5 }, 3, 300);
    for to in &places[..6] {
        match refused(&disk, *to) {
            CutError::Committed { committed, .. } => assert_eq!(committed, places[6]),
            other => panic!("{other:?}"),
        }
    }
    cut(&disk, more[1], 7).expect("not committed");
    // A snapshot knows it even if the mark does not.
    let disk = SimDisk::new(1);
    let sim = Sim::with_disk(7, &disk);
    sim.run(async |runtime| {
        let oracle = SharedOracle::default();
        let options = LogOptions { snapshot_bytes: 4096, ..copy(Opening::Alone) };
        let (log, _) = open(&runtime, options, &oracle).await.expect("opens");
        while log.counters().snapshots < 2 {
            append(&log, &oracle, 0, 0, vec![1; 500]).expect("room");
            runtime.sleep(Duration::from_millis(2)).await;
        }
    });
    sim.crash();
    assert_eq!(mark_of(&disk).committed, EMPTY);
    assert!(matches!(refused(&disk, EMPTY), CutError::Committed { .. }));
}

/// The tail was written under epoch 9. The leader that comes has records of epoch 2 there, which it
/// had before.
#[test]
fn what_was_cut_is_not_taken_for_what_comes_of_an_earlier_epoch() {
    let disk = SimDisk::new(1);
    append_some(&disk, Opening::Alone, 3, 200);
    append_some(&disk, Opening::Leads { epoch: 2 }, 2, 200);
    let tail = append_some(&disk, Opening::Leads { epoch: 9 }, 5, 200);
    cut(&disk, tail[0], 10).expect("not committed");
    find(&disk, Opening::Follows).expect("opens");
    // As long as what was there.
    let next = write_raw(&disk, tail[0], 2, 5, 200);
    assert_eq!(next, tail[1]);
    let (found, messages) = find(&disk, Opening::Follows).expect("opens");
    assert_eq!((found.end, messages, found.epoch), (next, 6, 2));
    let (found, _) = find(&disk, Opening::Leads { epoch: 11 }).expect("opens");
    assert_eq!(found.end, next);
    let seen = find(&disk, Opening::Leads { epoch: 9 }).expect_err("it was seen");
    assert!(matches!(seen, OpenError::EpochSeen { seen: 11, .. }), "{seen}");
}

/// The same without a cut: a power cut took the front of what a leader had sent.
#[test]
fn what_a_torn_write_left_is_not_taken_for_what_comes_of_an_earlier_epoch() {
    let disk = SimDisk::new(1);
    let first = append_some(&disk, Opening::Alone, 3, 200);
    find(&disk, Opening::Follows).expect("opens");
    let (mut position, mut places) = (first[3], Vec::new());
    for offset in 3..8 {
        places.push(position);
        position = write_raw(&disk, position, 9, offset, 200);
    }
    disk.zero_range(segment_of(first[3]).0, first[3] - segment_of(first[3]).1, 64);
    let (found, _) = find(&disk, Opening::Follows).expect("opens");
    assert_eq!((found.case, found.end), (Case::ZerosAtTail, first[3]));
    write_raw(&disk, first[3], 2, 3, 200);
    let (found, messages) = find(&disk, Opening::Follows).expect("opens");
    assert_eq!((found.end, messages), (places[1], 4));
}

#[test]
fn a_torn_tail_of_a_follower_is_no_damage_until_its_claims_are_true() {
    for (opening, expected) in [
        (Opening::Follows, Ok(Case::TornTailBehindMark)),
        (Opening::Leads { epoch: 5 }, Err(Case::DamageBeforeLaterRecord)),
    ] {
        let disk = SimDisk::new(1);
        let places = append_some(&disk, Opening::Alone, 3, 200);
        find(&disk, opening).expect("opens");
        // Each of them says that all before it is stable, which was true of the leader.
        let mut position = places[3];
        for offset in 3..8 {
            position = write_raw(&disk, position, 5, offset, 200);
        }
        let (path, start) = segment_of(places[3]);
        disk.flip_bit(path, (places[3] - start + 60) * 8);
        let leads = disk.kill(1);
        let found = match find(&disk, opening_after(opening)) {
            Ok((found, _)) => Ok(found.case),
            Err(OpenError::Refused { case, .. }) => Err(case),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(found, expected, "{opening:?}");
        if expected.is_ok() {
            // Whoever leads with it makes claims, but not those of what is left there.
            find(&leads, Opening::Leads { epoch: 6 }).expect("opens");
            let (again, messages) = find(&leads, Opening::Alone).expect("opens again");
            assert_eq!((again.end, messages), (places[3], 3));
        }
    }
}

fn opening_after(opening: Opening) -> Opening {
    match opening {
        Opening::Leads { epoch } => Opening::Leads { epoch: epoch + 1 },
        other => other,
    }
}

/// Before the next opening has removed what is behind the cut.
#[test]
fn the_check_goes_by_the_cut() {
    let sim = Sim::new(7);
    let oracle = SharedOracle::default();
    let root = Path::new("store");
    let mut places = Vec::new();
    let options = sim.run(async |runtime| {
        let manifest = crate::open_manifest(&runtime, root, 1).await.expect("creates");
        let options = LogOptions { store_id: manifest.store_id, ..copy(Opening::Alone) };
        let (log, _) = open(&runtime, options.clone(), &oracle).await.expect("opens");
        while places.len() < 16 {
            match append(&log, &oracle, 0, 0, vec![1; 9000]) {
                Ok(appended) => places.push(appended.physical.position().0 - 32),
                Err(_) => log.room().await,
            }
        }
        runtime.sleep(Duration::from_millis(100)).await;
        options
    });
    sim.crash();
    let disk = sim.disk().kill(1);
    let check = |messages: u64| {
        Sim::with_disk(3, &disk).run(async |runtime| {
            let mut notes = String::new();
            let watch = |file: &crate::FileReport| notes.push_str(&format!("{file:?}\n"));
            let report = crate::verify_store(&runtime, root, watch).await.expect("a store");
            assert_eq!((report.damages, report.messages), (0, messages), "{notes}");
            notes
        })
    };
    check(16);
    Sim::with_disk(2, &disk)
        .run(async |runtime| cut_log(&runtime, &options, places[3], 7).await.expect("is cut"));
    let notes = check(3);
    for note in [format!("cut at {}", places[3]), "behind where the log was cut".into()] {
        assert!(notes.contains(&note), "{note}: {notes}");
    }
    disk.flip_bit(segment_of(places[5]).0, (places[5] + 100) * 8);
    check(3);
}

/// A crash at any operation of the cut, or of the opening after it.
#[test]
fn a_crash_leaves_a_log_as_it_was_or_cut() {
    let disk = SimDisk::new(1);
    let places = append_some(&disk, Opening::Alone, 16, 9000);
    let (mut crashed, mut kept, mut was_cut) = (true, 0, 0);
    for count in 0_u64.. {
        if !crashed {
            break;
        }
        let machine = disk.kill(count);
        machine.crash_after_operation(count);
        let sim = Sim::with_disk(count, &machine);
        let finished = std::cell::Cell::new(false);
        let run = sim.try_run(async |runtime| {
            cut_log(&runtime, &copy(Opening::Alone), places[3], 7).await.expect("no fault");
            finished.set(true);
            let oracle = SharedOracle::default();
            open(&runtime, copy(Opening::Follows), &oracle).await.expect("opens");
        });
        crashed = run.is_err();
        for image in 0..6 {
            let after = if image == 0 { machine.kill(1) } else { machine.power_cut(image) };
            let opening = if image % 2 == 0 { Opening::Follows } else { Opening::Alone };
            let (found, messages) = find(&after, opening).unwrap_or_else(|error| {
                panic!("operation {count}, image {image}: {error}");
            });
            match messages {
                16 => kept += 1,
                3 => was_cut += 1,
                other => panic!("operation {count}, image {image}: {other}, {found:?}"),
            }
            assert!(messages == 3 || !finished.get(), "operation {count}, image {image}");
            let (again, messages_again) = find(&after, opening).expect("opens again");
            assert_eq!((again.end, messages_again), (found.end, messages));
        }
    }
    assert!(kept > 20 && was_cut > 20, "{kept} {was_cut}");
}

#[test]
fn the_mark_moves_on_and_its_cut_stays() {
    let disk = SimDisk::new(1);
    let sim = Sim::with_disk(7, &disk);
    sim.run(async |runtime| {
        let oracle = SharedOracle::default();
        for life in 1..=2 {
            let (log, found) =
                open(&runtime, options(FlushMode::Sync), &oracle).await.expect("opens");
            workload(&runtime, &log, &oracle, 50).await;
            runtime.sleep(Duration::from_millis(100)).await;
            let mark = mark_of(&disk);
            assert!(mark.position > found.end && mark.committed == mark.position);
            assert_eq!((mark.epoch, mark.cut, mark.claims), (life, found.end, true));
            log.close().await.expect("closes");
            assert_eq!(mark_of(&disk).cut, found.end);
        }
    });
    assert_eq!(mark::VERSION, 2);
}
