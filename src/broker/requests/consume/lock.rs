//! Locks of queues for ordered consumption: LOCK_BATCH_MQ (41), UNLOCK_BATCH_MQ (42). Handled by
//! the control shard.

use std::rc::Rc;

use ringmq_io::Runtime;
use ringmq_remoting::{
    body::{LockBatchRequestBody, LockBatchResponseBody},
    fastjson,
};

use crate::{
    requests::{Handled, Request, Response},
    shard::Shard,
};

pub async fn lock_batch<R: Runtime>(shard: &Rc<Shard<R>>, request: &Request<'_>) -> Handled {
    let body: LockBatchRequestBody = fastjson::from_slice(request.body)?;
    let now = shard.runtime.now_ms();
    let locks = &mut shard.control().tables.borrow_mut().locks;
    let granted = locks.lock_batch(&body.consumer_group, &body.client_id, &body.mq_set, now);
    let answer = LockBatchResponseBody { lock_ok_mq_set: granted.into_iter().collect() };
    Ok(Response::with_body(fastjson::to_vec(&answer)))
}

pub async fn unlock_batch<R: Runtime>(shard: &Rc<Shard<R>>, request: &Request<'_>) -> Handled {
    let body: LockBatchRequestBody = fastjson::from_slice(request.body)?;
    let locks = &mut shard.control().tables.borrow_mut().locks;
    locks.unlock_batch(&body.consumer_group, &body.client_id, &body.mq_set);
    Ok(Response::ok())
}
