//! One client connection on its shard: bytes out are collected and sent in one go; a writer task
//! takes over when the socket does not take them at once.

use std::{
    cell::{Cell, RefCell},
    io,
    net::SocketAddr,
    time::Duration,
};

use ringmq_io::{Stream, signal::Event};

use ringmq_rules::ConnectionId;

/// Capacity that an emptied output buffer may keep.
const IDLE_OUTPUT_BYTES: usize = 64 * 1024;

pub struct Connection<S: Stream> {
    pub id: ConnectionId,
    pub peer: SocketAddr,
    stream: S,
    output: RefCell<Vec<u8>>,
    /// Bytes that the writer task has taken and not yet written.
    taken: Cell<usize>,
    /// Output waits for the writer task.
    wake_writer: Event,
    drained: Event,
    dirty: Cell<bool>,
    closed: Cell<bool>,
    last_read: Cell<Duration>,
    /// Memory of its read buffer, in bytes, as last noted.
    pub(super) input_bytes: Cell<usize>,
    /// When the request began to arrive that has not yet arrived in full.
    pub(super) partial_since: Cell<Option<Duration>>,
    /// Requests that are not answered yet.
    under_way: Cell<u32>,
}

impl<S: Stream> Connection<S> {
    pub fn new(id: ConnectionId, stream: S, now: Duration) -> Self {
        Connection {
            id,
            peer: stream.peer(),
            stream,
            output: RefCell::default(),
            taken: Cell::new(0),
            wake_writer: Event::default(),
            drained: Event::default(),
            dirty: Cell::new(false),
            closed: Cell::new(false),
            last_read: Cell::new(now),
            input_bytes: Cell::new(0),
            partial_since: Cell::new(None),
            under_way: Cell::new(0),
        }
    }

    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer).await
    }

    pub fn touch(&self, now: Duration) {
        self.last_read.set(now);
    }

    pub fn last_read(&self) -> Duration {
        self.last_read.get()
    }

    /// Notes a request that is going to be answered, unless `limit` of them are under way.
    pub fn begin_request(&self, limit: u32) -> bool {
        let under_way = self.under_way.get();
        if under_way >= limit {
            return false;
        }
        self.under_way.set(under_way + 1);
        true
    }

    /// Requests are answered, or are looked at again from the start.
    pub fn end_requests(&self, count: u32) {
        self.under_way.set(self.under_way.get().saturating_sub(count));
    }

    /// Appends output through `write`; it leaves with the next [`Connection::flush`]. True if the
    /// connection was not already waiting for one.
    pub fn write_with(&self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        if self.closed.get() {
            return false;
        }
        write(&mut self.output.borrow_mut());
        !self.dirty.replace(true)
    }

    /// Bytes that the next [`Connection::flush`] sends.
    pub fn unsent_bytes(&self) -> usize {
        self.output.borrow().len()
    }

    /// Bytes that the client has not taken yet.
    pub fn output_bytes(&self) -> usize {
        self.output.borrow().len() + self.taken.get()
    }

    /// Sends what the socket takes; the writer task gets the rest.
    pub fn flush(&self) {
        self.dirty.set(false);
        if self.closed.get() {
            return;
        }
        if self.taken.get() > 0 {
            return;
        }
        let mut output = self.output.borrow_mut();
        if output.is_empty() {
            return;
        }
        match self.stream.try_write(&output) {
            Ok(count) if count == output.len() => {
                output.clear();
                output.shrink_to(IDLE_OUTPUT_BYTES);
            }
            Ok(count) => {
                output.drain(..count);
                self.wake_writer.set();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wake_writer.set(),
            Err(_) => {
                drop(output);
                self.close();
            }
        }
    }

    /// The writer task: ends when the connection is closed.
    pub async fn write_pending(&self) {
        loop {
            self.wake_writer.wait_and_clear().await;
            if self.closed.get() {
                return;
            }
            loop {
                let bytes = std::mem::take(&mut *self.output.borrow_mut());
                if bytes.is_empty() {
                    break;
                }
                if !self.write_all(&bytes).await {
                    self.close();
                    return;
                }
            }
            self.drained.set();
        }
    }

    async fn write_all(&self, bytes: &[u8]) -> bool {
        let mut written = 0;
        while written < bytes.len() {
            self.taken.set(bytes.len() - written);
            match self.stream.write(&bytes[written..]).await {
                Ok(count) if count > 0 => written += count,
                _ => return false,
            }
        }
        self.taken.set(0);
        true
    }

    /// Resolves when the writer task has emptied the output, or the connection is closed.
    pub async fn drained(&self) {
        while self.output_bytes() > 0 && !self.closed.get() {
            self.drained.wait_and_clear().await;
        }
    }

    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Ends the connection; its tasks notice.
    pub fn close(&self) {
        if self.closed.replace(true) {
            return;
        }
        *self.output.borrow_mut() = Vec::new();
        self.taken.set(0);
        self.stream.shutdown();
        self.wake_writer.set();
        self.drained.set();
    }
}
