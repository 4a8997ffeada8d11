//! Key segments written once must stay readable. `STORE_WRITE_GOLDEN=1` writes them anew, for a new
//! format version only.

use std::fs;

use ringmq_io::sim::{Sim, SimDisk};

use super::*;
use crate::{
    api::options::KeySizes,
    keys::{KeyBuffer, KeyFiles, KeyOptions, Noted, Search, Wanted, hash_of},
};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/keys-1").join(name)
}

fn key_options() -> KeyOptions {
    let sizes = KeySizes { run_pages: 2, slots: 2, sealed_max: 8 };
    let log = LogId::new(3).expect("in range");
    KeyOptions { directory: directory(), log, store_id: 77, sizes }
}

/// Three full runs, the first two of which are merged, and some messages in memory.
fn noted() -> KeyBuffer {
    let mut buffer = KeyBuffer::new(key_options().limits(), 4096);
    for number in 0..900_u64 {
        let properties = format!("KEYS\x01all k{number}\x02UNIQ_KEY\x01u{number}\x02");
        let position = 4096 + number * 200 + 32;
        buffer.note(&Noted {
            topic: "Topic",
            sys_flag: 0,
            properties: properties.as_bytes(),
            position,
            end: position + 168,
            store_timestamp: 1_700_000_000_000 + number.cast_signed() * 40,
        });
    }
    buffer
}

const NAMES: [&str; 2] = ["keys-00000000000000000001.kdx", "keys-00000000000000000002.kdx"];
const SECTION: &str = "section";

#[test]
fn the_key_segments_of_format_1_are_read() {
    if std::env::var_os("STORE_WRITE_GOLDEN").is_some() {
        write_golden();
    }
    let disk = SimDisk::new(1);
    for name in NAMES {
        disk.write_file(directory().join(name), &fs::read(golden(name)).expect("a golden file"));
    }
    let section = fs::read(golden(SECTION)).expect("a golden file");
    Sim::with_disk(2, &disk).run(async |runtime| {
        let files = KeyFiles::open(runtime.clone(), key_options()).await.expect("opens");
        let runs: Vec<_> = files.runs().iter().map(|run| (run.from, run.to, run.entries)).collect();
        assert_eq!(runs, [(4096, 72_096, 1020), (72_096, 106_096, 510)]);
        let end = 4096 + 900 * 200;
        let buffer =
            KeyBuffer::restore(key_options().limits(), Some(&section), files.covered(), end);
        assert!(!buffer.is_lagging());
        for (key, expected) in [("all", 900), ("k0", 1), ("u600", 1), ("k899", 1), ("k900", 0)] {
            let hash = hash_of("Topic", key.as_bytes());
            let (begin_ms, end_ms) = (0, i64::MAX);
            let wanted = Wanted { hash, before: u64::MAX, begin_ms, end_ms };
            let mut search = Search::new(wanted, &buffer, files.runs(), 1000, 1000);
            let mut found = Vec::new();
            loop {
                let some = search.next(1000).await.expect("reads");
                if some.is_empty() {
                    break;
                }
                found.extend(some);
            }
            assert_eq!(found.len(), expected, "{key}");
        }
        files.close().await.expect("closes");
    });
}

fn write_golden() {
    let sim = Sim::new(1);
    let section = sim.run(async |runtime| {
        let disk = ringmq_io::Runtime::disk(&runtime);
        ringmq_io::Disk::create_directory(disk, &directory()).await.expect("creates");
        let files = KeyFiles::open(runtime.clone(), key_options()).await.expect("opens");
        let mut buffer = noted();
        for _ in 0..3 {
            let block = buffer.oldest().expect("three are full");
            files.write(&block).await.expect("writes");
            buffer.retire(block);
        }
        files.merge(|| true).await.expect("merges");
        files.close().await.expect("closes");
        let mut section = Vec::new();
        buffer.encode_section(4096 + 900 * 200, &mut section);
        section
    });
    fs::create_dir_all(golden("")).expect("creates");
    fs::write(golden(SECTION), section).expect("writes");
    for name in NAMES {
        let bytes = sim.disk().read_file(directory().join(name)).expect("is there");
        fs::write(golden(name), bytes).expect("writes");
    }
}
