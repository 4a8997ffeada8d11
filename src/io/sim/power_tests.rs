//! Tests of the images that a kill and a power cut leave.

use std::{cell::RefCell, collections::BTreeSet, path::Path, rc::Rc};

use super::{Fault, FaultRule, Moment, OperationKind, PowerCut, Sim, SimDisk, SimRuntime, Stopped};
use crate::{BlockBuffer, Disk, File, OpenMode, Runtime};

const BLOCK: usize = 4096;
const SECTOR: usize = 512;
const SEEDS: std::ops::Range<u64> = 0..300;

/// A disk after the work, all of whose operations must succeed.
fn disk_after(work: impl AsyncFnOnce(&SimRuntime, &SimDisk)) -> SimDisk {
    let sim = Sim::new(1);
    sim.run(async |runtime| work(&runtime, runtime.disk()).await);
    sim.disk().clone()
}

/// A file `f` of one block of ones, stable under its name.
async fn stable_file(disk: &SimDisk, mode: OpenMode) -> super::SimFile {
    let file = disk.create(Path::new("f"), mode).await.expect("no rule");
    write(disk, &file, 1, 0).await;
    file.sync().await.expect("no rule");
    disk.sync_directory(Path::new("")).await.expect("no rule");
    file
}

async fn write(disk: &SimDisk, file: &super::SimFile, fill: u8, block: u64) {
    let mut buffer = disk.buffer(BLOCK);
    buffer.bytes_mut().fill(fill);
    file.write(&buffer, block * BLOCK as u64).await.expect("no rule");
}

/// The first byte of every sector; a sector must be of one piece.
fn sectors(bytes: &[u8]) -> Vec<u8> {
    let whole = |sector: &[u8]| {
        assert!(sector.iter().all(|byte| *byte == sector[0]), "a torn sector");
        sector[0]
    };
    bytes.chunks(SECTOR).map(whole).collect()
}

fn images(disk: &SimDisk) -> Vec<Option<Vec<u8>>> {
    SEEDS.map(|seed| disk.power_cut(seed).read_file("f")).collect()
}

#[test]
fn what_was_synced_survives_every_power_cut() {
    let disk = disk_after(async |_, disk| {
        let file = stable_file(disk, OpenMode::Write).await;
        write(disk, &file, 2, 5).await;
        write(disk, &file, 3, 0).await;
        file.sync().await.expect("no rule");
    });
    let mut expected = vec![0; 6 * BLOCK];
    expected[..BLOCK].fill(3);
    expected[5 * BLOCK..].fill(2);
    for image in images(&disk) {
        assert_eq!(image.expect("a synced directory"), expected);
    }
}

#[test]
fn of_an_unsynced_write_any_subset_of_sectors_may_stay() {
    let disk = disk_after(async |_, disk| {
        let file = stable_file(disk, OpenMode::Write).await;
        write(disk, &file, 2, 0).await;
        drop(file);
    });
    let seen: BTreeSet<Vec<u8>> =
        images(&disk).into_iter().map(|image| sectors(&image.expect("it was stable"))).collect();
    assert!(seen.contains(&vec![1; 8]), "all lost");
    assert!(seen.contains(&vec![2; 8]), "all kept");
    // Later sectors without earlier ones and the other way round.
    assert!(seen.iter().any(|image| image[0] == 1 && image[7] == 2));
    assert!(seen.iter().any(|image| image[0] == 2 && image[7] == 1));
    assert!(seen.len() > 40, "only {} of 256 subsets", seen.len());
}

#[test]
fn of_two_unsynced_writes_any_order_and_any_version_may_stay() {
    let disk = disk_after(async |_, disk| {
        let file = stable_file(disk, OpenMode::Write).await;
        write(disk, &file, 2, 0).await;
        write(disk, &file, 3, 0).await;
        write(disk, &file, 4, 1).await;
    });
    let mut first = BTreeSet::new();
    let mut second_without_first = false;
    for image in images(&disk) {
        let image = sectors(&image.expect("it was stable"));
        first.insert(image[0]);
        second_without_first |= image.get(8) == Some(&4) && image[..8] == [1; 8];
    }
    assert_eq!(first, BTreeSet::from([1, 2, 3]));
    assert!(second_without_first);
}

#[test]
fn the_length_of_an_unsynced_extension_may_stay_without_its_bytes() {
    let disk = disk_after(async |_, disk| {
        let file = stable_file(disk, OpenMode::Write).await;
        write(disk, &file, 2, 1).await;
    });
    let mut seen = BTreeSet::new();
    for image in images(&disk) {
        let image = image.expect("it was stable");
        seen.insert((image.len(), image.get(BLOCK).copied()));
    }
    let possible = [(BLOCK, None), (2 * BLOCK, Some(0)), (2 * BLOCK, Some(2))];
    assert_eq!(seen, BTreeSet::from(possible));
}

