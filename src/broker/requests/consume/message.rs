//! Single messages: VIEW_MESSAGE_BY_ID (33).

use std::rc::Rc;

use ringmq_io::Runtime;
use ringmq_remoting::headers::consume::ViewMessageRequestHeader;

use crate::{
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
