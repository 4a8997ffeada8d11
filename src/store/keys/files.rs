//! The key segments of a log: which runs are on disk, and writing further ones.

use std::{cell::RefCell, ops::Range, path::PathBuf, rc::Rc};

use ringmq_base::{LogId, limits::BLOCK_BYTES};
use ringmq_io::{BlockBuffer, Disk, DiskError, File, OpenMode, Runtime};

use super::{
    buffer::{Block, BufferLimits},
    entry::{Entry, UNIT_MS},
    page::{PAGE_ENTRIES, RunHeader, SegmentHeader, add_page_crc, pages_of, write_page},
    run::{KeySegment, Run},
    sort::Sorting,
};
use crate::{
    api::options::KeySizes,
    files::{
        directory::{create_durably, numbered, remove_if_there},
        segment::log_word,
    },
};

const PREFIX: &str = "keys-";
const SUFFIX: &str = ".kdx";
pub const NEW_SUFFIX: &str = ".kdx.new";

/// Facts and sizes of the key index of one log.
#[derive(Clone, Debug)]
pub struct KeyOptions {
    /// That of the log.
    pub directory: PathBuf,
    pub log: LogId,
    pub store_id: u128,
    pub sizes: KeySizes,
}

impl KeyOptions {
    pub fn limits(&self) -> BufferLimits {
        let block_entries = self.sizes.run_pages as usize * PAGE_ENTRIES;
        BufferLimits { block_entries, sealed_max: self.sizes.sealed_max }
    }

    pub(super) fn path(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{PREFIX}{number:020}{SUFFIX}"))
    }

    pub(super) fn new_path(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{PREFIX}{number:020}{NEW_SUFFIX}"))
    }

    pub(super) fn header(&self, number: u64, slots: u32, slot_blocks: u32) -> SegmentHeader {
        let (log, store_id) = (log_word(self.log), self.store_id);
        SegmentHeader { log, store_id, number, slots, slot_blocks }
    }
}

/// The number that a file name states; `None` if it is no key segment's.
pub fn parse_name(name: &str) -> Option<u64> {
    numbered(name, PREFIX, SUFFIX)
}

/// The segment that runs are appended to.
pub(super) struct Current<R: Runtime> {
    pub segment: Rc<KeySegment<R>>,
    pub next_slot: u32,
}

pub(super) struct Directory<R: Runtime> {
    /// By position in the log.
    pub runs: Vec<Rc<Run<R>>>,
    pub current: Option<Current<R>>,
    /// Of the next segment: greater than that of any file, trusted or not.
    pub next_number: u64,
    /// Complete segments that wait for being merged, and those that hold no run any more.
    pub full: Vec<Rc<KeySegment<R>>>,
    pub empty: Vec<Rc<KeySegment<R>>>,
}

/// The durable part of a key index. One task writes, one merges, any number searches.
pub struct KeyFiles<R: Runtime> {
    pub(super) runtime: R,
    pub(super) options: KeyOptions,
    pub(super) directory: RefCell<Directory<R>>,
}

impl<R: Runtime> KeyFiles<R> {
    /// All keys of messages before this position are in runs, or in runs that were lost.
    pub fn covered(&self) -> u64 {
        self.directory.borrow().runs.last().map_or(0, |run| run.to)
    }

    /// Log positions from `first` up to the last run that are in no run: what was lost.
    pub fn holes(&self, first: u64) -> Vec<Range<u64>> {
        let directory = self.directory.borrow();
        let mut end = first;
        let mut holes = Vec::new();
        for run in &directory.runs {
            if run.from > end {
                holes.push(end..run.from);
            }
            end = end.max(run.to);
        }
        holes
    }

    pub fn runs(&self) -> Vec<Rc<Run<R>>> {
        self.directory.borrow().runs.clone()
    }

    /// Writes a block as a run; it is durable and searched when this resolves. The caller has made
    /// sure that the log is stable up to the end of the block. After an error nothing has changed
    /// but what is behind the runs.
    pub async fn write(&self, block: &Block) -> Result<(), DiskError> {
        let entries = self.sort(&block.entries).await;
        let (segment, slot) = self.slot().await?;
        let result = self.write_slot(&segment, slot, block, &entries).await;
        let mut directory = self.directory.borrow_mut();
        match result {
            Err(error) => {
                // What a failed sync covered is never sure; the next run goes elsewhere.
                directory.current = None;
                Err(error)
            }
            Ok(run) => {
                let at = directory.runs.partition_point(|other| other.from < run.from);
                let (before, behind) = directory.runs.split_at(at);
                assert!(before.last().is_none_or(|before| before.to <= run.from));
                assert!(behind.first().is_none_or(|behind| run.to <= behind.from));
                directory.runs.insert(at, Rc::new(run));
                if slot + 1 == segment.header.slots {
                    directory.current = None;
                    directory.full.push(segment);
                } else if let Some(current) = &mut directory.current {
                    current.next_slot = slot + 1;
                }
                Ok(())
            }
        }
    }

    async fn sort(&self, entries: &[Entry]) -> Vec<Entry> {
        let mut sorting = Sorting::new(entries);
        while sorting.step() {
            self.runtime.yield_if_needed().await;
        }
        sorting.finish()
    }