#[test]
fn a_durable_write_is_stable_when_it_resolves_and_takes_its_length_along() {
    let disk = disk_after(async |_, disk| {
        let file = stable_file(disk, OpenMode::Write).await;
        write(disk, &file, 2, 0).await;
        let durable = disk.open(Path::new("f"), OpenMode::WriteDurable).await.expect("no rule");
        write(disk, &durable, 3, 0).await;
        write(disk, &durable, 4, 2).await;
        durable.allocate(0, 10 * BLOCK as u64).await.expect("no rule");
        write(disk, &durable, 5, 7).await;
    });
    for image in images(&disk) {
        let image = image.expect("it was stable");
        // Never the overwritten twos.
        assert_eq!(image[..BLOCK], [3; BLOCK]);
        assert_eq!(image[2 * BLOCK..3 * BLOCK], [4; BLOCK]);
        assert_eq!(image[7 * BLOCK..8 * BLOCK], [5; BLOCK]);
    }
}

#[test]
fn a_sync_covers_only_what_was_written_before_it_was_called() {
    let disk = disk_after(async |_, disk| {
        let file = stable_file(disk, OpenMode::Write).await;
        file.allocate(0, 2 * BLOCK as u64).await.expect("no rule");
        write(disk, &file, 2, 0).await;
        // The stalled sync is called first and ends last.
        let stall = Fault::Stall(std::time::Duration::from_secs(1));
        disk.add_fault(FaultRule::every(Some(OperationKind::Sync), stall).times(1));
        let sync = async { file.sync().await.expect("late but well") };
        futures_lite::future::zip(sync, write(disk, &file, 3, 1)).await;
    });
    let mut second = BTreeSet::new();
    for image in images(&disk) {
        let image = sectors(&image.expect("it was stable"));
        assert_eq!(image[..8], [2; 8]);
        second.insert(image[8]);
    }
    assert_eq!(second, BTreeSet::from([0, 3]));
}

#[test]
fn after_a_failed_sync_a_later_good_one_does_not_bring_the_bytes_back() {
    let disk = disk_after(async |_, disk| {
        let file = stable_file(disk, OpenMode::Write).await;
        write(disk, &file, 2, 0).await;
        let rule = FaultRule::every(Some(OperationKind::Sync), Fault::InputOutput);
        disk.add_fault(rule.times(1));
        file.sync().await.expect_err("ordered");
        file.sync().await.expect("the retry lies");
    });
    let lost = images(&disk).into_iter().any(|image| image.expect("stable")[0] == 1);
    assert!(lost);
}

#[test]
fn names_without_a_synced_directory_stay_or_not() {
    let disk = disk_after(async |_, disk| {
        stable_file(disk, OpenMode::Write).await;
        disk.remove(Path::new("f")).await.expect("no rule");
        for name in ["new", "newer"] {
            let file = disk.create(Path::new(name), OpenMode::Write).await.expect("no rule");
            write(disk, &file, 9, 0).await;
            file.sync().await.expect("no rule");
        }
    });
    let seen: BTreeSet<_> = SEEDS
        .map(|seed| {
            let image = disk.power_cut(seed);
            if let Some(bytes) = image.read_file("new") {
                assert_eq!(bytes, [9; BLOCK], "the bytes were synced");
            }
            ["f", "new", "newer"].map(|name| image.read_file(name).is_some())
        })
        .collect();
    assert_eq!(seen.len(), 8, "{seen:?}");
}

#[test]
fn names_with_a_synced_directory_stay() {
    let disk = disk_after(async |_, disk| {
        disk.create_directory(Path::new("deep/store")).await.expect("no rule");
        disk.create(Path::new("deep/store/a"), OpenMode::Write).await.expect("no rule");
        disk.create(Path::new("deep/b"), OpenMode::Write).await.expect("no rule");
        disk.sync_directory(Path::new("deep/store")).await.expect("no rule");
    });
    let mut other_directory = BTreeSet::new();
    for seed in SEEDS {
        let image = disk.power_cut(seed);
        assert!(image.read_file("deep/store/a").is_some());
        other_directory.insert(image.read_file("deep/b").is_some());
    }
    assert_eq!(other_directory.len(), 2);
}

/// Replaces `f` by a synced file of twos.
async fn replace(disk: &SimDisk) {
    let file = disk.create(Path::new("f.new"), OpenMode::Write).await.expect("no rule");
    write(disk, &file, 2, 0).await;
    file.sync().await.expect("no rule");
    disk.rename_durably(Path::new("f.new"), Path::new("f")).await.expect("no rule");
}

