//! The durable mark: up to where a log was on stable storage when last noted, and what else has to
//! be known before its end can be found.

use std::{
    cell::{Cell, RefCell},
    path::Path,
};

use ringmq_io::{Disk, Runtime, signal::Notify};

use crate::files::{
    block::{BlockError, BlockReader, BlockWriter},
    epochs::{EPOCHS_MAX, EpochStart, Epochs},
    pair::{self, Pair, Side},
};

pub const MAGIC: &[u8; 8] = b"RMQMARK\0";
/// 1 had no fields from `claims` on. It is read; whatever is written is of this version.
pub const VERSION: u32 = 2;
pub const FILE_NAME: &str = "mark";
pub const NEW_NAME: &str = "mark.new";

/// Bytes of a block before the table of epochs, and of a row of it.
const TABLE_FROM: usize = 104;
const ROW_BYTES: usize = 12;
const _: () = assert!(TABLE_FROM + EPOCHS_MAX * ROW_BYTES <= ringmq_base::limits::BLOCK_BYTES);

type DiskResult<T> = ringmq_io::disk::Result<T>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Counts marks; the greater one counts.
    pub sequence: u64,
    /// Everything before it was on stable storage. Never behind `committed`.
    pub position: u64,
    /// Start of the first segment, or the generation of a metadata log.
    pub first: u64,
    /// No record from `cut` on has a smaller one.
    pub epoch: u32,
    /// The log was closed in order and ends at `position`.
    pub clean: bool,
    pub store_id: u128,
    pub log: u32,
    /// What records from `position` on say about the stability of those before them was true of
    /// this copy of the log, too. False while it may lack what others have acknowledged for.
    pub claims: bool,
    /// Never given up again, whoever leads. The log is not cut before it.
    pub committed: u64,
    /// Where the log ended when it was opened, or cut, for the last time.
    pub cut: u64,
    /// The greatest epoch that this copy of the log has ever had a record of, or was opened or cut
    /// for.
    pub seen: u32,
    /// The log ends at `cut` or before it, whatever stands behind that. Over when what stands there
    /// is gone.
    pub cutting: bool,
    /// The newest epochs whose starts are known.
    pub epochs: Epochs,
}

impl Default for Mark {
    /// That of a log in which nothing has ever been.
    fn default() -> Mark {
        Mark {
            sequence: 0,
            position: 0,
            first: 0,
            epoch: 0,
            clean: false,
            store_id: 0,
            log: 0,
            claims: true,
            committed: 0,
            cut: 0,
            seen: 0,
            cutting: false,
            epochs: Epochs::default(),
        }
    }
}

impl Side for Mark {
    fn sequence(&self) -> u64 {
        self.sequence
    }

    fn write(&self, block: &mut [u8]) {
        let fields = BlockWriter::new(block, MAGIC, VERSION)
            .u64(self.sequence)
            .u64(self.position)
            .u64(self.first)
            .u32(self.epoch)
            .u32(u32::from(self.clean))
            .u128(self.store_id)
            .u32(self.log)
            .u32(u32::from(self.claims))
            .u64(self.committed)
            .u64(self.cut)
            .u32(self.seen)
            .u32(u32::from(self.cutting))
            .u32(0)
            .u32(self.epochs.len() as u32);
        self.epochs.iter().fold(fields, |fields, one| fields.u32(one.epoch).u64(one.start)).seal();
    }

    fn read(block: &[u8]) -> Result<Mark, BlockError> {
        let mut fields = BlockReader::new(block, MAGIC, VERSION)?;
        let mut mark = Mark {
            sequence: fields.u64(),
            position: fields.u64(),
            first: fields.u64(),
            epoch: fields.u32(),
            clean: fields.u32() != 0,
            store_id: fields.u128(),
            log: fields.u32(),
            ..Mark::default()
        };
        if fields.version < 2 {
            // One process wrote it, so what is stable was final.
            (mark.committed, mark.cut, mark.seen) = (mark.position, mark.position, mark.epoch);
            return Ok(mark);
        }
        mark.claims = fields.u32() != 0;
        // Whoever wrote it, what is asserted of marks holds.
        mark.committed = fields.u64().max(mark.position);
        mark.cut = fields.u64();
        mark.seen = fields.u32().max(mark.epoch);
        mark.cutting = fields.u32() != 0;
        fields.u32();
        let rows = (fields.u32() as usize).min(EPOCHS_MAX);
        mark.epochs = Epochs::read(
            (0..rows).map(|_| EpochStart { epoch: fields.u32(), start: fields.u64() }),
        );
        Ok(mark)
    }
}

