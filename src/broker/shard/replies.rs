//! Answers and other frames for clients, on whatever shard their connections are.

use ringmq_base::ShardId;
use ringmq_io::Runtime;
use ringmq_remoting::{
    codes::response,
    encode::{self, EncodeError},
};
use ringmq_rules::{ConnectionId, refusal::Refusal};

use super::Shard;
use crate::{
    messages::{LongReply, Message, ReplyTo, Room},
    net::output_budget::Counted,
};

/// The room of an answer, for the connection that it is written to.
pub fn counted(room: Room) -> Counted {
    let Room { by, long, bytes } = room;
    Counted { by, long, bytes: bytes as usize }
}

impl<R: Runtime> Shard<R> {
    /// Appends a reply to the connection it is for, here or by way of the router. Leaves with the
    /// next [`Shard::flush`].
    ///
    /// A reply that fits no frame is replaced by the error: every request is answered.
    pub fn write_reply(
        &self,
        reply_to: &ReplyTo,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
    ) {
        if reply_to.oneway {
            return;
        }
        if let Err(error) = self.write(reply_to.connection, (1, reply_to.room), write) {
            self.answer_error(reply_to, error);
        }
    }

    /// The same with a body that is taken as it is: copying it would hold the shard up. `head`
    /// writes the frame up to it.
    pub fn write_long_reply(
        &self,
        reply_to: &ReplyTo,
        head: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
        mut body: Vec<u8>,
    ) {
        if reply_to.oneway {
            return;
        }
        let mut begun = Vec::new();
        if let Err(error) = head(&mut begun) {
            return self.answer_error(reply_to, error);
        }
        body.shrink_to_fit();
        let ReplyTo { connection, room, .. } = *reply_to;
        if connection.shard == self.id.0 {
            self.connections.write_long(connection, counted(room), &begun, body);
        } else {
            self.router.reply_long(LongReply { connection, room, head: begun, body });
        }
    }

    #[cold]
    fn answer_error(&self, reply_to: &ReplyTo, error: EncodeError) {
        tracing::warn!(opaque = reply_to.opaque, %error, "an answer was not sent");
        let ReplyTo { connection, serialization, opaque, .. } = *reply_to;
        let remark = format!("the request was handled, but its answer was not sent: {error}");
        let sent = self.write(connection, (1, reply_to.room), |out| {
            let code = response::SYSTEM_ERROR;
            encode::response(out, serialization, opaque, code, Some(&remark), &[], &[])
        });
        if sent.is_err() {
            self.close_connection(connection);
        }
    }

    /// Appends a frame for a client's connection that answers nothing.
    ///
    /// # Errors
    /// Those of `write`, which has written nothing then.
    pub fn write_frame(
        &self,
        connection: ConnectionId,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.write(connection, (0, Room::default()), write)
    }

    fn write(
        &self,
        connection: ConnectionId,
        (answers, room): (u32, Room),
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut outcome = Ok(());
        let write = |out: &mut Vec<u8>| outcome = write(out);
        if connection.shard == self.id.0 {
            self.connections.write(connection, answers, counted(room), write);
        } else {
            self.router.reply_with(connection, answers, room, write);
        }
        outcome
    }

    /// Counts a request of a connection of this shard that is to be answered. False: too many are
    /// under way, and this one has been answered so.
    pub fn begin_request(&self, reply_to: &ReplyTo) -> bool {
        let limit = self.settings.requests_max;
        if reply_to.oneway || self.connections.begin_request(reply_to.connection, limit) {
            return true;
        }
        let remark = format!(
            "[OVERLOAD]system busy, start flow control for a while: {limit} requests of this \
             connection are under way, the limit; wait for answers, or raise the key \
             perConnectionRequestsMax"
        );
        self.count_late_answer(reply_to, response::SYSTEM_BUSY, false);
        // It is not counted, so its answer must not be either.
        let sent = self.write_frame(reply_to.connection, |out| {
            let ReplyTo { serialization, opaque, .. } = *reply_to;
            let code = response::SYSTEM_BUSY;
            encode::response(out, serialization, opaque, code, Some(&remark), &[], &[])
        });
        if sent.is_err() {
            self.close_connection(reply_to.connection);
        }
        false
    }

    pub fn refuse(&self, reply_to: &ReplyTo, refusal: &Refusal) {
        self.count_late_answer(reply_to, refusal.code, false);
        self.write_reply(reply_to, |out| {
            let remark = Some(refusal.remark.as_str());
            let ReplyTo { serialization, opaque, .. } = *reply_to;
            encode::response(out, serialization, opaque, refusal.code, remark, &[], &[])
        });
    }

    /// Ends a client's connection, on whatever shard it is.
    pub fn close_connection(&self, connection: ConnectionId) {
        if connection.shard == self.id.0 {
            self.connections.close(connection);
        } else {
            self.router.post(ShardId(connection.shard), Message::Close(connection));
        }
    }
}

#[cfg(test)]
mod tests;
