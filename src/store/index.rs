//! The queues of a log and where their messages are, in memory.
//!
//! An entry takes 20 bytes, in chunks that grow up to 1,024 entries; an empty queue takes no chunk.
//! What of a queue is visible follows from how far the log is written and is found when somebody
//! asks, so that nothing is done for each message when a write completes.

use std::{collections::HashMap, rc::Rc};

/// A queue of one log; valid as long as the [`crate::Log`] that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueHandle(pub(crate) u32);

const CHUNK_ENTRIES: usize = 1024;
const FIRST_ENTRIES: usize = 4;

/// Position (48 bits), size and tags code in 32-bit words.
#[derive(Clone, Copy)]
struct Packed([u32; 5]);

const _: () = assert!(size_of::<Packed>() == 20);

/// Where a message record is. Position of the record, behind its envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    pub position: u64,
    pub size: u32,
    pub tags_code: i64,
}

impl Location {
    pub fn end(&self) -> u64 {
        self.position + u64::from(self.size)
    }

    fn pack(&self) -> Packed {
        let (position, tags) = (self.position, self.tags_code);
        let low = |word: u64| (word & 0xFFFF_FFFF) as u32;
        let tags = tags.cast_unsigned();
        Packed([low(position), low(position >> 32), self.size, low(tags), low(tags >> 32)])
    }
}

impl Packed {
    fn unpack(self) -> Location {
        let [low, high, size, tags_low, tags_high] = self.0;
        let wide = |low: u32, high: u32| u64::from(low) | (u64::from(high) << 32);
        Location {
            position: wide(low, high),
            size,
            tags_code: wide(tags_low, tags_high).cast_signed(),
        }
    }
}

pub struct Queue {
    pub topic: Rc<str>,
    pub queue_id: i32,
    /// Somebody waits for the next message and no message has come since.
    pub watched: bool,
    /// Offset of the first entry.
    min: i64,
    /// Offset that the next append gets.
    next: i64,
    /// All before this was visible when last looked.
    visible: i64,
    chunks: Vec<Vec<Packed>>,
}

impl Queue {
    pub fn min(&self) -> i64 {
        self.min
    }

    pub fn next(&self) -> i64 {
        self.next
    }

    #[inline]
    pub fn push(&mut self, location: Location) {
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK_ENTRIES => chunk.push(location.pack()),
            _ => {
                let entries = if self.chunks.is_empty() { FIRST_ENTRIES } else { CHUNK_ENTRIES };
                let mut chunk = Vec::with_capacity(entries);
                chunk.push(location.pack());
                self.chunks.push(chunk);
            }
        }
        self.next += 1;
    }

    /// The entry at `offset`, visible or not.
    pub fn get(&self, offset: i64) -> Option<Location> {
        let index = usize::try_from(offset.checked_sub(self.min)?).ok()?;
        let chunk = self.chunks.get(index / CHUNK_ENTRIES)?;
        chunk.get(index % CHUNK_ENTRIES).map(|packed| packed.unpack())
    }

    /// One past the last entry that ends within the first `written` bytes of the log.
    pub fn visible(&mut self, written: u64) -> i64 {
        let ends_within =
            |offset: i64| self.get(offset).expect("between min and next").end() <= written;
        if self.visible == self.next {
            return self.visible;
        }
        if ends_within(self.next - 1) {
            self.visible = self.next;
            return self.visible;
        }
        let (mut low, mut high) = (self.visible, self.next - 1);
        while low < high {
            let middle = low + (high - low) / 2;
            if ends_within(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        self.visible = low;
        low
    }
}

#[derive(Default)]
pub struct Index {
    queues: Vec<Queue>,
    topics: HashMap<Rc<str>, Vec<(i32, QueueHandle)>, ahash::RandomState>,
}

impl Index {
    pub fn find(&self, topic: &str, queue_id: i32) -> Option<QueueHandle> {
        let queues = self.topics.get(topic)?;
        let at = queues.binary_search_by_key(&queue_id, |(id, _)| *id).ok()?;
        queues.get(at).map(|(_, handle)| *handle)
    }

    /// The queue, created with its first offset `min` if absent.
    pub fn find_or_create(&mut self, topic: &str, queue_id: i32, min: i64) -> QueueHandle {
        if let Some(handle) = self.find(topic, queue_id) {
            return handle;
        }
        let handle = QueueHandle(u32::try_from(self.queues.len()).expect("fewer than 2^32 queues"));
        let topic: Rc<str> = match self.topics.get_key_value(topic) {
            Some((name, _)) => name.clone(),
            None => topic.into(),
        };
        let queues = self.topics.entry(topic.clone()).or_default();
        let at = queues.partition_point(|(id, _)| *id < queue_id);
        queues.insert(at, (queue_id, handle));
        let chunks = Vec::new();
        let (next, visible) = (min, min);
        self.queues.push(Queue { topic, queue_id, watched: false, min, next, visible, chunks });
        handle
    }

    /// # Panics
    /// If the handle is of another log.
    #[inline]
    pub fn queue(&mut self, handle: QueueHandle) -> &mut Queue {
        self.queues.get_mut(handle.0 as usize).expect("the handle is of this log")
    }

    pub fn all(&self) -> impl Iterator<Item = (QueueHandle, &Queue)> {
        (0..).map(QueueHandle).zip(&self.queues)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_as_they_were() {
        let mut index = Index::default();
        let handle = index.find_or_create("T", 3, 0);
        let queue = index.queue(handle);
        let location = |n: i64| Location {
            position: (1 << 47) + n.cast_unsigned() * 200,
            size: 150,
            tags_code: if n % 2 == 0 { i64::MIN + n } else { -n },
        };
        (0..5000).for_each(|n| queue.push(location(n)));
        (0..5000).for_each(|n| assert_eq!(queue.get(n), Some(location(n))));
        assert_eq!((queue.get(-1), queue.get(5000)), (None, None));
        assert_eq!(queue.visible(0), 0);
        assert_eq!(queue.visible(location(1233).end()), 1234);
        assert_eq!(queue.visible(location(1234).end() - 1), 1234);
        assert_eq!(queue.visible(u64::MAX), 5000);
    }

    #[test]
    fn handles_are_found_again() {
        let mut index = Index::default();
        let handles: Vec<_> = (0..100).rev().map(|n| index.find_or_create("T", n, 0)).collect();
        for (n, handle) in (0..100).rev().zip(handles) {
            assert_eq!(index.find("T", n), Some(handle));
            assert_eq!(index.find_or_create("T", n, 0), handle);
        }
        assert_eq!((index.find("T", 100), index.find("U", 0)), (None, None));
    }
}
