//! What a workload does and with which options, drawn from its seed.

use std::{path::PathBuf, time::Duration};

use ringmq_base::LogId;
use ringmq_io::sim::Random;
use ringmq_store::{FlushMode, LogOptions};

use crate::{checker::Queue, messages::Lengths};

const KIB: u64 = 1 << 10;

/// Small sizes, so that little work meets many segments, chunks, marks and pages.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub flush: FlushMode,
    pub segment_bytes: u64,
    pub zero_ahead_bytes: u64,
    pub hot_tail_bytes: usize,
    pub batch_bytes_max: usize,
    pub backlog_bytes_max: usize,
    pub checkpoint_interval: Duration,
    pub async_sync_interval: Duration,
    pub snapshot_bytes: u64,
    pub index_segment_blocks: u64,
    pub index_batch_pages: usize,
    pub index_cache_pages: usize,
    pub block_cache_bytes: usize,
    pub topics: usize,
    pub queues: i32,
    pub producers: u64,
    /// Openings of the store, and messages of each producer in each of them.
    pub processes: u64,
    pub messages: u64,
    pub lengths: Lengths,
    /// A producer pauses after one message in so many, for at most so many microseconds.
    pub pause_one_in: u64,
    pub pause_microseconds: u64,
    /// Old segments are given up now and then, and so many of their files are kept for reuse.
    pub retires: bool,
    pub spare_segments: usize,
    /// One look in so many of the consumer ends with a commit of its offset.
    pub commit_one_in: u64,
}

impl Plan {
    pub fn draw(seed: u64) -> Plan {
        let mut random = Random::new(seed ^ 0x706c_616e);
        let mut of = |choices: &[u64]| choices[random.index(choices.len())];
        let batch_bytes_max = of(&[8 * KIB, 16 * KIB, 64 * KIB]);
        // The large ones are larger than a chunk of the tail, which is a batch here.
        let large_max = of(&[batch_bytes_max * 3 / 2, 6 * KIB, 40 * KIB]).min(40 * KIB);
        let lengths = Lengths {
            usual_max: of(&[40, 300, 300, 900]),
            large_max,
            large_one_in: of(&[0, 20, 40]),
        };
        Plan {
            seed,
            flush: if of(&[0, 1, 1]) == 0 { FlushMode::Async } else { FlushMode::Sync },
            segment_bytes: of(&[64, 64, 96, 256]) * KIB,
            zero_ahead_bytes: of(&[8, 32, 64]) * KIB,
            hot_tail_bytes: usize::try_from(of(&[0, 8, 24, 256]) * KIB).expect("small"),
            batch_bytes_max: usize::try_from(batch_bytes_max).expect("small"),
            backlog_bytes_max: usize::try_from(of(&[16, 48, 256]) * KIB).expect("small"),
            checkpoint_interval: Duration::from_millis(of(&[2, 10, 40, 1000])),
            async_sync_interval: Duration::from_millis(of(&[2, 5, 20])),
            snapshot_bytes: of(&[4, 20, 100, 1000]) * KIB,
            index_segment_blocks: of(&[3, 4, 9]),
            index_batch_pages: usize::try_from(of(&[1, 2, 5])).expect("small"),
            index_cache_pages: usize::try_from(of(&[1, 4])).expect("small"),
            block_cache_bytes: usize::try_from(of(&[0, 16, 256]) * KIB).expect("small"),
            topics: usize::try_from(of(&[1, 2, 3])).expect("small"),
            queues: i32::try_from(of(&[1, 2, 4])).expect("small"),
            producers: of(&[1, 2, 3]),
            processes: of(&[1, 2, 3]),
            messages: of(&[25, 50, 90, 180]),
            lengths,
            pause_one_in: of(&[2, 6, 12]),
            pause_microseconds: of(&[300, 1500, 4000]),
            commit_one_in: of(&[2, 5]),
            retires: of(&[0, 0, 1]) == 1,
            spare_segments: usize::try_from(of(&[0, 1, 3])).expect("small"),
        }
    }

    /// A workload of about 300 operations of the disk, for campaigns that repeat it for each.
    pub fn small(seed: u64, flush: FlushMode) -> Plan {
        let plan = Plan::draw(seed);
        let usual_max = plan.lengths.usual_max.max(300);
        Plan {
            flush,
            segment_bytes: 64 * KIB,
            zero_ahead_bytes: 32 * KIB,
            checkpoint_interval: Duration::from_millis(10),
            snapshot_bytes: 8 * KIB,
            index_batch_pages: 1,
            // So many that the pages of some of them are complete after few messages.
            topics: 3,
            queues: 4,
            producers: 2,
            processes: 1,
            messages: 60,
            lengths: Lengths { usual_max, large_max: 12 * KIB, large_one_in: 12 },
            ..plan
        }
    }

    /// Options of the plan's only log.
    pub fn options(&self, directory: PathBuf, store_id: u128) -> LogOptions {
        let log = LogId::new(0).expect("0 is in range");
        LogOptions {
            flush: self.flush,
            segment_bytes: self.segment_bytes,
            zero_ahead_bytes: self.zero_ahead_bytes,
            hot_tail_bytes: self.hot_tail_bytes,
            batch_bytes_max: self.batch_bytes_max,
            backlog_bytes_max: self.backlog_bytes_max,
            checkpoint_interval: self.checkpoint_interval,
            async_sync_interval: self.async_sync_interval,
            snapshot_bytes: self.snapshot_bytes,
            index_segment_blocks: self.index_segment_blocks,
            index_batch_pages: self.index_batch_pages,
            index_cache_pages: self.index_cache_pages,
            block_cache_bytes: self.block_cache_bytes,
            spare_segments_max: self.spare_segments,
            ..LogOptions::new(directory, log, store_id)
        }
    }

    pub fn all_queues(&self) -> Vec<Queue> {
        let names = ["TopicA", "B", "%RETRY%group"];
        let of = |topic: &&str| (0..self.queues).map(|id| (topic.to_string(), id)).collect();
        names.iter().take(self.topics).flat_map(|topic| -> Vec<Queue> { of(topic) }).collect()
    }
}
