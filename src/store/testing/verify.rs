//! The offline check of a store: sound stores pass, every kind of damage is found with its range,
//! and nothing is changed.

use ringmq_base::limits::BLOCK_BYTES;
use ringmq_io::sim::{Fault, FaultRule, OperationKind, Sim, SimDisk};

use super::*;
use crate::{
    Case, FileReport, MetaLog, OpenError, StoreReport, api::options::KeySizes,
    files::envelope::Envelope, open_manifest, verify_store,
};

const ROOT: &str = "store";
const META: &str = "store/meta/meta-00000000000000000001.log";
const MARK: &str = "store/log-000/mark";

struct Sound {
    disk: SimDisk,
    messages: u64,
}

/// A store with a log of several segments and a metadata log, closed in order or not.
fn store(seed: u64, close: bool) -> Sound {
    let sim = Sim::new(seed);
    let oracle = SharedOracle::default();
    sim.run(async |runtime| {
        let manifest = open_manifest(&runtime, Path::new(ROOT), 1).await.expect("creates");
        let options = LogOptions { store_id: manifest.store_id, ..options(FlushMode::Sync) };
        let (log, _) = open(&runtime, options, &oracle).await.expect("opens");
        let (meta, _) =
            MetaLog::open(runtime.clone(), &Path::new(ROOT).join("meta")).await.expect("opens");
        for number in 0..20_u8 {
            meta.append(&[&[number; 100]]).await.expect("appends");
        }
        workload(&runtime, &log, &oracle, 400).await;
        runtime.sleep(Duration::from_millis(100)).await;
        if close {
            log.close().await.expect("closes");
            meta.close().await.expect("closes");
        }
    });
    let messages = oracle.borrow().acknowledged.len() as u64;
    Sound { disk: sim.disk().kill(1), messages }
}

fn verify(disk: &SimDisk) -> Result<(StoreReport, Vec<FileReport>), OpenError> {
    let content = |disk: &SimDisk| -> Vec<_> {
        disk.files().into_iter().map(|path| (disk.read_file(&path), path)).collect()
    };
    let before = content(disk);
    let mut files = Vec::new();
    let sim = Sim::with_disk(1, disk);
    let result = sim.run(async |runtime| {
        verify_store(&runtime, Path::new(ROOT), |file| files.push(file.clone())).await
    });
    assert!(before == content(disk), "the check changed the disk");
    result.map(|total| (total, files))
}

fn damages(disk: &SimDisk) -> Vec<(String, &'static str, u64, u64)> {
    let (total, files) = verify(disk).expect("is a store");
    let mut found = Vec::new();
    for file in files {
        let name = file.path.file_name().expect("a name").to_string_lossy().into_owned();
        found.extend(file.damages.iter().map(|one| (name.clone(), one.what, one.from, one.to)));
    }
    assert_eq!(total.damages, found.len() as u64);
    found
}

/// Where the records of a segment file begin.
fn records(disk: &SimDisk, file: &Path) -> Vec<u64> {
    let bytes = disk.read_file(file).expect("is there");
    let name = file.file_name().expect("a name").to_string_lossy().into_owned();
    let start = crate::files::segment::parse_name(&name).unwrap_or(0);
    let mut at = BLOCK_BYTES;
    let mut found = Vec::new();
    while let Ok(envelope) = Envelope::open(&bytes[at..], start + at as u64) {
        found.push(at as u64);
        at += envelope.stride();
    }
    found
}

#[test]
fn a_sound_store_passes_however_it_was_left() {
    for seed in 0..10 {
        for close in [true, false] {
            let store = store(seed, close);
            let (total, files) = verify(&store.disk).expect("is a store");
            assert!(total.is_sound(), "seed {seed}: {files:?}");
            assert_eq!(total.messages, store.messages, "seed {seed}: {files:?}");
            assert_eq!(total.missing_messages, 0);
            let meta = files.iter().find(|file| file.path == Path::new(META)).expect("checked");
            assert_eq!(meta.records, 20);
            let ends = files.iter().filter(|file| file.note.contains("ends at")).count();
            assert_eq!(ends, 2, "{files:?}");
        }
    }
}

