//! Reads under way: who wants a block that somebody reads already waits for that read, and the
//! bytes under way are limited.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    rc::Rc,
};

use ringmq_io::signal::Notify;

use crate::cache::{Block, BlockKey, Cache, pacing::ReadBudget};

#[derive(Default)]
pub struct PendingReads {
    by_key: RefCell<HashMap<BlockKey, Rc<PendingRead>, ahash::RandomState>>,
    gate: Gate,
}

impl PendingReads {
    pub fn find(&self, key: BlockKey) -> Option<Rc<PendingRead>> {
        self.by_key.borrow().get(&key).cloned()
    }
}

/// A read under way, or over. Keeps what it brought as long as somebody looks, however small the
/// cache is.
#[derive(Default)]
pub struct PendingRead {
    over: Cell<bool>,
    ended: Notify,
    blocks: RefCell<Vec<(BlockKey, Block)>>,
}

impl PendingRead {
    /// Resolves when the read is over; `None` if it failed, was given up or found no such block.
    /// Safe to cancel.
    pub async fn block(&self, key: BlockKey) -> Option<Block> {
        while !self.over.get() {
            self.ended.wait().await;
        }
        let blocks = self.blocks.borrow();
        blocks.iter().find(|(other, _)| *other == key).map(|(_, block)| block.clone())
    }
}

/// Ends a pending read. Dropped without [`ReadCompleter::complete`], as with a reader that is
/// cancelled, the read is over and has brought nothing.
pub struct ReadCompleter {
    cache: Rc<Cache>,
    keys: Vec<BlockKey>,
    pending: Rc<PendingRead>,
}

impl ReadCompleter {
    pub(super) fn new(cache: Rc<Cache>, keys: Vec<BlockKey>) -> ReadCompleter {
        let pending: Rc<PendingRead> = Rc::default();
        let mut by_key = cache.pending_reads.by_key.borrow_mut();
        for key in &keys {
            by_key.insert(*key, pending.clone());
        }
        drop(by_key);
        ReadCompleter { cache, keys, pending }
    }

    /// Hands the blocks, in the order of the keys, to the cache and to all who wait. Fewer blocks
    /// than keys is fine.
    pub fn complete(self, blocks: Vec<Block>) {
        assert!(blocks.len() <= self.keys.len());
        for (key, block) in self.keys.iter().zip(blocks) {
            self.cache.insert(*key, block.clone());
            self.pending.blocks.borrow_mut().push((*key, block));
        }
    }
}

impl Drop for ReadCompleter {
    fn drop(&mut self) {
        let mut by_key = self.cache.pending_reads.by_key.borrow_mut();
        for key in &self.keys {
            // A later reader may have tried again under the same key.
            if by_key.get(key).is_some_and(|pending| Rc::ptr_eq(pending, &self.pending)) {
                by_key.remove(key);
            }
        }
        drop(by_key);
        self.pending.over.set(true);
        self.pending.ended.notify();
    }
}

/// Room for reads, and who waits for it.
#[derive(Default)]
struct Gate {
    bytes: Cell<u64>,
    /// In the order in which they came, so that a large read gets its turn among small ones.
    waiting: RefCell<VecDeque<u64>>,
    came: Cell<u64>,
    /// There may be room, or another one's turn.
    room: Notify,
}

impl Gate {
    /// A single read fits, however large.
    fn fits(&self, bytes: u64, most: u64) -> bool {
        let under_way = self.bytes.get();
        under_way == 0 || under_way + bytes <= most
    }
}

/// A place in the queue before the gate; given up when dropped.
struct GatePlace {
    cache: Rc<Cache>,
    number: u64,
}

impl GatePlace {
    fn new(cache: Rc<Cache>) -> GatePlace {
        let gate = &cache.pending_reads.gate;
        let number = gate.came.get();
        gate.came.set(number + 1);
        gate.waiting.borrow_mut().push_back(number);
        GatePlace { cache, number }
    }

    fn has_come(&self) -> bool {
        self.cache.pending_reads.gate.waiting.borrow().front() == Some(&self.number)
    }
}

impl Drop for GatePlace {
    fn drop(&mut self) {
        let gate = &self.cache.pending_reads.gate;
        gate.waiting.borrow_mut().retain(|number| *number != self.number);
        gate.room.notify();
    }
}

/// The right to read so many bytes; ends when dropped.
pub struct ReadPermit {
    cache: Rc<Cache>,
    bytes: u64,
}

