//! Merging the runs of a full segment to a single one, which replaces the segment's file.
//!
//! The runs are read side by side, a few pages each. What is up to the smallest last entry of the
//! pages in hand cannot be behind anything that is not read yet: it is sorted and written.

use std::rc::Rc;

use ringmq_base::limits::BLOCK_BYTES;
use ringmq_io::{BlockBuffer, Disk, DiskError, File, OpenMode, Runtime, disk::ReadBytes};

use super::{
    entry::{Entry, UNIT_MS, UNITS_MAX},
    files::{KeyFiles, close, run_of},
    page::{PAGE_ENTRIES, RunHeader, SegmentHeader, add_page_crc, pages_of, read_page, write_page},
    run::{KeySegment, Run},
};
use crate::{
    api::errors::ReadError,
    files::{
        directory::remove_if_there,
        segment::{BufferOf, FileOf},
    },
};

/// Pages of a run that are read at once.
const READ_PAGES: usize = 16;
/// Pages that are written at once.
const WRITE_PAGES: usize = 256;
/// The segment's header and that of its run.
const HEADER_BLOCKS: usize = 2;

type SegmentWithRuns<R> = (Rc<KeySegment<R>>, Vec<Rc<Run<R>>>);

/// A run as far as it was merged.
struct Cursor<R: Runtime> {
    run: Rc<Run<R>>,
    next_page: usize,
    /// Pages that were read, the first of them and how many there are.
    chunk: Option<ReadBytes<BufferOf<R>>>,
    chunk_first: usize,
    /// The current page with the times of the merged run, and how far it was merged.
    entries: Vec<Entry>,
    at: usize,
}

/// Times of the merged run.
#[derive(Clone, Copy)]
struct Times {
    base_ms: i64,
    unit_ms: u32,
}

impl Times {
    fn of(base_ms: i64, last_ms: i64) -> Times {
        let span = last_ms.saturating_sub(base_ms).max(0).cast_unsigned();
        let unit = (span / (UNITS_MAX + 1) + 1).max(u64::from(UNIT_MS));
        Times { base_ms, unit_ms: u32::try_from(unit).unwrap_or(u32::MAX) }
    }

    fn convert<R: Runtime>(&self, entry: &Entry, run: &Run<R>) -> Entry {
        let since = run.base_ms.saturating_sub(self.base_ms).max(0).cast_unsigned();
        let time = since + entry.units() * u64::from(run.unit_ms);
        Entry::new(entry.hash, (time / u64::from(self.unit_ms)).min(UNITS_MAX), entry.position())
    }
}

impl<R: Runtime> Cursor<R> {
    fn new(run: Rc<Run<R>>) -> Self {
        let entries = Vec::with_capacity(PAGE_ENTRIES);
        Cursor { run, next_page: 0, chunk: None, chunk_first: 0, entries, at: 0 }
    }

    /// The page with the next entry is in hand afterwards, unless there is none.
    async fn fill(&mut self, times: Times) -> Result<(), ReadError> {
        if self.at < self.entries.len() || self.next_page == self.run.pages() {
            return Ok(());
        }
        let page = self.next_page;
        if self.chunk.is_none() || page - self.chunk_first == READ_PAGES {
            let count = READ_PAGES.min(self.run.pages() - page);
            let position = self.run.page_position(page);
            let read = self.run.segment.file.read(position, count * BLOCK_BYTES).await?;
            self.chunk = Some(read);
            self.chunk_first = page;
        }
        let chunk = self.chunk.as_ref().map_or(&[][..], |chunk| chunk.bytes());
        let block = chunk.chunks(BLOCK_BYTES).nth(page - self.chunk_first).unwrap_or_default();
        let number = u32::try_from(page).unwrap_or(u32::MAX);
        let found = read_page(block, number, self.run.from, self.run.page_entries(page));
        let (entries, _) = found.map_err(|found| {
            self.run.refuse(self.run.page_position(page), BLOCK_BYTES as u64, found)
        })?;
        self.entries.clear();
        self.entries.extend(entries.iter().map(|entry| times.convert(entry, &self.run)));
        self.at = 0;
        self.next_page += 1;
        Ok(())
    }

    fn last(&self) -> Option<&Entry> {
        self.entries.get(self.at..).and_then(<[Entry]>::last)
    }

