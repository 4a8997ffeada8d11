//! What crosses shards all the time: checked messages one way, replies back.
//!
//! Both use one type, and a shard that has unpacked a batch fills it with what it sends itself: the
//! batch that brought sends carries replies back. So nothing is allocated, or freed on another
//! thread than it was allocated on, while messages flow.

use std::{net::SocketAddr, sync::Arc};

use ringmq_rules::{ConnectionId, message_type::MessageType};

use super::{ReplyTo, Room, change::TopicView};

/// Batches that a shard keeps for later.
const SPARES_MAX: usize = 16;
/// Larger ones are not kept. In bytes.
const SPARE_BYTES_MAX: usize = 256 * 1024;
/// The same, in messages and replies.
const SPARE_ITEMS_MAX: usize = 2048;

/// One send of a [`ShardBatch`]: a message, or all messages of a client's batch, which therefore
/// are never apart. Its properties and body lie in the bytes of the shard batch, one behind the
/// other in the order of the items.
#[derive(Clone, Debug)]
pub struct SendItem {
    pub reply_to: ReplyTo,
    /// Index into the topics of the shard batch.
    pub topic: u16,
    pub queue_id: i32,
    /// The queue that the reply names: that of the request, wherever the message goes first.
    pub reply_queue_id: i32,
    pub flag: i32,
    pub sys_flag: i32,
    pub born_timestamp: i64,
    pub born_host: SocketAddr,
    pub reconsume_times: i32,
    pub tags_code: i64,
    pub properties_bytes: u32,
    pub body_bytes: u32,
    /// The body is a client's batch of messages, checked; the properties are for each of them.
    pub is_batch: bool,
    /// A batch that is appended some messages at a time.
    pub is_long: bool,
    /// A half message of a transaction.
    pub is_half: bool,
    /// It is kept in the timer topic.
    pub is_timer: bool,
    pub message_type: MessageType,
}

impl SendItem {
    /// Of its properties and body.
    pub fn bytes(&self) -> usize {
        self.properties_bytes as usize + self.body_bytes as usize
    }
}

/// Checked messages for the queues of one shard, or encoded replies (or requests to clients) for
/// its connections, from one turn of another shard.
#[derive(Debug, Default)]
pub struct ShardBatch {
    /// What the items name by index.
    pub topics: Vec<Arc<TopicView>>,
    pub sends: Vec<SendItem>,
    pub replies: Vec<FramePart>,
    /// Properties and bodies of the sends, or frames of the replies.
    pub bytes: Vec<u8>,
    /// When the turn was that its first send came from, see [`Asked`](super::Asked).
    pub began_us: u32,
}

/// Frames for one connection.
#[derive(Clone, Copy, Debug)]
pub struct FramePart {
    pub connection: ConnectionId,
    /// End of this part in the bytes of the shard batch.
    pub end: usize,
    /// The number of frames that are replies.
    pub answers: u32,
    /// What was set aside for them.
    pub room: Room,
}

impl ShardBatch {
    fn is_small(&self) -> bool {
        let items = self.sends.capacity().max(self.replies.capacity());
        self.bytes.capacity() <= SPARE_BYTES_MAX
            && items.max(self.topics.capacity()) <= SPARE_ITEMS_MAX
    }
}

/// Unpacked batches of a shard.
#[derive(Default)]
pub struct SpareBatches {
    batches: Vec<ShardBatch>,
}

impl SpareBatches {
    /// An empty batch.
    pub fn take(&mut self) -> ShardBatch {
        self.batches.pop().unwrap_or_default()
    }

    /// Keeps a batch for later if it is small and there are few.
    pub fn keep(&mut self, mut batch: ShardBatch) {
        if self.batches.len() < SPARES_MAX && batch.is_small() {
            let ShardBatch { topics, sends, replies, bytes, .. } = &mut batch;
            topics.clear();
            sends.clear();
            replies.clear();
            bytes.clear();
            self.batches.push(batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_used_again_and_is_empty_then() {
        let mut spares = SpareBatches::default();
        let mut batch = spares.take();
        batch.bytes.extend_from_slice(b"a reply");
        let connection = ConnectionId { shard: 0, slot: 0, generation: 0 };
        batch.replies.push(FramePart { connection, end: 7, answers: 1, room: Room::default() });
        let room = batch.bytes.capacity();
        spares.keep(batch);
        let again = spares.take();
        assert!(again.bytes.is_empty() && again.replies.is_empty());
        assert_eq!(again.bytes.capacity(), room);
    }

    #[test]
    fn neither_many_nor_large_batches_are_kept() {
        let mut spares = SpareBatches::default();
        for _ in 0..2 * SPARES_MAX {
            spares.keep(ShardBatch::default());
        }
        assert_eq!(spares.batches.len(), SPARES_MAX);
        spares.batches.clear();
        let bytes = Vec::with_capacity(2 * SPARE_BYTES_MAX);
        spares.keep(ShardBatch { bytes, ..ShardBatch::default() });
        assert_eq!(spares.batches.len(), 0);
    }
}
