//! What a log counts, and how long its writes take.

use ringmq_base::write_latency::WriteLatency;

/// Sums since the log was opened, and its state.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Messages appended and their bytes, envelopes included.
    pub appends: u64,
    pub append_bytes: u64,
    /// Completed tail writes and their bytes, rewritten blocks and padding included.
    pub writes: u64,
    pub write_bytes: u64,
    /// Tail writes by messages in them: up to 1, 4, 16, 64, 256, 1,024, 4,096, more.
    pub batch_messages: [u64; 8],
    /// How long tail writes took.
    pub write_latency: WriteLatency,
    /// What waits for a tail write now, the one under way included.
    pub queued: Queued,
    /// The most of each that ever waited.
    pub queued_max: Queued,
    pub syncs: u64,
    /// Bytes zero-filled ahead of the tail.
    pub zeroed_bytes: u64,
    /// Tail writes that had to wait for a zero-fill of the same range.
    pub zero_waits: u64,
    /// Segments that were made of files of earlier ones.
    pub recycled_segments: u64,
    pub cold_reads: u64,
    pub cold_read_bytes: u64,
    /// Pages of the queue index written and read, and snapshots of it.
    pub index_pages: u64,
    pub index_reads: u64,
    pub snapshots: u64,
    /// Reads of pages that failed or found damage.
    pub index_unreadable: u64,
    /// Appends refused because too much waits for the disk, or because the log cannot grow.
    pub refused_busy: u64,
    pub refused_full: u64,
    /// Why the log is fenced, if it is.
    pub fenced: Option<String>,
    /// The disk is full; appends are refused until space is back.
    pub full: bool,
    /// Why the log cannot grow, if it cannot: the disk is full, or a file cannot be made or opened.
    /// Appends are refused when what it has is used up.
    pub stalled: Option<String>,
    /// Blocks that were in the block cache or on their way when wanted, those that were not, and
    /// those put out for others.
    pub cache_hits: u64,
    pub cache_misses: u64,
    pub cache_evictions: u64,
    /// Of `cold_read_bytes`, what was read before anybody wanted it.
    pub read_ahead_bytes: u64,
    /// What was read in search of damage, and damaged ranges known now.
    pub scrubbed_bytes: u64,
    pub damaged_ranges: u64,
}

/// The queue before the disk: what was appended and is not written yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queued {
    pub messages: u64,
    pub bytes: u64,
}

impl Queued {
    /// Of each the larger one.
    pub fn max(self, other: Queued) -> Queued {
        Queued { messages: self.messages.max(other.messages), bytes: self.bytes.max(other.bytes) }
    }
}

impl std::ops::Add for Queued {
    type Output = Queued;

    fn add(self, other: Queued) -> Queued {
        Queued { messages: self.messages + other.messages, bytes: self.bytes + other.bytes }
    }
}
