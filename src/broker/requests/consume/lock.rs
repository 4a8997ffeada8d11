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

pub async fn lock_batch<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let shard = &control.shard;
    let _room = shard.body_room.take(request.body.len()).await;
    let body = request.read(shard, read).await?;
    let mut answer = PartedBody::new(b"{\"lockOKMQSet\":[".to_vec());
    let granted = |queues: &[MessageQueue]| {
        for queue in queues {
            answer.item(|part| fastjson::append(part, queue));
        }
    };
    control.lock_queues(&body.group, &body.client_id, &body.queues, granted).await?;
    answer.text("]}");
    answer.answer("lock fewer queues at a time")
}

pub async fn unlock_batch<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let _room = control.shard.body_room.take(request.body.len()).await;
    let body = request.read(&control.shard, read).await?;
    control.unlock_queues(&body.group, &body.client_id, &body.queues).await;
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
