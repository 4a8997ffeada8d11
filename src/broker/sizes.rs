//! Sizes that no key of the configuration sets: simulations make them tiny.

use std::path::PathBuf;

use ringmq_base::LogId;
use ringmq_rules::limits::{BODIES_MEMORY_MAX, TableLimits};
use ringmq_store::{LogOptions, META_GROW_BYTES};

/// What a pull that waits takes in memory, in bytes, besides a filter of its own.
pub const WAITING_PULL_BYTES: usize = 512;

/// The defaults are the product's.
#[derive(Clone, Debug)]
pub struct Sizes {
    /// Messages (batches) that may lie in one lane.
    pub lane_messages: usize,
    /// Messages a target may be behind before it gets no more requests. Each is a batch.
    pub backlog_messages_max: usize,
    /// Requests that a shard has not handled yet, in bytes, from all shards; more are refused.
    /// Sends and pulls of its own connections do not count, and other requests of those do.
    pub lane_bytes_max: usize,
    /// Bytes of one shard batch after which it is sent without waiting for the end of the turn.
    pub batch_bytes_max: usize,
    /// The same, in messages.
    pub batch_sends_max: usize,
    /// Pulls that may wait on one shard, of [`WAITING_PULL_BYTES`] each: one that brought a long
    /// filter along counts as several.
    pub waiting_pulls_max: usize,
    /// What bodies that a shard handles may become in memory, in bytes.
    pub bodies_memory_max: usize,
    pub tables: TableLimits,
    /// How much space the metadata log takes at a time, in bytes.
    pub meta_grow_bytes: u64,
    /// What logs are opened with, but for what the configuration and the store say.
    pub log: LogOptions,
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes {
            lane_messages: 1024,
            backlog_messages_max: 256,
            lane_bytes_max: 64 * 1024 * 1024,
            batch_bytes_max: 1024 * 1024,
            batch_sends_max: 1024,
            waiting_pulls_max: 200_000,
            bodies_memory_max: BODIES_MEMORY_MAX,
            tables: TableLimits::default(),
            meta_grow_bytes: META_GROW_BYTES,
            log: LogOptions::new(PathBuf::new(), LogId::new(0).expect("0 is in range"), 0),
        }
    }
}
