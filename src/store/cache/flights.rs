//! Reads under way: who wants a block that somebody reads already waits for that read, and the
//! bytes under way are limited.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};

use ringmq_io::signal::Notify;

use super::{Block, BlockKey, Cache, Gate};
use crate::pace::Pace;

#[derive(Default)]
pub struct Flights {
    by_key: RefCell<HashMap<BlockKey, Rc<Flight>, ahash::RandomState>>,
    gate: Gate,
}

impl Flights {
    pub fn find(&self, key: BlockKey) -> Option<Rc<Flight>> {
        self.by_key.borrow().get(&key).cloned()
    }
}

/// A read under way, or over. Keeps what it brought as long as somebody looks, however small the
/// cache is.
#[derive(Default)]
pub struct Flight {
    over: Cell<bool>,
    landed: Notify,
    blocks: RefCell<Vec<(BlockKey, Block)>>,
}

impl Flight {
    /// Resolves when the read is over; `None` if it failed, was given up or found no such block.
    /// Safe to cancel.
    pub async fn block(&self, key: BlockKey) -> Option<Block> {
        while !self.over.get() {
            self.landed.wait().await;
        }
        let blocks = self.blocks.borrow();
        blocks.iter().find(|(other, _)| *other == key).map(|(_, block)| block.clone())
    }
}

/// The end of a flight. Dropped without [`Landing::land`], as with a reader that is cancelled, the
/// flight is over and has brought nothing.
pub struct Landing {
    cache: Rc<Cache>,
    keys: Vec<BlockKey>,
    flight: Rc<Flight>,
}

impl Landing {
    pub(super) fn new(cache: Rc<Cache>, keys: Vec<BlockKey>) -> Landing {
        let flight: Rc<Flight> = Rc::default();
        let mut by_key = cache.flights.by_key.borrow_mut();
        for key in &keys {
            by_key.insert(*key, flight.clone());
        }
        drop(by_key);
        Landing { cache, keys, flight }
    }

    /// Hands the blocks, in the order of the keys, to the cache and to all who wait. Fewer blocks
    /// than keys is fine.
    pub fn land(self, blocks: Vec<Block>) {
        assert!(blocks.len() <= self.keys.len());
        for (key, block) in self.keys.iter().zip(blocks) {
            self.cache.insert(*key, block.clone());
            self.flight.blocks.borrow_mut().push((*key, block));
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut by_key = self.cache.flights.by_key.borrow_mut();
        for key in &self.keys {
            // A later reader may have tried again under the same key.
            if by_key.get(key).is_some_and(|flight| Rc::ptr_eq(flight, &self.flight)) {
                by_key.remove(key);
            }
        }
        drop(by_key);
        self.flight.over.set(true);
        self.flight.landed.notify();
    }
}

/// The right to read so many bytes; ends when dropped.
pub struct Slot {
    cache: Rc<Cache>,
    bytes: u64,
}

impl Slot {
    pub(super) async fn wait(cache: Rc<Cache>, bytes: u64, pace: Pace) -> Slot {
        while !cache.flights.gate.fits(bytes, pace.in_flight_bytes) {
            cache.flights.gate.room.wait().await;
        }
        Slot::take(cache, bytes)
    }

    pub(super) fn try_ahead(cache: Rc<Cache>, bytes: u64, pace: Pace) -> Option<Slot> {
        let fits = cache.flights.gate.fits(bytes, pace.ahead_bytes);
        fits.then(|| Slot::take(cache, bytes))
    }

    fn take(cache: Rc<Cache>, bytes: u64) -> Slot {
        let gate = &cache.flights.gate;
        gate.bytes.set(gate.bytes.get() + bytes);
        Slot { cache, bytes }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let gate = &self.cache.flights.gate;
        gate.bytes.set(gate.bytes.get() - self.bytes);
        gate.room.notify();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ringmq_io::{Clock as _, Shares, Spawn as _, sim::Sim};

    use super::*;

    #[test]
    fn a_flight_that_is_given_up_sets_its_waiters_free() {
        let sim = Sim::new(2);
        sim.run(async |runtime| {
            let cache = Rc::new(Cache::new(1 << 20));
            let key = BlockKey::Log(0);
            let landing = cache.depart(vec![key]);
            let flight = cache.flights.find(key).expect("under way");
            let heard = Rc::new(Cell::new(false));
            let told = heard.clone();
            runtime.spawn(Shares::ColdRead, "waiter", async move {
                assert!(flight.block(key).await.is_none());
                told.set(true);
            });
            runtime.sleep(Duration::from_millis(1)).await;
            assert!(!heard.get());
            drop(landing);
            runtime.sleep(Duration::from_millis(1)).await;
            assert!(heard.get() && !cache.has(key, 1));
        });
    }

    #[test]
    fn the_bytes_under_way_are_limited() {
        let sim = Sim::new(3);
        sim.run(async |runtime| {
            let cache = Rc::new(Cache::new(1 << 20));
            let first = cache.admit(Pace::ALONE.in_flight_bytes, Pace::ALONE).await;
            assert!(cache.admit_ahead(4096, Pace::ALONE).is_none());
            let admitted = Rc::new(Cell::new(0));
            for _ in 0..3 {
                let (cache, admitted) = (cache.clone(), admitted.clone());
                runtime.spawn(Shares::ColdRead, "reader", async move {
                    let _slot = cache.admit(4096, Pace::ALONE).await;
                    admitted.set(admitted.get() + 1);
                });
            }
            runtime.sleep(Duration::from_millis(1)).await;
            assert_eq!(admitted.get(), 0);
            drop(first);
            runtime.sleep(Duration::from_millis(1)).await;
            assert_eq!(admitted.get(), 3);
            assert!(cache.admit_ahead(4096, Pace::ALONE).is_some());
        });
    }
}
