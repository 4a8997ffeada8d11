//! Moving messages whose time has come to their real queues: read, made what they become, stored in
//! their order.

use std::{fmt::Display, rc::Rc, sync::Arc};

use futures_util::future::join_all;
use ringmq_base::record::Record;
use ringmq_io::Runtime;
use ringmq_rules::{
    delay::due_message,
    refusal::{Refusal, code},
};
use ringmq_store::{Entry, ReadError};

use crate::{messages::NewMessage, shard::Shard};

/// Why a due message is not in its real queue.
pub enum NotDelivered {
    /// Something is in the way that may go: it is tried again.
    NotYet(Refusal),
    /// The device could not read it, which may pass or be a bad sector: it is tried again a few
    /// times, then passed over.
    Unreadable(String),
    /// It cannot be read, ever: it is passed over.
    Never(String),
    /// It belongs nowhere any more, such as that of a deleted topic: it is passed over. Clients may
    /// bring that about.
    Nowhere(String),
}

impl NotDelivered {
    /// What is behind it must wait.
    pub fn stops(&self) -> bool {
        matches!(self, NotDelivered::NotYet(_) | NotDelivered::Unreadable(_))
    }
}

/// The messages of a window that belong nowhere: they are told in one line, and no error.
#[derive(Default)]
pub struct Nowhere {
    count: u64,
    first: Option<(i64, String)>,
}

impl Nowhere {
    /// Counts one with its offset.
    pub fn add(&mut self, offset: i64, why: String) {
        self.count += 1;
        self.first.get_or_insert((offset, why));
    }

    /// `from`: the queue.
    pub fn tell<R: Runtime>(self, shard: &Shard<R>, from: impl Display) {
        let Some((first, why)) = self.first else {
            return;
        };
        let passed_over = self.count;
        shard.delayed_passed_over.set(shard.delayed_passed_over.get() + passed_over);
        tracing::info!(%from, passed_over, first, why, "messages whose time has come are dropped");
    }
}

impl From<Refusal> for NotDelivered {
    fn from(refusal: Refusal) -> Self {
        match refusal.code {
            code::MESSAGE_ILLEGAL => NotDelivered::Nowhere(refusal.remark),
            _ => NotDelivered::NotYet(refusal),
        }
    }
}

impl From<ReadError> for NotDelivered {
    fn from(error: ReadError) -> Self {
        let text = error.to_string();
        match error {
            error if error.is_of_medium() => NotDelivered::Unreadable(text),
            ReadError::Damaged { .. } | ReadError::Removed { .. } => NotDelivered::Never(text),
            ReadError::Disk(_) | ReadError::DamagedKeys { .. } => {
                NotDelivered::NotYet(Refusal::system_error(text))
            }
        }
    }
}

/// What is to be done about one of several messages.
pub enum Due {
    /// It is in its real queue already.
    Done,
    Deliver(Entry),
    Failed(NotDelivered),
}

/// Delivers messages in their order and says what became of them, up to the first that cannot be
/// read for now: where that belongs is not known, so nothing behind it may go before it.
pub async fn deliver<R: Runtime>(
    shard: &Rc<Shard<R>>,
    due: Vec<Due>,
) -> Vec<Result<(), NotDelivered>> {
    let read = join_all(due.into_iter().map(async |due| match due {
        Due::Done => Ok(None),
        Due::Deliver(entry) => read(shard, &entry).await.map(Some),
        Due::Failed(error) => Err(error),
    }));
    put(shard, read.await).await
}

/// Stores messages that were read in their real queues, as [`deliver`] does; there is nothing to do
/// about those that are `None`.
pub async fn put<R: Runtime>(
    shard: &Rc<Shard<R>>,
    read: Vec<Result<Option<NewMessage>, NotDelivered>>,
) -> Vec<Result<(), NotDelivered>> {
    let (mut outcomes, mut places, mut messages) = (Vec::new(), Vec::new(), Vec::new());
    for message in read {
        match message {
            Ok(None) => outcomes.push(Ok(())),
            Ok(Some(message)) => {
                places.push(outcomes.len());
                messages.push(message);
                outcomes.push(Ok(()));
            }
            Err(error) => {
                let stops = error.stops();
                outcomes.push(Err(error));
                if stops {
                    break;
                }
            }
        }
    }
    for (place, stored) in places.into_iter().zip(shard.put_in_order(messages).await) {
        outcomes[place] = stored.map(drop).map_err(NotDelivered::from);
    }
    outcomes
}

/// What the message of an entry becomes, ready for its real queue. It names the message that it is
/// made of, so that nobody delivers that again after a crash.
pub async fn read<R: Runtime>(
    shard: &Rc<Shard<R>>,
    entry: &Entry,
) -> Result<NewMessage, NotDelivered> {
    let bytes = read_record(shard, entry).await?;
    let record = decode(&bytes, entry)?;
    let real = due_message(&record).map_err(|error| never(entry, &error))?;
    let Some(topic) = shard.topic(real.topic) else {
        let why = format!("{}: its topic {:?} is gone", place(entry), real.topic);
        return Err(NotDelivered::Nowhere(why));
    };
    Ok(NewMessage {
        topic: Arc::clone(&topic),
        queue_id: real.queue_id.clamp(0, (topic.topic.queues() - 1).max(0)),
        flag: record.flag,
        sys_flag: record.sys_flag,
        born_timestamp: record.born_timestamp,
        born_host: record.born_host,
        reconsume_times: record.reconsume_times,
        tags_code: real.tags_code,
        prepared_transaction_offset: entry.physical.get(),
        properties: real.properties.to_vec(),
        body: record.body.to_vec(),
    })
}

/// The bytes of the record of an entry, which is in a log of this shard.
pub async fn read_record<R: Runtime>(
    shard: &Rc<Shard<R>>,
    entry: &Entry,
) -> Result<Vec<u8>, NotDelivered> {
    let Some(log) = shard.queues.log(entry.physical.log()) else {
        return Err(Refusal::system_error("the log belongs to another shard").into());
    };
    let bytes = log.read_record(entry.physical).await?;
    bytes.ok_or_else(|| never(entry, &"no message begins there, or not any more"))
}

/// The record of an entry.
pub fn decode<'a>(bytes: &'a [u8], entry: &Entry) -> Result<Record<'a>, NotDelivered> {
    Record::decode(bytes).map_err(|error| never(entry, &error))
}

fn never(entry: &Entry, why: &dyn Display) -> NotDelivered {
    NotDelivered::Never(format!("{}: {why}", place(entry)))
}

/// Where the record of an entry is.
fn place(entry: &Entry) -> String {
    let (log, from) = (entry.physical.log(), entry.physical.position().0);
    let to = from + u64::from(entry.size);
    format!("log {log}, bytes {from}..{to}")
}
