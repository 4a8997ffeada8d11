//! What is decided of a frame when its header is there and its body is not: a body that would be
//! refused anyway is passed over, and takes no memory.

use ringmq_io::Runtime;
use ringmq_remoting::{
    codes::request,
    command,
    field_limits::REQUEST_HEADER_BYTES_MAX,
    frame::{BegunFrame, Frame},
};

use super::{
    Requests,
    dispatch::Malformed,
    next::Peer,
    table::{self, BODY_BYTES_LEAST},
};

impl<R: Runtime> Requests<R> {
    /// Whether the rest of a frame is to be read. If not, its request has been answered.
    ///
    /// # Errors
    /// If what is there is no request: the connection ends.
    pub fn admit(&self, peer: Peer, begun: &BegunFrame<'_>) -> Result<bool, Malformed> {
        check_header_length(begun.header_bytes)?;
        let Some(frame) = begun.bodyless.filter(|_| begun.body_bytes > BODY_BYTES_LEAST) else {
            return Ok(true);
        };
        // A send waits for its log or is refused by what it says in full.
        if let Some(
            request::SEND_MESSAGE | request::SEND_MESSAGE_V2 | request::SEND_BATCH_MESSAGE,
        ) = command::leading_code(&frame)
        {
            return Ok(true);
        }
        self.admit_body(peer, &frame, begun.body_bytes)
    }

    fn admit_body(&self, peer: Peer, frame: &Frame<'_>, bytes: usize) -> Result<bool, Malformed> {
        let peek = command::peek(frame)?;
        if peek.is_response() {
            return Ok(true);
        }
        let Some(refusal) = table::row(peek.code).and_then(|row| row.check_body(bytes).err())
        else {
            return Ok(true);
        };
        let reply_to =
            peer.reply_to(frame.serialization, (peek.code, peek.opaque), peek.is_oneway());
        if self.shard.begin_request(&reply_to) {
            self.shard.refuse(&reply_to, &refusal);
        }
        Ok(false)
    }
}

/// # Errors
/// If a header is longer than any that is read.
pub fn check_header_length(bytes: usize) -> Result<(), Malformed> {
    if bytes > REQUEST_HEADER_BYTES_MAX {
        return Err(Malformed::LongHeader { bytes });
    }
    Ok(())
}
