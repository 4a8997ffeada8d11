//! What waits by how far off it is, for metrics.

use std::time::Duration;

use ringmq_io::Runtime;

use super::TimerQueue;
use crate::shard::timer_room::{BOUNDS_SECONDS, Survey};

/// Time between two surveys. With messages in each second of a day one takes about a millisecond.
const PERIOD: Duration = Duration::from_secs(5);
/// Seconds that are looked at without a pause: some microseconds.
const SECONDS_MAX: usize = 1024;

impl<R: Runtime> TimerQueue<'_, R> {
    /// Counts what waits, if metrics are served and the last time is long ago.
    pub(super) async fn survey(&mut self) {
        let now = self.shard.runtime.monotonic();
        let is_due = now.saturating_sub(self.surveyed.0) >= PERIOD;
        if !is_due || self.shard.settings.metrics.is_none() {
            return;
        }
        let now_ms = self.shard.runtime.now_ms();
        let overdue = self.wheel.overdue(now_ms);
        let mut survey = Survey { overdue, ..Survey::default() };
        let second = now_ms.div_euclid(1000);
        let (mut from, mut begun) = (i64::MIN, self.wheel.begun());
        for (count, bound) in survey.distribution.iter_mut().zip(BOUNDS_SECONDS) {
            let to = second + bound;
            let mut next = Some(from);
            *count = std::mem::take(&mut begun);
            while let Some(from) = next {
                let some;
                (some, next) = self.wheel.some_due_in(from..to, SECONDS_MAX);
                *count += some;
                self.shard.runtime.yield_if_needed().await;
            }
            from = to;
        }
        self.surveyed = (now, survey);
        self.count(0);
    }
}
