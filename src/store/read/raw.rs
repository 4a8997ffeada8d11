//! Reading the log as it is, for a replica that is behind what is in memory.

use ringmq_base::{LogPosition, checksum::crc32c};
use ringmq_io::Runtime;

use crate::{
    api::{errors::ReadError, options::Sink},
    files::{
        envelope::{self, ALIGNMENT, Envelope, Kind, Reject},
        segment::{HEADER_BYTES, Segment},
    },
    log::{Log, replica::CopiedRange},
};

/// What [`Log::crc_before`] looks at.
const COMPARED_BYTES: u64 = 4096;

impl<R: Runtime, S: Sink> Log<R, S> {
    /// Reads whole records from `from` on, where one begins, and checks them: at most `bytes_max`
    /// bytes of one segment, unless the first record is larger. Only what is written is read; where
    /// that ends, or nothing is left, the answer is [`CopiedRange::End`] without bytes. Safe to
    /// cancel.
    ///
    /// # Errors
    /// `Removed` if the log begins behind `from`; `Damaged` if what stands there is no record.
    pub async fn read_raw(
        &self,
        from: LogPosition,
        bytes_max: usize,
    ) -> Result<(Vec<u8>, CopiedRange), ReadError> {
        let (from, written) = (from.0, self.shared.state.borrow().written);
        if from >= written {
            return Ok((Vec::new(), CopiedRange::End));
        }
        let segment = self.segment(from, written)?;
        let limit = written.min(segment.end());
        let most = bytes_max.max(envelope::BYTES) as u64;
        let mut bytes = self.load(from, limit.min(from + most)).await?;
        let need = match Envelope::open(&bytes, from) {
            Ok(found) => found.stride(),
            Err(Reject::Short(need)) => need.next_multiple_of(ALIGNMENT),
            Err(_) => 0,
        };
        if need > bytes.len() {
            bytes = self.load(from, limit.min(from + need as u64)).await?;
        }
        let (used, ended) = self.whole_records(&segment, from, &bytes)?;
        bytes.truncate(used);
        let end = from + used as u64;
        let next = if ended { segment.end() + HEADER_BYTES } else { end };
        let range = CopiedRange::Records { end: LogPosition(end), next: LogPosition(next) };
        Ok((bytes, range))
    }

    /// CRC32C of the last bytes before `position`, up to 4,096 of them, as far as they are records
    /// of the same segment; 0 if there are none. Resolves when they are written. Two logs in which
    /// the same epoch has written what is before a position, and in which this is the same too,
    /// have the same bytes there. Safe to cancel.
    ///
    /// # Errors
    /// If they cannot be read, are not in the log any more, or never will be.
    pub async fn crc_before(&self, position: LogPosition) -> Result<u32, ReadError> {
        let Some(last) = position.0.checked_sub(1) else { return Ok(0) };
        let segment = self.segment(last, position.0)?;
        let from = position.0.saturating_sub(COMPARED_BYTES).max(segment.start + HEADER_BYTES);
        if from >= position.0 {
            return Ok(0);
        }
        while self.shared.state.borrow().written < position.0 {
            if position.0 > self.shared.state.borrow().position || !self.shared.is_open() {
                return Err(ReadError::Removed { from, to: position.0 });
            }
            self.shared.published.wait().await;
        }
        Ok(crc32c(&self.load(from, position.0).await?))
    }

    /// How many of the bytes are whole records, at least one of them, and whether the last one ends
    /// the segment.
    fn whole_records(
        &self,
        segment: &Segment<R>,
        from: u64,
        bytes: &[u8],
    ) -> Result<(usize, bool), ReadError> {
        let mut used = 0;
        loop {
            let at = from + used as u64;
            match Envelope::open(bytes.get(used..).unwrap_or_default(), at) {
                Ok(found) if used + found.stride() > bytes.len() => break,
                Ok(found) => {
                    used += found.stride();
                    if found.kind == Kind::EndOfSegment {
                        return Ok((used, true));
                    }
                }
                // The next one who asks is told of it.
                Err(_) if used > 0 => break,
                Err(found) => {
                    let end = from + bytes.len() as u64;
                    return Err(self.damaged(segment, at, end, &found.to_string()));
                }
            }
        }
        Ok((used, false))
    }
}
