//! The block cache of a log: final blocks of its files as they were read from disk, within a budget
//! of bytes. One that is read once, by a consumer that sweeps through the log, does not drive out
//! what is read again and again (`quick_cache`: CLOCK-Pro with a short queue for newcomers).
//!
//! Nothing here is trusted: whoever reads a record checks it on every serve, and takes
//! the block out with [`Cache::remove_range`] if it does not fit, so that the next read sees the
//! file as it is then. A block that may still be written again is never put in.

pub mod pacing;
mod pending_reads;
mod streams;

use std::{cell::RefCell, ops::Range, rc::Rc};

use quick_cache::{Lifecycle, OptionsBuilder, Weighter, unsync};

pub use pending_reads::{PendingRead, ReadCompleter, ReadPermit};
pub use streams::{Ahead, Streams};

use crate::cache::pacing::ReadBudget;

/// Unit of reads of the log; its blocks lie on a grid that begins with the segment.
pub const LOG_BLOCK_BYTES: u64 = 16 << 10;
/// What a block costs besides its bytes, about.
const OVERHEAD_BYTES: u64 = 128;
/// Of the budget, in percent, what blocks get that were asked for again; the rest is for newcomers,
/// and read-ahead must fit in it until its reader comes.
const HOT_PERCENT: u64 = 75;
/// Of the budget, what all streams together may have read ahead.
const AHEAD_SHARE: u64 = 8;

/// Bytes of a block. LogInner with readers, so it outlives its eviction.
pub type Block = Rc<[u8]>;

/// Which block: the kind of file and the position of the block's first byte in it. Positions of a
/// log never come back with other content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockKey {
    /// The commit log, by log position.
    Log(u64),
}

/// What the cache has of a block.
pub enum Found {
    Block(Block),
    /// Somebody reads it right now.
    Pending(Rc<PendingRead>),
    Nothing,
}

/// Sums since the log was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounters {
    /// Blocks that were there or on their way when they were wanted.
    pub hits: u64,
    pub misses: u64,
    pub evictions: u64,
}

type Blocks = unsync::Cache<BlockKey, Block, BlockWeight, ahash::RandomState, CountEvictions>;

pub struct Cache {
    blocks: RefCell<Blocks>,
    pending_reads: pending_reads::PendingReads,
    pub streams: RefCell<Streams>,
    counters: Rc<RefCell<CacheCounters>>,
}

impl Cache {
    /// Holds up to about `budget` bytes; what is just being read comes on top, with limits of its
    /// own.
    pub fn new(budget: usize) -> Cache {
        let budget = budget as u64;
        let options = OptionsBuilder::new()
            .shards(1)
            .weight_capacity(budget)
            .estimated_items_capacity((budget / LOG_BLOCK_BYTES) as usize + 1)
            .hot_allocation(HOT_PERCENT as f64 / 100.0)
            .build()
            .expect("both capacities are set");
        let counters: Rc<RefCell<CacheCounters>> = Rc::default();
        let lifecycle = CountEvictions(counters.clone());
        let hasher = ahash::RandomState::new();
        let blocks = unsync::Cache::with_options(options, BlockWeight, hasher, lifecycle);
        Cache {
            blocks: blocks.into(),
            pending_reads: pending_reads::PendingReads::default(),
            streams: Streams::new(budget / AHEAD_SHARE).into(),
            counters,
        }
    }

    /// Puts a block in, or another one in its place; may put others out.
    pub fn insert(&self, key: BlockKey, block: Block) {
        self.blocks.borrow_mut().insert(key, block);
    }

    /// Takes out all blocks with keys in the range: they are gone, or were found damaged.
    pub fn remove_range(&self, keys: Range<BlockKey>) {
        self.blocks.borrow_mut().retain(|key, _| !keys.contains(key));
    }

    /// Takes out all blocks of the log that hold a byte of `from..to`.
    pub fn forget_log(&self, from: u64, to: u64) {
        let from = from.saturating_sub(LOG_BLOCK_BYTES - 1);
        self.remove_range(BlockKey::Log(from)..BlockKey::Log(to));
    }

