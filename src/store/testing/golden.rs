//! A store written once must stay readable. `STORE_WRITE_GOLDEN=1` writes the files anew, for a new
//! format version only.

use std::fs;

use ringmq_io::sim::{Sim, SimDisk};

use super::*;
use crate::{Case, MetaLog, open_manifest};

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

/// Pages, footers, snapshots: enough small messages in one queue to fill some.
#[test]
fn the_store_with_index_files_is_read() {
    if std::env::var_os("STORE_WRITE_GOLDEN").is_some() {
        write_indexed();
    }
    let disk = load("store-2");
    let names: Vec<String> =
        disk.files().iter().map(|path| path.to_string_lossy().into_owned()).collect();
    assert!(names.iter().filter(|name| name.ends_with(".idx")).count() > 1, "{names:?}");
    Sim::with_disk(2, &disk).run(async |runtime| {
        let oracle = SharedOracle::default();
        let (log, found) = open(&runtime, golden_options(), &oracle).await.expect("opens");
        assert_eq!((found.case, found.records), (Case::Clean, 0), "all is in the snapshot");
        let queue = log.find_queue(TOPICS[0], 0).expect("is there");
        assert_eq!(log.bounds(queue), (0, INDEXED));
        for offset in 0..INDEXED {
            let entry = log.entry(queue, offset).await.expect("reads").expect("is there");
            let bytes = log.read_record(entry.physical).await.expect("reads").expect("is there");
            let record = Record::decode(&bytes).expect("whole");
            assert_eq!((record.queue_offset, record.body), (offset, &offset.to_be_bytes()[..]));
        }
        log.close().await.expect("closes");
    });
}

const INDEXED: i64 = 900;

fn write_indexed() {
    let sim = Sim::new(1);
    sim.run(async |runtime| {
        let oracle = SharedOracle::default();
        open_manifest(&runtime, Path::new("store"), 1).await.expect("creates");
        let (log, _) = open(&runtime, golden_options(), &oracle).await.expect("opens");
        for offset in 0..INDEXED {
            while append(&log, &oracle, 0, 0, offset.to_be_bytes().to_vec()).is_err() {
                log.room().await;
            }
            runtime.sleep(Duration::from_millis(1)).await;
        }
        log.close().await.expect("closes");
    });
    save("store-2", sim.disk());
}
