//! What crosses shards all the time: checked messages one way, replies back.
//!
//! One type for both, and the shard that has unpacked one uses it for what it sends itself: what
//! brought sends takes replies back, and nothing is allocated, or freed on another thread than it
//! was allocated on, while messages flow.

use std::sync::Arc;

use crate::{messages::SendItem, shard::view::TopicView};
use ringmq_rules::ConnectionId;

/// Parcels that a shard keeps for later.
const SPARES_MAX: usize = 16;
/// Larger ones are not kept. In bytes.
const SPARE_BYTES_MAX: usize = 256 * 1024;
/// The same, in messages and replies.
const SPARE_ITEMS_MAX: usize = 2048;

/// Checked messages for the queues of one shard, or encoded replies (or requests to clients) for
/// its connections, from one turn of another shard.
#[derive(Debug, Default)]
pub struct Parcel {
    /// What the items name by index.
    pub topics: Vec<Arc<TopicView>>,
    pub sends: Vec<SendItem>,
    pub replies: Vec<FramePart>,
    /// Properties and bodies of the sends, or frames of the replies.
    pub bytes: Vec<u8>,
}

/// Frames for one connection.
#[derive(Clone, Copy, Debug)]
pub struct FramePart {
    pub connection: ConnectionId,
    /// Of this part in the parcel's bytes.
    pub end: usize,
    /// How many of the frames are replies.
    pub answers: u32,
}

impl Parcel {
    fn is_small(&self) -> bool {
        let items = self.sends.capacity().max(self.replies.capacity());
        self.bytes.capacity() <= SPARE_BYTES_MAX
            && items.max(self.topics.capacity()) <= SPARE_ITEMS_MAX
    }
}

/// Unpacked parcels of a shard.
#[derive(Default)]
pub struct Spares {
    parcels: Vec<Parcel>,
}

impl Spares {
    /// An empty parcel.
    pub fn take(&mut self) -> Parcel {
        self.parcels.pop().unwrap_or_default()
    }

    /// Keeps a parcel for later, if there are few and it is small.
    pub fn keep(&mut self, mut parcel: Parcel) {
        if self.parcels.len() < SPARES_MAX && parcel.is_small() {
            let Parcel { topics, sends, replies, bytes } = &mut parcel;
            topics.clear();
            sends.clear();
            replies.clear();
            bytes.clear();
            self.parcels.push(parcel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parcel_is_used_again_and_is_empty_then() {
        let mut spares = Spares::default();
        let mut parcel = spares.take();
        parcel.bytes.extend_from_slice(b"a reply");
        let connection = ConnectionId { shard: 0, slot: 0, generation: 0 };
        parcel.replies.push(FramePart { connection, end: 7, answers: 1 });
        let room = parcel.bytes.capacity();
        spares.keep(parcel);
        let again = spares.take();
        assert!(again.bytes.is_empty() && again.replies.is_empty());
        assert_eq!(again.bytes.capacity(), room);
    }

    #[test]
    fn neither_many_nor_large_parcels_are_kept() {
        let mut spares = Spares::default();
        for _ in 0..2 * SPARES_MAX {
            spares.keep(Parcel::default());
        }
        assert_eq!(spares.parcels.len(), SPARES_MAX);
        spares.parcels.clear();
        let bytes = Vec::with_capacity(2 * SPARE_BYTES_MAX);
        spares.keep(Parcel { bytes, ..Parcel::default() });
        assert_eq!(spares.parcels.len(), 0);
    }
}
