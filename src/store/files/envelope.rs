//! What stands before every record of a log and tells a record from anything else.
//!
//! Little-endian, 32 bytes, at positions that are multiples of 8:
//!
//! ```text
//!   0 CRC32C    u32  over the log position (u64), then over bytes 4..32 + length
//!   4 magic     u16  0x514D ("MQ")
//!   6 version   u8   1
//!   7 kind      u8   1 message, 2 end of segment, 3 metadata, 4 epoch start
//!   8 length    u32  bytes behind the envelope, without the padding to a multiple of 8
//!  12 epoch     u32  opening of the log that wrote it, 1 for the first; of copies, the leadership
//!  16 tags code i64  of a message, else 0
//!  24 unstable  u32  bytes from the end of what was on stable storage when this was appended up to
//!                    this position; 0xFFFFFFFF if more
//!  28 reserved  u32  0
//! ```
//!
//! The position in the checksum rejects the old content of recycled space; the epoch rejects what
//! a crash left behind a torn tail. `unstable` is what makes damage and torn tail decidable: a
//! record that was appended after a spot had become stable proves that the spot was once intact.

use ringmq_base::checksum::{crc32c, crc32c_append};

use crate::api::injected_bugs;

pub const BYTES: usize = 32;
pub const ALIGNMENT: usize = 8;
pub const MAGIC: u16 = 0x514D;
pub const VERSION: u8 = 1;

/// Nothing longer is ever behind an envelope: no message is larger than a frame.
pub const PAYLOAD_BYTES_MAX: usize = ringmq_base::limits::FRAME_BYTES_MAX;

const UNSTABLE_UNKNOWN: u32 = u32::MAX;

const _: () = assert!(BYTES.is_multiple_of(ALIGNMENT));
const _: () = assert!(ringmq_base::limits::BLOCK_BYTES.is_multiple_of(BYTES));

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Message = 1,
    EndOfSegment = 2,
    Metadata = 3,
    /// The first record of a leadership: see [`super::leadership`].
    EpochStart = 4,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub kind: Kind,
    pub length: u32,
    pub epoch: u32,
    pub tags_code: i64,
    unstable: u32,
}

/// Why bytes are not an envelope with an intact record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// Eight zero bytes, or no byte at all.
    #[error("zeros")]
    Nothing,
    /// Not the magic, or a length beyond the limit.
    #[error("no record")]
    Foreign,
    /// A version or kind that this program does not know, under a valid checksum.
    #[error("a record of version or kind {0}, which this program does not know")]
    Newer(u8),
    /// More bytes are needed: that many in all.
    #[error("a record that is cut off, {0} bytes long")]
    Short(usize),
    /// The checksum does not fit the bytes or the position.
    #[error("a wrong checksum")]
    Checksum,
}

/// Bytes from one envelope to the next for a payload of `length`.
#[inline]
pub fn stride(length: usize) -> usize {
    (BYTES + length).next_multiple_of(ALIGNMENT)
}

/// Whether an envelope may begin with these bytes; a quick look for searches.
#[inline]
pub fn may_begin(bytes: &[u8]) -> bool {
    bytes.get(4..6) == Some(MAGIC.to_le_bytes().as_slice())
}

impl Envelope {
    #[inline]
    pub fn new(kind: Kind, length: usize, epoch: u32, tags_code: i64, unstable: u64) -> Envelope {
        assert!(length <= PAYLOAD_BYTES_MAX, "payload of {length} bytes");
        let unstable = u32::try_from(unstable).unwrap_or(UNSTABLE_UNKNOWN);
        Envelope { kind, length: length as u32, epoch, tags_code, unstable }
    }

    /// Bytes from this envelope to the next.
    pub fn stride(&self) -> usize {
        stride(self.length as usize)
    }

    /// Everything before this was on stable storage when the record at `position` was appended.
    pub fn stable_before(&self, position: u64) -> u64 {
        match self.unstable {
            UNSTABLE_UNKNOWN => 0,
            unstable => position.saturating_sub(u64::from(unstable)),
        }
    }

