//! Values that reads are asked with and answered by.

use ringmq_base::{LogPosition, PhysicalOffset};

/// The store statuses of RocketMQ that a read of one queue can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadStatus {
    Found,
    /// `keep` turned down all that was scanned.
    NoMatched,
    /// The offset is the next one to be written.
    OffsetOverflowOne,
    /// The offset is beyond the next one to be written.
    OffsetOverflowBadly,
    OffsetTooSmall,
    /// The queue never had a visible message.
    QueueEmpty,
}

/// What a read found and where it is; bytes come from [`crate::Log::copy_resident`] or
/// [`crate::Log::read_cold`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadPlan {
    pub status: ReadStatus,
    /// Where the reader goes on (`nextBeginOffset`).
    pub next_offset: i64,
    pub min: i64,
    /// One past the last visible message.
    pub max: i64,
    /// The message records in queue order: position and size.
    pub extents: Vec<(LogPosition, u32)>,
    /// Sum of the sizes.
    pub bytes: usize,
    /// All extents were in the hot tail when planned.
    pub in_memory: bool,
}

/// What the header of a segment says; the same on all replicas of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFacts {
    pub start: LogPosition,
    /// Size of the whole file when it is complete, header included; a multiple of 4096.
    pub bytes: u64,
    /// In which the segment was made.
    pub epoch: u32,
}

/// How far a log has got, see [`crate::Log::ends`]; `stable` and `committed` are at most `written`,
/// and that is at most `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEnds {
    /// A power cut takes nothing before it.
    pub stable: LogPosition,
    /// Durable at the log's level, see [`crate::FlushMode`].
    pub written: LogPosition,
    /// Visible and acknowledged.
    pub committed: LogPosition,
    /// Where the next append goes.
    pub end: LogPosition,
}

/// Where an append went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub queue_offset: i64,
    /// Of the message record, behind its envelope.
    pub physical: PhysicalOffset,
    /// Bytes of the message record.
    pub size: usize,
    /// Milliseconds since 1970, never less than that of an earlier append.
    pub store_timestamp: i64,
}

/// One entry of a queue, as a RocketMQ consume queue has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub physical: PhysicalOffset,
    pub size: u32,
    pub tags_code: i64,
}

/// Which offset a time between two messages stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// RocketMQ 4: the nearer message, the earlier one if equally near; the last one for later
    /// times.
    Nearest49,
    /// RocketMQ 5, default: the first message not older; one past the last if all are older.
    Lower,
    /// RocketMQ 5: the last message not newer; 0 if all are newer.
    Upper,
}

/// What the queue index of a log takes, in bytes of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexMemory {
    /// Entries that are in no page yet.
    pub entries: usize,
    /// Where the pages are.
    pub directory: usize,
}

/// A queue of one log; valid as long as the [`crate::Log`] that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueHandle(pub(crate) u32);

/// How far the index of a queue has been read ahead, by offset.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadAhead {
    pub(crate) until: i64,
}

/// An entry that cannot be told before [`crate::Log::fetch`] has brought a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageNeeded {
    pub(crate) queue: QueueHandle,
    pub(crate) block: u64,
    /// An entry that the page must have.
    pub(crate) offset: i64,
}
