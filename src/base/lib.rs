//! Layer 0: the words that all other crates share: identifiers, checksums, hashes and limits.
//! May depend on nothing of the workspace and does no input or output.

pub mod checksum;
pub mod hash;
pub mod ids;
pub mod limits;
pub mod read_buffer;
pub mod record;

pub use ids::{Epoch, LogId, LogPosition, PhysicalOffset, QueueId, QueueOffset, ShardId};
