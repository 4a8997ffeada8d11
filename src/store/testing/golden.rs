//! A store written once must stay readable. `STORE_WRITE_GOLDEN=1` writes the files of the newest
//! format anew, for a new format version only.

use std::fs;

use ringmq_io::sim::{Sim, SimDisk};

use super::*;
use crate::{Case, MetaLog, Opening, cut_log, open_manifest};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

fn load(name: &str) -> SimDisk {
    let disk = SimDisk::new(1);
    let lengths = fs::read_to_string(golden(name).join(LENGTHS)).expect("the list of files");
    for line in lengths.lines() {
        let (file, length) = line.split_once(' ').expect("a name and a length");
        let mut bytes = fs::read(golden(name).join(file.replace('/', "_"))).expect("a file");
        bytes.resize(length.parse().expect("a number"), 0);
        disk.write_file(file, &bytes);
    }
    disk
}

fn save(name: &str, disk: &SimDisk) {
    fs::create_dir_all(golden(name)).expect("creates");
    let mut lengths = String::new();
    for path in disk.files() {
        let file = path.to_string_lossy().into_owned();
        let bytes = disk.read_file(&path).expect("is there");
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        lengths.push_str(&format!("{file} {}\n", bytes.len()));
        fs::write(golden(name).join(file.replace('/', "_")), &bytes[..used]).expect("writes");
    }
    fs::write(golden(name).join(LENGTHS), lengths).expect("writes");
}

/// Zeros at the end of a file are left out of the repository.
const LENGTHS: &str = "lengths.txt";

/// Written before there were index segments and snapshots; nothing writes such a store any more.
#[test]
fn the_store_without_index_files_is_read() {
    let disk = load("store-1");
    let oracle = SharedOracle::default();
    Sim::with_disk(2, &disk).run(async |runtime| {
        let manifest = open_manifest(&runtime, Path::new("store"), 9).await.expect("opens");
        assert_eq!((manifest.format, manifest.logs), (1, 1));
        for number in 0..20_u8 {
            let place = (0, i32::from(number) % 2, i64::from(number / 2));
            oracle.borrow_mut().appended.insert(place, vec![vec![number; 400]]);
            oracle.borrow_mut().acknowledged.insert(place, vec![number; 400]);
        }
        let (log, found) = open(&runtime, golden_options(), &oracle).await.expect("opens");
        assert_eq!((found.case, found.records), (Case::Clean, 20));
        check_promises(&log, &oracle).await;
        log.close().await.expect("closes");
        let (meta, records) =
            MetaLog::open(runtime.clone(), Path::new("store/meta")).await.expect("opens");
        assert_eq!(records, [b"snapshot".to_vec(), b"after".to_vec()]);
        meta.close().await.expect("closes");
    });
}

fn golden_options() -> LogOptions {
    options(FlushMode::Sync)
}

/// Pages, footers, snapshots: enough small messages in one queue to fill some. Written before marks
/// of version 2; nothing writes such a store any more.
#[test]
fn the_store_with_index_files_is_read() {
    let disk = load("store-2");
    assert_eq!(mark_versions(&disk), [1, 1]);
    check_indexed(&disk, Opening::Alone, Case::Clean, 0);
    assert_eq!(mark_versions(&disk), [2, 2], "the first marks that were written");
}

/// The same and an epoch of a leader, the end of which was cut off; last opened to follow another.
#[test]
fn the_store_with_marks_of_version_2_is_read() {
    if std::env::var_os("STORE_WRITE_GOLDEN").is_some() {
        write_copy();
    }
    let disk = load("store-3");
    assert_eq!(mark_versions(&disk), [2, 2]);
    let kept = |path: &PathBuf| path.extension().is_some_and(|end| end == "salvage");
    assert!(disk.files().iter().any(kept));
    let found = check_indexed(&disk, Opening::Follows, Case::ZerosAtTail, LED);
    let epochs: Vec<_> = found.epochs.iter().map(|one| one.epoch).collect();
    assert_eq!((epochs.as_slice(), found.epoch), ([1, 5].as_slice(), 5));
    assert!(found.committed < found.end);
}

fn mark_versions(disk: &SimDisk) -> [u8; 2] {
    let bytes = disk.read_file("store/log-000/mark").expect("is there");
    [bytes[8], bytes[4096 + 8]]
}

/// Opens the store and looks at its messages, of which a snapshot knows all but so many.
fn check_indexed(disk: &SimDisk, opening: Opening, case: Case, scanned: u64) -> Recovery {
    let names: Vec<String> =
        disk.files().iter().map(|path| path.to_string_lossy().into_owned()).collect();
    assert!(names.iter().filter(|name| name.ends_with(".idx")).count() > 1, "{names:?}");
    Sim::with_disk(2, disk).run(async |runtime| {
        let oracle = SharedOracle::default();
        let options = LogOptions { opening, ..golden_options() };
        let (log, found) = open(&runtime, options, &oracle).await.expect("opens");
        assert_eq!((found.case, found.records), (case, scanned));
        log.allow(ringmq_base::LogPosition(found.end));
        let queue = log.find_queue(TOPICS[0], 0).expect("is there");
        let end = INDEXED + scanned.cast_signed();
        assert_eq!(log.bounds(queue), (0, end));
        for offset in 0..end {
            let entry = log.entry(queue, offset).await.expect("reads").expect("is there");
            let bytes = log.read_record(entry.physical).await.expect("reads").expect("is there");
            let record = Record::decode(&bytes).expect("whole");
            assert_eq!((record.queue_offset, record.body), (offset, &offset.to_be_bytes()[..]));
        }
        log.close().await.expect("closes");
        found
    })
}

const INDEXED: i64 = 900;
/// Messages of the leader that are left.
const LED: u64 = 3;

fn write_copy() {
    let disk = SimDisk::new(1);
    let life = |opening, offsets: std::ops::Range<i64>, close| {
        let sim = Sim::with_disk(1, &disk);
        let ends = sim.run(async |runtime| {
            let oracle = SharedOracle::default();
            open_manifest(&runtime, Path::new("store"), 1).await.expect("creates");
            let interval = Duration::from_secs(if close { 1 } else { 1000 });
            let options = LogOptions { opening, checkpoint_interval: interval, ..golden_options() };
            let (log, _) = open(&runtime, options, &oracle).await.expect("opens");
            let mut ends = Vec::new();
            for offset in offsets {
                while append(&log, &oracle, 0, 0, offset.to_be_bytes().to_vec()).is_err() {
                    log.room().await;
                }
                runtime.sleep(Duration::from_millis(1)).await;
                ends.push(log.position_range().1.position().0);
            }
            if close {
                log.close().await.expect("closes");
            }
            ends
        });
        sim.crash();
        ends
    };
    life(Opening::Alone, 0..INDEXED, true);
    let led = LED.cast_signed();
    let ends = life(Opening::Leads { epoch: 5 }, INDEXED..INDEXED + led + 4, false);
    Sim::with_disk(1, &disk).run(async |runtime| {
        let to = ends[LED as usize - 1];
        cut_log(&runtime, &golden_options(), to, 6).await.expect("not committed");
    });
    life(Opening::Follows, 0..0, false);
    save("store-3", &disk);
}
