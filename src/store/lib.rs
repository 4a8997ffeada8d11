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

mod begin;
mod block;
mod cache;
mod checkpoint;
mod complete;
mod counters;
mod directory;
mod envelope;
mod errors;
mod flusher;
mod index;
mod keys;
mod load;
mod log;
mod manifest;
mod mark;
mod meta;
mod options;
mod pacing;
mod plan;
#[cfg(feature = "planted")]
pub mod planted;
#[cfg(not(feature = "planted"))]
mod planted;
mod read;
pub mod recovery;
mod retire;
mod scrub;
mod segment;
mod shared;
mod space;
mod state;
mod tail;
#[cfg(test)]
mod testing;
mod verify;
mod zero;

pub use complete::{META_DIRECTORY, complete_store};
pub use counters::{Counters, Queued};
pub use errors::{AppendError, LogError, OpenError, ReadError};
pub use index::{QueueHandle, read::PageNeeded};
pub use keys::{KeyAnswer, KeyMatch, KeyQuery, KeySizes};
pub use log::Log;
pub use manifest::{Manifest, log_directory, open_manifest};
pub use meta::MetaLog;
pub use options::{FlushMode, LogOptions, Sink};
pub use plan::{Appended, Boundary, Entry, IndexMemory, ReadLimits, ReadPlan, ReadStatus};
pub use recovery::{Recovery, table::Case};
pub use retire::Retired;
pub use ringmq_base::record::NewRecord;
pub use ringmq_base::{SegmentFacts, WriteLatency};
pub use verify::{Damage, FileReport, StoreReport, verify_store};
