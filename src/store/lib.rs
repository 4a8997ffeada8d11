//! Layer 1: messages on disk. A store is a directory with a [`Manifest`] and a fixed number of
//! logs; a [`Log`] is a sequence of segment files that holds the messages of many queues in the
//! order of their arrival, and the index of those queues in memory. A [`MetaLog`] keeps small
//! records (topics, groups, offsets) in the same manner.
//!
//! May depend on `base` and `io`. Everything here lives on one executor and is not `Send`: a log is
//! owned by one shard. No `RefCell` borrow is held across an await.
//!
//! Promises: an append is reported durable only when it is, at the log's level; nothing is visible
//! to readers before; (queue, offset) names one message for ever; damaged bytes are never handed
//! out and never cut silently; a failed write or sync fences the log. Files are described in
//! `docs/FORMAT.md`.

#![forbid(unsafe_code)]

mod api;
mod cache;
mod check;
mod files;
mod index;
mod keys;
mod lifecycle;
mod log;
mod meta;
mod read;
mod recovery;
mod retire;
mod tasks;
#[cfg(test)]
mod testing;

#[cfg(feature = "planted")]
pub use api::injected_bugs;
pub use api::{
    cases::Case,
    counters::{Counters, Queued},
    descriptors::descriptors_needed,
    errors::{AppendError, CutError, LogError, OpenError, RawError, ReadError},
    options::{FlushMode, KeySizes, LogOptions, Opening, Sink},
    values::{
        Appended, Boundary, Entry, IndexMemory, LogEnds, PageNeeded, QueueHandle, ReadAhead,
        ReadPlan, ReadStatus, SegmentFacts,
    },
};
pub use check::{Damage, FileReport, StoreReport, verify_store};
pub use files::leadership::Leadership;
pub use files::replica::{Replica, ReplicaFile};
pub use files::{
    completeness::complete_store,
    directory::{META_DIRECTORY, log_directory},
    epochs::{EpochStart, Epochs},
    manifest::{FILE_NAME as MANIFEST_NAME, Manifest, open_manifest},
};
pub use log::{
    Log,
    replica::{CopiedRange, StartError},
};
pub use meta::{META_GROW_BYTES, MetaLog};
pub use read::key_query::{KeyAnswer, KeyMatch, KeyQuery};
pub use recovery::{LogCut, Recovery, cut_log};
pub use retire::Retired;
pub use ringmq_base::{ReadLimits, SegmentInfo, WriteLatency, record::NewRecord};
