//! The connections of one shard: who is there, who has output waiting, who has gone quiet.

use std::{cell::RefCell, rc::Rc, time::Duration};

use ringmq_base::ShardId;
use ringmq_io::{Net, Runtime};
use ringmq_net::input_budget::{Input, InputBudget};
use ringmq_tls::{Acceptor, Handshakes, TlsStream};
use slab::Slab;

use super::{
    connection::Connection,
    output_budget::{Counted, OutputBudget, Taken},
    pace::Estimate,
};
use ringmq_rules::ConnectionId;

pub type ShardConnection<R> = Connection<<<R as Runtime>::Net as Net>::Stream>;

/// A connection whose client may be slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slow {
    /// In which time it takes what waits for it.
    pub pace: Estimate,
    pub connection: ConnectionId,
    /// Bytes that come free when it is closed.
    pub held: usize,
}

pub struct Connections<R: Runtime> {
    shard: ShardId,
    limit: usize,
    handshakes: Rc<Handshakes>,
    input: InputBudget,
    output: Rc<OutputBudget>,
    /// Of the last connection of each place.
    generations: RefCell<Vec<u32>>,
    open: RefCell<Slab<Rc<ShardConnection<R>>>>,
    dirty: RefCell<Vec<Rc<ShardConnection<R>>>>,
}

impl<R: Runtime> Connections<R> {
    /// `limit`: connections. `input_bytes_max`: memory of their read buffers. `output`: what the
    /// answers of the shard may take. `tls`: what connections with TLS are accepted with.
    pub fn new(
        shard: ShardId,
        limit: usize,
        tls: &Acceptor,
        input_bytes_max: usize,
        output: &Rc<OutputBudget>,
    ) -> Self {
        Connections {
            shard,
            limit,
            handshakes: Handshakes::new(tls),
            input: InputBudget::new(input_bytes_max),
            output: output.clone(),
            generations: RefCell::default(),
            open: RefCell::default(),
            dirty: RefCell::default(),
        }
    }

    /// Takes a connection in; `None` if the limit (key `connectionsMax`, per shard) is reached.
    pub fn add(
        &self,
        stream: <R::Net as Net>::Stream,
        now: Duration,
    ) -> Option<Rc<ShardConnection<R>>> {
        let mut open = self.open.borrow_mut();
        if open.len() >= self.limit {
            return None;
        }
        let entry = open.vacant_entry();
        let slot = u32::try_from(entry.key()).ok()?;
        let mut generations = self.generations.borrow_mut();
        if generations.len() <= entry.key() {
            generations.resize(entry.key() + 1, 0);
        }
        let generation = generations[entry.key()].wrapping_add(1);
        generations[entry.key()] = generation;
        let id = ConnectionId { shard: self.shard.0, slot, generation };
        let stream = TlsStream::accepted(stream, &self.handshakes);
        let connection = Rc::new(ShardConnection::<R>::new(id, stream, now, &self.output));
        entry.insert(connection.clone());
        Some(connection)
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.open.borrow().len()
    }

    pub fn remove(&self, id: ConnectionId) {
        let mut open = self.open.borrow_mut();
        let slot = id.slot as usize;
        if open.get(slot).is_some_and(|connection| connection.id == id) {
            let connection = open.remove(slot);
            self.input.forget(&*connection);
            connection.unreserve_all();
        }
    }

    /// Notes what a connection's read buffer holds after a read, and closes the slowest senders if
    /// all buffers are over their budget.
    pub fn note_input(&self, connection: &ShardConnection<R>, read: &Input) {
        self.input.note(connection, read);
        while self.input.is_exceeded() {
            let open = self.open.borrow();
            if !self.input.close_slowest(open.iter().map(|(_, connection)| &**connection)) {
                return;
            }
        }
    }

    /// Whether read buffers are short: what is not needed should be given back.
    pub fn is_input_scarce(&self) -> bool {
        self.input.is_scarce()
    }

    /// Memory of all read buffers beyond that of idle ones, in bytes.
    pub fn input_bytes(&self) -> usize {
        self.input.bytes()
    }

    /// See `Connection::begin_request`; true if the connection is gone.
    pub fn begin_request(&self, id: ConnectionId, limit: u32) -> bool {
        let open = self.open.borrow();
        let connection = open.get(id.slot as usize).filter(|found| found.id == id);
        connection.is_none_or(|connection| connection.begin_request(limit))
    }

    /// Appends output for a connection; nothing if it is gone. Unless `write` writes nothing, it
    /// answers so many of the connection's requests, for which `room` was set aside.
    pub fn write(
        &self,
        id: ConnectionId,
        answers: u32,
        room: Counted,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        self.write_by(id, answers, room, |connection| connection.write_with(write));
    }

    /// The same for an answer with a long body.
    pub fn write_long(&self, id: ConnectionId, room: Counted, head: &[u8], body: Vec<u8>) {
        self.write_by(id, 1, room, |connection| connection.write_long(head, body));
    }

    fn write_by(
        &self,
        id: ConnectionId,
        answers: u32,
        room: Counted,
        write: impl FnOnce(&ShardConnection<R>) -> (usize, bool),
    ) {
        let Counted { by, long, bytes } = room;
        let of_another = (by != self.shard.0 && bytes > 0).then_some(by);
        let open = self.open.borrow();
        let found = open.get(id.slot as usize).filter(|found| found.id == id);
        let Some(connection) = found.filter(|found| !found.is_closed()) else {
            if let Some(by) = of_another {
                self.output.take(Taken { connection: id, by, bytes });
            }
            if long {
                self.output.end_long();
            }
            return;
        };
        let (length, clean) = write(connection);
        if length > 0 {
            connection.end_requests(answers);
            if long {
                self.output.end_long();
            }
            match of_another {
                Some(by) => connection.count_by(length, by, bytes),
                None if bytes > 0 => connection.unreserve(bytes),
                None => {}
            }
        }
        if clean {
            self.dirty.borrow_mut().push(connection.clone());
        }
    }