    /// Writes the envelope in front of its payload. `out` is envelope, payload and padding; the
    /// payload is there already.
    pub fn seal(&self, out: &mut [u8], position: u64) {
        let length = self.length as usize;
        assert_eq!(out.len(), self.stride());
        assert!(position.is_multiple_of(ALIGNMENT as u64));
        out[4..6].copy_from_slice(&MAGIC.to_le_bytes());
        out[6] = VERSION;
        out[7] = self.kind as u8;
        out[8..12].copy_from_slice(&self.length.to_le_bytes());
        out[12..16].copy_from_slice(&self.epoch.to_le_bytes());
        out[16..24].copy_from_slice(&self.tags_code.to_le_bytes());
        out[24..28].copy_from_slice(&self.unstable.to_le_bytes());
        out[28..32].fill(0);
        out[BYTES + length..].fill(0);
        let crc = checksum(&out[4..BYTES + length], position);
        out[..4].copy_from_slice(&crc.to_le_bytes());
    }

    /// Bytes of envelope and payload, as `bytes` claim without being checked.
    pub fn claimed_bytes(bytes: &[u8]) -> Option<usize> {
        let length: &[u8; 4] = bytes.get(8..12)?.first_chunk()?;
        let length = u32::from_le_bytes(*length) as usize;
        let magic = bytes.get(4..6)? == MAGIC.to_le_bytes();
        (magic && length <= PAYLOAD_BYTES_MAX).then_some(BYTES + length)
    }

    /// Checks what stands at the start of `bytes`, which were read from `position`. The payload is
    /// the `length` bytes behind the envelope.
    pub fn open(bytes: &[u8], position: u64) -> Result<Envelope, Reject> {
        let head: &[u8; BYTES] = bytes.first_chunk().ok_or(if bytes.is_empty() {
            Reject::Nothing
        } else {
            Reject::Short(BYTES)
        })?;
        if head[..8] == [0; 8] {
            return Err(Reject::Nothing);
        }
        let word =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let length = word(8);
        if head[4..6] != MAGIC.to_le_bytes() || length as usize > PAYLOAD_BYTES_MAX {
            return Err(Reject::Foreign);
        }
        let end = BYTES + length as usize;
        let guarded = bytes.get(4..end).ok_or(Reject::Short(end))?;
        if checksum(guarded, position) != word(0) && !injected_bugs::counts_in_spite(guarded) {
            return Err(Reject::Checksum);
        }
        let kind = match (head[6], head[7]) {
            (VERSION, 1) => Kind::Message,
            (VERSION, 2) => Kind::EndOfSegment,
            (VERSION, 3) => Kind::Metadata,
            (VERSION, 4) => Kind::EpochStart,
            (VERSION, kind) => return Err(Reject::Newer(kind)),
            (version, _) => return Err(Reject::Newer(version)),
        };
        let tags_code = i64::from(word(16)) | (i64::from(word(20)) << 32);
        Ok(Envelope { kind, length, epoch: word(12), tags_code, unstable: word(24) })
    }
}

fn checksum(guarded: &[u8], position: u64) -> u32 {
    crc32c_append(crc32c(&position.to_le_bytes()), guarded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(payload: &[u8], position: u64) -> Vec<u8> {
        let envelope = Envelope::new(Kind::Message, payload.len(), 7, -5, 100);
        let mut out = vec![0xEE; envelope.stride()];
        out[BYTES..BYTES + payload.len()].copy_from_slice(payload);
        envelope.seal(&mut out, position);
        out
    }

    #[test]
    fn a_sealed_record_opens_at_its_position_only() {
        let bytes = sealed(b"hello", 4096);
        assert_eq!(bytes.len(), 40);
        let envelope = Envelope::open(&bytes, 4096).expect("opens");
        assert_eq!((envelope.epoch, envelope.tags_code, envelope.length), (7, -5, 5));
        assert_eq!(envelope.stable_before(4096), 3996);
        assert_eq!(Envelope::open(&bytes, 4104), Err(Reject::Checksum));
        assert_eq!(Envelope::open(&[0; 64], 0), Err(Reject::Nothing));
        assert_eq!(Envelope::open(&bytes[..36], 4096), Err(Reject::Short(37)));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = sealed(b"hello", 4096);
        for bit in 0..37 * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Envelope::open(&damaged, 4096).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn an_unknown_distance_proves_nothing() {
        let envelope = Envelope::new(Kind::Message, 0, 1, 0, 1 << 40);
        assert_eq!(envelope.stable_before(1 << 41), 0);
    }
}
