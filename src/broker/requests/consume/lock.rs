//! Locks of queues for ordered consumption: LOCK_BATCH_MQ (41), UNLOCK_BATCH_MQ (42). Handled by
//! the control shard.

use std::rc::Rc;

use ringmq_io::Runtime;
use ringmq_remoting::{
    body::{LockBatchRequestBody, MessageQueue},
    fastjson,
};

use crate::{
    control::Control,
    requests::{Handled, Request, Response, admin::body::PartedBody, response::read_json},
};
use ringmq_rules::{Refusal, locks};

/// Queues that are locked without a pause: some 100 us.
const SLICE_QUEUES: usize = 128;

pub async fn lock_batch<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let shard = &control.shard;
    let _room = shard.body_room.take(request.body.len()).await;
    let body = request.read(shard, read).await?;
    let mut answer = PartedBody::new(b"{\"lockOKMQSet\":[".to_vec());
    for queues in body.queues.chunks(SLICE_QUEUES) {
        let now = shard.runtime.now_ms();
        let granted = {
            let locks = &mut control.tables.borrow_mut().locks;
            locks.lock_batch(&body.group, &body.client_id, queues, now)
        };
        for queue in &granted {
            answer.item(|part| fastjson::append(part, queue));
        }
        shard.runtime.yield_if_needed().await;
    }
    answer.text("]}");
    answer.answer("lock fewer queues at a time")
}

pub async fn unlock_batch<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let runtime = &control.shard.runtime;
    let _room = control.shard.body_room.take(request.body.len()).await;
    let body = request.read(&control.shard, read).await?;
    for queues in body.queues.chunks(SLICE_QUEUES) {
        control.tables.borrow_mut().locks.unlock_batch(&body.group, &body.client_id, queues);
        runtime.yield_if_needed().await;
    }
    Ok(Response::ok())
}

/// What is locked or unlocked, and by whom.
struct Wanted {
    group: String,
    client_id: String,
    /// Sorted.
    queues: Vec<MessageQueue>,
}

/// Reads a body and checks the names in it.
fn read(body: &[u8], memory: usize) -> Result<Wanted, Refusal> {
    let body: LockBatchRequestBody = read_json(body, memory)?;
    let queues = body.mq_set.iter().map(|queue| (&*queue.topic, &*queue.broker_name));
    locks::check_names(&body.consumer_group, &body.client_id, queues)?;
    let queues = body.mq_set.into_iter().collect();
    Ok(Wanted { group: body.consumer_group, client_id: body.client_id, queues })
}