    /// The segment with room for the next run, created if there is none.
    async fn slot(&self) -> Result<(Rc<KeySegment<R>>, u32), DiskError> {
        let number = {
            let mut directory = self.directory.borrow_mut();
            if let Some(Current { segment, next_slot }) = &directory.current {
                return Ok((segment.clone(), *next_slot));
            }
            directory.next_number += 1;
            directory.next_number - 1
        };
        let options = &self.options;
        let sizes = options.sizes;
        let header = options.header(number, sizes.slots, sizes.run_pages + 1);
        let mut block = vec![0; BLOCK_BYTES];
        header.write(&mut block);
        let disk = self.runtime.disk();
        let path = options.path(number);
        let new = options.new_path(number);
        create_durably(disk, &new, &path, &block, BLOCK_BYTES as u64).await?;
        let file = disk.open(&path, OpenMode::Write).await?;
        let segment = Rc::new(KeySegment { header, path, file });
        let current = Current { segment: segment.clone(), next_slot: 0 };
        self.directory.borrow_mut().current = Some(current);
        Ok((segment, 0))
    }

    async fn write_slot(
        &self,
        segment: &Rc<KeySegment<R>>,
        slot: u32,
        block: &Block,
        entries: &[Entry],
    ) -> Result<Run<R>, DiskError> {
        let blocks = 1 + pages_of(entries.len());
        assert!(blocks <= segment.header.slot_blocks as usize, "the block fits its slot");
        let bytes = blocks * BLOCK_BYTES;
        let position = segment.slot_block(slot) * BLOCK_BYTES as u64;
        let mut buffer = self.runtime.disk().buffer(bytes);
        let (head, pages) = buffer.bytes_mut().split_at_mut(BLOCK_BYTES);
        let mut pages_crc = 0;
        let filled = pages.chunks_mut(BLOCK_BYTES).zip(entries.chunks(PAGE_ENTRIES));
        for (page, (bytes, entries)) in (0..).zip(filled) {
            pages_crc = add_page_crc(pages_crc, write_page(bytes, page, block.from, entries));
        }
        let header = RunHeader {
            log: segment.header.log,
            store_id: segment.header.store_id,
            number: segment.header.number,
            slot,
            entries: u32::try_from(entries.len()).expect("a bounded block"),
            unit_ms: UNIT_MS,
            pages_crc,
            from: block.from,
            to: block.to,
            base_ms: block.base_ms.cast_unsigned(),
            last_ms: block.last_ms.cast_unsigned(),
        };
        assert!(header.is_sound(&segment.header, slot), "{header:?}");
        header.write(head);
        segment.file.allocate(position, bytes as u64).await?;
        segment.file.write(&buffer, position).await?;
        segment.file.sync().await?;
        Ok(run_of(segment, &header))
    }

    /// Forgets the runs whose messages are all before `first`, and removes their files where none
    /// of their runs is left. After an error some of them may be left; call it again.
    pub async fn trim(&self, first: u64) -> Result<(), DiskError> {
        let gone = {
            let mut directory = self.directory.borrow_mut();
            let before: Vec<_> = directory.runs.iter().map(|run| run.segment.clone()).collect();
            directory.runs.retain(|run| run.to > first);
            let Directory { runs, full, empty, current, .. } = &mut *directory;
            for segment in before {
                let used = runs.iter().any(|run| Rc::ptr_eq(&run.segment, &segment))
                    || current.as_ref().is_some_and(|now| Rc::ptr_eq(&now.segment, &segment))
                    || empty.iter().any(|other| Rc::ptr_eq(other, &segment));
                if !used {
                    full.retain(|other| !Rc::ptr_eq(other, &segment));
                    empty.push(segment);
                }
            }
            empty.clone()
        };
        for segment in gone {
            remove_if_there(self.runtime.disk(), &segment.path).await?;
            self.directory.borrow_mut().empty.retain(|other| !Rc::ptr_eq(other, &segment));
            close(segment).await?;
        }
        Ok(())
    }

    /// Forgets runs that hold messages behind `end`: there are none, the files are of another
    /// history of the log. They stay as they are and are not written to. False if there are none.
    pub fn refuse_beyond(&self, end: u64) -> bool {
        let mut directory = self.directory.borrow_mut();
        let keep = directory.runs.partition_point(|run| run.to <= end);
        let refused = directory.runs.split_off(keep);
        for run in &refused {
            tracing::error!(
                path = %run.segment.path.display(), slot = run.slot, from = run.from, to = run.to,
                end, "a run of the key index is ahead of its log and not used"
            );
        }
        let is_refused = |segment: &Rc<KeySegment<R>>| {
            refused.iter().any(|run| Rc::ptr_eq(&run.segment, segment))
        };
        if directory.current.as_ref().is_some_and(|current| is_refused(&current.segment)) {
            directory.current = None;
        }
        directory.full.retain(|segment| !is_refused(segment));
        !refused.is_empty()
    }

    /// Closes the files; no task uses them any more.
    pub async fn close(&self) -> Result<(), DiskError> {
        let (runs, segments) = {
            let mut directory = self.directory.borrow_mut();
            let runs = std::mem::take(&mut directory.runs);
            let mut segments: Vec<_> = runs.iter().map(|run| run.segment.clone()).collect();
            segments.extend(directory.current.take().map(|current| current.segment));
            segments.append(&mut directory.full);
            segments.append(&mut directory.empty);
            (runs, segments)
        };
        drop(runs);
        for segment in segments {
            close(segment).await?;
        }
        Ok(())
    }
}

/// Whoever holds it last closes it.
pub(super) async fn close<R: Runtime>(segment: Rc<KeySegment<R>>) -> Result<(), DiskError> {
    match Rc::try_unwrap(segment) {
        Ok(segment) => segment.file.close().await,
        Err(_) => Ok(()),
    }
}

pub(super) fn run_of<R: Runtime>(segment: &Rc<KeySegment<R>>, header: &RunHeader) -> Run<R> {
    Run {
        segment: segment.clone(),
        slot: header.slot,
        entries: header.entries,
        unit_ms: header.unit_ms,
        from: header.from,
        to: header.to,
        base_ms: header.base_ms.cast_signed(),
        last_ms: header.last_ms.cast_signed(),
        refused: false.into(),
    }
}