#[test]
fn what_a_crash_leaves_is_no_damage() {
    for seed in 0..30 {
        let sim = Sim::new(seed);
        let oracle = SharedOracle::default();
        let left = sim.try_run(async |runtime| {
            let manifest = open_manifest(&runtime, Path::new(ROOT), 1).await.expect("creates");
            let options = LogOptions { store_id: manifest.store_id, ..options(FlushMode::Sync) };
            let (log, _) = open(&runtime, options, &oracle).await.expect("opens");
            sim.disk().crash_after_operation(sim.disk().operations() + 40 + seed * 7);
            workload(&runtime, &log, &oracle, 2000).await;
        });
        assert!(left.is_err(), "it crashed");
        for disk in [sim.disk().kill(seed), sim.disk().power_cut(seed)] {
            let (total, files) = verify(&disk).expect("is a store");
            assert!(total.is_sound(), "seed {seed}: {files:?}");
            let acknowledged = oracle.borrow().acknowledged.len() as u64;
            assert!(total.messages >= acknowledged, "seed {seed}: {files:?}");
        }
    }
}

#[test]
fn all_damaged_ranges_are_listed_and_the_messages_behind_them_counted() {
    let store = store(3, true);
    let segments = segment_files(&store.disk);
    let name = |at: usize| segments[at].file_name().expect("a name").to_string_lossy().into_owned();
    let (first, second) = (records(&store.disk, &segments[0]), records(&store.disk, &segments[1]));
    store.disk.flip_bit(&segments[0], (first[3] + 40) * 8);
    store.disk.zero_range(&segments[0], first[7], (first[9] - first[7]) as usize);
    let end = *second.last().expect("an end of segment");
    store.disk.flip_bit(&segments[1], (end + 9) * 8);
    store.disk.flip_bit(META, (BLOCK_BYTES as u64 + 40) * 8);
    let before = Case::DamageBeforeMark.label();
    let meta = records(&store.disk, Path::new(META));
    assert!(meta.is_empty());
    let bytes = store.disk.read_file(&segments[1]).expect("is there").len() as u64;
    let expected = [
        (name(0), before, first[3], first[4]),
        (name(0), before, first[7], first[9]),
        (name(1), before, end, bytes),
        ("meta-00000000000000000001.log".to_owned(), before, 4096, 4096 + 136),
    ];
    assert_eq!(damages(&store.disk), expected);
    let (total, _) = verify(&store.disk).expect("is a store");
    assert_eq!(total.messages + 3, store.messages);
    assert!((1..=3).contains(&total.missing_messages), "{total:?}");
    assert_eq!(total.damaged_files, 3);
}

#[test]
fn files_that_are_missing_foreign_or_without_a_header_are_named() {
    let sound = store(4, true);
    let segments = segment_files(&sound.disk);
    let name = |at: usize| segments[at].file_name().expect("a name").to_string_lossy().into_owned();
    let copy = sound.disk.kill(1);
    copy.remove_file(&segments[1]);
    assert_eq!(damages(&copy), [(name(1), Case::MissingSegment.label(), 0, 0)]);
    let copy = sound.disk.kill(1);
    copy.remove_file(&segments[0]);
    assert_eq!(damages(&copy), [(name(0), Case::MissingSegment.label(), 0, 0)]);
    let copy = sound.disk.kill(1);
    copy.flip_bit(&segments[1], 8 * 30);
    assert_eq!(damages(&copy), [(name(1), Case::DamagedHeader.label(), 0, 4096)]);
    let (total, _) = verify(&copy).expect("is a store");
    assert_eq!(total.messages, sound.messages, "its records are intact");
    let copy = sound.disk.kill(1);
    copy.write_file(&segments[1], &sound.disk.read_file(&segments[0]).expect("is there"));
    assert_eq!(damages(&copy), [(name(1), Case::ForeignSegment.label(), 0, 4096)]);
    let copy = sound.disk.kill(1);
    copy.truncate(&segments[0], 20_000);
    let found = damages(&copy);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].0.as_str(), found[0].3), (name(0).as_str(), 64 << 10));
    let copy = sound.disk.kill(1);
    copy.remove_file(MARK);
    assert_eq!(damages(&copy), [("mark".to_owned(), Case::MissingMark.label(), 0, 0)]);
    let copy = sound.disk.kill(1);
    copy.flip_bit(MARK, 8 * 20);
    assert_eq!(damages(&copy), [], "the other block counts");
    copy.flip_bit(MARK, 8 * 4200);
    assert_eq!(damages(&copy), [("mark".to_owned(), Case::DamagedMark.label(), 0, 8192)]);
    let copy = sound.disk.kill(1);
    copy.flip_bit("store/MANIFEST", 8 * 30);
    assert_eq!(damages(&copy), [("MANIFEST".to_owned(), Case::DamagedHeader.label(), 0, 4096)]);
    copy.remove_file("store/MANIFEST");
    assert_eq!(damages(&copy), [("MANIFEST".to_owned(), Case::DamagedHeader.label(), 0, 0)]);
    assert!(matches!(verify(&SimDisk::new(1)), Err(OpenError::Foreign { .. })));
}

