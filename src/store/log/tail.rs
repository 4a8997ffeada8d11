//! The end of a log in memory: where appends are encoded, what the flusher writes from, and what
//! stays for readers.
//!
//! Chunks are in order of position and do not overlap. A record lies in one chunk and a chunk in
//! one segment. What may still be written again (the block of the written end and all behind it) is
//! always resident, so that no read from disk ever meets a write of the same block.

use std::collections::VecDeque;

use ringmq_base::limits::BLOCK_BYTES;

use crate::files::block::block_floor;

const SPARE_CHUNKS_MAX: usize = 4;

struct Chunk {
    start: u64,
    used: usize,
    /// Messages appended to the log up to the end of this chunk.
    messages: u64,
    bytes: Box<[u8]>,
}

impl Chunk {
    fn end(&self) -> u64 {
        self.start + self.used as u64
    }
}

/// One write of the flusher: `from..end` is new, `from` may be within a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    pub from: u64,
    pub end: u64,
    /// Messages in the log up to `end`, counted since it was opened.
    pub messages: u64,
}

pub struct Tail {
    chunks: VecDeque<Chunk>,
    spare: Vec<Box<[u8]>>,
    chunk_bytes: usize,
    hot_bytes: usize,
    resident_bytes: usize,
    messages: u64,
    /// What begins before was brought from disk unchecked: readers have to check it themselves.
    checked_from: u64,
}

impl Tail {
    /// `resident` are the bytes of the last block of the log that were found on disk, from its
    /// start `from` on; records that begin before `checked_from` have not been checked.
    pub fn new(
        chunk_bytes: usize,
        hot_bytes: usize,
        (from, resident): (u64, &[u8]),
        checked_from: u64,
    ) -> Tail {
        assert!(from.is_multiple_of(BLOCK_BYTES as u64) && resident.len() < BLOCK_BYTES);
        let mut tail = Tail {
            chunks: VecDeque::new(),
            spare: Vec::new(),
            chunk_bytes,
            hot_bytes,
            resident_bytes: 0,
            messages: 0,
            checked_from,
        };
        tail.extend(from, resident.len()).copy_from_slice(resident);
        tail
    }

    /// Adds `bytes` at `position`, which is the end of the last chunk or beyond it; the content is
    /// left to the caller.
    #[inline]
    pub fn extend(&mut self, position: u64, bytes: usize) -> &mut [u8] {
        let fits = self.chunks.back().is_some_and(|chunk| {
            chunk.end() == position && chunk.used + bytes <= chunk.bytes.len()
        });
        if !fits {
            self.add_chunk(position, bytes);
        }
        let chunk = self.chunks.back_mut().expect("a chunk was added when none fitted");
        let at = chunk.used;
        chunk.used += bytes;
        &mut chunk.bytes[at..at + bytes]
    }

