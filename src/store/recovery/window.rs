//! Reads a segment from front to back through a sliding window.

use ringmq_io::{DiskError, File as _, Runtime};

use crate::files::segment::Segment;

const READ_BYTES: usize = 1 << 20;

/// Bytes of one segment in memory, from `base` on.
pub struct Window<'a, R: Runtime> {
    segment: &'a Segment<R>,
    base: u64,
    bytes: Vec<u8>,
    /// The file ends where the window does.
    ended: bool,
}

impl<'a, R: Runtime> Window<'a, R> {
    /// `from` is a multiple of the block size.
    pub fn new(segment: &'a Segment<R>, from: u64) -> Self {
        Window { segment, base: from, bytes: Vec::new(), ended: false }
    }

    /// The bytes at `position`: at least `need`, or what the file and the segment have. Positions
    /// do not go back.
    pub async fn at(&mut self, position: u64, need: usize) -> Result<&[u8], DiskError> {
        let mut skip = position.checked_sub(self.base).expect("windows go forward") as usize;
        while self.bytes.len() < skip + need && !self.ended {
            let used = skip.min(self.bytes.len());
            self.bytes.drain(..used);
            self.base += used as u64;
            skip -= used;
            let at = self.base + self.bytes.len() as u64;
            let count = (self.segment.end() - at).min(READ_BYTES as u64) as usize;
            if count == 0 {
                self.ended = true;
                break;
            }
            let read = self.segment.reader.read(at - self.segment.start, count).await?;
            self.bytes.extend_from_slice(read.bytes());
            self.ended = read.bytes().len() < count;
        }
        Ok(self.bytes.get(skip..).unwrap_or_default())
    }
}
