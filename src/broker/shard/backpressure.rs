//! Sends that wait because their log has too much in memory: for how long, and what they hear then.
//!
//! Everybody may fill the memory of a log, which is there for disks that pause. Who has very much
//! under way fills it with what waits for the disk anyway: such a connection is read no faster than
//! the disk writes, so that its requests wait with the client, and what is taken is taken soon.
//! Of logs of other shards it is known when they fall behind and when they have caught up, since
//! those say so.
//! Source: Java's `BrokerFastFailure`, which answers sends that waited too long in their queue.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    rc::Rc,
    time::Duration,
};

use ringmq_base::LogId;
use ringmq_io::{Runtime, Shares, signal::Notify};
use ringmq_remoting::codes::response;

use super::{BrokerLog, Shard};
use crate::messages::Message;
use ringmq_rules::{ConnectionId, Refusal};

/// Bytes of a log that wait for the disk, of which a part is being written and the rest goes with
/// the next write: with more of them it does not keep up.
const BEHIND_BYTES: usize = 1024 * 1024;
/// A connection with more requests under way is not read on while its log does not keep up.
const EAGER_REQUESTS: u32 = 256;

/// Logs that do not keep up, as far as shards tell each other.
#[derive(Default)]
pub struct LogsBehind {
    /// Of this shard, which the others were told of.
    own: RefCell<BTreeSet<LogId>>,
    others: RefCell<BTreeSet<LogId>>,
    any_other: Cell<bool>,
    changed: Notify,
}

impl LogsBehind {
    /// Another shard says so of a log of its own.
    pub fn note(&self, log: LogId, is_behind: bool) {
        let mut others = self.others.borrow_mut();
        if is_behind {
            others.insert(log);
        } else {
            others.remove(&log);
        }
        self.any_other.set(!others.is_empty());
        self.changed.notify();
    }

    /// Resolves when a log of another shard keeps up. Safe to cancel.
    async fn caught_up(&self, log: LogId) {
        while self.others.borrow().contains(&log) {
            self.changed.wait().await;
        }
    }
}

impl<R: Runtime> Shard<R> {
    /// Resolves when a log of this shard has room for a send that has waited `since` a time of the
    /// monotonic clock, or with the answer to it when that is `waitTimeMillsInSendQueue` ago.
    pub async fn log_room(&self, log: LogId, since: Duration) -> Result<(), Refusal> {
        let Some(log) = self.queues.log(log) else {
            return Ok(());
        };
        self.within_patience(since, log.room(), || log.backlog_bytes()).await
    }

    /// Whether a connection of this shard has very much under way, and the log does not keep up.
    #[inline]
    pub fn is_flooded(&self, connection: ConnectionId, log: &BrokerLog<R>) -> bool {
        log.backlog_bytes() > BEHIND_BYTES && self.has_very_much_under_way(connection)
    }

    /// The same for a log of another shard, which has said so.
    #[inline]
    pub fn is_flooded_there(&self, connection: ConnectionId, log: impl FnOnce() -> LogId) -> bool {
        self.logs_behind.any_other.get()
            && self.logs_behind.others.borrow().contains(&log())
            && self.has_very_much_under_way(connection)
    }

    /// Tells the other shards, which have sent something for a log of this shard, if it does not
    /// keep up, and when it has caught up.
    #[inline]
    pub fn tell_if_behind(self: &Rc<Self>, log: LogId) {
        let behind = self.queues.log(log).filter(|log| log.backlog_bytes() > BEHIND_BYTES);
        if let Some(behind) = behind {
            self.tell_behind(behind);
        }
    }

    #[cold]
    fn tell_behind(self: &Rc<Self>, behind: &BrokerLog<R>) {
        let log = behind.sink().log;
        if !self.logs_behind.own.borrow_mut().insert(log) {
            return;
        }
        self.tell_all_of(log, true);
        let (shard, behind) = (self.clone(), behind.clone());
        self.runtime.spawn(Shares::Foreground, "a log that is behind", async move {
            behind.caught_up(BEHIND_BYTES / 2).await;
            shard.logs_behind.own.borrow_mut().remove(&log);
            shard.tell_all_of(log, false);
        });
    }

    fn tell_all_of(&self, log: LogId, is_behind: bool) {
        for peer in self.router.peers() {
            self.router.answer(peer, Message::Behind { log, is_behind });
        }
    }

    #[cold]
    fn has_very_much_under_way(&self, connection: ConnectionId) -> bool {
        let under_way = self.connections.with(connection, |found| found.requests_under_way());
        under_way.is_some_and(|under_way| under_way > EAGER_REQUESTS)
    }

    /// The same as [`Shard::log_room`], until a log of any shard keeps up.
    pub async fn log_caught_up(&self, log: LogId, since: Duration) -> Result<(), Refusal> {
        let Some(own) = self.queues.log(log) else {
            let caught_up = self.logs_behind.caught_up(log);
            // As far as is known here.
            return self.within_patience(since, caught_up, || BEHIND_BYTES).await;
        };
        let caught_up = own.caught_up(BEHIND_BYTES / 2);
        self.within_patience(since, caught_up, || own.backlog_bytes()).await
    }

    /// `backlog`: bytes that wait for the disk.
    async fn within_patience(
        &self,
        since: Duration,
        room: impl Future<Output = ()>,
        backlog: impl FnOnce() -> usize,
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
            Err(waited_too_long(waited, limit, backlog()))
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
