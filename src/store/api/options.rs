//! What a log is opened with, and what the broker gives it to report to.

use std::{path::PathBuf, time::Duration};

use ringmq_base::{LogId, limits::BLOCK_BYTES};

use crate::api::{
    errors::{LogError, OpenError},
    values::{QueueHandle, SegmentFacts},
};

/// When an append counts as durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushMode {
    /// On stable storage (`O_DSYNC`): survives a power cut.
    Sync,
    /// Accepted by the device: survives the process, not a power cut within the last
    /// [`LogOptions::async_sync_interval`].
    Async,
}

/// Whose epochs a log is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Opening {
    /// Its own: each opening is an epoch, the next one. Nobody else has a copy of the log.
    #[default]
    Alone,
    /// That of a leadership over copies of the log, greater than any that this copy has seen.
    Leads { epoch: u32 },
    /// None of its own: it takes what a leader has written, in the epochs of that. What is behind
    /// its end is removed, so that the same bytes may come again, or others.
    Follows,
}

/// Facts of one log and its budgets. Sizes in bytes.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Where the segments and the mark are; see [`crate::log_directory`].
    pub directory: PathBuf,
    pub log: LogId,
    /// [`crate::Manifest::store_id`]: segments of another store are refused.
    pub store_id: u128,
    pub flush: FlushMode,
    pub opening: Opening,
    /// Size of segments created from now on, a multiple of 4096; at least 64 KiB.
    pub segment_bytes: u64,
    /// How far the segments are allocated and zero-filled ahead of the tail, a multiple of 4096.
    pub zero_ahead_bytes: u64,
    /// Files of segments that were given up, kept for reuse: at most that many.
    pub spare_segments_max: usize,
    /// How much of the tail stays in memory for readers.
    pub hot_tail_bytes: usize,
    /// Memory for blocks of closed parts of the log and its index that were read from disk.
    pub block_cache_bytes: usize,
    /// How fast and how often old segments are read again in search of damage; 0 in either: never.
    pub scrub_bytes_per_second: u64,
    pub scrub_interval: Duration,
    /// Largest write, unless a single record is larger; a multiple of 4096.
    pub batch_bytes_max: usize,
    /// Bytes that may wait for the disk before appends are refused. A batch may bring that to half
    /// as much again.
    pub backlog_bytes_max: usize,
    /// How often the durable mark is written while the log grows.
    pub checkpoint_interval: Duration,
    /// How often written bytes are synced in [`FlushMode::Async`].
    pub async_sync_interval: Duration,
    /// A snapshot of the index is made when the log has grown by so many bytes, or by more if
    /// snapshots are large. About as much is read again at start.
    pub snapshot_bytes: u64,
    /// Blocks of an index segment, 3 or more.
    pub index_segment_blocks: u64,
    /// Pages of the index that wait until they are written together, at most 128.
    pub index_batch_pages: usize,
    /// Pages of the index that stay in memory for readers.
    pub index_cache_pages: usize,
    /// Whether messages are indexed by key.
    pub message_index: bool,
    pub keys: KeySizes,
    /// What a log begins with that has no segment yet, if another one has it already.
    pub first_segment: Option<SegmentFacts>,
}

impl LogOptions {
    pub fn new(directory: PathBuf, log: LogId, store_id: u128) -> LogOptions {
        LogOptions {
            directory,
            log,
            store_id,
            flush: FlushMode::Sync,
            opening: Opening::Alone,
            segment_bytes: 1 << 30,
            zero_ahead_bytes: 64 << 20,
            spare_segments_max: 1,
            hot_tail_bytes: 32 << 20,
            block_cache_bytes: 32 << 20,
            scrub_bytes_per_second: 8 << 20,
            scrub_interval: Duration::ZERO,
            batch_bytes_max: 4 << 20,
            backlog_bytes_max: 64 << 20,
            checkpoint_interval: Duration::from_secs(1),
            async_sync_interval: Duration::from_millis(500),
            snapshot_bytes: 64 << 20,
            index_segment_blocks: 16 << 10,
            index_batch_pages: 64,
            index_cache_pages: 1024,
            message_index: true,
            keys: KeySizes::default(),
            first_segment: None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let block = BLOCK_BYTES as u64;
        let blocks = [
            ("segment_bytes", self.segment_bytes, 16 * block, 1 << 40),
            ("zero_ahead_bytes", self.zero_ahead_bytes, block, 1 << 40),
            ("batch_bytes_max", self.batch_bytes_max as u64, block, 1 << 26),
        ];
        if !(3..1 << 32).contains(&self.index_segment_blocks) {
            let (option, value) = ("index_segment_blocks", self.index_segment_blocks);
            return Err(OpenError::Option { option, value, must: "3 or more" });
        }
        if self.opening == (Opening::Leads { epoch: 0 }) {
            let (option, value) = ("opening", 0);
            return Err(OpenError::Option { option, value, must: "of an epoch from 1 on" });
        }
        for (option, value, least, most) in blocks {
            if value % block != 0 || value < least || value > most {
                let must = "a multiple of 4096 within its range";
                return Err(OpenError::Option { option, value, must });
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
pub struct KeySizes {
    /// Pages of a full run, with 255 entries each.
    pub run_pages: u32,
    /// Runs of a segment; when it has all of them, they are merged to one.
    pub slots: u32,
    /// Full blocks that may wait for the disk, 2 or more.
    pub sealed_max: usize,
}

impl Default for KeySizes {
    /// Runs of 1 MiB, segments of 64 MiB, at most 32 MiB in memory.
    fn default() -> Self {
        KeySizes { run_pages: 256, slots: 64, sealed_max: 32 }
    }
}

/// Where a log reports what became of the appends. Called on the log's own task, never from within
/// [`crate::Log::append`]; the log holds no borrow meanwhile, so its methods may be called.
pub trait Sink: 'static {
    /// What somebody who waits for an append is found by.
    type Ticket: 'static;

    /// All these appends are durable at the log's level and visible. Drain the vector.
    fn durable(&self, tickets: &mut Vec<Self::Ticket>);

    /// The write failed and the log is fenced: these were not acknowledged and never will be. They
    /// may or may not be in the log after the next start.
    fn failed(&self, error: &LogError, tickets: &mut Vec<Self::Ticket>);

    /// Watched queues (see [`crate::Log::watch`]) that got new visible messages; called after
    /// [`Sink::durable`] of the same write.
    fn arrived(&self, queues: &[QueueHandle]);
}
