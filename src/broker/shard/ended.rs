//! Which connections have ended, of all shards. Whatever is done for a connection behind an await
//! looks here first: what it would leave behind, nobody would take away.

use std::cell::RefCell;

use ringmq_rules::ConnectionId;

/// The last connection of each place that has ended. Those of a place come one after the other, so
/// nothing is ever forgotten. 4 bytes for each place of a connection, of which there are no more
/// than `connectionsMax`.
#[derive(Default)]
pub struct Ended(RefCell<Vec<Vec<u32>>>);

impl Ended {
    /// A connection has ended, or is as good as ended: it is being closed.
    pub fn note(&self, connection: ConnectionId) {
        if self.has(connection) {
            return;
        }
        let mut shards = self.0.borrow_mut();
        let places = entry(&mut shards, usize::from(connection.shard));
        *entry(places, connection.slot as usize) = connection.generation;
    }

    pub fn has(&self, connection: ConnectionId) -> bool {
        let shards = self.0.borrow();
        let places = shards.get(usize::from(connection.shard));
        let last = places.and_then(|places| places.get(connection.slot as usize));
        // Generations of a place begin with 1, and begin again when they are used up.
        let since = last.map(|last| connection.generation.wrapping_sub(*last).cast_signed());
        since.is_some_and(|since| since <= 0)
    }
}

fn entry<T: Clone + Default>(all: &mut Vec<T>, at: usize) -> &mut T {
    if all.len() <= at {
        all.resize(at + 1, T::default());
    }
    &mut all[at]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_place_the_last_that_ended_and_those_before_it_are_known() {
        let ended = Ended::default();
        let connection = |slot, generation| ConnectionId { shard: 1, slot, generation };
        assert!(!ended.has(connection(0, 1)));
        ended.note(connection(3, 1));
        for (slot, generation, expected) in
            [(3, 1, true), (3, 2, false), (2, 1, false), (4, 1, false), (3, u32::MAX, true)]
        {
            assert_eq!(ended.has(connection(slot, generation)), expected, "{slot} {generation}");
        }
        ended.note(connection(3, 5));
        ended.note(connection(3, 4));
        assert!(ended.has(connection(3, 5)) && !ended.has(connection(3, 6)));
        let other = ConnectionId { shard: 0, ..connection(3, 5) };
        assert!(!ended.has(other));
    }
}
