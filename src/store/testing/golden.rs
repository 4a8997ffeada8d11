//! A store written once must stay readable. `STORE_WRITE_GOLDEN=1` writes the files anew, for a new
//! format version only.

use std::fs;

use ringmq_io::sim::{Sim, SimDisk};

use super::*;
use crate::{Case, MetaLog, open_manifest};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/store-1")
}

/// Zeros at the end of a file are left out of the repository.
const LENGTHS: &str = "lengths.txt";

#[test]
fn the_store_of_format_1_is_read() {
    if std::env::var_os("STORE_WRITE_GOLDEN").is_some() {
        write_golden();
    }
    let disk = SimDisk::new(1);
    let lengths = fs::read_to_string(golden().join(LENGTHS)).expect("the list of files");
    for line in lengths.lines() {
        let (name, length) = line.split_once(' ').expect("a name and a length");
        let mut bytes = fs::read(golden().join(name.replace('/', "_"))).expect("a golden file");
        bytes.resize(length.parse().expect("a number"), 0);
        disk.write_file(name, &bytes);
    }
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

fn write_golden() {
    let sim = Sim::new(1);
    let oracle = SharedOracle::default();
    sim.run(async |runtime| {
        open_manifest(&runtime, Path::new("store"), 1).await.expect("creates");
        let (log, _) = open(&runtime, golden_options(), &oracle).await.expect("opens");
        for number in 0..20_u8 {
            append(&log, &oracle, 0, i32::from(number) % 2, vec![number; 400]).expect("room");
        }
        log.close().await.expect("closes");
        let (meta, _) =
            MetaLog::open(runtime.clone(), Path::new("store/meta")).await.expect("opens");
        meta.append(&[b"old"]).await.expect("appends");
        meta.rewrite(&[b"snapshot"]).await.expect("rewrites");
        meta.append(&[b"after"]).await.expect("appends");
        meta.close().await.expect("closes");
    });
    fs::create_dir_all(golden()).expect("creates");
    let mut lengths = String::new();
    for path in sim.disk().files() {
        let name = path.to_string_lossy().into_owned();
        let bytes = sim.disk().read_file(&path).expect("is there");
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        lengths.push_str(&format!("{name} {}\n", bytes.len()));
        fs::write(golden().join(name.replace('/', "_")), &bytes[..used]).expect("writes");
    }
    fs::write(golden().join(LENGTHS), lengths).expect("writes");
}
