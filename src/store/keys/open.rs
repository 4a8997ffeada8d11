//! Finding the runs on disk again. The index is derived: whatever is damaged, foreign or newer is
//! reported and left as it is, and nothing here keeps a log from being opened but a failing disk.

use std::{cell::RefCell, cmp::Reverse, path::Path, rc::Rc};

use ringmq_base::limits::BLOCK_BYTES;
use ringmq_io::{Disk, DiskError, File, OpenMode, Runtime};

use super::{
    files::{Current, Directory, KeyFiles, KeyOptions, NEW_SUFFIX, parse_name, run_of},
    page::{PAGE_ENTRIES, RunHeader, SegmentHeader, add_page_crc, pages_of, read_page},
    run::{KeySegment, Run},
};
use crate::files::{block::BlockError, directory::remove_if_there};

/// Largest read of the check of a run.
const READ_BLOCKS: usize = 256;
/// Most slots and blocks of a slot that a header may state: a run has fewer than 2^32 entries.
const SLOTS_MAX: u32 = 1 << 16;
const SLOT_BLOCKS_MAX: u32 = 1 << 25;

impl<R: Runtime> KeyFiles<R> {
    /// Opens the key segments of a log; changes nothing. When it resolves, every run that is there
    /// is durable.
    pub async fn open(runtime: R, options: KeyOptions) -> Result<Self, DiskError> {
        let directory = Directory {
            runs: Vec::new(),
            current: None,
            next_number: 1,
            full: Vec::new(),
            empty: Vec::new(),
        };
        let files = KeyFiles { runtime, options, directory: RefCell::new(directory) };
        let listed = files.runtime.disk().list(&files.options.directory).await?;
        let mut numbers: Vec<u64> =
            listed.iter().filter_map(|(name, _)| parse_name(name)).collect();
        numbers.sort_unstable();
        for number in &numbers {
            let opened = files.open_segment(*number, numbers.last() == Some(number)).await;
            if let Err(error) = opened {
                report(&files.options.path(*number), &error.to_string());
            }
        }
        files.settle(numbers.last().copied());
        Ok(files)
    }

    /// Removes what an earlier process was about to create. Called once the log is accepted.
    pub async fn begin(&self) -> Result<(), DiskError> {
        let disk = self.runtime.disk();
        for (name, _) in disk.list(&self.options.directory).await? {
            if name.ends_with(NEW_SUFFIX) {
                remove_if_there(disk, &self.options.directory.join(&name)).await?;
            }
        }
        Ok(())
    }

    /// Sorts the runs and drops what overlaps.
    fn settle(&self, last: Option<u64>) {
        let mut directory = self.directory.borrow_mut();
        directory.next_number = last.map_or(1, |last| last.saturating_add(1));
        // Of a run that was written twice, the one that holds more.
        directory.runs.sort_by_key(|run| (run.from, Reverse(run.to)));
        let mut end = 0;
        directory.runs.retain(|run| {
            let apart = run.from >= end;
            if apart {
                end = run.to;
            } else {
                report(&run.segment.path, &format!("run {} overlaps others", run.slot));
            }
            apart
        });
    }

    async fn open_segment(&self, number: u64, last: bool) -> Result<(), DiskError> {
        let path = self.options.path(number);
        let file = self.runtime.disk().open(&path, OpenMode::Write).await?;
        let header = match self.check_header(&file, number).await? {
            Ok(header) => header,
            Err(found) => {
                report(&path, &found);
                return file.close().await;
            }
        };
        // A killed process may have left a run that is not stable yet.
        file.sync().await?;
        let segment = Rc::new(KeySegment { header, path, file });
        let runs = self.find_runs(&segment).await?;
        let used = runs.last().map_or(0, |run| run.slot + 1);
        let mut directory = self.directory.borrow_mut();
        let whole = runs.len() == header.slots as usize;
        if runs.is_empty() && !last {
            directory.empty.push(segment);
            return Ok(());
        }
        directory.runs.extend(runs);
        let fits = header.slot_blocks > self.options.sizes.run_pages;
        if last && used < header.slots && fits {
            directory.current = Some(Current { segment, next_slot: used });
        } else if whole && header.slots > 1 {
            directory.full.push(segment);
        }
        Ok(())
    }