impl ReadPermit {
    pub(super) async fn wait(cache: Rc<Cache>, bytes: u64, budget: ReadBudget) -> ReadPermit {
        let place = GatePlace::new(cache.clone());
        let gate = &cache.pending_reads.gate;
        while !place.has_come() || !gate.fits(bytes, budget.in_flight_bytes) {
            gate.room.wait().await;
        }
        drop(place);
        ReadPermit::take(cache, bytes)
    }

    pub(super) fn try_ahead(
        cache: Rc<Cache>,
        bytes: u64,
        budget: ReadBudget,
    ) -> Option<ReadPermit> {
        let gate = &cache.pending_reads.gate;
        let fits = gate.waiting.borrow().is_empty() && gate.fits(bytes, budget.ahead_bytes);
        fits.then(|| ReadPermit::take(cache, bytes))
    }

    fn take(cache: Rc<Cache>, bytes: u64) -> ReadPermit {
        let gate = &cache.pending_reads.gate;
        gate.bytes.set(gate.bytes.get() + bytes);
        ReadPermit { cache, bytes }
    }
}

impl Drop for ReadPermit {
    fn drop(&mut self) {
        let gate = &self.cache.pending_reads.gate;
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
    fn a_pending_read_that_is_given_up_sets_its_waiters_free() {
        let sim = Sim::new(2);
        sim.run(async |runtime| {
            let cache = Rc::new(Cache::new(1 << 20));
            let key = BlockKey::Log(0);
            let completer = cache.begin_read(vec![key]);
            let pending = cache.pending_reads.find(key).expect("under way");
            let heard = Rc::new(Cell::new(false));
            let told = heard.clone();
            runtime.spawn(Shares::ColdRead, "waiter", async move {
                assert!(pending.block(key).await.is_none());
                told.set(true);
            });
            runtime.sleep(Duration::from_millis(1)).await;
            assert!(!heard.get());
            drop(completer);
            runtime.sleep(Duration::from_millis(1)).await;
            assert!(heard.get() && !cache.has(key, 1));
        });
    }

    #[test]
    fn the_bytes_under_way_are_limited() {
        let sim = Sim::new(3);
        sim.run(async |runtime| {
            let cache = Rc::new(Cache::new(1 << 20));
            let first = cache.admit(ReadBudget::ALONE.in_flight_bytes, ReadBudget::ALONE).await;
            assert!(cache.admit_ahead(4096, ReadBudget::ALONE).is_none());
            let admitted = Rc::new(Cell::new(0));
            for _ in 0..3 {
                let (cache, admitted) = (cache.clone(), admitted.clone());
                runtime.spawn(Shares::ColdRead, "reader", async move {
                    let _slot = cache.admit(4096, ReadBudget::ALONE).await;
                    admitted.set(admitted.get() + 1);
                });
            }
            runtime.sleep(Duration::from_millis(1)).await;
            assert_eq!(admitted.get(), 0);
            drop(first);
            runtime.sleep(Duration::from_millis(1)).await;
            assert_eq!(admitted.get(), 3);
            assert!(cache.admit_ahead(4096, ReadBudget::ALONE).is_some());
        });
    }

    #[test]
    fn a_large_read_gets_its_turn_among_small_ones_also_after_one_that_gave_up() {
        const BUDGET: ReadBudget = ReadBudget::BESIDE_WRITES;
        let sim = Sim::new(4);
        sim.run(async |runtime| {
            let cache = Rc::new(Cache::new(1 << 20));
            for reader in 0..6 {
                let (cache, clock) = (cache.clone(), runtime.clone());
                runtime.spawn(Shares::ColdRead, "small reader", async move {
                    clock.sleep(Duration::from_micros(reader * 50)).await;
                    loop {
                        let _slot = cache.admit(16 << 10, BUDGET).await;
                        clock.sleep(Duration::from_micros(300)).await;
                    }
                });
            }
            runtime.sleep(Duration::from_millis(5)).await;
            let given_up = GatePlace::new(cache.clone());
            let large = cache.admit(BUDGET.in_flight_bytes, BUDGET);
            let leaves = async {
                runtime.sleep(Duration::from_millis(2)).await;
                drop(given_up);
            };
            let began = runtime.monotonic();
            let (slot, ()) = futures_lite::future::zip(large, leaves).await;
            assert_eq!(cache.pending_reads.gate.bytes.get(), BUDGET.in_flight_bytes);
            assert!(runtime.monotonic() - began < Duration::from_millis(4));
            drop(slot);
        });
    }
}
