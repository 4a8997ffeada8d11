//! Blocks of 4096 bytes with a name, a version and a checksum: headers, marks, manifests.
//!
//! Little-endian: magic (8 bytes), version u32, CRC32C u32 over all other bytes, then the fields;
//! the rest is zero. Place of the checksum and its coverage are the same in every version.

use ringmq_base::{
    checksum::{crc32c, crc32c_append},
    limits::BLOCK_BYTES,
};

/// Where the fields begin.
const FIELDS: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    #[error("{0} bytes instead of a block of 4096")]
    Short(usize),
    #[error("only zeros")]
    Zeros,
    #[error("a wrong magic number")]
    Magic,
    #[error("a wrong checksum")]
    Checksum,
    #[error("format {0}, which is newer than this program")]
    Newer(u32),
}

/// Fills a block: fields are put one behind the other.
pub struct BlockWriter<'a> {
    block: &'a mut [u8],
    at: usize,
}

impl<'a> BlockWriter<'a> {
    /// # Panics
    /// If `block` is not one block.
    pub fn new(block: &'a mut [u8], magic: &[u8; 8], version: u32) -> Self {
        assert_eq!(block.len(), BLOCK_BYTES);
        block.fill(0);
        block[..8].copy_from_slice(magic);
        block[8..12].copy_from_slice(&version.to_le_bytes());
        BlockWriter { block, at: FIELDS }
    }

    fn put(mut self, bytes: &[u8]) -> Self {
        self.block[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
        self
    }

    pub fn u32(self, value: u32) -> Self {
        self.put(&value.to_le_bytes())
    }

    pub fn u64(self, value: u64) -> Self {
        self.put(&value.to_le_bytes())
    }

    pub fn u128(self, value: u128) -> Self {
        self.put(&value.to_le_bytes())
    }

    pub fn seal(self) {
        let crc = checksum(self.block);
        self.block[12..16].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Takes the fields of an intact block in their order.
#[derive(Debug)]
pub struct BlockReader<'a> {
    pub version: u32,
    fields: &'a [u8],
}

impl<'a> BlockReader<'a> {
    pub fn new(block: &'a [u8], magic: &[u8; 8], supported: u32) -> Result<Self, BlockError> {
        if block.len() != BLOCK_BYTES {
            return Err(BlockError::Short(block.len()));
        }
        if block.iter().all(|byte| *byte == 0) {
            return Err(BlockError::Zeros);
        }
        if !block.starts_with(magic) {
            return Err(BlockError::Magic);
        }
        let word = |at: usize| block[at..].first_chunk().copied().map(u32::from_le_bytes);
        if word(12) != Some(checksum(block)) {
            return Err(BlockError::Checksum);
        }
        let version = word(8).unwrap_or(u32::MAX);
        if version > supported {
            return Err(BlockError::Newer(version));
        }
        Ok(BlockReader { version, fields: &block[FIELDS..] })
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (bytes, rest) =
            self.fields.split_first_chunk().expect("a block is larger than its fields");
        self.fields = rest;
        *bytes
    }

    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    pub fn u128(&mut self) -> u128 {
        u128::from_le_bytes(self.take())
    }
}

/// The start of the block that holds `position`.
pub fn block_floor(position: u64) -> u64 {
    position - position % BLOCK_BYTES as u64
}

/// `position` or the start of the next block.
pub fn block_ceiling(position: u64) -> u64 {
    position.next_multiple_of(BLOCK_BYTES as u64)
}

/// Over all of the block but its checksum field.
fn checksum(block: &[u8]) -> u32 {
    crc32c_append(crc32c(&block[..12]), &block[16..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAGIC: &[u8; 8] = b"RMQTEST\0";

    #[test]
    fn blocks_round_trip_and_notice_every_flipped_bit() {
        let mut block = vec![1; BLOCK_BYTES];
        BlockWriter::new(&mut block, MAGIC, 2).u32(7).u64(1 << 40).u128(1 << 100).seal();
        let mut fields = BlockReader::new(&block, MAGIC, 2).expect("intact");
        assert_eq!((fields.u32(), fields.u64(), fields.u128()), (7, 1 << 40, 1 << 100));
        assert_eq!(BlockReader::new(&block, MAGIC, 1).unwrap_err(), BlockError::Newer(2));
        for bit in 0..BLOCK_BYTES * 8 {
            block[bit / 8] ^= 1 << (bit % 8);
            assert!(BlockReader::new(&block, MAGIC, u32::MAX).is_err(), "bit {bit}");
            block[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
