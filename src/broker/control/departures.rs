//! Connections that ended leave their groups a few at a time, one connection after the other: a
//! thousand that end at once hold up nobody. None is noted in a group after that, see
//! `shard/ended`.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
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
}

impl<R: Runtime> Control<R> {
    /// A client's connection is gone, and noted as such.
    pub fn connection_closed(self: &Rc<Self>, connection: ConnectionId) {
        let departures = &self.departures;
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
