//! Storing messages in the logs of a shard.

use std::{collections::BTreeMap, future::poll_fn, pin::pin, rc::Rc};

use futures_util::future::join_all;
use ringmq_base::ShardId;
use ringmq_io::{
    Runtime,
    signal::{OneshotReceiver, oneshot},
};
use ringmq_remoting::codes::response;
use ringmq_rules::{
    refusal::Refusal,
    send_check::unknown_topic,
    topic::{HALF_TOPIC, TIMER_TOPIC},
};
use ringmq_store::AppendError;

use super::{CONTROL, Shard, acks::Ticket, queues::Seal};
use crate::messages::{Message, NewMessage, StoredAt, TopicView};

impl<R: Runtime> Shard<R> {
    /// Runs an append. A panic in the midst of one ends the process, whoever catches panics: nobody
    /// knows what the log holds then, see [`Shard::is_appending`].
    #[inline]
    pub fn append<T>(&self, append: impl FnOnce() -> T) -> T {
        self.appending.set(true);
        let appended = append();
        self.appending.set(false);
        appended
    }

    /// The same for an append with pauses, in which others may panic as they like.
    pub async fn append_slowly<T>(&self, append: impl Future<Output = T>) -> T {
        let mut append = pin!(append);
        poll_fn(|context| self.append(|| append.as_mut().poll(context))).await
    }

    /// Whether a panic that was caught came out of an append.
    pub fn is_appending(&self) -> bool {
        self.appending.get()
    }

    /// Stores a message wherever its queue lives; resolves when it is durable.
    pub async fn put_message(self: &Rc<Self>, message: NewMessage) -> Result<StoredAt, Refusal> {
        let owner = self.queues.owner(&message.topic, message.queue_id);
        self.call(owner, async |shard: Rc<Self>| shard.put_own(message).await).await
    }

    /// Stores messages wherever their queues live, those of one shard in their order; resolves when
    /// all are durable. Behind one that is not stored now but may be later, none of its shard is.
    pub async fn put_in_order(
        self: &Rc<Self>,
        messages: Vec<NewMessage>,
    ) -> Vec<Result<StoredAt, Refusal>> {
        let mut outcomes: Vec<_> = messages.iter().map(|_| Err(behind_another())).collect();
        let mut by_owner: BTreeMap<ShardId, (Vec<usize>, Vec<NewMessage>)> = BTreeMap::new();
        for (place, message) in messages.into_iter().enumerate() {
            let owner = self.queues.owner(&message.topic, message.queue_id);
            let (places, own) = by_owner.entry(owner).or_default();
            places.push(place);
            own.push(message);
        }
        let puts = by_owner.into_iter().map(async |(owner, (places, own))| {
            let put = async move |shard: Rc<Self>| shard.put_own_in_order(own).await;
            (places, self.call(owner, put).await)
        });
        for (places, stored) in join_all(puts).await {
            for (place, stored) in places.into_iter().zip(stored) {
                outcomes[place] = stored;
            }
        }
        outcomes
    }

    /// Stores messages in queues of this shard, up to the first that may be stored later.
    async fn put_own_in_order(&self, messages: Vec<NewMessage>) -> Vec<Result<StoredAt, Refusal>> {
        let mut begun = Vec::with_capacity(messages.len());
        for message in messages {
            let put = self.begin_put(&message).await;
            let stops =
                put.as_ref().is_err_and(|refusal| refusal.code != response::MESSAGE_ILLEGAL);
            begun.push(put);
            if stops {
                break;
            }
        }
        join_all(begun.into_iter().map(async |put| finish_put(put?).await)).await
    }

    /// Stores a message in a queue of this shard.
    async fn put_own(&self, message: NewMessage) -> Result<StoredAt, Refusal> {
        finish_put(self.begin_put(&message).await?).await
    }

