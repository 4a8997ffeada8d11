//! One budget for the read buffers of all connections of a shard. Requests that arrive slowly hold
//! memory for long: whoever has taken longest over one is closed first.

use std::{cell::Cell, time::Duration};

use ringmq_io::Stream;

use super::connection::Connection;

/// Read buffers of this size are every connection's own, and not counted.
pub const FREE_BYTES: usize = 4096;

/// What a connection's read buffer holds after a read.
#[derive(Clone, Copy, Debug)]
pub struct Input {
    /// Memory of the buffer.
    pub bytes: usize,
    /// A request is there in part.
    pub partial: bool,
    /// It began with this read: others before it were complete.
    pub new: bool,
    pub now: Duration,
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

    pub fn note<S: Stream>(&self, connection: &Connection<S>, input: &Input) {
        if connection.is_closed() {
            return;
        }
        self.set(connection, input.bytes.saturating_sub(FREE_BYTES));
        let since = connection.partial_since.get().filter(|_| !input.new);
        connection.partial_since.set(input.partial.then(|| since.unwrap_or(input.now)));
    }

    pub fn forget<S: Stream>(&self, connection: &Connection<S>) {
        self.set(connection, 0);
    }

    fn set<S: Stream>(&self, connection: &Connection<S>, bytes: usize) {
        let before = connection.input_bytes.replace(bytes);
        self.bytes.set(self.bytes.get() - before + bytes);
    }

    /// Closes the connection that has been sending a request for longest, of those that hold memory
    /// for it. False if there is none.
    pub fn close_slowest<'c, S: Stream + 'c>(
        &self,
        connections: impl Iterator<Item = &'c Connection<S>>,
    ) -> bool {
        let holding = connections.filter(|connection| connection.input_bytes.get() > 0);
        let partial = holding.filter_map(|connection| {
            Some((connection.partial_since.get()?, connection)).filter(|_| !connection.is_closed())
        });
        let Some((_, slowest)) = partial.min_by_key(|(since, _)| *since) else {
            return false;
        };
        let (held, all) = (slowest.input_bytes.get(), self.bytes.get());
        tracing::warn!(
            peer = %slowest.peer, held, all, limit = self.most,
            "connection closed: requests that have not arrived in full take all of inputBytesMax, \
             and its request has been on its way for longest"
        );
        slowest.close();
        // Its task gives the buffer back when it hears of it, at once.
        self.forget(slowest);
        true
    }
}