impl Mark {
    /// The smallest epoch that a record at `position` may have, behind one of `last_epoch`.
    pub fn least_epoch(&self, position: u64, last_epoch: u32) -> u32 {
        let from = crate::api::injected_bugs::epochs_count_from(self.cut, self.position);
        if position < from { last_epoch } else { last_epoch.max(self.epoch) }
    }

    /// Where the log ends at the latest, if it was cut and what was behind that may still be there.
    pub fn end_max(&self) -> Option<u64> {
        self.cutting.then_some(self.cut)
    }
}

/// The mark of `directory`; `None` if there is no file.
pub async fn load<D: Disk>(
    disk: &D,
    directory: &Path,
) -> DiskResult<Option<Result<Mark, BlockError>>> {
    pair::load(disk, &directory.join(FILE_NAME)).await
}

/// Creates the file with both blocks saying `mark`; durable when resolved.
pub async fn create<D: Disk>(disk: &D, directory: &Path, mark: &Mark) -> DiskResult<()> {
    let (new, path) = (directory.join(NEW_NAME), directory.join(FILE_NAME));
    pair::create(disk, (&new, &path), mark).await
}

/// The open mark file. One write at a time.
pub struct MarkFile<R: Runtime> {
    file: Pair<R>,
    last: RefCell<Mark>,
    /// Counts [`MarkFile::epoch_began`], and how many of them are in a written mark.
    begun: Cell<u64>,
    noted: Cell<u64>,
    taken: Cell<bool>,
    given_back: Notify,
}

/// The right to find out what a mark says and to write it; see [`MarkFile::turn`].
pub struct Turn<'a> {
    taken: &'a Cell<bool>,
    given_back: &'a Notify,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.taken.set(false);
        self.given_back.notify();
    }
}

impl<R: Runtime> MarkFile<R> {
    /// Opens the file and writes `mark` to both blocks, one after the other; durable when resolved.
    /// The one way to another `epoch` and `cut`, and back to an earlier one: of what the mark said
    /// before, nothing is left.
    pub async fn begin(disk: &R::Disk, directory: &Path, mark: Mark) -> DiskResult<MarkFile<R>> {
        let file = Pair::open(disk, &directory.join(FILE_NAME)).await?;
        let (taken, given_back) = (Cell::new(false), Notify::default());
        let last = RefCell::new(mark.clone());
        let (begun, noted) = (Cell::default(), Cell::default());
        let file = MarkFile { file, last, begun, noted, taken, given_back };
        file.write(mark.clone()).await?;
        file.write(mark).await?;
        Ok(file)
    }

    /// Resolves when nobody else is about to write. For files that several tasks write to: a mark
    /// that was made before another one was written may say less than that.
    pub async fn turn(&self) -> Turn<'_> {
        while self.taken.get() {
            self.given_back.wait().await;
        }
        self.taken.set(true);
        Turn { taken: &self.taken, given_back: &self.given_back }
    }

    /// Writes the mark with the next sequence number over the older block; durable when resolved.
    pub async fn write(&self, mark: Mark) -> DiskResult<()> {
        let begun = self.begun.get();
        let mut mark = {
            let last = self.last.borrow();
            // A metadata log begins anew with each generation.
            let anew = mark.first > last.first;
            assert!(anew || mark.position >= last.position, "the mark went back");
            assert!(anew || mark.committed >= last.committed, "what was committed is given up");
            assert!(mark.position <= mark.committed, "the mark is beyond what is committed");
            // Between `cut` and where a later epoch begins there are records of earlier ones.
            let begins = mark.epoch > last.seen && mark.cut >= last.cut;
            assert!(anew || begins || (mark.epoch, mark.cut) == (last.epoch, last.cut));
            assert!(mark.epoch <= mark.seen && mark.seen >= last.seen);
            Mark { sequence: last.sequence + 1, ..mark }
        };
        self.file.write(&mark).await?;
        let mut last = self.last.borrow_mut();
        if self.begun.get() == begun {
            self.noted.set(begun);
        } else {
            // Meanwhile others have begun, for the next mark.
            (mark.epochs, mark.seen) = (last.epochs.clone(), last.seen);
        }
        *last = mark;
        Ok(())
    }

    pub fn last(&self) -> Mark {
        self.last.borrow().clone()
    }

    /// Notes for the next mark that the first record of an epoch was appended at `start`.
    pub fn epoch_began(&self, epoch: u32, start: u64) {
        let mut last = self.last.borrow_mut();
        last.epochs.began(epoch, start);
        last.seen = last.seen.max(epoch);
        self.begun.set(self.begun.get() + 1);
    }

    /// Whether epochs have begun that no written mark has: the next opening would not know where,
    /// if it did not read their first records.
    pub fn lacks_epochs(&self) -> bool {
        self.begun.get() != self.noted.get()
    }

    pub async fn close(self) -> DiskResult<()> {
        self.file.close().await
    }
}

