//! Sends that wait because their log has too much in memory: for how long, and what they hear then.
//!
//! Everybody may fill the memory of a log, which is there for disks that pause. Who has very much
//! under way fills it with what waits for the disk anyway: such a connection is read no faster than
//! the disk writes, so that its requests wait with the client, and what is taken is taken soon.
//! Source: Java's `BrokerFastFailure`, which answers sends that waited too long in their queue.

use std::time::Duration;

use ringmq_base::LogId;
use ringmq_io::Runtime;
use ringmq_remoting::codes::response;

use super::{BrokerLog, Shard};
use ringmq_rules::{ConnectionId, Refusal};

/// Bytes of a log that wait for the disk, of which a part is being written and the rest goes with
/// the next write: with more of them it does not keep up.
const BEHIND_BYTES: usize = 2 * 1024 * 1024;
/// A connection with more requests under way is not read on while its log does not keep up.
const EAGER_REQUESTS: u32 = 256;

impl<R: Runtime> Shard<R> {
    /// Resolves when a log of this shard has room for a send that has waited `since` a time of the
    /// monotonic clock, or with the answer to it when that is `waitTimeMillsInSendQueue` ago.
    pub async fn log_room(&self, log: LogId, since: Duration) -> Result<(), Refusal> {
        let Some(log) = self.queues.log(log) else {
            return Ok(());
        };
        self.within_patience(log, since, log.room()).await
    }

    /// Whether a connection of this shard has very much under way, and the log does not keep up.
    #[inline]
    pub fn is_flooded(&self, connection: ConnectionId, log: &BrokerLog<R>) -> bool {
        log.backlog_bytes() > BEHIND_BYTES && self.has_very_much_under_way(connection)
    }

    #[cold]
    fn has_very_much_under_way(&self, connection: ConnectionId) -> bool {
        let under_way = self.connections.with(connection, |found| found.requests_under_way());
        under_way.is_some_and(|under_way| under_way > EAGER_REQUESTS)
    }

    /// The same as [`Shard::log_room`], until the log keeps up.
    pub async fn log_caught_up(&self, log: LogId, since: Duration) -> Result<(), Refusal> {
        let Some(log) = self.queues.log(log) else {
            return Ok(());
        };
        self.within_patience(log, since, log.caught_up(BEHIND_BYTES / 2)).await
    }

    async fn within_patience(
        &self,
        log: &BrokerLog<R>,
        since: Duration,
        room: impl Future<Output = ()>,
    ) -> Result<(), Refusal> {
        let Some(limit) = self.live().send_wait_max else {
            room.await;
            return Ok(());
        };
        let room = async {
            room.await;
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
