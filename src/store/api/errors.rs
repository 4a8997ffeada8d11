//! What can go wrong, an enum for each kind of call. Every text says what, where and what to do.

use std::{borrow::Cow, path::PathBuf, sync::Arc};

use ringmq_base::LogPosition;
use ringmq_io::DiskError;

use crate::api::{cases::Case, values::SegmentFacts};

/// Why a store, a log or a metadata log was not opened. Nothing has been changed on disk.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(
        "{path} is not empty and is not a RingMQ store (found {found}); give the store an empty \
         directory of its own", path = path.display()
    )]
    Foreign { path: PathBuf, found: String },
    #[error(
        "{path} has format {found}, this program reads up to {supported}; start the version that \
         wrote it, or a newer one", path = path.display()
    )]
    NewerFormat { path: PathBuf, found: u32, supported: u32 },
    #[error(
        "{path} is damaged: {found}; restore it from a copy, nothing was changed",
        path = path.display()
    )]
    Manifest { path: PathBuf, found: String },
    #[error(
        "{label}: {path}, bytes {from}..{to}: {found}; {remedy}. Nothing was changed",
        label = case.label(), path = path.display(), remedy = case.remedy()
    )]
    Refused { case: Case, path: PathBuf, from: u64, to: u64, found: String },
    #[error("the queue index cannot be cut where retention has cut the log: {found}")]
    Index { found: String },
    #[error(
        "{path} is damaged in both of its blocks ({found}), and what this copy of the store has \
         promised to the others is not known; restore the file, or move the store away and let the \
         copy be filled anew. Nothing was changed", path = path.display()
    )]
    Replica { path: PathBuf, found: String },
    #[error(
        "{path} has seen epoch {seen}, so nothing may be appended to it in epoch {given}; lead in \
         a greater one. Nothing was changed", path = path.display()
    )]
    EpochSeen { path: PathBuf, given: u32, seen: u32 },
    #[error("option {option} is {value}, must be {must}")]
    Option { option: &'static str, value: u64, must: &'static str },
}

/// Why a log was not cut.
#[derive(Debug, thiserror::Error)]
pub enum CutError {
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The other copies lack what this one has promised: nobody may decide that but a person.
    #[error(
        "{path} is committed up to {committed} and was to be cut at {to}: the others lack messages \
         that were acknowledged; find out what became of them before this copy joins again. \
         Nothing was changed", path = path.display()
    )]
    Committed { path: PathBuf, to: u64, committed: u64 },
    #[error(
        "{path} cannot be cut at {to}: {found}; it is not a copy of the log that it is compared \
         with. Nothing was changed", path = path.display()
    )]
    NoRecord { path: PathBuf, to: u64, found: String },
}

impl From<DiskError> for CutError {
    fn from(error: DiskError) -> CutError {
        CutError::Open(error.into())
    }
}

/// Why a log stopped taking or confirming writes.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    #[error(
        "the log accepts no more writes since an operation of its device failed ({reason}); \
         restart the broker when the device is sound"
    )]
    Fenced { reason: Arc<str> },
    #[error(
        "{path} cannot grow by {needed} bytes, {free} are free; free some space",
        path = path.display()
    )]
    Full { needed: u64, free: u64, path: PathBuf },
    /// Nothing was changed, and nothing that was written is in doubt: try again later.
    #[error("not written since {reason}; it is tried again at the next need")]
    Failed { reason: Arc<str> },
    /// One of several records, counted from 0; none of them was written.
    #[error("record {record} has {size} bytes, the limit is {limit}; make it smaller")]
    TooLarge { record: usize, size: usize, limit: usize },
    #[error("the store is shutting down")]
    ShuttingDown,
}

/// Why a message or a batch was not appended. Nothing of it is in the log.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    #[error("{backlog} bytes wait for the disk, the limit is {limit}; send again after a moment")]
    Busy { backlog: usize, limit: usize },
    /// Clears by itself when there is space again.
    #[error(
        "{path} cannot grow by {needed} bytes, {free} are free; free some space",
        path = path.display()
    )]
    Full { needed: u64, free: u64, path: PathBuf },
    #[error(
        "the log accepts no more writes since an operation of its device failed ({reason}); \
         restart the broker when the device is sound"
    )]
    Fenced { reason: Arc<str> },
    /// The log has no room left and cannot get more. Clears by itself when the cause is gone.
    #[error("no room is left in the log since {cause}; it is tried again every moment")]
    NoRoom { cause: Arc<str> },
    /// Of a message or of a batch as a whole; `what` says which. Sending it again is no use.
    #[error("{what} has {size} bytes, the limit is {limit}; send it in smaller parts")]
    TooLarge { what: Cow<'static, str>, size: usize, limit: usize },
    /// Only the master of a group appends by itself.
    #[error("the log follows the master of its group; send to that")]
    Following,
    #[error("the store is shutting down")]
    ShuttingDown,
}

/// Why records of the master were not appended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RawError {
    /// `Busy`: come again when [`crate::Log::room`] has resolved.
    #[error(transparent)]
    Append(AppendError),
    #[error("records for position {at} of a log that ends at {end}; ask where to go on")]
    Position { at: LogPosition, end: LogPosition },
    #[error("the record at {at} is not one that can stand there: {found}; nothing of it was kept")]
    Record { at: LogPosition, found: String },
    #[error("a segment at {start} where the next is due at {due}; ask where to go on")]
    Segment { start: LogPosition, due: LogPosition },
    /// The segment was made for a master that is gone: cutting the log at its end removes it.
    #[error(
        "the segment at {start} was made in epoch {epoch} with {bytes} bytes, the master's is of \
         epoch {} with {}", named.epoch, named.bytes,
        start = known.start, epoch = known.epoch, bytes = known.bytes
    )]
    OtherSegment { known: SegmentFacts, named: SegmentFacts },
    #[error("the log is its group's master's and takes no records of another")]
    Leads,
}

/// Why messages were not read. Nothing wrong is ever handed out.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(
        "damaged message in {path}, log bytes {from}..{to}: {found}; skip its offset or restore \
         the file", path = path.display()
    )]
    Damaged { path: PathBuf, from: u64, to: u64, found: String },
    /// A key segment; messages may be missing from what a search found.
    #[error(
        "damaged key index in {path}, bytes {from}..{to}: {found}; the run is not used any more, \
         remove the file to have its messages indexed again", path = path.display()
    )]
    DamagedKeys { path: PathBuf, from: u64, to: u64, found: String },
    #[error("log bytes {from}..{to} are not in the store any more")]
    Removed { from: u64, to: u64 },
}

impl ReadError {
    /// Whether reading again is of no use before somebody repairs the file: what is behind should
    /// be served, and this be passed over and reported. Otherwise the device or the process may
    /// come round.
    pub fn is_lasting(&self) -> bool {
        match self {
            ReadError::Damaged { .. } | ReadError::DamagedKeys { .. } => true,
            ReadError::Removed { .. } => true,
            ReadError::Disk(_) => false,
        }
    }

    /// Whether the device could not read the medium (EIO and the like): passing for some devices,
    /// lasting for a bad sector, so to be taken for damage after a few tries.
    pub fn is_of_medium(&self) -> bool {
        use std::io::ErrorKind;
        match self {
            ReadError::Disk(error) => {
                let own =
                    [ErrorKind::PermissionDenied, ErrorKind::NotFound, ErrorKind::OutOfMemory];
                let raw = error.source.raw_os_error();
                // Too many open files: of this process, of the machine.
                !own.contains(&error.source.kind()) && !matches!(raw, Some(23 | 24))
            }
            _ => false,
        }
    }
}