    async fn check_header(
        &self,
        file: &impl File,
        number: u64,
    ) -> Result<Result<SegmentHeader, String>, DiskError> {
        let block = file.read(0, BLOCK_BYTES).await?;
        let header = match SegmentHeader::read(block.bytes()) {
            Ok(header) => header,
            Err(error) => return Ok(Err(format!("its header is {error}"))),
        };
        let SegmentHeader { log, store_id, slots, slot_blocks, .. } = header;
        let wanted = self.options.header(number, slots, slot_blocks);
        let sound =
            (1..=SLOTS_MAX).contains(&slots) && (2..=SLOT_BLOCKS_MAX).contains(&slot_blocks);
        Ok(if header != wanted {
            let number = header.number;
            Err(format!("it is number {number} of log {log} of store {store_id:032x}"))
        } else if !sound {
            Err(format!("its header states {slots} slots of {slot_blocks} blocks"))
        } else {
            Ok(header)
        })
    }

    /// The runs of a segment in the order of their slots.
    async fn find_runs(&self, segment: &Rc<KeySegment<R>>) -> Result<Vec<Rc<Run<R>>>, DiskError> {
        let length = segment.file.length().await?;
        let mut headers: Vec<RunHeader> = Vec::new();
        let mut unknown = Vec::new();
        for slot in 0..segment.header.slots {
            let position = segment.slot_block(slot) * BLOCK_BYTES as u64;
            if position >= length {
                break;
            }
            let block = segment.file.read(position, BLOCK_BYTES).await?;
            match RunHeader::read(block.bytes()) {
                Ok(header) if header.is_sound(&segment.header, slot) => {
                    headers.push(header);
                    // A run is begun when the one before is durable: that one was whole once.
                    unknown.drain(..).for_each(|(slot, found)| {
                        report(&segment.path, &format!("run {slot} is damaged: {found}"));
                    });
                }
                Ok(_) => unknown.push((slot, "its header does not fit".to_owned())),
                Err(BlockError::Zeros | BlockError::Short(_)) => {}
                Err(error) => unknown.push((slot, error.to_string())),
            }
        }
        // A merged run got its name when it was whole.
        if let Some(last) = headers.last().filter(|_| segment.header.slots > 1)
            && let Some(found) = self.check_pages(segment, last).await?
        {
            // Torn by a crash, as a rule.
            let (slot, path) = (last.slot, segment.path.display());
            tracing::info!(path = %path, slot, found, "the last run is not whole and not used");
            headers.pop();
        }
        Ok(headers.iter().map(|header| Rc::new(run_of(segment, header))).collect())
    }

    /// What is wrong with the pages of a run.
    async fn check_pages(
        &self,
        segment: &KeySegment<R>,
        header: &RunHeader,
    ) -> Result<Option<&'static str>, DiskError> {
        let mut left = header.entries as usize;
        let pages = pages_of(left);
        let first = segment.slot_block(header.slot) + 1;
        let mut crc = 0;
        for page in (0..pages).step_by(READ_BLOCKS) {
            let count = READ_BLOCKS.min(pages - page);
            let position = (first + page as u64) * BLOCK_BYTES as u64;
            let read = segment.file.read(position, count * BLOCK_BYTES).await?;
            if read.bytes().len() < count * BLOCK_BYTES {
                return Ok(Some("the end of the file"));
            }
            for (number, block) in (page..).zip(read.bytes().chunks(BLOCK_BYTES)) {
                let number = u32::try_from(number).unwrap_or(u32::MAX);
                let entries = left.min(PAGE_ENTRIES);
                left -= entries;
                match read_page(block, number, header.from, entries) {
                    Ok((_, page_crc)) => crc = add_page_crc(crc, page_crc),
                    Err(found) => return Ok(Some(found)),
                }
            }
            self.runtime.yield_if_needed().await;
        }
        Ok((crc != header.pages_crc).then_some("a wrong checksum of all pages"))
    }
}

fn report(path: &Path, found: &str) {
    tracing::error!(
        path = %path.display(), found,
        "a key segment or a part of it is not used; it was left as it is. Remove the file while \
        the broker is stopped to have its messages indexed again"
    );
}
