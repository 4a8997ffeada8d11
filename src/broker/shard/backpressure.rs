//! Sends that wait because their log has too much in memory: for how long, and what they hear then.
//! Source: Java's `BrokerFastFailure`, which answers sends that waited too long in their queue.

use std::time::Duration;

use ringmq_base::LogId;
use ringmq_io::Runtime;
use ringmq_remoting::codes::response;

use super::Shard;
use ringmq_rules::Refusal;

impl<R: Runtime> Shard<R> {
    /// Resolves when a log of this shard has room for a send that has waited `since` a time of the
    /// monotonic clock, or with the answer to it when that is `waitTimeMillsInSendQueue` ago.
    pub async fn log_room(&self, log: LogId, since: Duration) -> Result<(), Refusal> {
        let Some(log) = self.queues.log(log) else {
            return Ok(());
        };
        let Some(limit) = self.settings.send_wait_max else {
            log.room().await;
            return Ok(());
        };
        let room = async {
            log.room().await;
            Ok(())
        };
        let patience = async {
            let waited = self.runtime.monotonic().saturating_sub(since);
            self.runtime.sleep(limit.saturating_sub(waited)).await;
            let waited = self.runtime.monotonic().saturating_sub(since);
            Err(waited_too_long(waited, limit, log.backlog_bytes()))
        };
        futures_lite::future::or(room, patience).await
    }
}

#[cold]
fn waited_too_long(waited: Duration, limit: Duration, backlog: usize) -> Refusal {
    let remark = format!(
        "[TIMEOUT_CLEAN_QUEUE]broker busy, start flow control for a while, period in queue: {}ms, \
         size of queue: {backlog} bytes; the limit is {}ms (key waitTimeMillsInSendQueue)",
        waited.as_millis(),
        limit.as_millis()
    );
    Refusal::new(response::SYSTEM_BUSY, remark)
}

#[cfg(test)]
mod tests;
