//! In which order connections get room for their answers when clients hold all of it.

use std::collections::BTreeMap;

use ahash::AHashMap;
use ringmq_rules::ConnectionId;

use crate::net::output_budget::Rank;

const RANKS: usize = Rank::More as usize + 1;

/// Connections that wait, each once, by rank and then by arrival.
#[derive(Default)]
pub struct RoomQueue {
    by_rank: [BTreeMap<u64, ConnectionId>; RANKS],
    places: AHashMap<ConnectionId, (Rank, u64)>,
    arrivals: u64,
}

impl RoomQueue {
    /// A connection waits with this rank. One that waits with a higher one keeps it; one with a
    /// lower one rises, or those who come later with the higher one would all go before it.
    pub fn put(&mut self, connection: ConnectionId, rank: Rank) {
        match self.places.get(&connection) {
            Some((has, _)) if *has <= rank => return,
            Some(_) => self.remove(connection),
            None => {}
        }
        self.arrivals += 1;
        self.by_rank[rank as usize].insert(self.arrivals, connection);
        self.places.insert(connection, (rank, self.arrivals));
    }

    /// Who has waited longest with this rank.
    pub fn first(&self, rank: Rank) -> Option<ConnectionId> {
        self.by_rank[rank as usize].first_key_value().map(|(_, connection)| *connection)
    }

    pub fn has(&self, connection: ConnectionId) -> bool {
        self.places.contains_key(&connection)
    }

    pub fn remove(&mut self, connection: ConnectionId) {
        if let Some((rank, arrival)) = self.places.remove(&connection) {
            self.by_rank[rank as usize].remove(&arrival);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(slot: u32) -> ConnectionId {
        ConnectionId { shard: 0, slot, generation: 1 }
    }

    #[test]
    fn connections_wait_by_rank_and_then_by_arrival() {
        let mut queue = RoomQueue::default();
        for slot in 0..3 {
            queue.put(connection(slot), Rank::First);
        }
        assert_eq!(queue.first(Rank::First), Some(connection(0)));
        queue.put(connection(0), Rank::First);
        queue.put(connection(0), Rank::More);
        assert_eq!(queue.first(Rank::First), Some(connection(0)), "it keeps its place");
        assert_eq!(queue.first(Rank::More), None);
        queue.remove(connection(0));
        assert_eq!(queue.first(Rank::First), Some(connection(1)));
        assert!(!queue.has(connection(0)) && queue.has(connection(2)));
    }

    #[test]
    fn who_has_taken_its_answers_meanwhile_rises() {
        let mut queue = RoomQueue::default();
        queue.put(connection(1), Rank::More);
        queue.put(connection(2), Rank::First);
        queue.put(connection(1), Rank::Proven);
        assert_eq!(queue.first(Rank::Proven), Some(connection(1)));
        assert_eq!(queue.first(Rank::More), None, "it waits once");
        queue.remove(connection(1));
        assert_eq!(queue.first(Rank::Proven), None);
    }
}