    /// Looks at a connection of this shard, if it is there and open.
    pub fn with<T>(
        &self,
        id: ConnectionId,
        look: impl FnOnce(&ShardConnection<R>) -> T,
    ) -> Option<T> {
        let open = self.open.borrow();
        let found = open.get(id.slot as usize).filter(|found| found.id == id);
        found.filter(|found| !found.is_closed()).map(|connection| look(connection))
    }

    /// Those whose clients have taken nothing of their output for a time, and that time. Called at
    /// intervals, to whose length it is precise.
    pub fn stalled(&self, now: Duration) -> Vec<(Duration, ConnectionId)> {
        let open = self.open.borrow();
        let stalled = open.iter().filter_map(|(_, connection)| {
            let since = connection.stalled_since(now)?;
            Some((now - since, connection.id))
        });
        stalled.collect()
    }

    /// Measures how fast clients take their output. Called at intervals shorter than `length`.
    pub fn look_at_paces(&self, now: Duration, length: Duration) {
        for (_, connection) in self.open.borrow().iter() {
            connection.look_at_pace(now, length);
        }
    }

    /// Those with output that this shard counts: how long they need for all of theirs at their
    /// pace, as far as that is known, and how many bytes are counted.
    pub fn counted(&self, now: Duration, length: Duration) -> Vec<Slow> {
        let open = self.open.borrow();
        let counted = open.iter().filter_map(|(_, connection)| {
            let held = connection.counted_bytes();
            let pace = connection.time_to_take(now, length).filter(|_| held > 0)?;
            Some(Slow { pace, connection: connection.id, held })
        });
        counted.collect()
    }

    /// How long these connections need for their output at their pace; `None` if that is not known
    /// or they are gone.
    pub fn times_to_take(
        &self,
        ids: &[ConnectionId],
        now: Duration,
        length: Duration,
    ) -> Vec<Option<Estimate>> {
        let time = |id: &ConnectionId| {
            self.with(*id, |connection| connection.time_to_take(now, length)).flatten()
        };
        ids.iter().map(time).collect()
    }

    /// Sends the output of all connections that got some since the last call.
    pub fn flush(&self) {
        loop {
            let Some(connection) = self.dirty.borrow_mut().pop() else {
                return;
            };
            connection.flush();
        }
    }

    /// Connections whose requests are not all answered, or whose clients have not taken all answers
    /// and took something of them in this time.
    pub fn busy(&self, now: Duration, patience: Duration) -> usize {
        let busy = |connection: &ShardConnection<R>| {
            let stalled = connection.stalled_since(now);
            let is_stalled = stalled.is_some_and(|since| now.saturating_sub(since) >= patience);
            let has_work = connection.requests_under_way() > 0 || connection.output_bytes() > 0;
            has_work && !is_stalled && !connection.is_closed()
        };
        self.open.borrow().iter().filter(|(_, connection)| busy(connection)).count()
    }

    /// The most that a client has not taken yet, in bytes.
    pub fn output_bytes_max(&self) -> usize {
        let open = self.open.borrow();
        open.iter().map(|(_, connection)| connection.output_bytes()).max().unwrap_or(0)
    }

    /// Closes connections that have sent nothing since `oldest`.
    pub fn close_idle(&self, oldest: Duration) {
        for (_, connection) in self.open.borrow().iter() {
            if connection.last_read() < oldest && !connection.is_paused() {
                tracing::info!(peer = %connection.peer, "connection closed: idle for too long");
                connection.close();
            }
        }
    }

    /// Closes a connection whose client has taken nothing for a time, the limit or more.
    pub fn close_stalled(&self, id: ConnectionId, time: Duration) {
        let _ = self.with(id, |connection| {
            tracing::warn!(
                peer = %connection.peer, held = connection.output_bytes(), ?time,
                "connection closed: its client takes none of the answers that wait for it, for \
                 longer than outputStallTimeMs"
            );
            connection.close();
        });
    }

    /// Closes a connection because answers take `all` bytes of the `limit` of some shard, if its
    /// client needs longer than `most` for what waits for it. False if it does not, or the
    /// connection is gone.
    pub fn close_slow(
        &self,
        id: ConnectionId,
        (now, length, most): (Duration, Duration, Duration),
        (all, limit): (usize, usize),
    ) -> bool {
        let closed = self.with(id, |connection| {
            let slow = |pace: &Estimate| pace.is_sure && pace.time > most;
            let Some(Estimate { time, .. }) = connection.time_to_take(now, length).filter(slow)
            else {
                return false;
            };
            tracing::warn!(
                peer = %connection.peer, held = connection.output_bytes(), ?time, all, limit,
                "connection closed: answers that clients do not take are more than three quarters \
                 of outputBytesMax, others wait for room, and its client would need longest for \
                 its own"
            );
            connection.close();
            true
        });
        closed.unwrap_or(false)
    }

    pub fn close(&self, id: ConnectionId) {
        let open = self.open.borrow();
        if let Some(connection) = open.get(id.slot as usize).filter(|found| found.id == id) {
            connection.close();
        }
    }

    pub fn close_all(&self) {
        for (_, connection) in self.open.borrow().iter() {
            connection.close();
        }
    }
}
