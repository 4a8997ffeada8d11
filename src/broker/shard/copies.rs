//! What a shard knows of the copies of its logs: how safe a message is that is acknowledged, who
//! takes connections of slaves, and what tools are told.

use std::{
    cell::{Cell, OnceCell, RefCell},
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
};

use bytes::BytesMut;
use ringmq_base::{LogId, LogPosition};
use ringmq_io::{Accepted, signal::Notify};
use ringmq_remoting::codes::response;
use ringmq_replication::frames::Hello;

/// What a synchronous master knows of the copies of a log. Set by whoever leads it, before anything
/// is committed by it; read where sends are answered.
#[derive(Debug, Default)]
pub struct SyncCopies {
    /// Sends wait for a slave that is in sync.
    waits: Cell<bool>,
    /// How far a slave holds the log.
    held: OnceCell<Rc<Cell<u64>>>,
    /// Where the log ended when the last slave that was in sync ceased to be.
    alone_from: Cell<u64>,
}

impl SyncCopies {
    /// From now on a send is only answered with success if a slave holds its message: before
    /// `held`.
    pub fn wait_for(&self, held: Rc<Cell<u64>>) {
        assert!(self.held.set(held).is_ok(), "a log is led once");
        self.waits.set(true);
    }

    /// No slave is in sync from now on; the log ends at `end`.
    pub fn note_alone(&self, end: LogPosition) {
        self.alone_from.set(end.0);
    }

    /// The code of the answer to a send whose last message is at `position` and was committed.
    #[inline]
    pub fn answer(&self, position: LogPosition) -> i32 {
        if self.waits.get() { self.sync_answer(position.0) } else { response::SUCCESS }
    }

    fn sync_answer(&self, position: u64) -> i32 {
        // What is held ends where a record does.
        let held = self.held.get().map_or(0, |held| held.get());
        if position < held {
            response::SUCCESS
        } else if position < self.alone_from.get() {
            response::FLUSH_SLAVE_TIMEOUT
        } else {
            response::SLAVE_NOT_AVAILABLE
        }
    }
}

/// Where the master of a slave listens for it.
#[derive(Default)]
pub struct MasterAddress {
    /// `host:port`.
    address: RefCell<Option<Arc<str>>>,
    pub changed: Notify,
}

impl MasterAddress {
    pub fn get(&self) -> Option<Arc<str>> {
        self.address.borrow().clone()
    }

    pub fn set(&self, address: Option<Arc<str>>) {
        if *self.address.borrow() != address {
            self.address.replace(address);
            self.changed.notify();
        }
    }
}

/// A connection of somebody who wishes to follow a log of the shard that it is given to.
pub struct Dialled {
    pub log: LogId,
    pub accepted: Accepted,
    /// What has arrived behind HELLO.
    pub read: BytesMut,
    pub hello: Hello,
}

/// Who follows a log of this broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowerFacts {
    pub log: LogId,
    pub replica: u32,
    pub address: SocketAddr,
    /// The follower has the log up to there, and on stable storage.
    pub written: LogPosition,
    pub stable: LogPosition,
    /// Appended here and not held there, in bytes.
    pub behind: u64,
    pub is_in_sync: bool,
    /// When the connection was made, in milliseconds since 1970.
    pub since_ms: i64,
}

/// How a log of this broker follows its master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowedFacts {
    pub log: LogId,
    /// While there is a connection.
    pub master: Option<SocketAddr>,
    pub end: LogPosition,
    pub committed: LogPosition,
    /// When the connection was made, or ended, in milliseconds since 1970.
    pub since_ms: i64,
    /// Why the last one ended.
    pub trouble: Option<Arc<str>>,
}

/// The streams of the logs of a shard.
pub trait Streams {
    /// Takes a connection over.
    fn take(&self, dialled: Dialled);

    /// Of a master: who follows its logs.
    fn followers(&self) -> Vec<FollowerFacts>;

    /// Of a slave: how its logs follow.
    fn followed(&self) -> Vec<FollowedFacts>;
}

/// What a shard has of all this.
#[derive(Default)]
pub struct Copies {
    /// Set before the first connection can come; never without copies.
    pub streams: OnceCell<Rc<dyn Streams>>,
    pub master: MasterAddress,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_who_holds_the_message() {
        let copies = SyncCopies::default();
        let answer = |position| copies.answer(LogPosition(position));
        assert_eq!(answer(500), response::SUCCESS, "nobody has asked for a slave");
        let held = Rc::new(Cell::new(0));
        copies.wait_for(held.clone());
        assert_eq!(answer(500), response::SLAVE_NOT_AVAILABLE);
        held.set(501);
        assert_eq!(answer(500), response::SUCCESS);
        copies.note_alone(LogPosition(700));
        assert_eq!(answer(500), response::SUCCESS, "it is held all the same");
        assert_eq!(answer(501), response::FLUSH_SLAVE_TIMEOUT);
        assert_eq!(answer(700), response::SLAVE_NOT_AVAILABLE);
        held.set(900);
        assert_eq!(answer(700), response::SUCCESS);
    }
}