#[test]
fn a_durable_rename_is_the_old_or_the_new_file_at_every_crash_and_the_new_one_afterwards() {
    let sim = Sim::new(1);
    sim.run(async |runtime| {
        stable_file(runtime.disk(), OpenMode::Write).await;
        runtime.disk().reset_operations();
        replace(runtime.disk()).await;
    });
    for image in images(sim.disk()) {
        assert_eq!(image.expect("renamed durably"), [2; BLOCK]);
    }
    let mut seen = BTreeSet::new();
    for count in 0..sim.disk().operations() {
        let sim = Sim::new(1);
        let stopped = sim.try_run(async |runtime| {
            stable_file(runtime.disk(), OpenMode::Write).await;
            runtime.disk().reset_operations();
            runtime.disk().crash_after_operation(count);
            replace(runtime.disk()).await;
        });
        assert!(matches!(stopped, Err(Stopped::DiskCrashed { .. })), "after {count}");
        for image in images(sim.disk()) {
            let image = image.expect("one of the two is there");
            assert!(image == [1; BLOCK] || image == [2; BLOCK], "after {count}");
            seen.insert(image[0]);
        }
    }
    assert_eq!(seen, BTreeSet::from([1, 2]));
}

#[test]
#[should_panic(expected = "must be synced before it replaces")]
fn a_rename_of_an_unsynced_file_is_refused() {
    disk_after(async |_, disk| {
        let file = disk.create(Path::new("f.new"), OpenMode::Write).await.expect("no rule");
        write(disk, &file, 2, 0).await;
        let _ = disk.rename_durably(Path::new("f.new"), Path::new("f")).await;
    });
}

/// The disk after a sync of `f.new` failed.
async fn fail_a_sync(disk: &SimDisk) {
    let file = disk.create(Path::new("f.new"), OpenMode::Write).await.expect("no rule");
    write(disk, &file, 2, 0).await;
    let rule = FaultRule::every(Some(OperationKind::Sync), Fault::InputOutput);
    disk.add_fault(rule.on("f.new").times(1));
    file.sync().await.expect_err("the rule");
}

#[test]
#[should_panic(expected = "must be synced before it replaces")]
fn a_sync_after_a_failed_one_proves_nothing() {
    disk_after(async |_, disk| {
        fail_a_sync(disk).await;
        let file = disk.open(Path::new("f.new"), OpenMode::Write).await.expect("no rule");
        file.sync().await.expect("no rule");
        let _ = disk.rename_durably(Path::new("f.new"), Path::new("f")).await;
    });
}

#[test]
fn a_process_cannot_know_of_a_sync_that_failed_before_it() {
    let killed = disk_after(async |_, disk| fail_a_sync(disk).await).kill(1);
    let next = Sim::with_disk(2, &killed);
    next.run(async |runtime| {
        let disk = runtime.disk();
        let file = disk.open(Path::new("f.new"), OpenMode::Write).await.expect("no rule");
        file.sync().await.expect("no rule");
        disk.rename_durably(Path::new("f.new"), Path::new("f")).await.expect("no rule");
    });
    let lost = images(next.disk()).into_iter().any(|image| image.is_none_or(|image| image[0] != 2));
    assert!(lost, "the device lost it all the same");
}

#[test]
fn bytes_of_a_failed_sync_are_stable_once_the_next_process_has_written_them_again() {
    let disk = disk_after(async |_, disk| fail_a_sync(disk).await);
    let next = Sim::with_disk(2, &disk);
    next.run(async |runtime| {
        let disk = runtime.disk();
        let file = disk.open(Path::new("f.new"), OpenMode::Write).await.expect("no rule");
        write(disk, &file, 2, 0).await;
        file.sync().await.expect("no rule");
        disk.rename_durably(Path::new("f.new"), Path::new("f")).await.expect("no rule");
    });
    for image in images(next.disk()) {
        assert_eq!(image.expect("its length is stable too"), [2; BLOCK]);
    }
}

#[test]
fn a_kill_keeps_what_resolved_and_any_part_of_what_was_under_way() {
    let sim = Sim::new(1);
    let stopped = sim.try_run(async |runtime| {
        let disk = runtime.disk();
        let file = disk.create(Path::new("f"), OpenMode::Write).await.expect("no rule");
        write(disk, &file, 1, 0).await;
        write(disk, &file, 2, 1).await;
        disk.crash_after_operation(disk.operations());
        write(disk, &file, 3, 1).await;
    });
    assert!(matches!(stopped, Err(Stopped::DiskCrashed { .. })));
    let mut seen = BTreeSet::new();
    for seed in SEEDS {
        let image = sim.disk().kill(seed).read_file("f").expect("a resolved creation");
        let image = sectors(&image);
        assert_eq!(image[..8], [1; 8]);
        assert!(image[8..].iter().all(|sector| [2, 3].contains(sector)));
        seen.insert(image[8..].to_vec());
    }
    assert!(seen.len() > 40, "only {} of 256 subsets", seen.len());
}

