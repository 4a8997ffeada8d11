//! What the shards did since the start, and what the control shard makes of it.

use std::{cell::Cell, rc::Rc};

use ringmq_io::Runtime;

use crate::{
    messages::ask::{Answer, Ask, ShardTotals},
    shard::Shard,
};
use ringmq_rules::rates::Totals;

/// Pulls that a shard has answered.
#[derive(Default)]
pub struct Pulled {
    found: Cell<u64>,
    missed: Cell<u64>,
    messages: Cell<u64>,
}

impl Pulled {
    /// A pull is answered with so many messages.
    pub fn note(&self, messages: usize) {
        let times = if messages == 0 { &self.missed } else { &self.found };
        times.set(times.get() + 1);
        self.messages.set(self.messages.get() + messages as u64);
    }
}

impl<R: Runtime> Shard<R> {
    /// What this shard did since the start.
    pub fn totals(&self) -> ShardTotals {
        let totals = Totals {
            gets_found: self.pulled.found.get(),
            gets_missed: self.pulled.missed.get(),
            transferred: self.pulled.messages.get(),
            delayed_passed_over: self.delayed_passed_over.get(),
            ..Totals::default()
        };
        let mut all = ShardTotals { totals, ..ShardTotals::default() };
        for log in self.own_logs() {
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
            });
        }
        all
    }

    /// What all shards did since the start.
    pub async fn all_totals(self: &Rc<Self>) -> ShardTotals {
        let mut all = ShardTotals::default();
        for shard in self.everybody() {
            if let Answer::Totals(one) = self.ask(shard, Ask::Totals).await {
                all.add(&one);
            }
        }
        all
    }
}

impl ShardTotals {
    /// Adds those of another log or shard.
    fn add(&mut self, other: &ShardTotals) {
        self.totals.add(&other.totals);
        self.queued = self.queued + other.queued;
        self.write_latency.add(&other.write_latency);
        self.range = join(self.range, other.range);
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
