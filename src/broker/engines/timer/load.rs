//! What waits, at a start: all that the durable frontier does not cover, from the entries of the
//! queue alone. Messages that an earlier process may have delivered beyond the frontier are looked
//! for in their real queues.

use std::collections::{BTreeMap, BinaryHeap};

use ringmq_io::Runtime;
use ringmq_rules::timer::{
    SLOT_MS_MAX,
    wheel::{Frontier, Waiting},
};
use ringmq_store::{Entry, ReadAhead};

use super::{CANCELLED_MS, Kept, NotDelivered, TimerQueue, WINDOW, waiting};
use crate::{
    engines::suspects::{self, IN_DOUBT_MAX, Suspect},
    injected_bugs::{TIMER_DROPPED, is_planted},
};

/// Messages before the frontier's offset that may have been delivered: as many as a process
/// delivers before that is durable, among those that it could not.
const SUSPECTS_MAX: usize = IN_DOUBT_MAX + WINDOW;
/// The same of those that came later, which the frontier tells nothing about.
const NEW_SUSPECTS_MAX: usize = 16 * IN_DOUBT_MAX;

/// The first messages by their times, at most `max`.
struct First {
    heap: BinaryHeap<(i64, i64)>,
    entries: BTreeMap<i64, Entry>,
    max: usize,
}

impl First {
    fn new(max: usize) -> First {
        First { heap: BinaryHeap::new(), entries: BTreeMap::new(), max }
    }

    /// Adds a message; gives the last one back if they are too many.
    fn add(&mut self, waiting: &Waiting, entry: Entry) -> Option<Waiting> {
        self.heap.push((waiting.due_ms, waiting.offset));
        self.entries.insert(waiting.offset, entry);
        if self.heap.len() <= self.max {
            return None;
        }
        let (due_ms, offset) = self.heap.pop()?;
        self.entries.remove(&offset);
        Some(Waiting { due_ms, offset, is_deletion: false })
    }
}

impl<R: Runtime> TimerQueue<'_, R> {
    pub(super) async fn load(&mut self, frontier: Frontier) {
        let (min, max) = self.log.bounds(self.queue);
        let latest = suspects::latest_ms(self.shard).await;
        let (mut old, mut new) = (First::new(SUSPECTS_MAX), First::new(NEW_SUSPECTS_MAX));
        let mut ahead = ReadAhead::default();
        for offset in frontier.first.max(min)..max {
            self.log.read_ahead(self.queue, offset, &mut ahead).await;
            let Some(entry) = self.entry_at(offset).await else {
                continue;
            };
            let waiting = waiting(offset, &entry);
            if frontier.covers(waiting.due_ms, offset) {
                let remembered_ms = frontier.due_ms - SLOT_MS_MAX - CANCELLED_MS;
                if waiting.is_deletion && waiting.due_ms >= remembered_ms {
                    self.cancel(&waiting, &entry).await;
                }
            } else if waiting.is_deletion || waiting.due_ms > latest {
                if !is_planted(TIMER_DROPPED) {
                    self.wheel.add(waiting);
                }
            } else {
                let first = if offset < frontier.read { &mut old } else { &mut new };
                if let Some(waiting) = first.add(&waiting, entry) {
                    self.wheel.add(waiting);
                }
            }
            self.shard.runtime.yield_if_needed().await;
        }
        self.wheel.has_read(max.max(frontier.read));
        self.add_undelivered(old).await;
        self.add_undelivered(new).await;
        self.count(0);
    }

    /// Adds those of the suspects that were not delivered.
    async fn add_undelivered(&mut self, first: First) {
        let suspects: Vec<_> = first
            .heap
            .iter()
            .filter_map(|(due_ms, offset)| {
                Some(Suspect { entry: *first.entries.get(offset)?, since_ms: *due_ms })
            })
            .collect();
        let delivered = suspects::delivered(self.shard, &suspects).await;
        for (due_ms, offset) in first.heap {
            let entry = first.entries.get(&offset);
            if !entry.is_some_and(|entry| delivered.contains(&entry.physical.get())) {
                self.wheel.add(Waiting { due_ms, offset, is_deletion: false });
            }
        }
    }

    /// A deletion that is settled, and remembered.
    async fn cancel(&mut self, waiting: &Waiting, entry: &Entry) {
        match self.read(waiting, entry).await {
            Ok(kept @ Kept::Deletion(..)) => drop(self.unless_cancelled(waiting, kept)),
            Ok(_) => {}
            Err(NotDelivered::NotYet(refusal)) => self.pass_over(waiting.offset, &refusal.remark),
            Err(
                NotDelivered::Unreadable(why)
                | NotDelivered::Never(why)
                | NotDelivered::Nowhere(why),
            ) => self.pass_over(waiting.offset, &why),
        }
    }
}
