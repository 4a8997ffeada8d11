//! Tests of the simulated disk while its process lives: contract, faults, capacity, crash points.

use std::{io::ErrorKind, path::Path, time::Duration};

use super::{Fault, FaultRule, OperationKind, Sim, SimDisk, SimRuntime, Stopped};
use crate::{BlockBuffer, Clock, Disk, DiskError, File, OpenMode, Runtime, Shares, Spawn};

const BLOCK: usize = 4096;

pub(super) fn filled(disk: &SimDisk, fill: u8, blocks: usize) -> super::SimBuffer {
    let mut buffer = disk.buffer(blocks * BLOCK);
    buffer.bytes_mut().fill(fill);
    buffer
}

/// Writes three blocks to one file and then one to another; returns what was confirmed.
async fn workload(runtime: &SimRuntime) -> Result<(), DiskError> {
    let disk = runtime.disk();
    disk.create_directory(Path::new("store")).await?;
    for (name, blocks) in [("store/a", 3_u8), ("store/b", 1)] {
        let file = disk.create(Path::new(name), OpenMode::Write).await?;
        for block in 0..blocks {
            file.write(&filled(disk, block + 1, 1), u64::from(block) * BLOCK as u64).await?;
        }
        file.sync().await?;
        file.close().await?;
    }
    disk.sync_directory(Path::new("store")).await
}

