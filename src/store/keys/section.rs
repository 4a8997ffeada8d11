//! What a snapshot of the log keeps of the key index: the entries that are in no durable run.
//!
//! Little-endian, the checksum is the snapshot's:
//!
//! ```text
//!   0 version          u32   1
//!   4 blocks           u32
//!   8 frontier         u64   all messages before it are noted
//!  16 newest           u64   position of the newest message with a key, 0 without one
//!  24 newest time      u64   its store time in milliseconds
//!  32 blocks: from u64, to u64, base u64, last u64 (times in milliseconds), entries u32, 0 u32,
//!     then 16 bytes an entry (hash u64, place u64), in the order of the log
//! ```

use std::rc::Rc;

use super::{
    buffer::{Block, BufferLimits, KeyBuffer},
    entry::{Entry, UNITS_MAX},
};

const VERSION: u32 = 1;
/// A section goes on with no further block when it has so many entries: 4 MiB.
const ENTRIES_MAX: usize = 256 << 10;

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn u32(&mut self) -> Option<u32> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*word))
    }

    fn u64(&mut self) -> Option<u64> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*word))
    }

    fn time(&mut self) -> Option<i64> {
        self.u64().and_then(|time| i64::try_from(time).ok())
    }
}

struct Section {
    frontier: u64,
    newest: (u64, i64),
    blocks: Vec<Block>,
}

fn decode(bytes: &[u8], entries_max: usize) -> Option<Section> {
    let mut input = Input(bytes);
    if input.u32()? != VERSION {
        return None;
    }
    let count = input.u32()?;
    let frontier = input.u64()?;
    let newest = (input.u64()?, input.time()?);
    let mut blocks: Vec<Block> = Vec::new();
    for _ in 0..count {
        let (from, to) = (input.u64()?, input.u64()?);
        let (base_ms, last_ms) = (input.time()?, input.time()?);
        let entries = input.u32()? as usize;
        input.u32()?;
        if entries > entries_max || input.0.len() / size_of::<Entry>() < entries {
            return None;
        }
        let follows = blocks.last().is_none_or(|before| before.to == from);
        let mut block = Block { from, to, base_ms, last_ms, entries: Vec::new() };
        let mut last = from;
        for _ in 0..entries {
            let entry = Entry::from_words(input.u64()?, input.u64()?);
            if entry.position() < last || entry.units() > UNITS_MAX {
                return None;
            }
            last = entry.position();
            block.entries.push(entry);
        }
        let inside = entries == 0 || last < to;
        if !(follows && inside && from <= to && to <= frontier && base_ms <= last_ms) {
            return None;
        }
        blocks.push(block);
    }
    input.0.is_empty().then_some(Section { frontier, newest, blocks })
}

impl KeyBuffer {
    /// Appends what a snapshot that is replayed from log position `until` on has to keep. If that
    /// were too much for a short turn, the newest blocks are left out; their messages are read from
    /// the log then.
    pub fn encode_section(&self, until: u64, out: &mut Vec<u8>) {
        // What is between the last message and `until` is no message.
        let mut frontier = if self.lagging { self.frontier.min(until) } else { until };
        let mut blocks: Vec<(&Block, usize)> = Vec::new();
        let mut entries = 0;
        for block in self.sealed.iter().map(|block| &**block).chain([&self.open]) {
            if block.from > frontier {
                break;
            }
            if entries >= ENTRIES_MAX {
                frontier = block.from;
                break;
            }
            let before = block.entries.partition_point(|entry| entry.position() < frontier);
            entries += before;
            blocks.push((block, before));
        }
        let put = |out: &mut Vec<u8>, word: u64| out.extend_from_slice(&word.to_le_bytes());
        let put_half = |out: &mut Vec<u8>, word: usize| {
            let word = u32::try_from(word).expect("blocks are bounded");
            out.extend_from_slice(&word.to_le_bytes());
        };
        put_half(out, VERSION as usize);
        put_half(out, blocks.len());
        let newest = if self.newest.0 < until { self.newest } else { (0, 0) };
        put(out, frontier);
        put(out, newest.0);
        put(out, newest.1.max(0).cast_unsigned());
        for (block, count) in blocks {
            // The open block goes as far as messages were noted.
            let to = if block.to > block.from { block.to } else { frontier };
            put(out, block.from);
            put(out, to.min(frontier));
            put(out, block.base_ms.cast_unsigned());
            put(out, block.last_ms.cast_unsigned());
            put_half(out, count);
            put_half(out, 0);
            for entry in block.entries.iter().take(count) {
                let (hash, place) = entry.words();
                put(out, hash);
                put(out, place);
            }
        }
    }

    /// The buffer that goes on behind the durable runs, which hold all messages before `covered`,
    /// with what a snapshot kept; the log is going to be replayed from `replay_from` on. Lags if
    /// that leaves messages out.
    pub fn restore(
        limits: BufferLimits,
        section: Option<&[u8]>,
        covered: u64,
        replay_from: u64,
    ) -> KeyBuffer {
        let mut buffer = KeyBuffer::new(limits, covered);
        if let Some(bytes) = section {
            match decode(bytes, limits.block_entries) {
                None => {
                    tracing::warn!("the snapshot's key section is damaged, keys are read again")
                }
                Some(section) => buffer.take_section(section, covered),
            }
        }
        if buffer.frontier < replay_from {
            buffer.lagging = true;
        }
        buffer
    }

    fn take_section(&mut self, section: Section, covered: u64) {
        if section.newest.0 > 0 {
            self.newest = section.newest;
        }
        let begins = section.blocks.first().map_or(u64::MAX, |block| block.from);
        if begins > covered || section.frontier <= covered {
            // Runs are missing in between, or hold all of it.
            return;
        }
        self.frontier = section.frontier;
        let mut blocks = section.blocks;
        for block in &mut blocks {
            block.entries.retain(|entry| entry.position() >= covered);
        }
        blocks.retain(|block| !block.entries.is_empty());
        if let Some(first) = blocks.first_mut() {
            first.from = covered;
        }
        let Some(mut last) = blocks.pop() else {
            return;
        };
        self.sealed.extend(blocks.into_iter().map(Rc::new));
        if last.entries.len() >= self.limits.block_entries {
            let from = last.to;
            self.sealed.push_back(Rc::new(last));
            last = Block { from, ..Block::default() };
        }
        last.to = last.from;
        self.open = last;
        if !self.has_room() {
            self.lagging = true;
        }
    }
}
