//! Bytes that nobody wrote.

use proptest::prelude::*;
use ringmq_io::sim::{Sim, SimDisk};

use super::*;

/// A closed store with some messages.
fn image() -> SimDisk {
    let sim = Sim::new(13);
    let oracle = SharedOracle::default();
    sim.run(async |runtime| {
        let (log, _) = open(&runtime, options(FlushMode::Sync), &oracle).await.expect("opens");
        workload(&runtime, &log, &oracle, 40).await;
    });
    sim.disk().kill(1)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn garbage_in_any_file_never_panics(
        file in 0_usize..8,
        place in 0_u64..1 << 16,
        bytes in proptest::collection::vec(any::<u8>(), 1..300),
        length in proptest::option::weighted(0.2, 0_u64..1 << 16),
    ) {
        let disk = image();
        let files = disk.files();
        let path = &files[file % files.len()];
        if let Some(length) = length {
            disk.truncate(path, length);
        }
        let size = disk.read_file(path).expect("is there").len() as u64;
        let bytes = &bytes[..bytes.len().min(size as usize)];
        if !bytes.is_empty() {
            disk.overwrite(path, place % (size - bytes.len() as u64 + 1), bytes);
        }
        Sim::with_disk(1, &disk).run(async |runtime| {
            let oracle = SharedOracle::default();
            let opened = open(&runtime, options(FlushMode::Sync), &oracle).await;
            if let Ok((log, _)) = opened {
                // A file that was cut has to grow first.
                while let Err(AppendError::Busy { .. }) = append(&log, &oracle, 0, 0, vec![1]) {
                    log.room().await;
                }
                log.close().await.expect("closes");
            }
        });
    }

    #[test]
    fn a_segment_of_garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..9000)) {
        let disk = SimDisk::new(1);
        disk.write_file("store/log-000/00000000000000000000.seg", &bytes);
        disk.write_file("store/log-000/mark", &bytes);
        disk.write_file("store/meta/meta-00000000000000000001.log", &bytes);
        disk.write_file("store/meta/mark", &bytes);
        Sim::with_disk(1, &disk).run(async |runtime| {
            let oracle = SharedOracle::default();
            assert!(open(&runtime, options(FlushMode::Sync), &oracle).await.is_err());
            let meta = Path::new("store/meta");
            assert!(crate::MetaLog::open(runtime.clone(), meta).await.is_err());
        });
    }
}
