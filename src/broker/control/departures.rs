//! Connections that ended leave their groups a few at a time, one connection after the other: a
//! thousand that end at once hold up nobody. A heartbeat that is being noted meanwhile learns that
//! its connection is gone, so that it leaves no member behind.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

use ringmq_io::{Runtime, Shares};
use ringmq_rules::ConnectionId;

use super::Control;

/// Groups that a connection leaves without a pause: some 200 us.
const SLICE_LEFT: usize = 64;

#[derive(Default)]
pub struct Departures {
    /// Connections that ended and are still in groups.
    leaving: RefCell<VecDeque<ConnectionId>>,
    /// A task is at it.
    under_way: Cell<bool>,
    /// Heartbeats that are being noted, and whether their connection has ended.
    beats: RefCell<BTreeMap<ConnectionId, (usize, bool)>>,
}

/// A heartbeat that is being noted.
pub struct Beat<'a> {
    departures: &'a Departures,
    connection: ConnectionId,
}

impl Beat<'_> {
    /// Its connection has ended: nothing more of it may be noted.
    pub fn is_gone(&self) -> bool {
        self.departures.beats.borrow().get(&self.connection).is_some_and(|(_, gone)| *gone)
    }
}

impl Drop for Beat<'_> {
    fn drop(&mut self) {
        let mut beats = self.departures.beats.borrow_mut();
        if let Some((count, _)) = beats.get_mut(&self.connection) {
            *count -= 1;
            if *count == 0 {
                beats.remove(&self.connection);
            }
        }
    }
}

impl Departures {
    /// Begins to note a heartbeat.
    pub fn beat(&self, connection: ConnectionId) -> Beat<'_> {
        self.beats.borrow_mut().entry(connection).or_default().0 += 1;
        Beat { departures: self, connection }
    }
}

impl<R: Runtime> Control<R> {
    /// A client's connection is gone.
    pub fn connection_closed(self: &Rc<Self>, connection: ConnectionId) {
        let departures = &self.departures;
        if let Some((_, gone)) = departures.beats.borrow_mut().get_mut(&connection) {
            *gone = true;
        }
        departures.leaving.borrow_mut().push_back(connection);
        if departures.under_way.replace(true) {
            return;
        }
        // Most are in a few groups.
        if !self.leave_some() {
            return departures.under_way.set(false);
        }
        let control = self.clone();
        self.shard.runtime.spawn(Shares::Admin, "departures", async move {
            while control.leave_some() {
                control.shard.flush();
                control.shard.runtime.yield_if_needed().await;
            }
            control.departures.under_way.set(false);
            control.shard.flush();
        });
    }

    /// Takes the first connection out of some of its groups. False: nobody is left that has ended.
    fn leave_some(self: &Rc<Self>) -> bool {
        let departures = &self.departures;
        let Some(connection) = departures.leaving.borrow().front().copied() else {
            return false;
        };
        let (events, all) = self.tables.borrow_mut().clients.close_some(connection, SLICE_LEFT);
        self.client_events(events);
        let mut leaving = departures.leaving.borrow_mut();
        if all {
            leaving.pop_front();
        }
        !leaving.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_of_a_connection_hear_that_it_has_ended() {
        let departures = Departures::default();
        let connection = |slot| ConnectionId { shard: 0, slot, generation: 0 };
        let (first, second) = (departures.beat(connection(1)), departures.beat(connection(1)));
        let other = departures.beat(connection(2));
        departures.beats.borrow_mut().get_mut(&connection(1)).expect("there").1 = true;
        assert!(first.is_gone() && second.is_gone() && !other.is_gone());
        drop((first, other));
        assert!(second.is_gone());
        drop(second);
        assert!(departures.beats.borrow().is_empty());
    }
}