    #[inline]
    pub fn count_message(&mut self) {
        self.messages += 1;
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.messages = self.messages;
        }
    }

    /// Messages appended to the log, counted since it was opened.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    #[cold]
    fn add_chunk(&mut self, position: u64, bytes: usize) {
        assert!(self.chunks.back().is_none_or(|chunk| chunk.end() <= position));
        let spare = if bytes <= self.chunk_bytes { self.spare.pop() } else { None };
        let memory = spare.unwrap_or_else(|| vec![0; bytes.max(self.chunk_bytes)].into());
        self.resident_bytes += memory.len();
        let messages = self.messages;
        self.chunks.push_back(Chunk { start: position, used: 0, messages, bytes: memory });
    }

    /// What to write next after `written`: whole chunks of one segment, at least one, together at
    /// most `bytes_max` with the block that `written` is in.
    pub fn next_batch(&self, written: u64, bytes_max: usize) -> Option<Batch> {
        let first = self.chunks.partition_point(|chunk| chunk.end() <= written);
        let mut chunks = self.chunks.range(first..);
        let chunk = chunks.next()?;
        let from = chunk.start.max(written);
        let mut batch = Batch { from, end: chunk.end(), messages: chunk.messages };
        let limit = block_floor(from) + bytes_max as u64;
        for chunk in chunks {
            if chunk.start != batch.end || chunk.end() > limit {
                break;
            }
            batch.end = chunk.end();
            batch.messages = chunk.messages;
        }
        Some(batch)
    }

    /// Where what was appended behind `end` begins, which is the end of a chunk.
    pub fn next_chunk(&self, end: u64) -> Option<u64> {
        let at = self.chunks.partition_point(|chunk| chunk.start < end);
        self.chunks.get(at).map(|chunk| chunk.start)
    }

    /// Copies `from..from + out.len()`. False if not all of it is resident.
    #[must_use]
    pub fn copy(&self, from: u64, out: &mut [u8]) -> bool {
        let mut at = 0;
        while at < out.len() {
            let position = from + at as u64;
            let index = self.chunks.partition_point(|chunk| chunk.end() <= position);
            let Some(chunk) = self.chunks.get(index) else {
                return false;
            };
            let Some(skip) = position.checked_sub(chunk.start) else {
                return false;
            };
            let skip = skip as usize;
            let bytes = (chunk.used - skip).min(out.len() - at);
            out[at..at + bytes].copy_from_slice(&chunk.bytes[skip..skip + bytes]);
            at += bytes;
        }
        true
    }

    /// The bytes of the record at `position` if they lie in one chunk and need no check.
    pub fn get(&self, position: u64, bytes: usize) -> Option<&[u8]> {
        let mut nowhere = usize::MAX;
        self.get_near(&mut nowhere, position, bytes)
    }

    /// The same for one of several records, most of which lie in the chunk of the one before:
    /// `near` is where that was found.
    pub fn get_near(&self, near: &mut usize, position: u64, bytes: usize) -> Option<&[u8]> {
        if position < self.checked_from {
            return None;
        }
        let has = |chunk: &Chunk| chunk.start <= position && position < chunk.end();
        if !self.chunks.get(*near).is_some_and(has) {
            *near = self.chunks.partition_point(|chunk| chunk.end() <= position);
        }
        let chunk = self.chunks.get(*near)?;
        let skip = usize::try_from(position.checked_sub(chunk.start)?).ok()?;
        let end = skip.checked_add(bytes)?;
        if end <= chunk.used { chunk.bytes.get(skip..end) } else { None }
    }

    /// Everything appended at this position or behind it is in memory.
    pub fn resident_from(&self) -> u64 {
        self.chunks.front().map_or(0, |chunk| chunk.start)
    }

    /// Records at this position or behind it are in memory and need no check.
    pub fn readable_from(&self) -> u64 {
        self.resident_from().max(self.checked_from)
    }

    /// Gives memory back, but nothing that a write after `written` may touch.
    pub fn evict(&mut self, written: u64) {
        while self.resident_bytes > self.hot_bytes && self.chunks.len() > 1 {
            let chunk = self.chunks.front().expect("there is more than one");
            if chunk.end() > block_floor(written) {
                return;
            }
            let chunk = self.chunks.pop_front().expect("there is more than one");
            self.resident_bytes -= chunk.bytes.len();
            if chunk.bytes.len() == self.chunk_bytes && self.spare.len() < SPARE_CHUNKS_MAX {
                self.spare.push(chunk.bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_whole_chunks_of_one_segment() {
        let mut tail = Tail::new(4096, 1 << 20, (4096, &[7; 100]), 0);
        tail.extend(4196, 3900).fill(1);
        tail.extend(8096, 1000).fill(2);
        tail.extend(65536 + 4096, 10).fill(3);
        assert_eq!(tail.next_batch(4196, 8192).map(|b| (b.from, b.end)), Some((4196, 9096)));
        assert_eq!(tail.next_batch(4196, 4096).map(|b| (b.from, b.end)), Some((4196, 8096)));
        assert_eq!(tail.next_batch(9096, 8192).map(|b| (b.from, b.end)), Some((69632, 69642)));
        assert_eq!(tail.next_batch(69642, 8192), None);
        let mut out = [0; 10];
        assert!(tail.copy(8090, &mut out));
        assert_eq!(out, [1, 1, 1, 1, 1, 1, 2, 2, 2, 2]);
        assert!(!tail.copy(9090, &mut out), "beyond the end");
    }

    #[test]
    fn the_block_of_the_written_end_is_never_evicted() {
        let mut tail = Tail::new(4096, 0, (4096, &[]), 0);
        for at in 0..10 {
            tail.extend(4096 + at * 3000, 3000).fill(at as u8);
        }
        let written = 4096 + 5 * 3000 + 10;
        tail.evict(written);
        assert!(tail.resident_from() <= block_floor(written));
        assert!(tail.get(block_floor(written), 8).is_some());
        assert!(tail.get(4096, 8).is_none());
    }

    #[test]
    fn a_record_is_found_near_another_or_far_from_it() {
        let mut tail = Tail::new(4096, 1 << 20, (4096, &[]), 0);
        for at in 0..12 {
            tail.extend(4096 + at * 1000, 1000).fill(at as u8);
        }
        for first in 0..12 {
            for second in 0..13 {
                let mut near = 7;
                let mut get = |at: u64| tail.get_near(&mut near, 4096 + at * 1000, 1000);
                assert_eq!(get(first), Some([first as u8; 1000].as_slice()));
                let expected = [second as u8; 1000];
                assert_eq!(get(second), (second < 12).then_some(expected.as_slice()));
            }
        }
    }

    #[test]
    fn what_came_from_disk_unchecked_is_written_again_but_not_read() {
        let mut tail = Tail::new(4096, 0, (4096, &[7; 100]), 4160);
        tail.extend(4196, 10).fill(1);
        assert_eq!((tail.resident_from(), tail.readable_from()), (4096, 4160));
        assert!(tail.get(4128, 8).is_none() && tail.get(4192, 8).is_some());
        assert!(tail.copy(4096, &mut [0; 110]));
    }
}
