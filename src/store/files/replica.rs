//! The file `replica` in the root of a store that is one of several copies: who it is, and what it
//! has promised to the others. Promises outlive the process, so they are durable before anybody
//! hears of them.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
};

use ringmq_io::Runtime;

use crate::{
    api::errors::OpenError,
    files::{
        block::{BlockError, BlockReader, BlockWriter},
        pair::{self, Pair, Side},
    },
};

pub const FILE_NAME: &str = "replica";
const NEW_NAME: &str = "replica.new";
const MAGIC: &[u8; 8] = b"RMQREPL\0";
const VERSION: u32 = 1;

/// What the file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replica {
    /// Counts blocks; the greater one counts.
    pub sequence: u64,
    /// What all copies of a store have in common: the store id of the first one.
    pub lineage: u128,
    /// Number of this copy, from 1 on.
    pub replica: u32,
    /// Drawn when the directory was made: an emptied directory and a copied one are noticed by it.
    pub directory: u128,
    /// Nothing is acknowledged or taken in an epoch smaller than this one.
    pub joined: u32,
    /// The copy that leads in that epoch; 0 if that is not known.
    pub leader: u32,
    /// Version of the set of copies in sync that was last heard of.
    pub set_version: u64,
    /// The machine's boot (`Disk::boot_id`) in which the store was last open.
    pub boot: u128,
    /// The store was closed in order since.
    pub clean: bool,
    /// The store is being filled from another copy, and nothing by itself until it is complete.
    pub seeding: bool,
}

impl Side for Replica {
    fn sequence(&self) -> u64 {
        self.sequence
    }

    fn write(&self, block: &mut [u8]) {
        BlockWriter::new(block, MAGIC, VERSION)
            .u64(self.sequence)
            .u128(self.lineage)
            .u32(self.replica)
            .u128(self.directory)
            .u32(self.joined)
            .u32(self.leader)
            .u64(self.set_version)
            .u128(self.boot)
            .u32(u32::from(self.clean))
            .u32(u32::from(self.seeding))
            .seal();
    }

    fn read(block: &[u8]) -> Result<Replica, BlockError> {
        let mut fields = BlockReader::new(block, MAGIC, VERSION)?;
        Ok(Replica {
            sequence: fields.u64(),
            lineage: fields.u128(),
            replica: fields.u32(),
            directory: fields.u128(),
            joined: fields.u32(),
            leader: fields.u32(),
            set_version: fields.u64(),
            boot: fields.u128(),
            clean: fields.u32() != 0,
            seeding: fields.u32() != 0,
        })
    }
}

/// The open file `replica`. One update at a time.
pub struct ReplicaFile<R: Runtime> {
    file: Pair<R>,
    last: RefCell<Replica>,
}

impl<R: Runtime> ReplicaFile<R> {
    /// Opens the file of the store at `root`; `None` if it has none, which is no copy of anything.
    ///
    /// # Errors
    /// If both blocks are damaged, the file is newer than this program, or the disk fails.
    pub async fn open(disk: &R::Disk, root: &Path) -> Result<Option<Self>, OpenError> {
        let path = root.join(FILE_NAME);
        let last: Replica = match pair::load(disk, &path).await? {
            None => return Ok(None),
            Some(Ok(replica)) => replica,
            Some(Err(BlockError::Newer(found))) => {
                return Err(OpenError::NewerFormat { path, found, supported: VERSION });
            }
            Some(Err(error)) => return Err(damaged(path, &error)),
        };
        Ok(Some(ReplicaFile { file: Pair::open(disk, &path).await?, last: last.into() }))
    }

    /// Makes the file of a store that has none. Durable when resolved.
    pub async fn create(disk: &R::Disk, root: &Path, replica: Replica) -> Result<Self, OpenError> {
        assert!(replica.replica > 0, "copies are counted from 1 on");
        let (new, path) = (root.join(NEW_NAME), root.join(FILE_NAME));
        pair::create(disk, (&new, &path), &replica).await?;
        Ok(ReplicaFile { file: Pair::open(disk, &path).await?, last: replica.into() })
    }

    pub fn last(&self) -> Replica {
        *self.last.borrow()
    }

    /// Both blocks say `replica` when resolved, durably: damage to one of them later does not bring
    /// back an older promise. After an error either may be there: the file is to be opened anew.
    ///
    /// # Panics
    /// If it would take back a promise or be another copy.
    pub async fn update(&self, replica: Replica) -> Result<(), OpenError> {
        let mut next = replica;
        let last = self.last();
        assert!(next.joined >= last.joined, "an epoch that was joined is left");
        assert!(
            next.joined > last.joined || last.leader == 0 || next.leader == last.leader,
            "two leaders of one epoch"
        );
        assert!(next.set_version >= last.set_version, "the set of copies in sync went back");
        let identity = |one: &Replica| (one.lineage, one.replica, one.directory);
        assert_eq!(identity(&next), identity(&last), "another copy");
        next.sequence = last.sequence;
        for _ in 0..2 {
            next.sequence += 1;
            self.file.write(&next).await?;
        }
        self.last.replace(next);
        Ok(())
    }

