use std::{io::ErrorKind, path::PathBuf, time::Duration};

use futures_lite::future::poll_once;
use ringmq_base::limits::BLOCK_BYTES;
use ringmq_io::{
    BlockBuffer, Clock, Disk, File, OpenMode, Runtime,
    ring::{RingBuffer, RingRuntime},
};

use crate::support::{directory, on_executor};

fn filled(runtime: &RingRuntime, blocks: usize, byte: u8) -> RingBuffer {
    let mut buffer = runtime.disk().buffer(blocks * BLOCK_BYTES);
    assert!(buffer.bytes().iter().all(|byte| *byte == 0), "new memory is zeroed");
    buffer.bytes_mut().fill(byte);
    buffer
}

/// Runs the body with the path of a file that does not exist yet.
fn with_file_path<F>(body: impl Fn(RingRuntime, PathBuf) -> F + Clone + Send + 'static)
where
    F: Future<Output = ()> + 'static,
{
    let place = directory();
    let path = place.path().join("file");
    on_executor(move |runtime| body(runtime, path.clone()));
}

#[test]
fn a_fresh_empty_file_can_be_the_first_of_an_executor() {
    for mode in [OpenMode::Write, OpenMode::WriteDurable] {
        let place = directory();
        let path = place.path().join("segment");
        on_executor(move |runtime| {
            let path = path.clone();
            async move {
                let file = runtime.disk().create(&path, mode).await.expect("create");
                let buffer = filled(&runtime, 2, 0xA5);
                file.write(&buffer, 0).await.expect("write to the fresh file");
                file.write(&buffer, 8192).await.expect("write behind it");
                assert_eq!(file.length().await.expect("length"), 16_384);
                let read = file.read(4096, 8192).await.expect("read");
                assert!(read.bytes().iter().all(|byte| *byte == 0xA5));
                assert_eq!(read.bytes().len(), 8192);
                file.close().await.expect("close");
            }
        });
        let names: Vec<_> = place.path().read_dir().expect("list").collect();
        assert_eq!(names.len(), 1, "nothing is left behind: {names:?}");
    }
}

#[test]
fn reads_at_the_end_are_short_and_never_bring_what_was_not_written() {
    let place = directory();
    let path = place.path().join("file");
    std::fs::write(&path, vec![7; 5000]).expect("write by other means");
    on_executor(move |runtime| {
        let path = path.clone();
        async move {
            let file = runtime.disk().open(&path, OpenMode::Read).await.expect("open");
            assert_eq!(file.length().await.expect("length"), 5000);
            let whole = file.read(0, 16_384).await.expect("read over the end");
            assert_eq!(whole.bytes(), vec![7; 5000]);
            assert_eq!(file.read(4096, 4096).await.expect("read the end").bytes().len(), 904);
            assert_eq!(file.read(8192, 4096).await.expect("read behind the end").bytes(), b"");
        }
    });
}

#[test]
fn opening_nothing_and_creating_what_exists_are_told_apart() {
    with_file_path(|runtime, path| async move {
        let disk = runtime.disk();
        let missing = disk.open(&path, OpenMode::Write).await.err().expect("no such file");
        assert_eq!(missing.source.kind(), ErrorKind::NotFound);
        assert_eq!(missing.path, path);
        assert!(missing.to_string().starts_with("cannot open "), "{missing}");
        let file = disk.create(&path, OpenMode::WriteDurable).await.expect("create");
        file.close().await.expect("close");
        let there = disk.create(&path, OpenMode::Write).await.err().expect("it exists");
        assert_eq!(there.source.kind(), ErrorKind::AlreadyExists);
        let nowhere = path.join("below-a-file");
        assert!(disk.create(&nowhere, OpenMode::Write).await.is_err());
        let missing = disk.remove(&PathBuf::from("/nonexistent/x")).await.expect_err("none");
        assert_eq!(missing.source.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn allocated_and_extended_files_read_as_zeros() {
    with_file_path(|runtime, path| async move {
        let file = runtime.disk().create(&path, OpenMode::Write).await.expect("create");
        file.allocate(8192, 1 << 20).await.expect("allocate");
        assert_eq!(file.length().await.expect("length"), 8192 + (1 << 20));
        let read = file.read(0, 65_536).await.expect("read");
        assert_eq!(read.bytes(), vec![0; 65_536]);
        file.set_length(4096).await.expect("cut");
        file.sync().await.expect("sync");
        assert_eq!(file.read(0, 8192).await.expect("read").bytes().len(), 4096);
        let (free, total) = runtime.disk().space(&path).await.expect("space");
        assert!(0 < free && free <= total);
    });
}

#[test]
fn directories_are_made_listed_and_synced_and_files_replaced() {
    let place = directory();
    let root = place.path().join("a").join("b");
    on_executor(move |runtime| {
        let root = root.clone();
        async move {
            let disk = runtime.disk();
            disk.create_directory(&root).await.expect("create with parents");
            disk.create_directory(&root).await.expect("again is fine");
            let (first, second) = (root.join("first"), root.join("second"));
            for (path, byte) in [(&first, 1), (&second, 2)] {
                let file = disk.create(path, OpenMode::WriteDurable).await.expect("create");
                file.write(&filled(&runtime, 1, byte), 0).await.expect("write");
                file.close().await.expect("close");
            }
            disk.sync_directory(&root).await.expect("sync directory");
            disk.create_directory(&root.join("not-a-file")).await.expect("create");
            let names = [("first".to_owned(), 4096), ("second".to_owned(), 4096)];
            assert_eq!(disk.list(&root).await.expect("list"), names);
            let open = disk.open(&second, OpenMode::Read).await.expect("open");
            disk.rename_durably(&second, &first).await.expect("replace");
            assert_eq!(open.length().await.expect("a renamed file keeps its length"), 4096);
            assert_eq!(disk.list(&root).await.expect("list"), names[..1]);
            let file = disk.open(&first, OpenMode::Read).await.expect("open");
            assert_eq!(file.read(0, 4096).await.expect("read").bytes(), [2; 4096]);
            disk.remove(&first).await.expect("remove");
            disk.sync_directory(&root).await.expect("sync directory");
            assert_eq!(disk.list(&root).await.expect("list"), []);
        }
    });
}

#[test]
fn several_reads_and_a_write_may_be_under_way_at_once() {
    with_file_path(|runtime, path| async move {
        let file = runtime.disk().create(&path, OpenMode::Write).await.expect("create");
        file.write(&filled(&runtime, 16, 3), 0).await.expect("write");
        let buffer = filled(&runtime, 1, 4);
        let reads = futures_lite::future::zip(file.read(0, 8192), file.read(8192, 4096));
        let both = futures_lite::future::zip(reads, file.write(&buffer, 65_536));
        let ((first, second), written) = both.await;
        written.expect("write");
        assert_eq!(first.expect("read").bytes(), [3; 8192]);
        assert_eq!(second.expect("read").bytes(), [3; 4096]);
    });
}

#[test]
fn more_reads_than_the_ring_has_room_for_all_come_back() {
    const READS: usize = 1000;
    with_file_path(|runtime, path| async move {
        let file = runtime.disk().create(&path, OpenMode::Write).await.expect("create");
        for block in 0..4 {
            let buffer = filled(&runtime, 1, block);
            file.write(&buffer, u64::from(block) * 4096).await.expect("write");
        }
        let reads = (0..READS).map(|number| file.read(number as u64 % 4 * 4096, 4096));
        let all = futures_util::future::join_all(reads).await;
        for (number, read) in all.into_iter().enumerate() {
            assert_eq!(read.expect("read").bytes(), [(number % 4) as u8; 4096], "{number}");
        }
    });
}

/// What is under way uses memory and descriptor of those who no longer wait.
#[test]
fn reads_and_writes_that_are_given_up_harm_nobody() {
    with_file_path(|runtime, path| async move {
        for round in 0..100 {
            let disk = runtime.disk();
            let file = disk.create(&path, OpenMode::WriteDurable).await.expect("create");
            let buffer = filled(&runtime, 64, round);
            assert!(poll_once(file.write(&buffer, 0)).await.is_none(), "a disk takes longer");
            assert!(poll_once(file.read(0, 64 * 4096)).await.is_none());
            drop(buffer);
            file.close().await.expect("close");
            // Whoever gets the memory next keeps what they put there.
            let next = filled(&runtime, 64, 0xEE);
            runtime.sleep(Duration::from_millis(1)).await;
            assert!(next.bytes().iter().all(|byte| *byte == 0xEE), "round {round}");
            disk.remove(&path).await.expect("remove");
        }
    });
}

#[test]
fn the_boot_id_is_the_kernels() {
    with_file_path(|runtime, _| async move {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("Linux");
        let found = runtime.disk().boot_id().await.expect("the same file");
        assert_eq!(format!("{found:032x}"), text.trim().replace('-', ""));
    });
}
