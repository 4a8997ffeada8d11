//! Records on their way to the socket.

use std::{
    cell::{Cell, RefCell},
    io,
};

use ringmq_io::Stream;

/// Capacity that is kept when all is sent.
const KEPT_BYTES: usize = 1024;

#[derive(Default)]
pub struct Output {
    records: RefCell<Records>,
    /// Somebody waits for the socket and has the records.
    is_writing: Cell<bool>,
}

#[derive(Default)]
struct Records {
    bytes: Vec<u8>,
    sent: usize,
}

impl Records {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    fn sent(&mut self, count: usize) {
        self.sent += count;
        if self.sent >= self.bytes.len() {
            self.sent = 0;
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_BYTES);
        }
    }
}

impl Output {
    /// Appends through `write`.
    pub fn add(&self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.records.borrow_mut().bytes);
    }

    /// Memory of what waits for the socket.
    pub fn bytes(&self) -> usize {
        let records = self.records.borrow();
        if records.bytes.is_empty() { 0 } else { records.bytes.capacity() }
    }

    /// Bytes that wait for the socket, but for those that somebody has who waits for it.
    pub fn left(&self) -> usize {
        self.records.borrow().rest().len()
    }

    /// Somebody waits for the socket and has the records.
    pub fn is_writing(&self) -> bool {
        self.is_writing.get()
    }

    /// Sends what the socket takes now; whether that was all. If somebody else waits for the
    /// socket, nothing.
    pub fn send<S: Stream>(&self, inner: &S) -> io::Result<bool> {
        if self.is_writing.get() {
            return Ok(false);
        }
        let mut records = self.records.borrow_mut();
        while !records.rest().is_empty() {
            match inner.try_write(records.rest()) {
                Ok(count) => records.sent(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Waits until the socket has taken some.
    pub async fn send_some<S: Stream>(&self, inner: &S) -> io::Result<()> {
        let mut taken = Taken::new(self);
        if taken.records.rest().is_empty() {
            return Ok(());
        }
        match inner.write(taken.records.rest()).await? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            count => {
                taken.records.sent(count);
                Ok(())
            }
        }
    }
}

/// The records while somebody waits for the socket; they go back whatever happens.
struct Taken<'a> {
    output: &'a Output,
    records: Records,
}

impl<'a> Taken<'a> {
    fn new(output: &'a Output) -> Taken<'a> {
        output.is_writing.set(true);
        Taken { output, records: output.records.take() }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut records = self.output.records.borrow_mut();
        // What came meanwhile goes behind.
        let later = std::mem::replace(&mut *records, std::mem::take(&mut self.records));
        records.bytes.extend_from_slice(later.rest());
        self.output.is_writing.set(false);
    }
}
