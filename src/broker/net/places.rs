//! The places for connections, of all shards: the control shard gives them away.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;

use ringmq_base::ShardId;
use ringmq_net::addresses::{Addresses, Limits, Refused};

pub struct Places {
    addresses: Addresses,
    /// Connections of each shard.
    of_shards: RefCell<Vec<usize>>,
    /// Of one shard.
    most: usize,
    next: Cell<usize>,
}

impl Places {
    /// `limits`: of all shards, which have equal parts.
    pub fn new(limits: Limits, shards: usize) -> Places {
        let shards = shards.max(1);
        Places {
            most: limits.all / shards,
            addresses: Addresses::new(limits),
            of_shards: RefCell::new(vec![0; shards]),
            next: Cell::new(0),
        }
    }

    /// The shard that is to serve a new connection: one after the other, but for those that are
    /// full. To be undone by [`Places::give_back`].
    ///
    /// # Errors
    /// If it is one too many.
    pub fn take(&self, ip: IpAddr) -> Result<ShardId, Refused> {
        self.addresses.enter(ip)?;
        let mut of_shards = self.of_shards.borrow_mut();
        let first = self.next.get();
        let shards = of_shards.len();
        let in_turn = (first..first + shards).map(|shard| shard % shards);
        // There is one: all parts together are the limit of all.
        let free = in_turn.into_iter().find(|shard| of_shards[*shard] < self.most);
        let target = free.unwrap_or(first);
        of_shards[target] += 1;
        self.next.set((target + 1) % shards);
        Ok(ShardId(target as u16))
    }

    /// A connection of a shard is no more.
    pub fn give_back(&self, shard: ShardId, ip: IpAddr) {
        self.addresses.leave(ip);
        if let Some(count) = self.of_shards.borrow_mut().get_mut(shard.index()) {
            *count = count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_shard_is_passed_over_until_it_has_a_place_again() {
        let limits = Limits { all: 6, per_address: 100, reserved: 0, exempt_loopback: true };
        let places = Places::new(limits, 3);
        let ip: IpAddr = "10.0.0.1".parse().expect("an address");
        let take = || places.take(ip).map(|shard| shard.0);
        assert_eq!((0..6).map(|_| take()).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2].map(Ok));
        assert_eq!(take(), Err(Refused::All { open: 6, limit: 6 }));
        places.give_back(ShardId(2), ip);
        places.give_back(ShardId(2), ip);
        assert_eq!((take(), take()), (Ok(2), Ok(2)), "whose turn it is does not matter");
        assert!(take().is_err());
    }
}