    fn take_up_to(&mut self, bound: &Entry, out: &mut Vec<Entry>) {
        let rest = self.entries.get(self.at..).unwrap_or_default();
        let count = rest.partition_point(|entry| entry <= bound);
        out.extend_from_slice(rest.get(..count).unwrap_or_default());
        self.at += count;
    }
}

/// The merged run on its way to its file.
struct Output<'a, R: Runtime> {
    file: &'a FileOf<R>,
    buffer: BufferOf<R>,
    /// Pages in the buffer, and those written before.
    filled: usize,
    written: usize,
    entries: Vec<Entry>,
    from: u64,
    pages_crc: u32,
}

impl<R: Runtime> Output<'_, R> {
    async fn put(&mut self, sorted: &[Entry]) -> Result<(), DiskError> {
        let mut rest = sorted;
        while !rest.is_empty() {
            let room = PAGE_ENTRIES - self.entries.len();
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.entries.extend_from_slice(now);
            rest = later;
            if self.entries.len() == PAGE_ENTRIES {
                self.end_page().await?;
            }
        }
        Ok(())
    }

    async fn end_page(&mut self) -> Result<(), DiskError> {
        let at = self.filled * BLOCK_BYTES;
        let page = u32::try_from(self.written + self.filled).expect("a bounded run");
        let block = &mut self.buffer.bytes_mut()[at..at + BLOCK_BYTES];
        let crc = write_page(block, page, self.from, &self.entries);
        self.pages_crc = add_page_crc(self.pages_crc, crc);
        self.entries.clear();
        self.filled += 1;
        if self.filled == WRITE_PAGES { self.flush().await } else { Ok(()) }
    }

    /// Writes the buffer; what is behind its last page is written over or lies in the room that
    /// was allocated.
    async fn flush(&mut self) -> Result<(), DiskError> {
        if self.filled > 0 {
            let position = (HEADER_BLOCKS + self.written) * BLOCK_BYTES;
            self.file.write(&self.buffer, position as u64).await?;
            self.written += self.filled;
            self.filled = 0;
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), DiskError> {
        if !self.entries.is_empty() {
            self.end_page().await?;
        }
        self.flush().await
    }
}

impl<R: Runtime> KeyFiles<R> {
    /// Whether a segment waits for being merged.
    pub fn has_full(&self) -> bool {
        !self.directory.borrow().full.is_empty()
    }

    /// Merges the oldest full segment. When it resolves, the segment's file is durably replaced.
    /// After an error, and when `go_on` says no, nothing has changed; a damaged segment is not
    /// tried again.
    pub async fn merge(&self, go_on: impl Fn() -> bool) -> Result<(), ReadError> {
        let Some((segment, runs)) = self.take_full() else {
            return Ok(());
        };
        let result = self.merge_runs(&segment, &runs, &go_on).await;
        if let Ok(false) | Err(ReadError::Disk(_)) = result {
            self.directory.borrow_mut().full.insert(0, segment);
        }
        result.map(|_| ())
    }

    fn take_full(&self) -> Option<SegmentWithRuns<R>> {
        let mut directory = self.directory.borrow_mut();
        while !directory.full.is_empty() {
            let segment = directory.full.remove(0);
            let of_segment = |run: &&Rc<Run<R>>| Rc::ptr_eq(&run.segment, &segment);
            let runs: Vec<_> = directory.runs.iter().filter(of_segment).cloned().collect();
            let joined = runs.windows(2).all(|pair| pair[0].to == pair[1].from);
            let entries: usize = runs.iter().map(|run| run.entries as usize).sum();
            let fits = u32::try_from(pages_of(entries) + HEADER_BLOCKS).is_ok();
            // One with a lost run stays as it is.
            if runs.len() > 1 && joined && fits {
                return Some((segment, runs));
            }
        }
        None
    }

    async fn merge_runs(
        &self,
        segment: &Rc<KeySegment<R>>,
        runs: &[Rc<Run<R>>],
        go_on: &impl Fn() -> bool,
    ) -> Result<bool, ReadError> {
        let number = segment.header.number;
        let disk = self.runtime.disk();
        let new = self.options.new_path(number);
        remove_if_there(disk, &new).await?;
        let file = disk.create(&new, OpenMode::Write).await?;
        let result = self.fill(&file, number, runs, go_on).await;
        let closed = file.close().await;
        let (header, run_header) = match result.and_then(|headers| Ok(closed.map(|()| headers)?)) {
            Ok(Some(headers)) => headers,
            given_up => {
                let _ = disk.remove(&new).await;
                return given_up.map(|_| false);
            }
        };
        disk.rename_durably(&new, &segment.path).await?;
        let file = disk.open(&segment.path, OpenMode::Write).await?;
        let merged = Rc::new(KeySegment { header, path: segment.path.clone(), file });
        let run = Rc::new(run_of(&merged, &run_header));
        self.replace(segment, merged, run).await?;
        Ok(true)
    }