#[test]
fn a_power_cut_after_a_kill_still_loses_what_was_never_synced() {
    let disk = disk_after(async |_, disk| {
        let file = stable_file(disk, OpenMode::Write).await;
        write(disk, &file, 2, 0).await;
    });
    let killed = disk.kill(1);
    assert_eq!(killed.read_file("f").expect("stable"), [2; BLOCK]);
    let lost = images(&killed).into_iter().any(|image| image.expect("stable")[0] == 1);
    assert!(lost);
    let after_sync = Sim::with_disk(2, &killed);
    after_sync.run(async |runtime| {
        let disk = runtime.disk();
        let file = disk.open(Path::new("f"), OpenMode::Write).await.expect("no rule");
        file.sync().await.expect("no rule");
    });
    for image in images(after_sync.disk()) {
        assert_eq!(image.expect("stable"), [2; BLOCK]);
    }
}

#[test]
fn a_cut_file_grows_again_as_zeros_after_sync_and_power_cut() {
    let disk = disk_after(async |_, disk| {
        let file = stable_file(disk, OpenMode::Write).await;
        write(disk, &file, 2, 0).await;
        write(disk, &file, 2, 1).await;
        file.set_length(100).await.expect("no rule");
        file.set_length(2 * BLOCK as u64).await.expect("no rule");
        file.sync().await.expect("no rule");
    });
    let mut expected = vec![0; 2 * BLOCK];
    expected[..100].fill(2);
    for image in images(&disk) {
        assert_eq!(image.expect("stable"), expected);
    }
}

#[test]
fn sectors_are_torn_on_request_only() {
    let disk = disk_after(async |_, disk| {
        let file = stable_file(disk, OpenMode::Write).await;
        write(disk, &file, 2, 0).await;
    });
    let torn = SEEDS.clone().any(|seed| {
        let image = disk.power_cut_with(seed, PowerCut { torn_sectors: true });
        let bytes = image.read_file("f").expect("stable");
        bytes.chunks(SECTOR).any(|sector| sector.first() != sector.last())
    });
    assert!(torn);
}

#[test]
fn one_seed_gives_one_image_and_leaves_the_disk_as_it_was() {
    let disk = disk_after(async |_, disk| {
        let file = stable_file(disk, OpenMode::Write).await;
        write(disk, &file, 2, 0).await;
    });
    assert_eq!(images(&disk), images(&disk));
    assert_eq!(disk.read_file("f").expect("it is there"), [2; BLOCK]);
}

#[test]
fn an_image_of_a_large_sparse_file_is_cheap() {
    let disk = disk_after(async |_, disk| {
        let mode = OpenMode::WriteDurable;
        let file = disk.create(Path::new("f"), mode).await.expect("no rule");
        file.allocate(0, 1 << 30).await.expect("no rule");
        file.sync().await.expect("no rule");
        disk.sync_directory(Path::new("")).await.expect("no rule");
        for block in 0..1000 {
            write(disk, &file, 7, block).await;
        }
    });
    // A thousand blocks of a gibibyte: a copy of the whole would take the memory of the machine.
    let images: Vec<SimDisk> = (0..200).map(|seed| disk.power_cut(seed)).collect();
    assert_eq!(images.len(), 200);
}

#[test]
fn a_watcher_takes_images_of_every_moment_of_one_run() {
    let sim = Sim::new(1);
    let lengths = Rc::new(RefCell::new(Vec::new()));
    sim.run(async |runtime| {
        let file = stable_file(runtime.disk(), OpenMode::WriteDurable).await;
        let (disk, seen) = (runtime.disk().clone(), lengths.clone());
        runtime.disk().watch(move |operation, moment| {
            assert_eq!((operation.kind, &*operation.path), (OperationKind::Write, Path::new("f")));
            let image = disk.power_cut(3);
            // An image is a disk of its own, with a process of its own.
            let length = Sim::with_disk(4, &image).run(async |runtime| {
                let file = runtime.disk().open(Path::new("f"), OpenMode::Read).await;
                file.expect("its name is stable").length().await.expect("no rule")
            });
            seen.borrow_mut().push((moment, length));
        });
        write(runtime.disk(), &file, 2, 1).await;
        runtime.disk().unwatch();
        write(runtime.disk(), &file, 2, 2).await;
    });
    let (issued, completed) = match lengths.borrow().as_slice() {
        [(Moment::Issued, before), (Moment::Completed { well: true }, after)] => (*before, *after),
        other => panic!("{other:?}"),
    };
    assert!(issued <= completed, "{issued} and then {completed} bytes");
    assert_eq!(completed, 2 * BLOCK as u64);
}
