//! Locks of queues for ordered consumption: LOCK_BATCH_MQ (41), UNLOCK_BATCH_MQ (42). Handled by
//! the control shard.

use std::rc::Rc;

use ringmq_io::Runtime;
use ringmq_remoting::{
    body::{LockBatchRequestBody, LockBatchResponseBody},
    fastjson,
};

use crate::{
    control::Control,
    requests::{Handled, Request, Response},
};
use ringmq_rules::{Refusal, locks};

pub async fn lock_batch<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let shard = &control.shard;
    let body: LockBatchRequestBody = request.json()?;
    check_names(&body)?;
    let now = shard.runtime.now_ms();
    let locks = &mut control.tables.borrow_mut().locks;
    let granted = locks.lock_batch(&body.consumer_group, &body.client_id, &body.mq_set, now);
    let answer = LockBatchResponseBody { lock_ok_mq_set: granted.into_iter().collect() };
    Ok(Response::with_body(fastjson::to_vec(&answer)))
}

pub async fn unlock_batch<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let body: LockBatchRequestBody = request.json()?;
    check_names(&body)?;
    let locks = &mut control.tables.borrow_mut().locks;
    locks.unlock_batch(&body.consumer_group, &body.client_id, &body.mq_set);
    Ok(Response::ok())
}

fn check_names(body: &LockBatchRequestBody) -> Result<(), Refusal> {
    let queues = body.mq_set.iter().map(|queue| (&*queue.topic, &*queue.broker_name));
    locks::check_names(&body.consumer_group, &body.client_id, queues)
}
