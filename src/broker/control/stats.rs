//! Statistics of topics and groups: what the shards have counted, collected every few seconds and
//! when somebody asks.

use std::sync::Arc;

use ringmq_io::Runtime;
use ringmq_rules::stats::Counts;

use super::Control;

/// What was collected less long ago is answered as it is, in milliseconds.
const FRESH_MS: i64 = 1000;
/// Topics whose statistics are added without a pause: some 100 us.
const SLICE_TOPICS: usize = 64;

impl<R: Runtime> Control<R> {
    /// Collects what the shards have counted, unless that was done a moment ago.
    pub async fn update_stats(&self) {
        let shard = &self.shard;
        let (since, now) = (self.stats_to.get(), shard.runtime.now_ms());
        if (0..FRESH_MS).contains(&(now - since)) {
            return;
        }
        self.stats_to.set(now);
        let none: Arc<str> = Arc::from("");
        let mut put = Counts::default();
        let mut got = Counts::default();
        for (number, topic) in shard.take_usage().await.into_iter().enumerate() {
            if number % SLICE_TOPICS == SLICE_TOPICS - 1 {
                shard.runtime.yield_if_needed().await;
            }
            let mut stats = self.stats.borrow_mut();
            if topic.puts != Counts::default() {
                put.add(&topic.puts);
                stats.add((topic.name.clone(), none.clone()), (since, now), &topic.puts);
            }
            for (group, counts) in topic.groups {
                got.add(&counts);
                stats.add((topic.name.clone(), group), (since, now), &counts);
            }
        }
        let mut stats = self.stats.borrow_mut();
        for (name, counts) in [(BROKER_PUTS, put), (BROKER_GETS, got)] {
            if counts != Counts::default() {
                stats.add((Arc::from(name), none.clone()), (since, now), &counts);
            }
        }
    }

    /// Drops what is over.
    pub async fn sweep_stats(&self) {
        let now = self.shard.runtime.now_ms();
        let mut last = None;
        loop {
            last = self.stats.borrow_mut().sweep(last.as_ref(), now);
            if last.is_none() {
                return;
            }
            self.shard.runtime.yield_if_needed().await;
        }
    }
}

/// All messages that were stored, and that consumers got: names that no topic has.
pub const BROKER_PUTS: &str = "@put";
pub const BROKER_GETS: &str = "@get";
