//! The files of the store: STORAGE_PLAN (700,001), DELETE_EXPIRED_COMMITLOG (329),
//! CLEAN_EXPIRED_CONSUMEQUEUE (306), CLEAN_UNUSED_TOPIC (316). Handled by the control shard.

use std::rc::Rc;

use ringmq_io::Runtime;

use crate::{
    control::Control,
    requests::{Handled, Request, Response},
};
use ringmq_rules::refusal::Refusal;

pub async fn plan<R: Runtime>(control: &Rc<Control<R>>, _: &Request<'_>) -> Handled {
    match control.storage_plan().await {
        Some(plan) => Response::with_json(&plan),
        None => Err(Refusal::system_error("the rules of retention cannot be read")),
    }
}

/// Deletes expired segments now instead of at the hours of deleteWhen; answered at once, as in
/// Java.
pub async fn delete_expired<R: Runtime>(control: &Rc<Control<R>>, _: &Request<'_>) -> Handled {
    control.storage.delete_expired();
    Ok(Response::ok())
}

/// The index of a queue goes with the segments that its messages are in, and that of a deleted
/// topic with its messages: there are no files of their own to clean, as in Java, so that the
/// segments are looked at, and that is all.
pub async fn clean_queues<R: Runtime>(control: &Rc<Control<R>>, _: &Request<'_>) -> Handled {
    control.storage.look();
    Ok(Response::ok())
}
