//! The entries of one queue: the newest in memory, the others in pages of the index segments.

use std::{collections::VecDeque, rc::Rc};

use ringmq_base::prefetch::prefetch;
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    location::{Location, Packed},
    page::ENTRIES,
};

const PAGE: i64 = ENTRIES as i64;
/// Entries that a new chunk of a queue has room for; chunks grow by a half, or by as many.
const FIRST_ENTRIES: usize = 8;
/// Pages of different queues begin at different offsets, so that queues that are filled evenly do
/// not fill their pages at the same moment. Any number prime to the page's entries spreads well.
const PHASE_STEP: u32 = 73;

/// Where a page is (block number, 48 bits) and the log position of its first entry (48 bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRef([u32; 3]);

const _: () = assert!(size_of::<PageRef>() == 12);

impl PageRef {
    pub fn new(block: u64, position: u64) -> PageRef {
        assert!(block < 1 << 48 && position < 1 << 48);
        let low = |word: u64| (word & 0xFFFF_FFFF) as u32;
        PageRef([low(block), low(position), (low(block >> 32) << 16) | low(position >> 32)])
    }

    pub fn block(self) -> u64 {
        u64::from(self.0[0]) | (u64::from(self.0[2] >> 16) << 32)
    }

    /// Log position of the first entry's message.
    pub fn position(self) -> u64 {
        u64::from(self.0[1]) | (u64::from(self.0[2] & 0xFFFF) << 32)
    }
}

/// Where an entry of a queue is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Memory(Location),
    /// In the page at this block of the index.
    Page(u64),
}

impl Place {
    /// False if the entry is known to be another one.
    pub fn agrees(&self, location: &Location) -> bool {
        match self {
            Place::Memory(known) => known == location,
            Place::Page(_) => true,
        }
    }
}

pub struct Queue {
    pub topic: Rc<str>,
    /// Of the topic: what an append compares instead of the name, which lies elsewhere in memory.
    topic_hash: u64,
    pub queue_id: i32,
    /// Somebody waits for the next message and no message has come since.
    pub watched: bool,
    phase: i64,
    /// First offset that is served.
    min: i64,
    /// Offset that the next append gets.
    next: i64,
    /// All before this was visible when last looked.
    visible: i64,
    /// In order of offset, without a gap up to `memory_first`.
    pages: VecDeque<PageRef>,
    /// Number, counted from offset 0, of the first of `pages`.
    first_page: i64,
    /// Offset of the first entry in memory.
    memory_first: i64,
    /// The entries in memory, cut at the ends of pages. There is one chunk, and it is found without
    /// another look into memory, unless pages are filled faster than they are written.
    chunks: SmallVec<[Vec<Packed>; 1]>,
    /// So many of the first chunks are being written as pages.
    taken: usize,
}

impl Queue {
    /// An empty queue whose first message gets offset `min`.
    pub fn new(number: u32, topic: Rc<str>, queue_id: i32, min: i64) -> Queue {
        let phase = i64::from(number.wrapping_mul(PHASE_STEP) % ENTRIES as u32);
        Queue {
            topic_hash: xxh3_64(topic.as_bytes()),
            topic,
            queue_id,
            watched: false,
            phase,
            min,
            next: min,
            visible: min,
            pages: VecDeque::new(),
            first_page: (min + phase) / PAGE,
            memory_first: min,
            chunks: SmallVec::new(),
            taken: 0,
        }
    }

    /// Whether this is the queue of that name, up to names with the same 64-bit hash.
    #[inline]
    pub fn is(&self, topic: &str, queue_id: i32) -> bool {
        let same = self.queue_id == queue_id && self.topic_hash == xxh3_64(topic.as_bytes());
        debug_assert!(!same || *self.topic == *topic);
        same
    }

    pub fn min(&self) -> i64 {
        self.min
    }

    pub fn next(&self) -> i64 {
        self.next
    }

    /// Offset of the first entry that is in memory and not only in a page.
    pub fn memory_first(&self) -> i64 {
        self.memory_first
    }

    fn page_of(&self, offset: i64) -> i64 {
        (offset + self.phase) / PAGE
    }

    fn ends_page(&self, end: i64) -> bool {
        (end + self.phase) % PAGE == 0
    }

