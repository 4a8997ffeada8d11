//! Access control (`aclEnable`): a request is checked on the shard of its connection before
//! anything else is done with it. What a code needs stands in the [`table`].

use ringmq_io::Runtime;
use ringmq_remoting::{command::Header, frame::Frame};
use ringmq_rules::{
    acl::{Asked, signature::ACCESS_KEY},
    refusal::Refusal,
};

use super::{Requests, dispatch::Malformed, next::Peer, table};

impl<R: Runtime> Requests<R> {
    /// The header of a frame that may be handled; `None`: it may not, and has been answered.
    /// Answers to the broker's own requests may.
    ///
    /// # Errors
    /// If what is there is no request: the connection ends.
    pub fn authorize<'a>(
        &self,
        peer: Peer,
        frame: &Frame<'a>,
    ) -> Result<Option<Header<'a>>, Malformed> {
        let header = Header::decode(frame)?;
        if header.is_response() {
            return Ok(Some(header));
        }
        let Err(refusal) = self.check_access(peer, &header, frame.body) else {
            return Ok(Some(header));
        };
        tracing::info!(
            peer = %peer.address,
            request = table::row(header.code).map_or("", |row| row.name),
            code = header.code,
            account = header.fields.get(ACCESS_KEY).unwrap_or_default(),
            why = %refusal.remark,
            "request refused"
        );
        let reply_to = peer.reply_to(frame.serialization, header.opaque, header.is_oneway());
        if self.shard.begin_request(&reply_to) {
            self.shard.refuse(&reply_to, &refusal);
        }
        Ok(None)
    }

    fn check_access(&self, peer: Peer, header: &Header<'_>, body: &[u8]) -> Result<(), Refusal> {
        let view = self.shard.view.borrow();
        let Some(rules) = &view.access else {
            return Err(Refusal::system_error("internal error: there are no access rules"));
        };
        let asked = Asked { header, body, address: peer.address.ip() };
        rules.check(&asked, table::needs(header.code))
    }
}
