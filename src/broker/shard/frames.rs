//! Requests that are handed over, to another shard or to a task of this one: their frames count in
//! bytes until they are handled, for the shard that handles them and for their connection. Who has
//! much under way waits; what is too much for all is refused.

use ringmq_base::ShardId;
use ringmq_io::Runtime;
use ringmq_rules::ConnectionId;

use super::Shard;
use crate::messages::{ForwardedFrame, REQUEST_BYTES};

/// One connection has at most this fraction of what a shard takes besides what it has already.
const CONNECTION_SHARE: usize = 8;

impl<R: Runtime> Shard<R> {
    /// Whether a frame of a connection of this shard may be handed over now. If not, it may be when
    /// an earlier one is handled: one is allowed always.
    pub fn may_hand_over(&self, to: ShardId, connection: ConnectionId, frame: usize) -> bool {
        let under_way = self.connections.with(connection, |connection| connection.frame_bytes());
        let under_way = under_way.unwrap_or(0);
        under_way == 0
            || under_way + frame + REQUEST_BYTES <= self.router.room_of(to) / CONNECTION_SHARE
    }

    /// A frame of a connection of this shard is handed over.
    pub fn frame_begun(&self, connection: ConnectionId, bytes: usize) {
        let _ = self.connections.with(connection, |connection| connection.begin_frame(bytes));
    }

    /// The same is handled.
    pub fn frame_ended(&self, connection: ConnectionId, bytes: usize) {
        let _ = self.connections.with(connection, |connection| connection.end_frame(bytes));
    }

    /// A frame of a connection of any shard is handled here.
    pub fn frame_handled(&self, frame: &ForwardedFrame) {
        let (connection, bytes) = (frame.reply_to.connection, frame.bytes());
        self.router.handled(bytes);
        if connection.shard == self.id.0 {
            self.frame_ended(connection, bytes);
        } else {
            self.router.tell_handled(connection, bytes);
        }
    }
}