    /// Adds the next entry. True if that completes a page.
    #[inline]
    pub fn push(&mut self, location: Location) -> bool {
        let begins = self.ends_page(self.next) || self.chunks.is_empty();
        if begins {
            self.chunks.push(Vec::with_capacity(FIRST_ENTRIES));
        }
        let chunks = self.chunks.len();
        let chunk = self.chunks.last_mut().expect("a chunk was added when there was none");
        // A gap or a step back here would show one message under the offset of another, for ever.
        assert!(chunk.len() < ENTRIES, "a chunk of more entries than a page takes");
        assert!(
            chunks > 1 || self.memory_first + chunk.len() as i64 == self.next,
            "a gap in the offsets of a queue"
        );
        assert!(
            chunk.last().is_none_or(|last| last.unpack().end() <= location.position),
            "messages of a queue follow each other in the log"
        );
        if chunk.len() == chunk.capacity() {
            let most = ENTRIES - chunk.len();
            chunk.reserve_exact((chunk.len() / 2).max(FIRST_ENTRIES).min(most));
        }
        chunk.push(location.pack());
        self.next += 1;
        self.ends_page(self.next)
    }

    /// Asks for the memory that [`Queue::push`] will write.
    #[inline]
    pub fn prefetch_entry(&self) {
        if let Some(chunk) = self.chunks.last() {
            prefetch(chunk.as_ptr().wrapping_add(chunk.len()));
        }
    }

    /// Where the entry at `offset` is, visible or not; `None` outside of what the queue has.
    pub fn place(&self, offset: i64) -> Option<Place> {
        if offset < self.min || offset >= self.next {
            return None;
        }
        if offset < self.memory_first {
            let index = usize::try_from(self.page_of(offset) - self.first_page).ok()?;
            return self.pages.get(index).map(|page| Place::Page(page.block()));
        }
        let chunk = (self.page_of(offset) - self.page_of(self.memory_first)) as usize;
        let at = (offset - self.chunk_first(chunk)) as usize;
        let packed = self.chunks.get(chunk)?.get(at)?;
        Some(Place::Memory(packed.unpack()))
    }

    /// The pages on disk from that of `from` on, at most `max`, each with an offset that it has;
    /// and the offset behind them.
    pub fn pages_from(&self, from: i64, max: usize) -> (Vec<(i64, u64)>, i64) {
        let (mut pages, mut offset) = (Vec::new(), from.max(self.min));
        while pages.len() < max
            && offset < self.memory_first
            && let Some(Place::Page(block)) = self.place(offset)
        {
            pages.push((offset, block));
            offset = (self.page_of(offset) + 1) * PAGE - self.phase;
        }
        (pages, offset)
    }

    /// Log position of the message at `offset`, or of an earlier one of the same page: what is
    /// known without reading the page. `None` outside of what the queue has.
    pub fn position_floor(&self, offset: i64) -> Option<u64> {
        match self.place(offset)? {
            Place::Memory(location) => Some(location.position),
            Place::Page(_) => {
                let index = usize::try_from(self.page_of(offset) - self.first_page).ok()?;
                self.pages.get(index).map(|page| page.position())
            }
        }
    }

    fn in_memory(&self, offset: i64) -> Location {
        match self.place(offset) {
            Some(Place::Memory(location)) => location,
            other => unreachable!("offset {offset} is in memory, not {other:?}"),
        }
    }

