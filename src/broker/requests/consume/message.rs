//! Single messages: VIEW_MESSAGE_BY_ID (33).

use std::rc::Rc;

use ringmq_base::PhysicalOffset;
use ringmq_io::Runtime;
use ringmq_remoting::headers::consume::ViewMessageRequestHeader;

use crate::{
    messages::ask::{Answer, Ask},
    requests::{Handled, Request, Response},
    shard::Shard,
};
use ringmq_rules::refusal::Refusal;

pub async fn view_by_id<R: Runtime>(shard: &Rc<Shard<R>>, request: &Request<'_>) -> Handled {
    let wanted = ViewMessageRequestHeader::decode(&request.header.fields)?;
    match shard.record_at(wanted.offset).await? {
        Some(record) => Ok(Response::with_body(record)),
        None => Err(Refusal::system_error(format!(
            "can not find message by the offset, {}",
            wanted.offset
        ))),
    }
}

impl<R: Runtime> Shard<R> {
    /// The record at a physical offset of any log; `None` if none starts there.
    pub async fn record_at(self: &Rc<Self>, offset: i64) -> Result<Option<Vec<u8>>, Refusal> {
        let Some(physical) = PhysicalOffset::from_wire(offset) else {
            return Ok(None);
        };
        if physical.log().get() >= self.log_count() {
            return Ok(None);
        }
        let owner = self.log_owner(physical.log());
        match self.ask(owner, Ask::Record(physical)).await {
            Answer::Record(record) => record,
            other => unreachable!("a record was asked for, the answer is {other:?}"),
        }
    }
}
