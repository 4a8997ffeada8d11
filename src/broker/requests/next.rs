//! What becomes of a frame in the turn in which it came.

use std::net::SocketAddr;

use ringmq_base::LogId;
use ringmq_remoting::frame::Serialization;
use ringmq_rules::ConnectionId;

use super::{prerequisite::Prerequisite, produce::long_batch::LongBatch};
use crate::{
    messages::{Asked, ReplyTo, Room},
    shard::answer_room::Needed,
};

/// The connection that a frame came from.
#[derive(Clone, Copy)]
pub struct Peer {
    pub connection: ConnectionId,
    pub address: SocketAddr,
    /// When its last bytes came, see [`Asked`].
    pub at_us: u32,
}

impl Peer {
    /// Where the answer to a request of it goes; no room is set aside for that.
    pub fn reply_to(
        self,
        serialization: Serialization,
        (code, opaque): (i32, i32),
        oneway: bool,
    ) -> ReplyTo {
        let (connection, room) = (self.connection, Room::default());
        let asked = Asked { code, at_us: self.at_us };
        ReplyTo { connection, opaque, serialization, oneway, room, asked }
    }
}

/// What the reader of the connection does next.
pub enum Next {
    /// Go on with the next frame.
    Continue,
    /// The same, but this one was no ordinary message or pull: after a few of them others have
    /// their turn.
    Costly,
    /// Wait, then handle the frame again; later frames of the connection must not overtake it.
    Wait(ReplyTo, Wait),
}

/// What a frame waits for.
pub enum Wait {
    /// Something has to be created first.
    Prerequisite(Prerequisite),
    /// Until there is room for the answer.
    Answer(Needed),
    /// Whether the account that sent it may is found out beside the shard.
    Access,
    /// Until an earlier request of the connection is handled.
    Handled,
    /// The log that the message is for has too much in memory: until it has room.
    Room(LogId),
    /// The connection has very much under way, and the log that the message is for does not keep
    /// up: until it does.
    CaughtUp(LogId),
    /// Until a long batch is stored, or on its way; it is not handled again.
    LongBatch(Box<LongBatch>),
}
