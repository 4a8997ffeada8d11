//! One client connection on its shard: bytes out are collected and sent in one go; a writer task
//! takes over when the socket does not take them at once.

use std::{
    cell::{Cell, RefCell},
    io,
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use ringmq_io::{
    Runtime, Stream,
    signal::{Event, Notify},
};
use ringmq_net::{
    input_budget::{Closable, Reading, Share},
    rounds::{Had, PIECE_BYTES, Rounds, units_of},
};
use ringmq_tls::{Came, TlsStream};

use super::{
    output::Output,
    output_budget::{OutputBudget, Taken},
    pace::{Estimate, Pace},
};
use ringmq_rules::ConnectionId;

/// A client that has taken so much shows that it takes its answers.
const PROVEN_BYTES: u64 = 64 * 1024;
/// What is written to a socket without a turn of its own.
const FLUSH_BYTES: usize = 2 * PIECE_BYTES;

pub struct Connection<S: Stream> {
    pub id: ConnectionId,
    pub peer: SocketAddr,
    stream: TlsStream<S>,
    output: RefCell<Output>,
    /// Of the bytes that TLS has made of output and that wait, those that the budget counts.
    sealed_bytes: Cell<usize>,
    budget: Rc<OutputBudget>,
    /// The writer task is at it.
    writing: Cell<bool>,
    /// Bytes that the socket has ever taken.
    taken: Cell<u64>,
    /// [`Connection::taken`] when it was last looked at, and since when it has not changed although
    /// there is output.
    seen: Cell<(u64, Option<Duration>)>,
    /// Of taking the output, and whether that was empty since the pace was last looked at: who has
    /// nothing to take is not slow.
    pace: Cell<Pace>,
    emptied: Cell<bool>,
    /// Bytes that are set aside for answers under way.
    reserved: Cell<usize>,
    /// Something waits until there is room for its answer.
    is_waited_for: Cell<bool>,
    /// Output waits for the writer task.
    wake_writer: Event,
    drained: Event,
    dirty: Cell<bool>,
    closed: Cell<bool>,
    /// Its requests are not read until there is room for answers.
    paused: Cell<bool>,
    last_read: Cell<Duration>,
    /// Of the memory for read buffers.
    input: Share,
    /// Requests that are not answered yet.
    under_way: Cell<u32>,
    /// Bytes of its frames that were handed over and are not handled yet.
    frame_bytes: Cell<usize>,
    frame_handled: Notify,
}

impl<S: Stream> Reading for Connection<S> {
    fn share(&self) -> &Share {
        &self.input
    }
}

impl<S: Stream> Closable for Connection<S> {
    fn peer(&self) -> SocketAddr {
        self.peer
    }

    fn is_closed(&self) -> bool {
        Connection::is_closed(self)
    }

    fn close(&self) {
        Connection::close(self);
    }
}

impl<S: Stream> Connection<S> {
    pub fn new(
        id: ConnectionId,
        stream: TlsStream<S>,
        now: Duration,
        budget: &Rc<OutputBudget>,
    ) -> Self {
        Connection {
            id,
            peer: stream.peer(),
            stream,
            output: RefCell::default(),
            sealed_bytes: Cell::new(0),
            budget: budget.clone(),
            writing: Cell::new(false),
            taken: Cell::new(0),
            seen: Cell::default(),
            pace: Cell::default(),
            emptied: Cell::new(false),
            reserved: Cell::new(0),
            is_waited_for: Cell::new(false),
            wake_writer: Event::default(),
            drained: Event::default(),
            dirty: Cell::new(false),
            closed: Cell::new(false),
            paused: Cell::new(false),
            last_read: Cell::new(now),
            input: Share::default(),
            under_way: Cell::new(0),
            frame_bytes: Cell::new(0),
            frame_handled: Notify::default(),
        }
    }

    pub async fn read<R: Runtime>(&self, runtime: &R, buffer: &mut [u8]) -> io::Result<Came> {
        self.stream.read(runtime, buffer).await
    }

    /// Memory that TLS has for what is read, in bytes, and whether a record has begun to come.
    pub fn tls_input(&self) -> (usize, bool) {
        self.stream.input()
    }

    pub fn touch(&self, now: Duration) {
        self.last_read.set(now);
    }

    pub fn last_read(&self) -> Duration {
        self.last_read.get()
    }

    /// Whether its requests wait for room, so that nothing of it is read.
    pub fn is_paused(&self) -> bool {
        self.paused.get()
    }

    pub fn set_paused(&self, paused: bool) {
        self.paused.set(paused);
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

    /// Requests that are not answered yet.
    pub fn requests_under_way(&self) -> u32 {
        self.under_way.get()
    }

    /// Requests are answered, or are looked at again from the start.
    pub fn end_requests(&self, count: u32) {
        self.under_way.set(self.under_way.get().saturating_sub(count));
    }

    pub fn frame_bytes(&self) -> usize {
        self.frame_bytes.get()
    }

    /// Notes that a frame is handed over.
    pub fn begin_frame(&self, bytes: usize) {
        self.frame_bytes.set(self.frame_bytes.get() + bytes);
    }

    /// Notes that frames are handled.
    pub fn end_frame(&self, bytes: usize) {
        self.frame_bytes.set(self.frame_bytes.get() - bytes);
        self.frame_handled.notify();
    }

    /// Resolves when a frame is handled, or none is under way, or the connection is closed.
    pub async fn frame_handled(&self) {
        if self.frame_bytes.get() > 0 && !self.closed.get() {
            self.frame_handled.wait().await;
        }
    }

    /// Appends output through `write`; it leaves with the next [`Connection::flush`]. How many
    /// bytes that was, and whether the connection was not already waiting for a flush.
    pub fn write_with(&self, write: impl FnOnce(&mut Vec<u8>)) -> (usize, bool) {
        if self.closed.get() {
            return (0, false);
        }
        let length = self.output.borrow_mut().write(write);
        self.budget.write(length, 0);
        (length, !self.dirty.replace(true))
    }

    /// Appends a long body and what stands before it, likewise.
    pub fn write_long(&self, head: &[u8], body: Vec<u8>) -> (usize, bool) {
        let bytes = body.len();
        let (length, clean) = self.write_with(|out| out.extend_from_slice(head));
        if length == 0 {
            return (0, clean);
        }
        self.output.borrow_mut().push(body);
        self.budget.write(bytes, 0);
        (length + bytes, clean)
    }

    /// What was written last, `length` bytes, is counted by another shard.
    pub(super) fn count_by(&self, length: usize, by: u16, bytes: usize) {
        self.output.borrow_mut().count(length, by, bytes);
        self.budget.write(0, length);
    }

    /// Bytes that the client has not taken yet.
    pub fn output_bytes(&self) -> usize {
        self.output.borrow().bytes()
    }

    /// The same, and what is set aside for answers under way.
    pub fn promised_bytes(&self) -> usize {
        self.output_bytes() + self.reserved.get()
    }

    /// Sets room aside for an answer.
    pub fn reserve(&self, bytes: usize) {
        self.reserved.set(self.reserved.get() + bytes);
        self.budget.reserve(bytes);
    }

    /// An answer is written, or needs less room.
    pub fn unreserve(&self, bytes: usize) {
        self.reserved.set(self.reserved.get() - bytes);
        self.budget.unreserve(bytes);
        self.tell_of_room();
    }

    pub(super) fn unreserve_all(&self) {
        self.unreserve(self.reserved.get());
    }

    /// Something waits until there is room for its answer, and hears when it may be so.
    pub fn wait_for_room(&self) {
        self.is_waited_for.set(true);
    }

    fn tell_of_room(&self) {
        if self.is_waited_for.replace(false) {
            self.budget.free(self.id);
        }
    }

    /// Since when the client has taken nothing although there is output. Precise to the time
    /// between two calls.
    pub fn stalled_since(&self, now: Duration) -> Option<Duration> {
        if self.output_bytes() == 0 || self.closed.get() {
            self.seen.set((self.taken.get(), None));
            return None;
        }
        let (taken, since) = self.seen.get();
        let since = since.filter(|_| taken == self.taken.get()).unwrap_or(now);
        self.seen.set((self.taken.get(), Some(since)));
        Some(since)
    }

    /// Measures how fast the client takes its output. To be called at intervals shorter than
    /// `length`.
    pub fn look_at_pace(&self, now: Duration, length: Duration) {
        let mut pace = if self.emptied.replace(false) { Pace::default() } else { self.pace.get() };
        pace.look(now, length, (self.output_bytes(), self.taken.get()));
        self.pace.set(pace);
    }

    /// How long the client needs for its output at the pace that it has, sure if it was watched for
    /// `length`; `None` if that is not known at all, or there is none.
    pub fn time_to_take(&self, now: Duration, length: Duration) -> Option<Estimate> {
        let held = self.output_bytes();
        if held == 0 || self.emptied.get() || self.closed.get() {
            return None;
        }
        self.pace.get().time_for(now, length, (held, self.taken.get()))
    }

    /// Whether the client has taken all that it was sent, and that was more than a little.
    pub fn is_proven(&self) -> bool {
        self.taken.get() >= PROVEN_BYTES && self.output_bytes() == 0
    }

    /// Bytes that the client has not taken yet and this shard counts.
    pub fn counted_bytes(&self) -> usize {
        let output = self.output.borrow();
        // Of an answer in two pieces one may be gone.
        output.bytes().saturating_sub(output.of_others())
    }

    /// Sends what the socket takes, up to a few pieces; the writer task gets the rest.
    pub fn flush(&self) {
        self.dirty.set(false);
        if self.closed.get() || self.writing.get() {
            return;
        }
        let mut left = FLUSH_BYTES;
        loop {
            let mut output = self.output.borrow_mut();
            let Some(first) = output.first() else {
                // Also what was written when the writer task had emptied the output before.
                self.emptied.set(true);
                return self.drained.set();
            };
            let wanted = first.len().min(left);
            if wanted == 0 {
                return self.wake_writer.set();
            }
            match self.stream.try_write(&first[..wanted]) {
                Ok(count) => {
                    self.taken.set(self.taken.get() + count as u64);
                    let gone = output.sent(count);
                    drop(output);
                    self.gone(gone.unwrap_or(0));
                    left -= count;
                    if count < wanted {
                        return self.leave_to_writer();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.leave_to_writer();
                }
                Err(_) => {
                    drop(output);
                    return self.close();
                }
            }
        }
    }

    fn leave_to_writer(&self) {
        self.count_sealed();
        self.wake_writer.set();
    }

    /// What TLS has made of output counts beside it, as long as it waits for the socket.
    fn count_sealed(&self) {
        let bytes = if self.closed.get() { 0 } else { self.stream.output_bytes() };
        let before = self.sealed_bytes.replace(bytes);
        if bytes > before {
            self.budget.write(bytes - before, 0);
        } else if bytes < before {
            self.budget.unwrite(before - bytes, 0);
        }
    }

    /// Output was sent and its memory given back.
    fn gone(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let mut of_others = 0;
        loop {
            let Some((length, by, bytes)) = self.output.borrow_mut().next_counted() else {
                break;
            };
            of_others += length;
            self.budget.take(Taken { connection: self.id, by, bytes });
        }
        self.budget.unwrite(bytes, of_others);
        self.tell_of_room();
    }

    /// The writer task: ends when the connection is closed.
    pub async fn write_pending(&self, rounds: &Rounds) {
        let had = Had::default();
        loop {
            self.wake_writer.wait_and_clear().await;
            self.writing.set(true);
            loop {
                if self.closed.get() {
                    return;
                }
                let Some((bytes, sent)) = self.output.borrow_mut().take_first() else {
                    break;
                };
                if !self.write_all(&bytes, sent, (rounds, &had)).await {
                    return self.close();
                }
                let length = bytes.len();
                drop(bytes);
                if !self.closed.get() {
                    self.output.borrow_mut().gone(length);
                    self.gone(length);
                }
            }
            self.writing.set(false);
            self.emptied.set(true);
            self.drained.set();
        }
    }

    async fn write_all(&self, bytes: &[u8], sent: usize, (rounds, had): (&Rounds, &Had)) -> bool {
        let mut written = sent;
        while written < bytes.len() {
            let piece = &bytes[written..bytes.len().min(written + PIECE_BYTES)];
            let turn = rounds.take(had).await;
            let mut wrote = self.stream.try_write(piece);
            let work = wrote.as_ref().map_or(0, |count| self.stream.work_of(*count));
            had.note(units_of(work), rounds);
            if let Some(turn) = turn {
                turn.pass_on().await;
            }
            if matches!(&wrote, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                wrote = self.stream.write(piece).await;
            }
            match wrote {
                Ok(count) if count > 0 => {
                    written += count;
                    self.taken.set(self.taken.get() + count as u64);
                    self.count_sealed();
                }
                _ => return false,
            }
        }
        true
    }

    /// Resolves when the output is empty, or the connection is closed.
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
        let bytes = self.output_bytes();
        self.output.borrow_mut().clear();
        self.gone(bytes);
        self.is_waited_for.set(true);
        self.tell_of_room();
        self.count_sealed();
        self.stream.shutdown();
        self.wake_writer.set();
        self.drained.set();
        self.frame_handled.notify();
    }
}
