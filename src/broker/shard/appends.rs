//! Storing messages in the logs of a shard.

use std::rc::Rc;

use ringmq_base::record::NewRecord;
use ringmq_io::{Runtime, signal::oneshot};
use ringmq_remoting::codes::response;
use ringmq_rules::{refusal::Refusal, send_check::unknown_topic};
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

    /// Whether a panic that was caught came out of an append.
    pub fn is_appending(&self) -> bool {
        self.appending.get()
    }

    /// Stores a message wherever its queue lives; resolves when it is durable.
    pub async fn put_message(self: &Rc<Self>, message: NewMessage) -> Result<StoredAt, Refusal> {
        let owner = self.queues.owner(&message.topic, message.queue_id);
        self.call(owner, async |shard: Rc<Self>| shard.put_own(message).await).await
    }

    /// Stores a message in a queue of this shard.
    async fn put_own(&self, message: NewMessage) -> Result<StoredAt, Refusal> {
        if let Some(refusal) = &self.view.borrow().disk_full {
            return Err((**refusal).clone());
        }
        let (log, queue) = self.queues.get(&message.topic, message.queue_id);
        log.room().await;
        self.check_seal(&message.topic)?;
        let record = NewRecord {
            topic: &message.topic.topic.name,
            queue_id: message.queue_id,
            flag: message.flag,
            sys_flag: message.sys_flag,
            born_timestamp: message.born_timestamp,
            born_host: message.born_host,
            store_host: self.settings.store_host,
            reconsume_times: message.reconsume_times,
            prepared_transaction_offset: message.prepared_transaction_offset,
            body: &message.body,
            properties: [&message.properties, b"", b""],
        };
        let (sender, stored) = oneshot();
        let appended = self.append(|| {
            log.append(queue, &record, message.tags_code, |appended| {
                let stored =
                    StoredAt { queue_offset: appended.queue_offset, physical: appended.physical };
                Some(Ticket::Internal(sender, stored))
            })
        });
        let appended = appended.map_err(|error| self.refusal_of(&error))?;
        self.usage.count_puts(&message.topic, 1, appended.size as u64);
        stored.await.unwrap_or_else(|| Err(Refusal::system_error("the log was closed")))
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
        AppendError::Busy { .. } => Refusal::new(
            response::SYSTEM_BUSY,
            format!("[PC_SYNCHRONIZED]broker busy, start flow control for a while: {error}"),
        ),
        AppendError::TooLarge { .. } => {
            Refusal::new(response::MESSAGE_ILLEGAL, format!("the message is illegal: {error}"))
        }
        AppendError::Full { .. }
        | AppendError::NoRoom { .. }
        | AppendError::Fenced { .. }
        | AppendError::ShuttingDown => Refusal::new(
            response::SERVICE_NOT_AVAILABLE,
            format!("service not available now. {error}"),
        ),
    }
}
