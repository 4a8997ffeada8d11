//! The files of the store: STORAGE_PLAN (700,001), DELETE_EXPIRED_COMMITLOG (329). Handled by the
//! control shard.

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