#[test]
fn files_are_created_written_read_listed_renamed_and_removed() {
    Sim::new(1).run(async |runtime| {
        workload(&runtime).await.expect("no faults are ordered");
        let disk = runtime.disk();
        let a = Path::new("store/a");
        let file = disk.open(a, OpenMode::Read).await.expect("it is there");
        assert_eq!(file.length().await.expect("no fault"), 3 * BLOCK as u64);
        let read = file.read(2 * BLOCK as u64, 4 * BLOCK).await.expect("no fault");
        assert_eq!(read.bytes(), [3; BLOCK]);
        assert_eq!(file.read(1 << 30, BLOCK).await.expect("no fault").bytes(), b"");
        let denied = file.write(&disk.buffer(BLOCK), 0).await.expect_err("read only");
        assert!(denied.to_string().contains("store/a"), "{denied}");
        let taken = disk.create(a, OpenMode::Write).await.err().expect("it exists");
        assert_eq!(taken.source.kind(), ErrorKind::AlreadyExists);
        disk.rename_durably(a, Path::new("store/b")).await.expect("no fault");
        let names = disk.list(Path::new("store")).await.expect("no fault");
        assert_eq!(names, [("b".to_owned(), 3 * BLOCK as u64)]);
        disk.remove(Path::new("store/b")).await.expect("no fault");
        let gone = disk.open(Path::new("store/b"), OpenMode::Read).await.err().expect("removed");
        assert_eq!(gone.source.kind(), ErrorKind::NotFound);
        assert_eq!(file.read(0, BLOCK).await.expect("open files live on").bytes(), [1; BLOCK]);
        let nowhere = disk.create(Path::new("absent/x"), OpenMode::Write).await.err();
        assert_eq!(nowhere.expect("no directory").source.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn allocated_and_extended_bytes_read_as_zeros_even_after_a_cut() {
    Sim::new(1).run(async |runtime| {
        let disk = runtime.disk();
        let file = disk.create(Path::new("f"), OpenMode::Write).await.expect("no fault");
        file.allocate(0, 3 * BLOCK as u64).await.expect("no fault");
        file.write(&filled(disk, 9, 2), 0).await.expect("no fault");
        file.set_length(5000).await.expect("no fault");
        file.set_length(8192).await.expect("no fault");
        let read = file.read(0, 2 * BLOCK).await.expect("no fault");
        let (kept, cut) = read.bytes().split_at(5000);
        assert!(kept.iter().all(|byte| *byte == 9) && cut.iter().all(|byte| *byte == 0));
    });
}

#[test]
fn twins_of_one_seed_have_one_trace_on_the_disk() {
    let trace = |seed| {
        let sim = Sim::new(seed);
        sim.run(async |runtime| workload(&runtime).await).expect("no faults");
        (sim.trace_hash(), sim.now(), sim.disk().log())
    };
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1).0, trace(2).0);
}

#[test]
#[should_panic(expected = "not in whole blocks")]
fn a_write_beside_the_blocks_is_refused() {
    Sim::new(1).run(async |runtime| {
        let file = runtime.disk().create(Path::new("f"), OpenMode::Write).await.expect("no fault");
        let _ = file.write(&runtime.disk().buffer(BLOCK), 100).await;
    });
}

#[test]
#[should_panic(expected = "overlaps the Write")]
fn a_read_under_a_write_of_the_same_block_is_refused() {
    Sim::new(1).run(async |runtime| {
        let disk = runtime.disk();
        let file = disk.create(Path::new("f"), OpenMode::Write).await.expect("no fault");
        let buffer = filled(disk, 1, 2);
        let write = file.write(&buffer, 0);
        let read = file.read(BLOCK as u64, BLOCK);
        let _ = futures_lite::future::zip(write, read).await;
    });
}

#[test]
fn writes_and_reads_of_other_blocks_go_side_by_side() {
    Sim::new(1).run(async |runtime| {
        let disk = runtime.disk();
        let file = disk.create(Path::new("f"), OpenMode::Write).await.expect("no fault");
        file.write(&filled(disk, 1, 1), 0).await.expect("no fault");
        let buffer = filled(disk, 2, 1);
        let write = file.write(&buffer, BLOCK as u64);
        let (write, read) = futures_lite::future::zip(write, file.read(0, BLOCK)).await;
        write.expect("no fault");
        assert_eq!(read.expect("no fault").bytes(), [1; BLOCK]);
    });
}

#[test]
fn a_crash_point_after_every_operation_ends_the_run_there() {
    let sim = Sim::new(1);
    sim.run(async |runtime| workload(&runtime).await).expect("no faults");
    let log = sim.disk().log();
    assert_eq!(log.len() as u64, sim.disk().operations());
    for count in 0..log.len() {
        let sim = Sim::new(1);
        sim.disk().crash_after_operation(count as u64);
        let stopped = sim.try_run(async |runtime| workload(&runtime).await);
        assert!(matches!(stopped, Err(Stopped::DiskCrashed { .. })), "after {count}");
        assert_eq!(sim.disk().log(), log[..=count], "after {count}");
        let image = sim.disk().kill(5);
        let writes = log[..count].iter().filter(|line| line.kind == OperationKind::Write);
        for line in writes {
            let bytes = image.read_file(&line.path).expect("a resolved create stays");
            assert!(bytes.len() as u64 >= line.position + line.bytes, "after {count}");
        }
        Sim::with_disk(2, &image).run(async |runtime| {
            runtime.disk().list(Path::new("")).await.expect("the image works");
        });
    }
}

#[test]
fn every_operation_of_a_workload_can_fail() {
    let sim = Sim::new(1);
    sim.run(async |runtime| workload(&runtime).await).expect("no faults");
    for number in 1..=sim.disk().operations() {
        for fault in [Fault::InputOutput, Fault::NoSpace] {
            let sim = Sim::new(1);
            sim.disk().add_fault(FaultRule::at(number, fault));
            let error = sim
                .run(async |runtime| workload(&runtime).await)
                .expect_err("the workload hides no error");
            let wanted = if fault == Fault::NoSpace { libc::ENOSPC } else { libc::EIO };
            assert_eq!(error.source.raw_os_error(), Some(wanted), "{error}");
            assert_eq!(sim.disk().operations(), number);
        }
    }
}

#[test]
fn rules_pick_by_kind_path_and_count() {
    Sim::new(1).run(async |runtime| {
        let disk = runtime.disk();
        let rule = FaultRule::every(Some(OperationKind::Write), Fault::InputOutput);
        disk.add_fault(rule.where_path_contains("bad").after(1).times(2));
        let good = disk.create(Path::new("good"), OpenMode::Write).await.expect("no rule");
        let bad = disk.create(Path::new("bad"), OpenMode::Write).await.expect("no rule");
        let buffer = disk.buffer(BLOCK);
        let mut results = Vec::new();
        for _ in 0..4 {
            good.write(&buffer, 0).await.expect("no rule");
            results.push(bad.write(&buffer, 0).await.is_ok());
        }
        assert_eq!(results, [true, false, false, true]);
    });
}

#[test]
fn a_short_write_leaves_its_front_and_a_stall_takes_its_time() {
    Sim::new(1).run(async |runtime| {
        let disk = runtime.disk();
        let file = disk.create(Path::new("f"), OpenMode::Write).await.expect("no rule");
        file.write(&filled(disk, 1, 1), 0).await.expect("no rule");
        let rule = FaultRule::every(Some(OperationKind::Write), Fault::Short(1500)).times(1);
        disk.add_fault(rule);
        file.write(&filled(disk, 2, 1), 0).await.expect_err("short");
        let read = file.read(0, BLOCK).await.expect("no rule");
        assert_eq!(read.bytes()[..1024], [2; 1024]);
        assert_eq!(read.bytes()[1024..], [1; BLOCK - 1024]);
        let stall = Fault::Stall(Duration::from_secs(5));
        disk.add_fault(FaultRule::every(None, stall).on("f").times(1));
        let start = runtime.monotonic();
        file.sync().await.expect("late but well");
        assert!(runtime.monotonic() - start >= Duration::from_secs(5));
    });
}

#[test]
fn a_full_disk_refuses_and_takes_again_after_a_removal() {
    Sim::new(1).run(async |runtime| {
        let disk = runtime.disk();
        disk.set_capacity(3 * BLOCK as u64);
        let first = disk.create(Path::new("first"), OpenMode::Write).await.expect("no rule");
        first.allocate(0, 2 * BLOCK as u64).await.expect("it fits");
        first.write(&disk.buffer(2 * BLOCK), 0).await.expect("its own room");
        let second = disk.create(Path::new("second"), OpenMode::Write).await.expect("no rule");
        let full = second.write(&disk.buffer(2 * BLOCK), 0).await.expect_err("one block is free");
        assert_eq!(full.source.kind(), ErrorKind::StorageFull);
        let none = second.allocate(0, 2 * BLOCK as u64).await.expect_err("one block at most");
        assert_eq!(none.source.kind(), ErrorKind::StorageFull);
        let (free, all) = disk.space(Path::new("")).await.expect("no rule");
        assert_eq!((free, all), (0, 3 * BLOCK as u64));
        first.close().await.expect("no rule");
        disk.remove(Path::new("first")).await.expect("no rule");
        second.write(&disk.buffer(3 * BLOCK), 0).await.expect("room again");
    });
}

#[test]
fn an_operation_goes_on_when_nobody_waits_for_it_any_more() {
    Sim::new(1).run(async |runtime| {
        let disk = runtime.disk();
        let file = disk.create(Path::new("f"), OpenMode::Write).await.expect("no rule");
        let buffer = filled(disk, 1, 1);
        let own = runtime.clone();
        let ended =
            futures_lite::future::or(async { file.write(&buffer, 0).await.is_ok() }, async move {
                own.sleep(Duration::from_micros(1)).await;
                false
            });
        assert!(!ended.await, "the write takes longer");
        runtime.sleep(Duration::from_secs(1)).await;
        assert_eq!(file.read(0, BLOCK).await.expect("no rule").bytes(), [1; BLOCK]);
    });
}

#[test]
fn surgery_is_seen_by_the_next_reader() {
    let disk = SimDisk::new(1);
    disk.write_file("store/f", &[0xFF; 2 * BLOCK]);
    disk.flip_bit("store/f", 8 * 100 + 3);
    disk.zero_range("store/f", 200, 50);
    disk.overwrite("store/f", 4090, b"ten bytes!");
    disk.truncate("store/f", 5000);
    let mut expected = vec![0xFF; 5000];
    expected[100] = 0b1111_0111;
    expected[200..250].fill(0);
    expected[4090..4100].copy_from_slice(b"ten bytes!");
    assert_eq!(disk.read_file("store/f").expect("planted"), expected);
    let image = disk.power_cut(9);
    assert_eq!(image.read_file("store/f").expect("stable"), expected);
    Sim::with_disk(1, &disk).run(async |runtime| {
        let names = runtime.disk().list(Path::new("store")).await.expect("no rule");
        assert_eq!(names, [("f".to_owned(), 5000)]);
    });
    disk.remove_file("store/f");
    assert!(disk.files().is_empty());
}

#[test]
fn a_clean_restart_finds_everything_on_the_same_disk() {
    let disk = SimDisk::new(1);
    Sim::with_disk(1, &disk).run(async |runtime| {
        workload(&runtime).await.expect("no rule");
        // Something is under way when the process ends.
        let own = runtime.clone();
        runtime.spawn(Shares::Background, "late writer", async move {
            let mode = OpenMode::Write;
            let file = own.disk().open(Path::new("store/b"), mode).await.expect("there");
            let _ = file.write(&filled(own.disk(), 7, 1), 0).await;
        });
        runtime.sleep(Duration::from_micros(110)).await;
    });
    Sim::with_disk(2, &disk).run(async |runtime| {
        let file = runtime.disk().open(Path::new("store/a"), OpenMode::Read).await.expect("there");
        let read = file.read(0, 3 * BLOCK).await.expect("no rule");
        assert_eq!(read.bytes()[2 * BLOCK..], [3; BLOCK]);
        let file = runtime.disk().open(Path::new("store/b"), OpenMode::Write).await.expect("there");
        file.write(&runtime.disk().buffer(BLOCK), 0).await.expect("nothing is under way any more");
    });
}

#[test]
fn a_power_cut_is_another_boot_and_a_kill_is_not() {
    let disk = SimDisk::new(1);
    let boot = |disk: &SimDisk| {
        Sim::with_disk(1, disk).run(async |runtime| runtime.disk().boot_id().await.expect("one"))
    };
    let first = boot(&disk);
    assert_eq!(boot(&disk.kill(2)), first);
    let cut = disk.power_cut(2);
    assert_ne!(boot(&cut), first);
    assert_ne!(boot(&cut.power_cut(3)), boot(&cut));
}