#[test]
fn unreadable_blocks_are_damage_and_the_rest_is_checked() {
    let store = store(5, true);
    let segments = segment_files(&store.disk);
    let sim = Sim::with_disk(2, &store.disk);
    let read = OperationKind::Read;
    // The large read fails, then the third block of those read one by one.
    let rule =
        |skip| FaultRule::every(Some(read), Fault::InputOutput).on(segments[0].clone()).after(skip);
    sim.disk().add_fault(rule(1).times(1));
    sim.disk().add_fault(rule(3).times(1));
    let mut files = Vec::new();
    let total = sim.run(async |runtime| {
        verify_store(&runtime, Path::new(ROOT), |file| files.push(file.clone())).await
    });
    let total = total.expect("is a store");
    assert_eq!((total.damages, total.damaged_files), (1, 1), "{files:?}");
    let damage = files.iter().find_map(|file| file.damages.first()).expect("one");
    assert!(damage.found.contains("cannot be read"), "{damage:?}");
    assert!(total.messages + 60 > store.messages && total.messages < store.messages);
}

/// Whatever is flipped in the part of a store that is in use is found, and opening agrees.
#[test]
fn every_flipped_bit_of_what_is_in_use_is_found() {
    let store = store(6, true);
    let segment = &segment_files(&store.disk)[0];
    let end = *records(&store.disk, segment).last().expect("records") + 32;
    for number in 0..150 {
        let bit = number * 7919 * 13 % (end * 8);
        let copy = store.disk.kill(1);
        let padding = records(&copy, segment);
        copy.flip_bit(segment, bit);
        let found = damages(&copy);
        // Padding behind a record, and the header's neighbours, are nobody's.
        if records(&copy, segment).len() == padding.len() && bit >= 8 * BLOCK_BYTES as u64 {
            assert_eq!(found, [], "bit {bit}");
        } else {
            assert_eq!(found.len(), 1, "bit {bit}: {found:?}");
            assert!(found[0].2 <= bit / 8 && bit / 8 < found[0].3, "bit {bit}: {found:?}");
        }
    }
}

#[test]
fn a_store_whose_first_segments_were_given_up_is_sound() {
    for seed in 0..5 {
        let sim = Sim::new(seed);
        let kept = sim.run(async |runtime| {
            let manifest = open_manifest(&runtime, Path::new(ROOT), 1).await.expect("creates");
            let options = LogOptions { store_id: manifest.store_id, ..options(FlushMode::Sync) };
            let oracle = SharedOracle::default();
            let (log, _) = open(&runtime, options, &oracle).await.expect("opens");
            let mut kept = 0;
            for round in 0..4 {
                workload(&runtime, &log, &oracle, 300).await;
                runtime.sleep(Duration::from_millis(50)).await;
                let end = log.position_range().1;
                log.retire(end.position(), 2).await.expect("retires");
                kept = log.position_range().0.position().0;
                if round == 3 && seed % 2 == 0 {
                    log.clone().close().await.expect("closes");
                }
            }
            kept
        });
        assert!(kept > 0);
        let disk = sim.disk().kill(seed);
        let (total, files) = verify(&disk).expect("is a store");
        assert!(total.is_sound() && total.messages > 0, "seed {seed}: {files:?}");
        let noted = |text: &str| files.iter().any(|file| file.note.contains(text));
        assert!(!noted("not checked"), "seed {seed}: {files:?}");
    }
}

