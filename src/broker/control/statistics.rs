//! What the shards did since the start, added up.

use std::{rc::Rc, time::Duration};

use ringmq_base::WriteLatency;
use ringmq_io::Runtime;
use ringmq_rules::rates::Totals;
use ringmq_store::Queued;

use crate::shard::{Shard, timer_room::TimerUse};

/// What a shard did since the start, and what its logs hold.
#[derive(Clone, Debug, Default)]
pub struct ShardTotals {
    pub totals: Totals,
    /// What waits for the disk, and how long the writes of its logs took since the start.
    pub queued: Queued,
    pub write_latency: WriteLatency,
    /// Smallest and largest physical offset of its logs; `None` if it has none.
    pub range: Option<(i64, i64)>,
    /// How long consumer offsets have not become durable, on the shard where it is longest.
    pub offsets_failing: Duration,
    /// Messages with a time of their own.
    pub timers: TimerUse,
}

/// What all shards did since the start.
pub async fn all_totals<R: Runtime>(shard: &Rc<Shard<R>>) -> ShardTotals {
    let mut all = ShardTotals::default();
    for one in shard.call_all(async |shard: Rc<Shard<R>>| totals(&shard)).await {
        all.add(&one);
    }
    all
}

fn totals<R: Runtime>(shard: &Shard<R>) -> ShardTotals {
    let timers = shard.timer_room.sum();
    let totals = Totals {
        gets_found: shard.pull_counts.found.get(),
        gets_missed: shard.pull_counts.missed.get(),
        transferred: shard.pull_counts.messages.get(),
        delayed_passed_over: shard.delayed_passed_over.get(),
        timers_read: timers.read,
        timers_settled: timers.settled,
        ..Totals::default()
    };
    let offsets_failing = shard.offset_writes.failing_for(shard.runtime.monotonic());
    let mut all = ShardTotals { totals, offsets_failing, timers, ..ShardTotals::default() };
    for log in shard.queues.own_logs() {
        let counters = log.counters();
        let totals = Totals {
            puts: counters.appends,
            put_bytes: counters.append_bytes,
            puts_failed: counters.refused_busy + counters.refused_full,
            ..Totals::default()
        };
        let (first, end) = log.position_range();
        all.add(&ShardTotals {
            totals,
            queued: counters.queued,
            write_latency: counters.write_latency,
            range: Some((first.get(), end.get())),
            ..ShardTotals::default()
        });
    }
    all
}

impl ShardTotals {
    /// Adds those of another log or shard.
    fn add(&mut self, other: &ShardTotals) {
        self.totals.add(&other.totals);
        self.queued = self.queued + other.queued;
        self.write_latency.add(&other.write_latency);
        self.range = join(self.range, other.range);
        self.timers = self.timers.and(&other.timers);
        self.offsets_failing = self.offsets_failing.max(other.offsets_failing);
    }
}

fn join(left: Option<(i64, i64)>, right: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (left, right) {
        (Some((min, max)), Some((other_min, other_max))) => {
            Some((min.min(other_min), max.max(other_max)))
        }
        (left, right) => left.or(right),
    }
}