    /// One past the last entry in memory that ends within the first `end` bytes of the log.
    pub fn ending_within(&self, from: i64, end: u64) -> i64 {
        let (mut low, mut high) = (from.max(self.memory_first).max(self.min), self.next);
        // The usual case.
        if low < high && self.in_memory(high - 1).end() <= end {
            return high;
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if self.in_memory(middle).end() <= end {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// One past the last entry that ends within the first `written` bytes of the log. What is in
    /// pages only always does.
    pub fn visible(&mut self, written: u64) -> i64 {
        if self.visible < self.next {
            let last = self.place(self.next - 1);
            let hidden = matches!(last, Some(Place::Memory(last)) if last.end() > written);
            self.visible =
                if hidden { self.ending_within(self.visible, written) } else { self.next };
        }
        self.visible
    }

    /// Log position of the first message, or of one shortly before it.
    pub fn first_position(&self) -> Option<u64> {
        let entry = || self.chunks.first()?.first().map(|entry| entry.unpack().position);
        self.pages.front().map(|page| page.position()).or_else(entry)
    }

    /// Takes the oldest entries that no page has, if they make up one and end within the first
    /// `stable` bytes of the log: offset of the first, and the entries. They stay in memory.
    pub fn take_page(&mut self, stable: u64) -> Option<(i64, &[Packed])> {
        let first = self.chunk_first(self.taken);
        let chunk = self.chunks.get(self.taken)?;
        let last = chunk.last()?.unpack();
        if !self.ends_page(first + chunk.len() as i64) || last.end() > stable {
            return None;
        }
        self.taken += 1;
        self.chunks.get(self.taken - 1).map(|chunk| (first, chunk.as_slice()))
    }

    /// The page that was taken first is on stable storage at `block`.
    pub fn page_written(&mut self, block: u64) {
        self.taken = self.taken.checked_sub(1).expect("a page was taken");
        assert!(!self.chunks.is_empty(), "the page was made of the first chunk");
        let chunk = self.chunks.remove(0);
        let first = chunk.first().expect("chunks are not empty").unpack();
        self.add_page(self.memory_first, PageRef::new(block, first.position));
        self.memory_first += chunk.len() as i64;
    }

    /// The page that was taken last is not written.
    pub fn give_back(&mut self) {
        self.taken = self.taken.checked_sub(1).expect("a page was taken");
    }

    /// Offset of the first entry of a chunk.
    fn chunk_first(&self, chunk: usize) -> i64 {
        match chunk {
            0 => self.memory_first,
            _ => (self.page_of(self.memory_first) + chunk as i64) * PAGE - self.phase,
        }
    }

    fn add_page(&mut self, first: i64, page: PageRef) {
        if self.pages.is_empty() {
            self.first_page = self.page_of(first);
        }
        self.pages.push_back(page);
    }

    /// While a store is opened: a page that begins at `first` and was written before the snapshot.
    /// False if pages are missing before it, or it cannot be one of the queue.
    #[must_use]
    pub fn restore_page(&mut self, first: i64, page: PageRef) -> bool {
        let number = self.page_of(first);
        let follows = self.first_page + self.pages.len() as i64;
        let fits = first >= 0 && first < self.memory_first && first <= self.next;
        // What retention has removed was before the first page that counts.
        if (number + 1) * PAGE - self.phase <= self.min {
            return true;
        }
        if !fits || !(self.pages.is_empty() || follows == number) {
            return false;
        }
        self.add_page(first, page);
        true
    }

    /// While a store is opened: what the snapshot says of the queue, before pages and entries.
    pub fn restore(&mut self, min: i64, memory_first: i64) {
        self.min = min;
        self.memory_first = memory_first;
        self.next = memory_first;
        self.visible = min.max(memory_first);
        self.first_page = self.page_of(memory_first);
    }

    /// While a store is opened that retention has cut after the snapshot: offsets whose pages are
    /// gone are gone.
    pub fn skip_missing_pages(&mut self) {
        if !self.is_complete() {
            let first = self.first_page * PAGE - self.phase;
            let first = if self.pages.is_empty() { self.memory_first } else { first };
            self.raise_min(first);
        }
    }

    /// Whether pages reach from the first offset to the entries in memory.
    pub fn is_complete(&self) -> bool {
        let first = self.min.max(0);
        first >= self.memory_first
            || (self.first_page <= self.page_of(first)
                && self.first_page + self.pages.len() as i64
                    == self.page_of(self.memory_first - 1) + 1)
    }

    /// Entries from `from` on to `end`, all of them in memory.
    pub fn entries(&self, from: i64, end: i64) -> impl Iterator<Item = Location> {
        let skipped = usize::try_from(from - self.memory_first).expect("`from` is in memory");
        let count = usize::try_from(end - from).unwrap_or(0);
        assert!(end <= self.next);
        self.chunks.iter().flatten().skip(skipped).take(count).map(|entry| entry.unpack())
    }

    /// Raises the first offset past what lies before `first` in the log, as far as that is known
    /// without a page. What must be read to know exactly: the page at this block.
    pub fn trim(&mut self, first: u64) -> Option<u64> {
        let after = self.pages.partition_point(|page| page.position() < first);
        let straddles = after.checked_sub(1);
        let from = match straddles {
            Some(page) => (self.first_page + page as i64) * PAGE - self.phase,
            None => self.min,
        };
        self.raise_min(from);
        if straddles.is_some_and(|page| page + 1 < self.pages.len()) {
            return self.pages.front().map(|page| page.block());
        }
        // The entries in memory tell; the last page is asked only if all of these stay.
        let before = self.chunks.iter().flatten();
        let gone = before.take_while(|entry| entry.unpack().position < first).count() as i64;
        if gone > 0 || self.pages.is_empty() {
            self.raise_min(self.memory_first + gone);
            return None;
        }
        straddles.and_then(|_| self.pages.front().map(|page| page.block()))
    }

    /// Raises the first offset; pages wholly before it are forgotten.
    pub fn raise_min(&mut self, min: i64) {
        self.min = self.min.max(min.min(self.next));
        self.visible = self.visible.max(self.min);
        while !self.pages.is_empty() && (self.first_page + 1) * PAGE - self.phase <= self.min {
            self.pages.pop_front();
            self.first_page += 1;
        }
        if self.pages.is_empty() {
            self.first_page = self.page_of(self.memory_first);
        }
    }

    /// Bytes of memory of the entries that are in no page, and of the directory.
    pub fn memory(&self) -> (usize, usize) {
        let entries: usize = self.chunks.iter().map(Vec::capacity).sum();
        (entries * size_of::<Packed>(), self.pages.capacity() * size_of::<PageRef>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(offset: i64) -> Location {
        Location {
            position: 4096 + 32 + offset.cast_unsigned() * 200,
            size: 150,
            tags_code: -offset,
        }
    }

    fn filled(number: u32, min: i64, count: i64) -> (Queue, Vec<i64>) {
        let mut queue = Queue::new(number, "T".into(), 3, min);
        let ends = (min..min + count).filter(|offset| queue.push(location(*offset))).collect();
        (queue, ends)
    }

    #[test]
    fn entries_are_found_in_memory_and_in_pages() {
        for (number, min) in [(0, 0), (1, 0), (2, 0), (3, 1000), (203, 7)] {
            let (mut queue, ends) = filled(number, min, 5000);
            assert!((24..=25).contains(&ends.len()));
            let mut first = min;
            for (block, end) in (100..).zip(&ends) {
                assert_eq!(queue.take_page(location(*end).end() - 1), None);
                queue.take_page(location(*end).end()).expect("full");
                queue.give_back();
                let (begins, entries) = queue.take_page(location(*end).end()).expect("full");
                assert_eq!((begins, entries.len() as i64), (first, end + 1 - first));
                queue.page_written(block);
                assert_eq!(queue.place(first), Some(Place::Page(block)));
                assert_eq!(queue.place(*end), Some(Place::Page(block)));
                first = end + 1;
                let memory = queue.place(first).map(|_| Place::Memory(location(first)));
                assert_eq!(queue.place(first), memory);
            }
            assert_eq!((queue.place(min - 1), queue.place(min + 5000)), (None, None));
            assert!(queue.is_complete() && queue.take_page(u64::MAX).is_none());
        }
    }

    #[test]
    fn what_is_written_is_visible() {
        let (mut queue, _) = filled(5, 0, 1000);
        assert_eq!(queue.visible(0), 0);
        assert_eq!(queue.visible(location(633).end()), 634);
        assert_eq!(queue.visible(location(634).end() - 1), 634);
        assert_eq!(queue.visible(u64::MAX), 1000);
    }

    #[test]
    fn trimming_raises_the_first_offset_or_asks_for_the_page_that_knows() {
        for written in [0, 3, 4] {
            let (mut queue, ends) = filled(9, 0, 1000);
            (0..written).for_each(|_| assert!(queue.take_page(u64::MAX).is_some()));
            (0..written).for_each(|block| queue.page_written(block));
            for gone in [1, 100, 300, 555, 999, 1000] {
                if let Some(block) = queue.trim(location(gone).position) {
                    assert!(gone <= ends[block as usize] + 1, "{gone} {block} {ends:?}");
                    assert!(queue.min() <= gone);
                    queue.raise_min(gone);
                }
                assert_eq!((queue.min(), queue.next()), (gone, 1000), "{written} pages");
                assert!(queue.is_complete(), "{written} pages, {gone} gone");
                assert_eq!(queue.place(gone - 1), None);
                assert_eq!(queue.place(gone).is_some(), gone < 1000);
            }
        }
    }

    #[test]
    fn page_references_keep_both_numbers() {
        let most = (1 << 48) - 1;
        for (block, position) in [(0, 0), (most, 5), (5, most), (1 << 33, 1 << 34)] {
            let page = PageRef::new(block, position);
            assert_eq!((page.block(), page.position()), (block, position));
        }
    }
}
