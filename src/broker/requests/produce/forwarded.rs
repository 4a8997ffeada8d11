//! Sends that another shard has checked, on the shard that owns their queues.

use std::{rc::Rc, sync::Arc, time::Duration};

use ringmq_base::LogId;
use ringmq_io::{Runtime, Shares};
use ringmq_remoting::codes::response;
use ringmq_rules::refusal::Refusal;

use super::{
    long_batch,
    send::{NotStored, append},
};
use crate::{
    messages::{SendItem, ShardBatch, TopicView},
    shard::{Shard, probe::Stage, waiting_sends::WaitingSend},
};

/// Stores the sends of a batch, each now or when its log has room.
pub fn store<R: Runtime>(shard: &Rc<Shard<R>>, batch: ShardBatch) {
    let came_at = shard.runtime.monotonic();
    shard.probe.set_now(came_at);
    shard.probe.took_since(Stage::Route, batch.began_us, came_at);
    shard.turn_ms.set(shard.runtime.now_ms());
    let (mut rest, mut last) = (batch.bytes.as_slice(), None);
    for item in &batch.sends {
        let (bytes, behind) = rest.split_at(item.bytes());
        rest = behind;
        let topic = &batch.topics[usize::from(item.topic)];
        let log = topic.log(item.queue_id, shard.queues.log_count());
        if let Some(before) = last.replace(log).filter(|before| *before != log) {
            shard.tell_if_behind(before);
        }
        store_one(shard, (topic, log), item, bytes, came_at);
    }
    if let Some(log) = last {
        shard.tell_if_behind(log);
    }
    assert!(rest.is_empty(), "the items of a batch name all of its bytes");
    shard.router.unpacked(batch);
}

fn store_one<R: Runtime>(
    shard: &Rc<Shard<R>>,
    (topic, log): (&Arc<TopicView>, LogId),
    item: &SendItem,
    bytes: &[u8],
    came_at: Duration,
) {
    // What came before for the same log goes first.
    let in_order = !shard.waiting_sends.has(log);
    if in_order && !item.is_long {
        let (properties, body) = bytes.split_at(item.properties_bytes as usize);
        match append(shard, topic, item, properties, body) {
            Ok(()) => return,
            Err(NotStored::Refused(refusal)) => return shard.refuse(&item.reply_to, &refusal),
            Err(NotStored::Busy(_)) => {}
        }
    }
    let send =
        WaitingSend { topic: topic.clone(), item: item.clone(), bytes: bytes.into(), came_at };
    wait(shard, log, send);
}

/// Keeps a send until its log has room, unless too much waits already.
fn wait<R: Runtime>(shard: &Rc<Shard<R>>, log: LogId, send: WaitingSend) {
    let (bytes, limit) =
        (shard.waiting_sends.bytes() + send.size(), shard.settings.backlog_bytes_max);
    // A long batch is here before it was tried: alone it waits for nothing.
    let is_alone = send.item.is_long && shard.waiting_sends.bytes() == 0;
    if bytes > limit && !is_alone {
        return shard.refuse(&send.item.reply_to, &too_much_waits(log, bytes, limit));
    }
    if shard.waiting_sends.add(log, send) {
        let own = shard.clone();
        shard.runtime.spawn(Shares::Foreground, "sends wait for a log", async move {
            store_waiting(&own, log).await;
        });
    }
}

/// Stores what waits for a log, in its order, until nothing does.
async fn store_waiting<R: Runtime>(shard: &Rc<Shard<R>>, log: LogId) {
    while let Some(send) = shard.waiting_sends.first(log) {
        store_when_room(shard, log, &send).await;
        shard.runtime.yield_if_needed().await;
    }
    shard.flush();
}

async fn store_when_room<R: Runtime>(shard: &Rc<Shard<R>>, log: LogId, send: &WaitingSend) {
    let WaitingSend { topic, item, bytes, came_at } = send;
    let (properties, body) = bytes.split_at(item.properties_bytes as usize);
    let refusal = loop {
        shard.turn_ms.set(shard.runtime.now_ms());
        let stored = match item.is_long {
            true => long_batch::append(shard, topic, item, properties, body).await,
            false => append(shard, topic, item, properties, body),
        };
        match stored {
            Ok(()) => return shard.tell_if_behind(log),
            Err(NotStored::Refused(refusal)) => break refusal,
            Err(NotStored::Busy(_)) => shard.flush(),
        }
        if let Err(refusal) = shard.log_room(log, *came_at).await {
            break refusal;
        }
    };
    shard.refuse(&item.reply_to, &refusal);
}

#[cold]
fn too_much_waits(log: LogId, bytes: usize, limit: usize) -> Refusal {
    let remark = format!(
        "[OVERLOAD]system busy, start flow control for a while: {bytes} bytes of sends of other \
         shards would wait for log {log}, the limit is {limit} (key appendQueueBytesMax); send \
         slower"
    );
    Refusal::new(response::SYSTEM_BUSY, remark)
}
