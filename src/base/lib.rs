//! Layer 0: the words that all other crates share: identifiers, checksums, hashes, limits and
//! configuration.
//! May depend on nothing of the workspace. Only `config` reads from outside, once at the start.

pub mod budgets;
pub mod checksum;
pub mod config;
pub mod hash;
pub mod ids;
pub mod injected_bugs;
pub mod limits;
pub mod log_level;
pub mod prefetch;
pub mod read_buffer;
pub mod read_limits;
pub mod record;
pub mod scan;
pub mod segment_info;
pub mod text;
pub mod units;
pub mod write_latency;

pub use ids::{Epoch, LogId, LogPosition, PhysicalOffset, QueueId, QueueOffset, ShardId};
pub use read_limits::ReadLimits;
pub use segment_info::SegmentInfo;
pub use write_latency::WriteLatency;
