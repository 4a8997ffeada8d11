//! How many descriptors the logs of a store may come to need.

use ringmq_base::limits::BLOCK_BYTES;

use crate::api::options::LogOptions;

/// Of one log, whatever it holds: the mark, two segments that are written to with two descriptors
/// beside that for reading, files that are being made, those that are being merged, directories.
const OF_A_LOG: u64 = 24;
/// Of a store: manifest, lock, metadata log with its mark and a new generation.
const OF_A_STORE: u64 = 8;
/// No more than this part of them is index: entries of queues, or of keys, are small beside their
/// messages.
const INDEX_SHARE: u64 = 4;

/// Descriptors that a store of `logs` logs needs at most when its files come to `bytes` bytes, such
/// as those of the whole disk: every segment of a log, and of its indexes, is open for reading. To
/// be set aside before connections get any, for a log that gets none takes no messages when its
/// segment is full.
pub fn descriptors_needed(logs: u16, options: &LogOptions, bytes: u64) -> u64 {
    let block = BLOCK_BYTES as u64;
    let index_bytes = (options.index_segment_blocks * block).max(1);
    let keys = options.keys;
    let key_bytes = (u64::from(keys.slots) * (u64::from(keys.run_pages) + 1) * block).max(1);
    let segments = bytes / options.segment_bytes.max(1)
        + bytes / INDEX_SHARE / index_bytes
        + bytes / INDEX_SHARE / key_bytes;
    OF_A_STORE + u64::from(logs) * OF_A_LOG + segments
}

#[cfg(test)]
mod tests {
    use ringmq_base::LogId;

    use super::*;

    #[test]
    fn every_segment_of_a_full_disk_counts() {
        let options = LogOptions::new("x".into(), LogId::new(0).expect("in range"), 1);
        assert_eq!(descriptors_needed(2, &options, 0), 8 + 48);
        let full = descriptors_needed(2, &options, 1 << 40);
        assert!((9000..10_000).contains(&full), "{full}");
        let small = LogOptions { segment_bytes: 16 << 20, ..options };
        assert!(descriptors_needed(2, &small, 1 << 40) > (1 << 40) / (16 << 20));
    }
}