    /// Searches ask the merged run from now on.
    async fn replace(
        &self,
        old: &Rc<KeySegment<R>>,
        merged: Rc<KeySegment<R>>,
        run: Rc<Run<R>>,
    ) -> Result<(), DiskError> {
        {
            let mut directory = self.directory.borrow_mut();
            let first = directory.runs.iter().position(|run| Rc::ptr_eq(&run.segment, old));
            directory.runs.retain(|run| !Rc::ptr_eq(&run.segment, old));
            directory.empty.retain(|segment| !Rc::ptr_eq(segment, old));
            match first {
                Some(first) => directory.runs.insert(first, run),
                // Retention has dropped all of it meanwhile.
                None => directory.empty.push(merged),
            }
        }
        close(old.clone()).await
    }

    async fn fill(
        &self,
        file: &FileOf<R>,
        number: u64,
        runs: &[Rc<Run<R>>],
        go_on: &impl Fn() -> bool,
    ) -> Result<Option<(SegmentHeader, RunHeader)>, ReadError> {
        let (Some(first), Some(last)) = (runs.first(), runs.last()) else {
            unreachable!("a full segment has runs");
        };
        let entries: usize = runs.iter().map(|run| run.entries as usize).sum();
        let pages = pages_of(entries);
        let times = Times::of(first.base_ms, last.last_ms);
        // Writes are of whole buffers.
        let room = HEADER_BLOCKS + pages.next_multiple_of(WRITE_PAGES);
        file.allocate(0, (room * BLOCK_BYTES) as u64).await?;
        let mut output = Output::<R> {
            file,
            buffer: self.runtime.disk().buffer(WRITE_PAGES * BLOCK_BYTES),
            filled: 0,
            written: 0,
            entries: Vec::with_capacity(PAGE_ENTRIES),
            from: first.from,
            pages_crc: 0,
        };
        if !self.pour(runs, times, &mut output, go_on).await? {
            return Ok(None);
        }
        assert!(output.written == pages, "every entry was merged");
        let slot_blocks = u32::try_from(1 + pages).expect("bounded when taken");
        let header = self.options.header(number, 1, slot_blocks);
        let run = RunHeader {
            log: header.log,
            store_id: header.store_id,
            number,
            slot: 0,
            entries: u32::try_from(entries).expect("fewer than pages have room for"),
            unit_ms: times.unit_ms,
            pages_crc: output.pages_crc,
            from: first.from,
            to: last.to,
            base_ms: first.base_ms.cast_unsigned(),
            last_ms: last.last_ms.cast_unsigned(),
        };
        assert!(run.is_sound(&header, 0), "{run:?}");
        let mut heads = self.runtime.disk().buffer(HEADER_BLOCKS * BLOCK_BYTES);
        let (segment_block, run_block) = heads.bytes_mut().split_at_mut(BLOCK_BYTES);
        header.write(segment_block);
        run.write(run_block);
        file.write(&heads, 0).await?;
        file.set_length(((HEADER_BLOCKS + pages) * BLOCK_BYTES) as u64).await?;
        file.sync().await?;
        Ok(Some((header, run)))
    }

    async fn pour(
        &self,
        runs: &[Rc<Run<R>>],
        times: Times,
        output: &mut Output<'_, R>,
        go_on: &impl Fn() -> bool,
    ) -> Result<bool, ReadError> {
        let mut cursors: Vec<_> = runs.iter().cloned().map(Cursor::new).collect();
        let mut sorted = Vec::new();
        while go_on() {
            for cursor in &mut cursors {
                cursor.fill(times).await?;
            }
            let Some(bound) = cursors.iter().filter_map(Cursor::last).min().copied() else {
                output.finish().await?;
                return Ok(true);
            };
            sorted.clear();
            cursors.iter_mut().for_each(|cursor| cursor.take_up_to(&bound, &mut sorted));
            sorted.sort_unstable();
            output.put(&sorted).await?;
            self.runtime.yield_if_needed().await;
        }
        Ok(false)
    }
}
