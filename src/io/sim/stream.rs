//! Connections: two directions with buffers, and the streams at their ends.

use std::{
    cell::{Cell, RefCell, RefMut},
    collections::VecDeque,
    future::poll_fn,
    io,
    net::SocketAddr,
    rc::Rc,
    task::{Poll, Waker},
    time::Duration,
};

use super::{
    core::{Alarm, Core},
    network::{NEVER, delay},
    nodes::Place,
    random::Random,
};
use crate::Stream;

/// One direction of a connection.
#[derive(Default)]
struct Pipe {
    /// Bytes and when they arrive; arrivals never go back.
    chunks: VecDeque<(Duration, VecDeque<u8>)>,
    /// Written and, as far as the writer knows, not read.
    bytes: usize,
    /// Of these, what was read: the writer does not hear of it.
    unconfirmed: usize,
    /// The writer has ended: the reader sees the end behind the last byte, from then on.
    finished: bool,
    end_at: Duration,
    /// The reader has gone: writing is an error, from when the writer hears of it.
    abandoned: bool,
    told_at: Duration,
    reset: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn wake_both(&mut self) -> [Option<Waker>; 2] {
        [self.reader.take(), self.writer.take()]
    }
}

pub(super) fn wake(wakers: impl IntoIterator<Item = Option<Waker>>) {
    wakers.into_iter().flatten().for_each(Waker::wake);
}

/// One end of a connection.
#[derive(Clone, Copy)]
pub(super) struct End {
    pub(super) place: Place,
    pub(super) address: SocketAddr,
}

/// A connection; its ends are numbered: 0 has connected, 1 was connected to.
pub(super) struct Connection {
    ends: [End; 2],
    /// What each end writes.
    pipes: [RefCell<Pipe>; 2],
    /// The machine of an end has lost its power, and the other end was not told.
    vanished: [Cell<bool>; 2],
}

impl Connection {
    /// The numbers of the nodes of both ends.
    pub(super) fn nodes(&self) -> [usize; 2] {
        self.ends.map(|end| end.place.node)
    }

    /// Whether one end is on the first node and the other one on the second.
    pub(super) fn leads(&self, (from, to): (usize, usize)) -> bool {
        self.nodes() == [from, to] || self.nodes() == [to, from]
    }

    /// The end on `from`, if the other one is on `to`.
    fn side(&self, (from, to): (usize, usize)) -> Option<usize> {
        let nodes = self.nodes();
        [(0, [from, to]), (1, [to, from])].into_iter().find(|(_, are)| *are == nodes).map(|is| is.0)
    }

    /// The address at the first node, if that has connected to the second and no end has gone.
    pub(super) fn stands(&self, (from, to): (usize, usize)) -> Option<SocketAddr> {
        let open = |side: usize| {
            let pipe = self.pipes[side].borrow();
            !(pipe.finished || pipe.abandoned || pipe.reset || self.vanished[side].get())
        };
        (self.nodes() == [from, to] && open(0) && open(1)).then_some(self.ends[0].address)
    }

    /// An end lives whose bytes go to a machine that has forgotten the connection.
    pub(super) fn has_stranger_waiting(&self) -> bool {
        let waits = |side: usize| {
            let pipe = self.pipes[side].borrow();
            self.vanished[1 - side].get() && !self.vanished[side].get() && pipe.bytes > 0
        };
        waits(0) || waits(1)
    }

    /// Nothing arrives any more that is on its way from one node to the other.
    pub(super) fn stop(&self, now: Duration, ends: (usize, usize)) {
        let Some(side) = self.side(ends) else {
            return;
        };
        let late = |at: &mut Duration| {
            if *at > now {
                *at = NEVER;
            }
        };
        let mut pipe = self.pipes[side].borrow_mut();
        pipe.chunks.iter_mut().for_each(|(at, _)| late(at));
        late(&mut pipe.end_at);
        late(&mut self.pipes[1 - side].borrow_mut().told_at);
    }

    /// What did not arrive does at `at`.
    pub(super) fn go_on(self: &Rc<Self>, core: &Core, ends: (usize, usize), at: Duration) {
        let Some(side) = self.side(ends) else {
            return;
        };
        let comes = |is: &mut Duration| {
            if *is == NEVER {
                *is = at;
            }
        };
        let reader = {
            let mut pipe = self.pipes[side].borrow_mut();
            pipe.chunks.iter_mut().for_each(|(is, _)| comes(is));
            comes(&mut pipe.end_at);
            pipe.reader.take()
        };
        let writer = {
            let mut back = self.pipes[1 - side].borrow_mut();
            comes(&mut back.told_at);
            let confirmed = std::mem::take(&mut back.unconfirmed);
            back.bytes -= confirmed;
            back.writer.take()
        };
        wake([reader, writer]);
        self.wake_at(core, at);
    }

    /// Has whoever waits look again then.
    fn wake_at(self: &Rc<Self>, core: &Core, at: Duration) {
        if at == NEVER || at <= core.now() {
            return;
        }
        let connection = Rc::downgrade(self);
        let act = move || {
            let Some(connection) = connection.upgrade() else {
                return;
            };
            for pipe in &connection.pipes {
                let wakers = pipe.borrow_mut().wake_both();
                wake(wakers);
            }
        };
        core.set_alarm(at, Alarm::Act(Box::new(act)));
    }

    /// Both ends get an error; what is under way is lost.
    pub(super) fn reset(&self) {
        for pipe in &self.pipes {
            let wakers = {
                let mut pipe = pipe.borrow_mut();
                pipe.reset = true;
                pipe.chunks.clear();
                pipe.bytes = 0;
                pipe.unconfirmed = 0;
                pipe.wake_both()
            };
            wake(wakers);
        }
    }

