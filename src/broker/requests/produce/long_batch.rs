//! Batches of very many messages or bytes: checked and stored some messages at a time, so that
//! whatever else the shard does goes on. They keep their place: the connection is not read on until
//! its batch is stored or on its way, and on the shard that owns the queue what comes behind it
//! waits for it.

use std::{
    panic::{self, AssertUnwindSafe},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use futures_lite::{FutureExt as _, future::yield_now};
use ringmq_base::LogId;
use ringmq_io::Runtime;
use ringmq_remoting::{
    batch::{may_ask_for_delay, messages},
    message_id::message_id,
};
use ringmq_rules::refusal::Refusal;
use ringmq_store::Appended;

use super::{
    batch::{Check, records},
    record::ticket,
    send::{NotStored, bytes_of, not_stored, open_queue},
};
use crate::{
    messages::{SendItem, TopicView},
    shard::{Shard, acks::More},
};

/// Messages and bytes of a batch that is handled at once: some 200 us.
pub const LONG_MESSAGES: u32 = 512;
pub const LONG_BYTES: usize = 256 * 1024;

/// Messages that are looked at without a pause: some 30 us.
const SLICE_MESSAGES: usize = 1024;
/// Bytes that are searched without a pause: some 20 us.
const SLICE_BYTES: usize = 256 * 1024;

/// A long batch that its connection waits for.
pub struct LongBatch {
    pub topic: Arc<TopicView>,
    pub item: SendItem,
    /// For each of its messages.
    pub properties: Vec<u8>,
}

impl LongBatch {
    /// As [`LongBatch::store`]; a panic costs this batch only, unless it was in the midst of an
    /// append.
    pub async fn store_guarded<R: Runtime>(
        self,
        shard: &Rc<Shard<R>>,
        body: &[u8],
        since: Duration,
    ) -> Result<(), Refusal> {
        match AssertUnwindSafe(self.store(shard, body, since)).catch_unwind().await {
            Ok(stored) => stored,
            Err(cause) if shard.is_appending() => panic::resume_unwind(cause),
            Err(_) => {
                tracing::error!("the check of a batch panicked");
                Err(Refusal::system_error("internal error: the check of the batch failed"))
            }
        }
    }

    /// Checks the batch and appends it here, or sends it on its way to the owner of its queue. It
    /// came at `since` of the monotonic clock.
    ///
    /// # Errors
    /// The answer to it; nothing of it is stored then.
    async fn store<R: Runtime>(
        mut self,
        shard: &Rc<Shard<R>>,
        body: &[u8],
        since: Duration,
    ) -> Result<(), Refusal> {
        check(shard, body).await?;
        let queue_id = self.item.queue_id;
        let log = self.topic.log(queue_id, shard.queues.log_count());
        let owner = shard.queues.owner(&self.topic, queue_id);
        if owner == shard.id {
            return self.append_here(shard, log, body, since).await;
        }
        while shard.is_flooded_there(self.item.reply_to.connection, || log) {
            shard.log_caught_up(log, since).await?;
        }
        check_disk(shard)?;
        let LongBatch { topic, item, properties } = &mut self;
        item.is_long = true;
        item.properties_bytes = bytes_of(properties.len())?;
        item.body_bytes = bytes_of(body.len())?;
        shard.router.send(owner, topic, item.clone(), properties, body)?;
        Ok(())
    }

    async fn append_here<R: Runtime>(
        &self,
        shard: &Rc<Shard<R>>,
        log: LogId,
        body: &[u8],
        since: Duration,
    ) -> Result<(), Refusal> {
        let LongBatch { topic, item, properties } = self;
        let connection = item.reply_to.connection;
        let floods = || shard.queues.log(log).is_some_and(|own| shard.is_flooded(connection, own));
        loop {
            while floods() {
                shard.log_caught_up(log, since).await?;
            }
            check_disk(shard)?;
            match append(shard, topic, item, properties, body).await {
                Ok(()) => return Ok(()),
                Err(NotStored::Refused(refusal)) => return Err(refusal),
                Err(NotStored::Busy(log)) => shard.log_room(log, since).await?,
            }
        }
    }
}

fn check_disk<R: Runtime>(shard: &Shard<R>) -> Result<(), Refusal> {
    let full = shard.view.borrow().disk_full.clone();
    full.map_or(Ok(()), |refusal| Err((*refusal).clone()))
}

/// As for any batch.
async fn check<R: Runtime>(shard: &Shard<R>, body: &[u8]) -> Result<(), Refusal> {
    let mut may_delay = false;
    for start in (0..body.len()).step_by(SLICE_BYTES) {
        // What is searched for may lie across two slices.
        let end = body.len().min(start + SLICE_BYTES + 2);
        let slice = body.get(start..end).unwrap_or_default();
        may_delay = may_ask_for_delay(slice);
        if may_delay {
            break;
        }
        shard.runtime.yield_if_needed().await;
    }
    let most = shard.settings.config.batch_messages_max;
    let mut check = Check::new(body.len(), most, may_delay);
    for (count, message) in (1..).zip(messages(body)) {
        check.next(message)?;
        if count % SLICE_MESSAGES == 0 {
            shard.runtime.yield_if_needed().await;
        }
    }
    check.end()
}

/// Appends a checked long batch to its queue, which is one of this shard, when those that wait for
/// the log already had their chance.
pub async fn append<R: Runtime>(
    shard: &Rc<Shard<R>>,
    topic: &TopicView,
    item: &SendItem,
    properties: &[u8],
    body: &[u8],
) -> Result<(), NotStored> {
    yield_now().await;
    // From here to the first message nothing else happens that could seal the queue.
    let (log, queue) = open_queue(shard, topic, item.queue_id).map_err(NotStored::Refused)?;
    let messages = records(shard, topic, item, properties, body);
    let (mut first, mut count, mut bytes) = (None, 0, 0);
    let mut ids = Vec::new();
    let note = |some: &[Appended], is_last: bool| {
        for appended in some {
            let next = *first.get_or_insert(appended.queue_offset) + count as i64;
            assert!(appended.queue_offset == next, "the messages of a batch lie behind each other");
            count += 1_u64;
            bytes += appended.size as u64;
            if !ids.is_empty() {
                ids.push(b',');
            }
            let id = message_id(shard.settings.store_host, appended.physical.get());
            ids.extend_from_slice(id.as_bytes());
        }
        let last = some.last().filter(|_| is_last)?;
        shard.usage.count_send(topic, item.message_type, count, bytes);
        let ids = Box::new(More::BatchIds(std::mem::take(&mut ids)));
        ticket(item, last, first?, Some(ids))
    };
    let now_ms = shard.runtime.now_ms();
    let appended = shard.append_slowly(log.append_long_batch(now_ms, queue, messages, note)).await;
    appended.map(drop).map_err(|error| not_stored(shard, log, &error))
}