    /// Looks for a block of at least `need` bytes: one that was read when the log ended in it may
    /// be shorter. Sweeping readers do not count as use.
    pub fn find(&self, key: BlockKey, need: usize, counts: bool) -> Found {
        let found = {
            let blocks = self.blocks.borrow();
            if counts { blocks.get(&key) } else { blocks.peek(&key) }.cloned()
        };
        let found = match found.filter(|block| block.len() >= need) {
            Some(block) => Found::Block(block),
            None => self.pending_reads.find(key).map_or(Found::Nothing, Found::Pending),
        };
        let mut counters = self.counters.borrow_mut();
        let missed = matches!(found, Found::Nothing);
        *if missed { &mut counters.misses } else { &mut counters.hits } += 1;
        found
    }

    /// Whether [`Cache::find`] would find something; counts nothing.
    pub fn has(&self, key: BlockKey, need: usize) -> bool {
        let there = self.blocks.borrow().peek(&key).is_some_and(|block| block.len() >= need);
        there || self.pending_reads.find(key).is_some()
    }

    /// Announces that these blocks are about to be read. Who wants one of them waits until the
    /// completer is over, or dropped.
    pub fn begin_read(self: &Rc<Self>, keys: Vec<BlockKey>) -> ReadCompleter {
        ReadCompleter::new(self.clone(), keys)
    }

    /// Resolves when `bytes` may be read. Reads of readers that wait come before read-ahead.
    pub async fn admit(self: &Rc<Self>, bytes: u64, budget: ReadBudget) -> ReadPermit {
        ReadPermit::wait(self.clone(), bytes, budget).await
    }

    /// As [`Cache::admit`] for read-ahead, which does not wait: `None` if enough is under way.
    pub fn admit_ahead(self: &Rc<Self>, bytes: u64, budget: ReadBudget) -> Option<ReadPermit> {
        ReadPermit::try_ahead(self.clone(), bytes, budget)
    }

    pub fn counters(&self) -> CacheCounters {
        *self.counters.borrow()
    }

    #[cfg(test)]
    pub fn weight(&self) -> u64 {
        self.blocks.borrow().weight()
    }
}

#[derive(Clone)]
struct BlockWeight;

impl Weighter<BlockKey, Block> for BlockWeight {
    fn weight(&self, _: &BlockKey, block: &Block) -> u64 {
        block.len() as u64 + OVERHEAD_BYTES
    }
}

struct CountEvictions(Rc<RefCell<CacheCounters>>);

impl Lifecycle<BlockKey, Block> for CountEvictions {
    type RequestState = ();

    fn on_evict(&self, _: &mut (), _: BlockKey, _: Block) {
        self.0.borrow_mut().evictions += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(bytes: usize, content: u8) -> Block {
        vec![content; bytes].into()
    }

    #[test]
    fn the_budget_holds_and_a_sweep_leaves_what_is_used_often() {
        const BLOCK: usize = 4096;
        let cache = Cache::new(64 * (BLOCK + OVERHEAD_BYTES as usize));
        for at in 0..16 {
            cache.insert(BlockKey::Log(at), block(BLOCK, 1));
        }
        for _ in 0..3 {
            for at in 0..16 {
                assert!(matches!(cache.find(BlockKey::Log(at), BLOCK, true), Found::Block(_)));
            }
        }
        for at in 1000..11_000 {
            cache.insert(BlockKey::Log(at), block(BLOCK, 2));
            assert!(matches!(cache.find(BlockKey::Log(at), 1, false), Found::Block(_)));
            assert!(cache.weight() <= 64 * (BLOCK as u64 + OVERHEAD_BYTES));
        }
        let kept = (0..16).filter(|at| cache.has(BlockKey::Log(*at), 1)).count();
        assert_eq!(kept, 16);
        assert!(cache.counters().evictions > 9_000);
        cache.remove_range(BlockKey::Log(3)..BlockKey::Log(5));
        let left: Vec<u64> = (0..16).filter(|at| !cache.has(BlockKey::Log(*at), 1)).collect();
        assert_eq!(left, [3, 4]);
    }

    #[test]
    fn a_block_larger_than_the_budget_is_not_kept() {
        let cache = Cache::new(1000);
        cache.insert(BlockKey::Log(0), block(4096, 1));
        assert!(!cache.has(BlockKey::Log(0), 1));
    }
}