    /// Appends a message to a queue of this shard, as soon as its log has room, and says when it
    /// will be known to be durable.
    async fn begin_put(&self, message: &NewMessage) -> Result<Stored, Refusal> {
        let (log, queue) = self.queues.get(&message.topic, message.queue_id);
        let is_timer = &*message.topic.topic.name == TIMER_TOPIC;
        let is_half = &*message.topic.topic.name == HALF_TOPIC;
        loop {
            if let Some(refusal) = &self.view.borrow().disk_full {
                return Err((**refusal).clone());
            }
            log.room().await;
            self.check_seal(&message.topic)?;
            if is_timer {
                self.timer_room.check(log.sink().log, self.queues.log_count())?;
            }
            if is_half {
                self.check_half_room(log, queue)?;
            }
            let (sender, stored) = oneshot();
            let appended = self.append(|| {
                let record = message.record(self.settings.store_host);
                log.append(queue, &record, message.tags_code, |appended| {
                    let stored = StoredAt {
                        queue_offset: appended.queue_offset,
                        physical: appended.physical,
                    };
                    Some(Ticket::Internal(sender, stored))
                })
            });
            let appended = match appended {
                // The space that it needs is on its way.
                Err(AppendError::Busy { .. }) => continue,
                appended => appended.map_err(|error| self.refusal_of(&error))?,
            };
            self.usage.count_puts(&message.topic, 1, appended.size as u64);
            if is_timer {
                self.timer_room.appended(log.sink().log, self.runtime.now_ms());
            }
            return Ok(stored);
        }
    }

    /// Whether messages may be stored in the queues of a topic.
    ///
    /// # Errors
    /// The answer to a send, if it is being deleted or nobody knows whether it was.
    #[inline]
    pub fn check_seal(&self, topic: &TopicView) -> Result<(), Refusal> {
        match self.queues.seal_of(topic) {
            None => Ok(()),
            Some(seal) => Err(sealed(seal, &topic.topic.name)),
        }
    }

    /// The answer to a send that the store does not take.
    #[cold]
    pub fn refusal_of(&self, error: &AppendError) -> Refusal {
        if matches!(error, AppendError::Full { .. }) {
            self.report_full_log();
        }
        refusal_of(error)
    }

    /// Has the control shard look at the disk, unless it was asked a moment ago.
    fn report_full_log(&self) {
        let now = self.runtime.monotonic();
        let reported = self.reported_full.get();
        if reported.is_some_and(|at| now.saturating_sub(at) < REPORT_INTERVAL) {
            return;
        }
        self.reported_full.set(Some(now));
        if self.id == CONTROL {
            self.look_at_storage();
        } else {
            self.router.post(CONTROL, Message::LookAtStorage);
        }
    }

    /// On the control shard: has retention look at the disk soon.
    pub fn look_at_storage(&self) {
        if let Some(control) = self.control_plane.get().and_then(std::rc::Weak::upgrade) {
            control.look_at_storage();
        }
    }
}

/// Resolves when an appended message is durable.
type Stored = OneshotReceiver<Result<StoredAt, Refusal>>;

async fn finish_put(stored: Stored) -> Result<StoredAt, Refusal> {
    stored.await.unwrap_or_else(|| Err(Refusal::system_error("the log was closed")))
}

#[cold]
fn behind_another() -> Refusal {
    Refusal::system_error("a message before it is not stored yet")
}

/// How often the control shard hears that a log has no space.
const REPORT_INTERVAL: std::time::Duration = std::time::Duration::from_secs(1);

#[cold]
fn sealed(seal: Seal, topic: &str) -> Refusal {
    match seal {
        Seal::Deletion => unknown_topic(topic),
        Seal::Doubt => Refusal::new(
            response::SERVICE_NOT_AVAILABLE,
            format!(
                "service not available now. whether topic[{topic}] is deleted is decided by the \
                 next start: the metadata log failed while its deletion was written; restart the \
                 broker when the device is sound"
            ),
        ),
    }
}

fn refusal_of(error: &AppendError) -> Refusal {
    match error {
        AppendError::TooLarge { .. } => {
            Refusal::new(response::MESSAGE_ILLEGAL, format!("the message is illegal: {error}"))
        }
        // Busy is waited for by everybody who appends.
        AppendError::Busy { .. }
        | AppendError::Full { .. }
        | AppendError::NoRoom { .. }
        | AppendError::Fenced { .. }
        | AppendError::Following
        | AppendError::ShuttingDown => Refusal::new(
            response::SERVICE_NOT_AVAILABLE,
            format!("service not available now. {error}"),
        ),
    }
}