    /// This end is no more.
    fn close(self: &Rc<Self>, core: &Core, side: usize) {
        if core.nodes.is_silent(self.ends[side].place) {
            return self.vanished[side].set(true);
        }
        let nodes = self.nodes();
        let way = (nodes[side], nodes[1 - side]);
        let at = core.network.arrival(core.now(), way, 0, Duration::ZERO);
        let wakers = {
            let mut outgoing = self.pipes[side].borrow_mut();
            if !std::mem::replace(&mut outgoing.finished, true) {
                outgoing.end_at = at;
            }
            outgoing.wake_both()
        };
        wake(wakers);
        let wakers = {
            let mut incoming = self.pipes[1 - side].borrow_mut();
            if !std::mem::replace(&mut incoming.abandoned, true) {
                incoming.told_at = at;
            }
            incoming.wake_both()
        };
        wake(wakers);
        self.wake_at(core, at);
    }
}

/// One end of a connection. Dropping it ends both directions.
pub struct SimStream {
    core: Rc<Core>,
    connection: Rc<Connection>,
    side: usize,
}

impl SimStream {
    pub(super) fn pair(core: &Rc<Core>, client: End, server: End) -> (SimStream, SimStream) {
        let connection = Rc::new(Connection {
            ends: [client, server],
            pipes: Default::default(),
            vanished: Default::default(),
        });
        if [client, server].iter().any(|end| end.place != Place::HOST) {
            core.network.register(&connection);
        }
        let far = SimStream { core: core.clone(), connection: connection.clone(), side: 1 };
        (SimStream { core: core.clone(), connection, side: 0 }, far)
    }

    /// Another handle of the same end; dropping either ends the connection.
    pub(super) fn alias(&self) -> SimStream {
        let (core, connection) = (self.core.clone(), self.connection.clone());
        SimStream { core, connection, side: self.side }
    }

    pub(super) fn peer_address(&self) -> SocketAddr {
        self.connection.ends[1 - self.side].address
    }

    fn incoming(&self) -> RefMut<'_, Pipe> {
        self.connection.pipes[1 - self.side].borrow_mut()
    }

    fn outgoing(&self) -> RefMut<'_, Pipe> {
        self.connection.pipes[self.side].borrow_mut()
    }

    /// The nodes of this end and of the other one.
    fn way(&self) -> (usize, usize) {
        let nodes = self.connection.nodes();
        (nodes[self.side], nodes[1 - self.side])
    }
}

impl Stream for SimStream {
    fn peer(&self) -> SocketAddr {
        self.peer_address()
    }

    fn local(&self) -> SocketAddr {
        self.connection.ends[self.side].address
    }

    async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(!buffer.is_empty(), "a read needs room");
        let mut arrival = None;
        poll_fn(|context| {
            if let Some(key) = arrival.take() {
                self.core.withdraw_alarm(key);
            }
            let mut pipe = self.incoming();
            if pipe.abandoned {
                return Poll::Ready(Ok(0));
            }
            if pipe.reset {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            let next = match pipe.chunks.front() {
                Some((at, _)) => *at,
                None if pipe.finished => pipe.end_at,
                None => NEVER,
            };
            if next > self.core.now() {
                let waker = context.waker().clone();
                if next != NEVER {
                    arrival = Some(self.core.set_alarm(next, Alarm::Wake(waker.clone())));
                }
                pipe.reader = Some(waker);
                return Poll::Pending;
            }
            let Some((_, chunk)) = pipe.chunks.front_mut() else {
                return Poll::Ready(Ok(0));
            };
            let count =
                self.core.network.draw(|random| part(random, chunk.len().min(buffer.len())));
            for (target, byte) in buffer.iter_mut().zip(chunk.drain(..count)) {
                *target = byte;
            }
            if chunk.is_empty() {
                pipe.chunks.pop_front();
            }
            let (own, peer) = self.way();
            let confirmed = self.core.network.goes_through(own, peer);
            let mut writer = None;
            if confirmed {
                pipe.bytes -= count;
                writer = pipe.writer.take();
            } else {
                pipe.unconfirmed += count;
            }
            drop(pipe);
            self.core.trace(count as u64);
            wake([writer]);
            Poll::Ready(Ok(count))
        })
        .await
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!bytes.is_empty(), "a write needs bytes");
        let (network, now) = (&self.core.network, self.core.now());
        let mut pipe = self.outgoing();
        if pipe.finished || (pipe.abandoned && pipe.told_at <= now) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if pipe.reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let room = network.buffer_bytes.get().saturating_sub(pipe.bytes);
        if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = network.draw(|random| part(random, room.min(bytes.len())));
        let earliest = pipe.chunks.back().map_or(Duration::ZERO, |(at, _)| *at);
        let usual = network.draw(delay);
        let at = earliest.max(network.arrival(now, self.way(), count, usual));
        pipe.chunks.push_back((at, bytes[..count].iter().copied().collect()));
        pipe.bytes += count;
        let reader = pipe.reader.take();
        drop(pipe);
        self.core.trace(count as u64);
        wake([reader]);
        if self.connection.vanished[1 - self.side].get() {
            network.answer_stranger(&self.core, &self.connection);
        }
        Ok(count)
    }

    async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        poll_fn(|context| match self.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.outgoing().writer = Some(context.waker().clone());
                Poll::Pending
            }
            result => Poll::Ready(result),
        })
        .await
    }

    fn shutdown(&self) {
        self.connection.close(&self.core, self.side);
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.connection.close(&self.core, self.side);
    }
}

/// All of `most` (at least 1), or now and then a part of it.
fn part(random: &mut Random, most: usize) -> usize {
    if random.chance(1, 4) { 1 + random.index(most) } else { most }
}