#[cfg(test)]
mod tests {
    use ringmq_base::limits::BLOCK_BYTES;

    use super::*;

    #[test]
    fn the_newer_intact_block_counts() {
        let mut bytes = vec![0; 2 * BLOCK_BYTES];
        assert_eq!(Mark::newest(&bytes), Err(BlockError::Zeros));
        let old = Mark { sequence: 4, position: 100, committed: 150, epoch: 2, ..Mark::default() };
        let old = Mark { seen: 2, ..old };
        let new = Mark { sequence: 5, position: 200, committed: 200, clean: true, ..old.clone() };
        old.write(&mut bytes[..BLOCK_BYTES]);
        new.write(&mut bytes[BLOCK_BYTES..]);
        assert_eq!(Mark::newest(&bytes), Ok(new));
        bytes[BLOCK_BYTES + 20] ^= 1;
        assert_eq!(Mark::newest(&bytes), Ok(old));
        bytes[20] ^= 1;
        assert_eq!(Mark::newest(&bytes), Err(BlockError::Checksum));
        assert_eq!(Mark::newest(&bytes[..100]), Err(BlockError::Short(100)));
    }

    /// A mark that uses all of the block.
    fn full() -> Mark {
        let starts = (1..=EPOCHS_MAX as u32).map(|epoch| {
            let start = u64::from(epoch) << 38;
            EpochStart { epoch, start }
        });
        Mark {
            sequence: u64::MAX,
            position: 1 << 40,
            first: 1 << 30,
            epoch: 7,
            clean: true,
            store_id: u128::MAX - 5,
            log: 9,
            claims: false,
            committed: 1 << 41,
            cut: 1 << 42,
            seen: 300,
            cutting: true,
            epochs: Epochs::read(starts),
        }
    }

    #[test]
    fn a_mark_with_all_epochs_fits_and_comes_back() {
        let mut block = vec![0; BLOCK_BYTES];
        let mark = full();
        assert_eq!(mark.epochs.len(), EPOCHS_MAX);
        mark.write(&mut block);
        assert_eq!(Mark::read(&block), Ok(mark));
        let last = TABLE_FROM + EPOCHS_MAX * ROW_BYTES;
        assert_eq!(
            block[last - 8..last],
            (256_u64 << 38).to_le_bytes(),
            "the table is where it is"
        );
        assert!(block[last..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn programs_that_know_version_1_refuse_this_one() {
        let mut block = vec![0; BLOCK_BYTES];
        full().write(&mut block);
        let refused = BlockReader::new(&block, MAGIC, 1).expect_err("newer");
        assert_eq!(refused, BlockError::Newer(2));
    }

    #[test]
    fn a_mark_of_version_1_is_that_of_a_log_without_others() {
        let mut block = vec![0; BLOCK_BYTES];
        let fields = BlockWriter::new(&mut block, MAGIC, 1).u64(8).u64(9000).u64(4096);
        fields.u32(3).u32(1).u128(77).u32(2).seal();
        let expected = Mark {
            sequence: 8,
            position: 9000,
            first: 4096,
            epoch: 3,
            clean: true,
            store_id: 77,
            log: 2,
            claims: true,
            committed: 9000,
            cut: 9000,
            seen: 3,
            cutting: false,
            epochs: Epochs::default(),
        };
        assert_eq!(Mark::read(&block), Ok(expected));
    }

    #[test]
    fn a_table_that_claims_too_much_is_read_as_far_as_it_can_be() {
        let mut block = vec![0; BLOCK_BYTES];
        let fields = BlockWriter::new(&mut block, MAGIC, 2).u64(8).u64(9000).u64(4096);
        let fields = fields.u32(3).u32(1).u128(77).u32(2).u32(1).u64(9000).u64(9000);
        fields.u32(3).u32(0).u32(0).u32(u32::MAX).u32(1).u64(4096).seal();
        let mark = Mark::read(&block).expect("its checksum fits");
        assert_eq!(mark.epochs.last(), Some(EpochStart { epoch: 1, start: 4096 }));
    }
}
