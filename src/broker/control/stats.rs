//! Statistics of topics and groups: what the shards have counted, collected every few seconds and
//! when somebody asks.

use std::sync::Arc;

use ringmq_base::units::human_bytes;
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
        let (since, now) = (self.stats_to.get(), self.shard.runtime.now_ms());
        if !(0..FRESH_MS).contains(&(now - since)) {
            self.collect().await;
        }
    }

    /// Collects what the shards have counted up to now.
    pub async fn collect(&self) {
        let _turn = self.collecting.take().await;
        let shard = &self.shard;
        let (since, now) = (self.stats_to.get(), shard.runtime.now_ms());
        self.stats_to.set(now);
        let has_metrics = shard.settings.metrics.is_some();
        let mut left_out = false;
        let none: Arc<str> = Arc::from("");
        let mut put = Counts::default();
        let mut got = Counts::default();
        for (number, topic) in shard.take_usage().await.into_iter().enumerate() {
            if number % SLICE_TOPICS == SLICE_TOPICS - 1 {
                shard.runtime.yield_if_needed().await;
            }
            if has_metrics {
                left_out |= self.series.borrow_mut().add(&topic);
            }
            let mut stats = self.stats.borrow_mut();
            if topic.puts != Counts::default() {
                put.add(&topic.puts);
                stats.add((topic.name.clone(), none.clone()), (since, now), &topic.puts);
            }
            for (group, group_usage) in topic.groups {
                got.add(&group_usage.counts);
                stats.add((topic.name.clone(), group), (since, now), &group_usage.counts);
            }
        }
        if left_out {
            self.note_left_out().await;
        }
        let mut stats = self.stats.borrow_mut();
        for (name, counts) in [(BROKER_PUTS, put), (BROKER_GETS, got)] {
            if counts != Counts::default() {
                stats.add((Arc::from(name), none.clone()), (since, now), &counts);
            }
        }
    }

    /// There are too many series: those whose topic or group is gone make room, and it is said
    /// once.
    async fn note_left_out(&self) {
        let (topics, pairs) = self.series.borrow().counts();
        if self.series.borrow_mut().tells_first() {
            let most = self.shard.settings.config.metrics_otel_cardinality_limit;
            tracing::warn!(
                "metrics of some topics or groups are left out: there are those of {topics} topics \
                 and {pairs} groups in topics, the limit is {most} of each (key \
                 metricsOtelCardinalityLimit), or {} for all; raise the key, or delete topics that \
                 nobody uses; ringmq_metrics_left_out_total counts on",
                human_bytes(self.shard.settings.sizes.tables.metrics_bytes as u64)
            );
        }
        self.sweep_series().await;
    }

    /// Forgets the series of topics and groups that are gone.
    pub async fn sweep_series(&self) {
        let mut last = None;
        loop {
            let some = self.series.borrow().topic_names(last.as_ref(), SLICE_TOPICS);
            let Some(name) = some.last() else { break };
            last = Some(name.clone());
            for name in &some {
                if !self.is_topic(name) {
                    self.series.borrow_mut().forget_topic(name);
                }
            }
            self.shard.runtime.yield_if_needed().await;
        }
        let mut last = None;
        loop {
            let some = self.series.borrow().pair_names(last.as_ref(), SLICE_TOPICS);
            let Some(pair) = some.last() else { break };
            last = Some(pair.clone());
            for pair in &some {
                if !self.is_topic(&pair.0) || !self.is_group(&pair.1) {
                    self.series.borrow_mut().forget_pair(pair);
                }
            }
            self.shard.runtime.yield_if_needed().await;
        }
    }

    fn is_topic(&self, name: &str) -> bool {
        self.tables.borrow().topics.get(name).is_some()
    }

    fn is_group(&self, name: &str) -> bool {
        self.tables.borrow().groups.get(name).is_some()
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
