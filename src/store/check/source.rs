//! Reads a file of records from front to back, past places that the device cannot read.

use std::time::Duration;

use ringmq_base::limits::BLOCK_BYTES;
use ringmq_io::{File as _, Runtime};

use crate::{
    api::cases::Found,
    files::{
        block::block_floor,
        envelope::{self, Envelope, Reject},
        segment::FileOf,
    },
};

/// So many bytes without an intact record end the search for later records behind the end of a
/// log: no write ever leaves such a gap.
pub const GAP_BYTES_MAX: u64 = 64 << 20;
/// What stands for bytes that cannot be read; no record looks like it.
const UNREADABLE: u8 = 0xFF;

/// How fast to read.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Bytes of one read, a multiple of 4096.
    pub read_bytes: usize,
    /// 0: as fast as it goes.
    pub bytes_per_second: u64,
}

impl Pace {
    pub const FULL: Pace = Pace { read_bytes: 1 << 20, bytes_per_second: 0 };
}

/// What stands somewhere.
pub enum Place {
    /// An intact record.
    Record(Envelope),
    /// Nothing of that kind. `newer`: intact, but of a later format.
    Other { found: Found, what: String, newer: bool },
}

/// The bytes of one file, by log position.
pub struct Source<'a, R: Runtime> {
    runtime: &'a R,
    file: &'a FileOf<R>,
    /// Position of the first byte of the file, and where reading ends.
    start: u64,
    end: u64,
    pace: Pace,
    base: u64,
    bytes: Vec<u8>,
    ended: bool,
    /// Bytes that came from the disk.
    pub read: u64,
    /// Positions of blocks that could not be read, and why not.
    pub unreadable: Vec<(u64, String)>,
}

impl<'a, R: Runtime> Source<'a, R> {
    /// Reads `start..end`, from the block of `position` on.
    pub fn new(
        runtime: &'a R,
        file: &'a FileOf<R>,
        (start, end): (u64, u64),
        position: u64,
        pace: Pace,
    ) -> Self {
        let base = start + block_floor(position - start);
        Source {
            runtime,
            file,
            start,
            end,
            pace,
            base,
            bytes: Vec::new(),
            ended: false,
            read: 0,
            unreadable: Vec::new(),
        }
    }

    /// The bytes at `position`: at least `need`, or what there is. Positions do not go back.
    pub async fn at(&mut self, position: u64, need: usize) -> &[u8] {
        let mut skip = position.checked_sub(self.base).expect("sources go forward") as usize;
        while self.bytes.len() < skip + need && !self.ended {
            let used = skip.min(self.bytes.len());
            self.bytes.drain(..used);
            self.base += used as u64;
            skip -= used;
            self.fill().await;
        }
        self.bytes.get(skip..).unwrap_or_default()
    }

    async fn fill(&mut self) {
        let at = self.base + self.bytes.len() as u64;
        // A read begins on a block boundary of the file, which may be before what is wanted.
        let from = self.start + block_floor(at - self.start);
        let count = self.end.saturating_sub(from).min(self.pace.read_bytes as u64) as usize;
        if count == 0 || from < at {
            self.ended = true;
            return;
        }
        match self.file.read(from - self.start, count).await {
            Ok(read) => {
                self.bytes.extend_from_slice(read.bytes());
                self.read += read.bytes().len() as u64;
                self.ended = read.bytes().len() < count;
            }
            Err(_) => self.fill_by_block(from, count).await,
        }
        let nanoseconds = (count as u64 * 1_000_000_000).checked_div(self.pace.bytes_per_second);
        match nanoseconds {
            Some(pause) => self.runtime.sleep(Duration::from_nanos(pause)).await,
            None => self.runtime.yield_if_needed().await,
        }
    }

    async fn fill_by_block(&mut self, from: u64, count: usize) {
        for block in (from..from + count as u64).step_by(BLOCK_BYTES) {
            match self.file.read(block - self.start, BLOCK_BYTES).await {
                Ok(read) => {
                    self.bytes.extend_from_slice(read.bytes());
                    self.read += read.bytes().len() as u64;
                    if read.bytes().len() < BLOCK_BYTES {
                        self.ended = true;
                        return;
                    }
                }
                Err(error) => {
                    self.unreadable.push((block, error.source.to_string()));
                    self.bytes.resize(self.bytes.len() + BLOCK_BYTES, UNREADABLE);
                }
            }
        }
    }

    /// What stands at `position`.
    pub async fn look(&mut self, position: u64) -> Place {
        let mut opened = Envelope::open(self.at(position, envelope::BYTES).await, position);
        if let Err(Reject::Short(need)) = opened {
            opened = Envelope::open(self.at(position, need).await, position);
        }
        let reject = match opened {
            Ok(envelope) => return Place::Record(envelope),
            Err(reject) => reject,
        };
        let found = match reject {
            Reject::Nothing if self.at(position, 1).await.is_empty() => {
                let what = "the end of the file".to_owned();
                return Place::Other { found: Found::EndOfFile, what, newer: false };
            }
            Reject::Nothing => Found::Zeros,
            _ => Found::Garbage,
        };
        let newer = matches!(reject, Reject::Newer(_));
        Place::Other { found, what: reject.to_string(), newer }
    }

    /// The payload of the record at `position`, which [`Source::look`] has just found.
    pub async fn payload(&mut self, position: u64, envelope: &Envelope) -> &[u8] {
        let end = envelope::BYTES + envelope.length as usize;
        self.at(position, end).await.get(envelope::BYTES..end).unwrap_or_default()
    }

    /// The first intact record at `position` or less than `within` bytes behind it.
    pub async fn next_record(&mut self, position: u64, within: u64) -> Option<(u64, Envelope)> {
        let mut at = position;
        while at - position < within {
            let bytes = self.at(at, envelope::BYTES).await;
            if bytes.len() < envelope::BYTES {
                return None;
            }
            let zero = bytes.iter().take_while(|byte| **byte == 0).count();
            let zero = zero - zero % envelope::ALIGNMENT;
            if zero > 0 {
                at += zero as u64;
                continue;
            }
            match self.look(at).await {
                Place::Record(envelope) => return Some((at, envelope)),
                Place::Other { .. } => at += envelope::ALIGNMENT as u64,
            }
        }
        None
    }

    /// Why the range cannot be read, if a part of it cannot.
    pub fn unreadable(&self, from: u64, to: u64) -> Option<&str> {
        let touches = |block: u64| block < to && block + BLOCK_BYTES as u64 > from;
        let found = self.unreadable.iter().find(|(block, _)| touches(*block));
        found.map(|(_, why)| why.as_str())
    }
}
