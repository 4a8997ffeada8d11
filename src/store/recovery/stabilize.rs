//! Makes stable what recovery has found behind the durable mark.
//!
//! A sync alone does not do: if one failed in the process before, a device may have given up what
//! it covered, go on showing it, and report later syncs as well done. What it gave up is stable
//! only if it is written again; see "Can Applications Recover from fsync Failures?" (USENIX ATC
//! 2020).

use std::ops::Range;

use ringmq_io::{BlockBuffer as _, Disk as _, DiskError, File as _, Runtime};

use crate::files::{
    block::{block_ceiling, block_floor},
    segment::Segment,
};

/// Bytes under way at a time.
const WRITE_BYTES: u64 = 1 << 20;

/// Writes the bytes of a segment that are in `found` (positions of the log) again, unchanged, and
/// syncs the file. The segment is open for writing. On stable storage when resolved.
pub async fn make_stable<R: Runtime>(
    disk: &R::Disk,
    segment: &Segment<R>,
    found: &Range<u64>,
) -> Result<(), DiskError> {
    let filler = segment.filler.borrow().clone().expect("the segment is open for writing");
    let mut position = block_floor(found.start.max(segment.start));
    let end = block_ceiling(found.end).min(segment.end());
    while found.start < found.end && position < end {
        let count = (end - position).min(WRITE_BYTES) as usize;
        let read = segment.reader.read(position - segment.start, count).await?;
        let mut buffer = disk.buffer(count);
        let (bytes, rest) = buffer.bytes_mut().split_at_mut(read.bytes().len());
        bytes.copy_from_slice(read.bytes());
        // A file may have been cut within its last block.
        rest.fill(0);
        filler.write(&buffer, position - segment.start).await?;
        position += count as u64;
    }
    filler.sync().await
}
