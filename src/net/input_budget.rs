//! One budget for the read buffers of many connections. Requests that arrive slowly hold memory for
//! long: whoever has taken longest over one is closed first.

use std::{cell::Cell, net::SocketAddr, time::Duration};

/// Read buffers of this size are every connection's own, and not counted.
pub const FREE_BYTES: usize = 4096;

/// What a connection's read buffer holds after a read.
#[derive(Clone, Copy, Debug)]
pub struct Input {
    /// Memory of the buffer, and of what is made from it.
    pub bytes: usize,
    /// A request is there in part, or is not done with.
    pub partial: bool,
    /// It began with this read: others before it were complete.
    pub new: bool,
    pub now: Duration,
}

/// What one connection has of a budget.
#[derive(Default)]
pub struct Share {
    /// Bytes that count.
    bytes: Cell<usize>,
    /// When the request began to arrive that is not done with.
    partial_since: Cell<Option<Duration>>,
}

/// A connection that a budget may close.
pub trait Closable {
    fn peer(&self) -> SocketAddr;
    fn is_closed(&self) -> bool;
    /// Ends it; its task gives its memory back when it hears of it, at once.
    fn close(&self);
}

/// A connection that has a share.
pub trait Reading: Closable {
    fn share(&self) -> &Share;
}

/// In bytes of memory beyond [`FREE_BYTES`] of each connection.
pub struct InputBudget {
    most: usize,
    bytes: Cell<usize>,
}

impl InputBudget {
    pub fn new(most: usize) -> InputBudget {
        InputBudget { most, bytes: Cell::new(0) }
    }

    pub fn bytes(&self) -> usize {
        self.bytes.get()
    }

    pub fn is_exceeded(&self) -> bool {
        self.bytes.get() > self.most
    }

    /// Three quarters are in use.
    pub fn is_scarce(&self) -> bool {
        self.bytes.get() > self.most / 4 * 3
    }

    pub fn note(&self, connection: &impl Reading, input: &Input) {
        if connection.is_closed() {
            return;
        }
        let share = connection.share();
        self.set(share, input.bytes.saturating_sub(FREE_BYTES));
        let since = share.partial_since.get().filter(|_| !input.new);
        share.partial_since.set(input.partial.then(|| since.unwrap_or(input.now)));
    }

    pub fn forget(&self, connection: &impl Reading) {
        self.set(connection.share(), 0);
    }

    fn set(&self, share: &Share, bytes: usize) {
        let before = share.bytes.replace(bytes);
        self.bytes.set(self.bytes.get() - before + bytes);
    }

    /// Closes the connection that has been sending a request for longest, of those that hold memory
    /// for it. False if there is none.
    pub fn close_slowest<'c, C: Reading + 'c>(
        &self,
        connections: impl Iterator<Item = &'c C>,
    ) -> bool {
        let holding = connections.filter(|connection| connection.share().bytes.get() > 0);
        let partial = holding.filter_map(|connection| {
            let since = connection.share().partial_since.get()?;
            Some((since, connection)).filter(|_| !connection.is_closed())
        });
        let Some((_, slowest)) = partial.min_by_key(|(since, _)| *since) else {
            return false;
        };
        let (held, all) = (slowest.share().bytes.get(), self.bytes.get());
        tracing::warn!(
            peer = %slowest.peer(), held, all, limit = self.most,
            "connection closed: requests that have not arrived in full take all of inputBytesMax, \
             and its request has been on its way for longest"
        );
        slowest.close();
        self.forget(slowest);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct One {
        share: Share,
        closed: Cell<bool>,
    }

    impl Reading for One {
        fn share(&self) -> &Share {
            &self.share
        }
    }

    impl Closable for One {
        fn peer(&self) -> SocketAddr {
            SocketAddr::from(([10, 0, 0, 1], 1))
        }

        fn is_closed(&self) -> bool {
            self.closed.get()
        }

        fn close(&self) {
            self.closed.set(true);
        }
    }

    #[test]
    fn whoever_has_taken_longest_over_a_request_is_closed_first() {
        let budget = InputBudget::new(30_000);
        let all = [One::default(), One::default(), One::default()];
        let read = |bytes, partial, seconds| Input {
            bytes,
            partial,
            new: false,
            now: Duration::from_secs(seconds),
        };
        budget.note(&all[0], &read(FREE_BYTES + 10_000, true, 2));
        budget.note(&all[1], &read(FREE_BYTES + 10_000, true, 1));
        budget.note(&all[2], &read(FREE_BYTES + 10_000, false, 0));
        assert!(!budget.is_exceeded() && budget.is_scarce());
        budget.note(&all[0], &read(FREE_BYTES + 10_001, true, 3));
        assert!(budget.is_exceeded());
        assert!(budget.close_slowest(all.iter()));
        let closed = || all.each_ref().map(|one| one.closed.get());
        assert_eq!((closed(), budget.bytes()), ([false, true, false], 20_001));
        assert!(budget.close_slowest(all.iter()), "it began at 2, whatever came at 3");
        assert_eq!((closed(), budget.bytes()), ([true, true, false], 10_000));
        assert!(!budget.close_slowest(all.iter()), "no request of the last is on its way");
        budget.forget(&all[2]);
        assert_eq!(budget.bytes(), 0);
    }
}
