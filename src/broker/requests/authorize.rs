//! Access control (`aclEnable`): a request is checked on the shard of its connection before
//! anything else is done with it. What a code needs stands in the [`table`]. What takes long to
//! check is checked beside the shard, and its connection waits meanwhile.

use ringmq_io::Runtime;
use ringmq_remoting::{command::Header, frame::Frame};
use ringmq_rules::{
    acl::{AccessRules, Asked, signature::ACCESS_KEY},
    limits::{SHORT_BODY_BYTES, SHORT_SIGNED_BYTES},
    refusal::Refusal,
};

use super::{Requests, dispatch::Malformed, next::Peer, table};
use crate::{messages::ReplyTo, shard::Shard};

/// What becomes of a request.
pub enum Access<'a> {
    /// It may be handled. Answers to the broker's own requests may.
    Granted(Header<'a>),
    /// It may not, and has been answered.
    Refused,
    /// [`check_aside`] has to tell.
    Long(ReplyTo),
}

impl<R: Runtime> Requests<R> {
    /// Whether a frame may be handled; `is_checked`: that was found out by [`check_aside`].
    ///
    /// # Errors
    /// If what is there is no request: the connection ends.
    pub fn authorize<'a>(
        &self,
        peer: Peer,
        frame: &Frame<'a>,
        is_checked: bool,
    ) -> Result<Access<'a>, Malformed> {
        let header = Header::decode(frame)?;
        if is_checked || header.is_response() {
            return Ok(Access::Granted(header));
        }
        let reply_to =
            peer.reply_to(frame.serialization, (header.code, header.opaque), header.is_oneway());
        if takes_long(&header, frame.body) {
            let begun = self.shard.begin_request(&reply_to);
            return Ok(if begun { Access::Long(reply_to) } else { Access::Refused });
        }
        let checked = {
            let view = self.shard.view.borrow();
            let asked = Asked { header: &header, body: frame.body, address: peer.address.ip() };
            check(view.access.as_deref(), &asked)
        };
        let Err(refusal) = checked else {
            return Ok(Access::Granted(header));
        };
        note_refused(peer, &header, &refusal);
        if self.shard.begin_request(&reply_to) {
            self.shard.refuse(&reply_to, &refusal);
        }
        Ok(Access::Refused)
    }
}

/// Whether reading the body for it, or its signature, would hold a shard up.
fn takes_long(header: &Header<'_>, body: &[u8]) -> bool {
    let in_body = table::needs(header.code).are_in_body();
    body.len() > if in_body { SHORT_BODY_BYTES } else { SHORT_SIGNED_BYTES }
}

/// Checks a complete frame of a connection beside the shard.
///
/// # Errors
/// The answer to it if it may not be handled.
pub async fn check_aside<R: Runtime>(
    shard: &Shard<R>,
    peer: Peer,
    bytes: &[u8],
) -> Result<(), Refusal> {
    let _room = shard.body_room.take(bytes.len()).await;
    let rules = shard.view.borrow().access.clone();
    let (copy, address) = (bytes.to_vec(), peer.address.ip());
    let checked = shard.runtime.aside(move || {
        let frame = Frame::parse(&copy).map_err(|error| malformed(&error.into()))?;
        let header = Header::decode(&frame).map_err(|error| malformed(&error.into()))?;
        check(rules.as_deref(), &Asked { header: &header, body: frame.body, address })
    });
    let checked = checked.await;
    if let Err(refusal) = &checked
        && let Ok(frame) = Frame::parse(bytes)
        && let Ok(header) = Header::decode(&frame)
    {
        note_refused(peer, &header, refusal);
    }
    checked
}

fn malformed(error: &Malformed) -> Refusal {
    Refusal::system_error(error.to_string())
}

fn check(rules: Option<&AccessRules>, asked: &Asked<'_>) -> Result<(), Refusal> {
    let Some(rules) = rules else {
        return Err(Refusal::system_error("internal error: there are no access rules"));
    };
    rules.check(asked, table::needs(asked.header.code))
}

fn note_refused(peer: Peer, header: &Header<'_>, refusal: &Refusal) {
    tracing::info!(
        peer = %peer.address,
        request = table::row(header.code).map_or("", |row| row.name),
        code = header.code,
        account = header.fields.get(ACCESS_KEY).unwrap_or_default(),
        why = %refusal.remark,
        "request refused"
    );
}
