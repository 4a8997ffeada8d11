//! How offsets of a shard become durable: one write at a time, again what could not be written, and
//! what is said about a failure that lasts.

use std::{cell::RefCell, time::Duration};

use ringmq_net::turn::{Taken, Turn};
use ringmq_rules::refusal::Refusal;

use super::control_plane::NotWritten;

/// Flush intervals after which a failure lasts.
const LASTS_INTERVALS: u32 = 2;

/// A failure that is not over.
struct Failure {
    /// Of the monotonic clock.
    since: Duration,
    /// Of the first write that failed.
    cause: String,
    /// Only some records cannot be written; all others can.
    records_only: bool,
}

/// The state of writing consumer offsets.
#[derive(Default)]
pub struct OffsetWrites {
    turn: Turn,
    failure: RefCell<Option<Failure>>,
}

impl OffsetWrites {
    /// Waits until no write is under way; others wait until the turn is dropped.
    pub async fn turn(&self) -> Taken<'_> {
        self.turn.take().await
    }

    pub fn is_failing(&self) -> bool {
        self.failure.borrow().is_some()
    }

    /// How long offsets have not become durable; 0 if they do.
    pub fn failing_for(&self, now: Duration) -> Duration {
        let failure = self.failure.borrow();
        failure.as_ref().map_or(Duration::ZERO, |failure| now.saturating_sub(failure.since))
    }

    /// A write did not succeed, or not in full.
    pub fn failed(&self, shard: u16, now: Duration, not_written: &NotWritten) {
        let mut failure = self.failure.borrow_mut();
        let records_only = not_written.records_only;
        if let Some(failure) = &mut *failure {
            failure.records_only &= records_only;
            return;
        }
        let cause = not_written.refusal.remark.clone();
        tracing::error!(
            shard,
            changes = not_written.changes.len(),
            "consumer offsets are not durable: {cause}; they are kept and written again until it \
             succeeds"
        );
        *failure = Some(Failure { since: now, cause, records_only });
    }

    /// All that was changed is durable.
    pub fn succeeded(&self, shard: u16, now: Duration) {
        let failure = self.failure.borrow_mut().take();
        if let Some(failure) = failure {
            let after_ms = now.saturating_sub(failure.since).as_millis();
            tracing::info!(shard, after_ms, "consumer offsets are durable again");
        }
    }

    /// Whether a commit that is taken now can be trusted to become durable.
    ///
    /// # Errors
    /// The answer to the client, if it cannot.
    pub fn check(&self, now: Duration, flush_interval: Duration) -> Result<(), Refusal> {
        match &*self.failure.borrow() {
            None => Ok(()),
            Some(failure) => failure.check(now, flush_interval),
        }
    }
}

impl Failure {
    #[cold]
    fn check(&self, now: Duration, flush_interval: Duration) -> Result<(), Refusal> {
        let since = now.saturating_sub(self.since);
        let limit = flush_interval.saturating_mul(LASTS_INTERVALS);
        if self.records_only || since <= limit {
            return Ok(());
        }
        Err(Refusal::system_error(format!(
            "the consumer offset is not stored: for {} ms (the limit is {}, twice \
             flushConsumerOffsetInterval) no offset could be made durable because of this: {}; \
             offsets are taken again within a second of the cause being gone",
            since.as_millis(),
            limit.as_millis(),
            self.cause
        )))
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, poll_once};
    use ringmq_rules::refusal::code;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);

    fn not_written(records_only: bool) -> NotWritten {
        let refusal = Refusal::new(code::SERVICE_NOT_AVAILABLE, "store/meta cannot grow");
        NotWritten { records_only, ..refusal.into() }
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_failure_that_lasts_is_refused_with_cause_time_and_remedy() {
        let writes = OffsetWrites::default();
        assert_eq!(writes.check(seconds(1), INTERVAL), Ok(()));
        writes.failed(0, seconds(10), &not_written(false));
        writes.failed(0, seconds(15), &not_written(false));
        assert_eq!(writes.check(seconds(20), INTERVAL), Ok(()), "two intervals");
        let refusal = writes.check(seconds(21), INTERVAL).expect_err("it lasts");
        assert_eq!(refusal.code, code::SYSTEM_ERROR);
        for part in ["for 11000 ms", "limit is 10000", "store/meta cannot grow", "taken again"] {
            assert!(refusal.remark.contains(part), "{}", refusal.remark);
        }
        assert_eq!(writes.failing_for(seconds(21)), seconds(11));
        writes.succeeded(0, seconds(22));
        assert_eq!(writes.check(seconds(23), INTERVAL), Ok(()));
        assert_eq!(writes.failing_for(seconds(23)), Duration::ZERO);
    }

    #[test]
    fn a_record_that_cannot_be_written_is_refused_to_nobody_else() {
        let writes = OffsetWrites::default();
        writes.failed(0, seconds(0), &not_written(true));
        assert_eq!(writes.check(seconds(100), INTERVAL), Ok(()));
        assert!(writes.is_failing());
        writes.failed(0, seconds(100), &not_written(false));
        assert!(writes.check(seconds(101), INTERVAL).is_err());
    }

    #[test]
    fn writes_do_not_overlap() {
        let writes = OffsetWrites::default();
        block_on(async {
            let turn = writes.turn().await;
            let mut next = Box::pin(writes.turn());
            assert!(poll_once(&mut next).await.is_none());
            drop(turn);
            assert!(poll_once(&mut next).await.is_some());
        });
    }
}