    pub async fn close(self) -> Result<(), OpenError> {
        Ok(self.file.close().await?)
    }
}

fn damaged(path: PathBuf, error: &BlockError) -> OpenError {
    OpenError::Replica { path, found: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use ringmq_base::limits::BLOCK_BYTES;
    use ringmq_io::{
        Runtime as _,
        sim::{Sim, SimDisk, SimRuntime},
    };

    use super::*;

    const ROOT: &str = "store";
    const PATH: &str = "store/replica";

    fn replica() -> Replica {
        let (lineage, directory) = (1 << 100, 1 << 90);
        Replica { lineage, replica: 2, directory, joined: 5, boot: 9, ..Replica::default() }
    }

    type SimReplica = ReplicaFile<SimRuntime>;

    async fn open(runtime: &SimRuntime) -> Result<Option<SimReplica>, OpenError> {
        ReplicaFile::open(runtime.disk(), Path::new(ROOT)).await
    }

    /// A store with the file.
    fn disk() -> SimDisk {
        let sim = Sim::new(1);
        sim.run(async |runtime| {
            ringmq_io::Disk::create_directory(runtime.disk(), Path::new(ROOT)).await.expect("made");
            assert!(open(&runtime).await.expect("reads").is_none());
            let file: SimReplica = ReplicaFile::create(runtime.disk(), Path::new(ROOT), replica())
                .await
                .expect("made");
            file.close().await.expect("closes");
        });
        sim.disk().power_cut(1)
    }

    fn read(disk: &SimDisk) -> Replica {
        Sim::with_disk(2, disk)
            .run(async |runtime| open(&runtime).await.expect("reads").expect("is there").last())
    }

    #[test]
    fn promises_survive_power_cuts_and_damage_to_one_block() {
        let disk = disk();
        assert_eq!(read(&disk), replica());
        for count in 0..12 {
            let machine = disk.kill(count);
            machine.crash_after_operation(count);
            let promised = std::cell::Cell::new(5);
            let _ = Sim::with_disk(count, &machine).try_run(async |runtime| {
                let file = open(&runtime).await.expect("reads").expect("is there");
                for joined in 6..9 {
                    let next = Replica { joined, leader: 3, ..file.last() };
                    file.update(next).await.expect("no fault");
                    promised.set(joined);
                }
            });
            for seed in 0..20 {
                let image = machine.power_cut(seed);
                let found = read(&image).joined;
                assert!((promised.get()..=promised.get() + 1).contains(&found), "{count} {seed}");
                // Later damage to either block does not take back what was promised.
                for block in 0..2 {
                    let damaged = image.kill(seed);
                    damaged.flip_bit(PATH, 8 * (block * BLOCK_BYTES as u64 + 40));
                    let other_is_torn = Sim::with_disk(3, &damaged)
                        .run(async |runtime| open(&runtime).await.is_err());
                    assert!(other_is_torn || read(&damaged).joined >= promised.get());
                }
            }
        }
    }

    #[test]
    fn a_damaged_file_and_a_newer_one_are_refused_with_a_sentence() {
        let refusal = |disk: &SimDisk| {
            let refused = Sim::with_disk(2, disk).run(async |runtime| open(&runtime).await.err());
            refused.expect("refused").to_string()
        };
        let damaged = disk();
        damaged.flip_bit(PATH, 8 * 40);
        damaged.flip_bit(PATH, 8 * 5000);
        let text = refusal(&damaged);
        assert!(text.starts_with("store/replica is damaged in both of its blocks"), "{text}");
        let newer = disk();
        let mut block = vec![0; BLOCK_BYTES];
        BlockWriter::new(&mut block, MAGIC, VERSION + 1).seal();
        newer.overwrite(PATH, 0, &block);
        assert!(refusal(&newer).contains("has format 2, this program reads up to 1"));
    }

    #[test]
    fn a_promise_is_not_taken_back() {
        let disk = disk();
        Sim::with_disk(2, &disk).run(async |runtime| {
            let file = open(&runtime).await.expect("reads").expect("is there");
            let led = Replica { joined: 6, leader: 1, ..file.last() };
            file.update(led).await.expect("no fault");
            let wrong = [
                Replica { joined: 5, ..led },
                Replica { leader: 2, ..led },
                Replica { directory: 1, ..led },
            ];
            for wrong in wrong {
                let update = catch_unwind(AssertUnwindSafe(|| {
                    futures_util::FutureExt::now_or_never(file.update(wrong))
                }));
                assert!(update.is_err(), "{wrong:?}");
            }
        });
    }
}