/// A store with a long index: several index segments, snapshots and runs of keys.
fn indexed(seed: u64) -> (SimDisk, u64) {
    let sim = Sim::new(seed);
    let messages = sim.run(async |runtime| {
        let manifest = open_manifest(&runtime, Path::new(ROOT), 1).await.expect("creates");
        let options = LogOptions {
            store_id: manifest.store_id,
            keys: KeySizes { run_pages: 1, slots: 4, sealed_max: 2 },
            ..options(FlushMode::Sync)
        };
        let oracle = SharedOracle::default();
        let (log, _) = open(&runtime, options, &oracle).await.expect("opens");
        let (mut messages, queue) = (0, log.queue(TOPICS[0], 0));
        while messages < 3000 {
            let properties: [&[u8]; 3] = [b"KEYS\x01a b\x02", b"", b""];
            let message = NewRecord { properties, ..record(TOPICS[0], 0, b"x") };
            match log.append(queue, &message, 7, |_| None) {
                Ok(_) => messages += 1,
                Err(_) => log.room().await,
            }
        }
        runtime.sleep(Duration::from_millis(100)).await;
        log.close().await.expect("closes");
        messages
    });
    (sim.disk().clone(), messages)
}

#[test]
fn damage_in_the_index_is_found_and_is_no_damage_of_the_log() {
    let (disk, messages) = indexed(7);
    let (total, files) = verify(&disk).expect("is a store");
    assert!(total.is_sound() && total.messages == messages, "{files:?}");
    let named = |end: &str| -> Vec<PathBuf> {
        let all = disk.files().into_iter();
        all.filter(|path| path.extension().is_some_and(|other| other == end)).collect()
    };
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    let (pages, snapshots) = (named("idx"), named("snp"));
    assert!(pages.len() >= 2 && !snapshots.is_empty(), "{pages:?} {snapshots:?}");
    // A page, a footer, a header.
    for (block, what) in
        [(1, "damaged index page"), (4, "damaged index page"), (0, Case::DamagedHeader.label())]
    {
        let copy = disk.kill(1);
        copy.flip_bit(&pages[0], (block * BLOCK_BYTES as u64 + 50) * 8);
        let range = (block * BLOCK_BYTES as u64, (block + 1) * BLOCK_BYTES as u64);
        assert_eq!(damages(&copy), [(name(&pages[0]), what, range.0, range.1)]);
        assert_eq!(verify(&copy).expect("is a store").0.messages, messages);
    }
    let copy = disk.kill(1);
    copy.remove_file(&pages[0]);
    copy.remove_file(&pages[1]);
    let found = damages(&copy);
    assert!(pages.len() > 2 || found.len() == 1, "{found:?}");
    let last = snapshots.last().expect("one");
    for (bit, what) in [(8 * 30, "damaged snapshot"), (8 * 4130, "damaged snapshot")] {
        let copy = disk.kill(1);
        copy.flip_bit(last, bit);
        let found = damages(&copy);
        assert_eq!((found[0].0.as_str(), found[0].1), (name(last).as_str(), what));
        assert!(found[0].2 <= bit / 8 && bit / 8 < found[0].3, "{found:?}");
    }
}

#[test]
fn damage_in_the_key_index_is_found_and_is_no_damage_of_the_log() {
    let (disk, messages) = indexed(8);
    let (total, files) = verify(&disk).expect("is a store");
    assert!(total.is_sound(), "{files:?}");
    let keys = files.iter().filter(|file| file.note.contains("keys in"));
    let keys: Vec<(PathBuf, u64)> = keys.map(|file| (file.path.clone(), file.records)).collect();
    let indexed: u64 = keys.iter().map(|(_, records)| records).sum();
    assert!(indexed > messages && indexed <= 2 * messages, "{files:?}");
    // A header, that of the first run, and its first page.
    let path = &keys[0].0;
    for block in 0..3 {
        let copy = disk.kill(1);
        copy.flip_bit(path, (block * BLOCK_BYTES as u64 + 100) * 8);
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let range = (block * BLOCK_BYTES as u64, (block + 1) * BLOCK_BYTES as u64);
        assert_eq!(damages(&copy), [(name, "damaged key index", range.0, range.1)]);
        assert_eq!(verify(&copy).expect("is a store").0.messages, messages);
    }
}
