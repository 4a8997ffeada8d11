//! What the files of a metadata log are called and made of.

use ringmq_base::limits::BLOCK_BYTES;

use crate::files::{
    block::{BlockError, BlockReader, BlockWriter},
    directory::numbered,
    envelope::{self, Envelope, Kind},
};

const MAGIC: &[u8; 8] = b"RMQMETA\0";
const VERSION: u32 = 1;
pub const HEADER_BYTES: u64 = BLOCK_BYTES as u64;
pub const NEW_NAME: &str = "meta.new";
/// Largest record.
pub const RECORD_BYTES_MAX: usize = envelope::PAYLOAD_BYTES_MAX;

pub fn file_name(generation: u64) -> String {
    format!("meta-{generation:020}.log")
}

pub fn parse_name(name: &str) -> Option<u64> {
    numbered(name, "meta-", ".log")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaHeader {
    pub generation: u64,
    /// Everything before it was on stable storage when the file got its name.
    pub complete: u64,
}

impl MetaHeader {
    pub fn write(&self, block: &mut [u8]) {
        BlockWriter::new(block, MAGIC, VERSION).u64(self.generation).u64(self.complete).seal();
    }

    pub fn read(block: &[u8]) -> Result<MetaHeader, BlockError> {
        let mut fields = BlockReader::new(block, MAGIC, VERSION)?;
        Ok(MetaHeader { generation: fields.u64(), complete: fields.u64() })
    }
}

/// Content of the first generation.
pub fn empty() -> Vec<u8> {
    let mut bytes = vec![0; BLOCK_BYTES];
    MetaHeader { generation: 1, complete: HEADER_BYTES }.write(&mut bytes);
    bytes
}

/// Adds a record that goes to `position`.
pub fn seal(out: &mut Vec<u8>, position: u64, record: &[u8], epoch: u32, stable: u64) {
    let envelope = Envelope::new(Kind::Metadata, record.len(), epoch, 0, position - stable);
    let at = out.len();
    out.resize(at + envelope.stride(), 0);
    out[at + envelope::BYTES..at + envelope::BYTES + record.len()].copy_from_slice(record);
    envelope.seal(&mut out[at..], position);
}
