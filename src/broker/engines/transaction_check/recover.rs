//! Transactions at a start: what a crash cut in two is made whole, and the decisions of each log
//! are read.

use std::{rc::Rc, time::Duration};

use ringmq_base::{LogId, record::Record};
use ringmq_io::Runtime;
use ringmq_rules::{
    refusal::Refusal,
    topic::OPERATION_HALF_TOPIC,
    transaction::{Half, StoredWith},
};
use ringmq_store::{Entry, QueueHandle, ReadAhead, ReadError};

use crate::shard::{BrokerLog, Shard};

/// How soon entries that cannot be read are tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// Entries that are read without a look at others.
const SLICE: i64 = 256;

/// Makes whole what the end of each log may have cut in two. Comes before anything is stored.
///
/// A decision and the message that goes with it are appended as one, the decision first, so only
/// the last decision of a log can be without its message; and it is, if the queue that the message
/// is for ends before it.
pub async fn repair<R: Runtime>(shard: &Rc<Shard<R>>) {
    for log in shard.queues.own_logs() {
        let id = log.sink().log;
        match repair_log(shard, log).await {
            Ok(false) => {}
            Ok(true) => {
                let repaired = &shard.transactions.repaired;
                repaired.set(repaired.get() + 1);
                tracing::info!(log = %id, "the message of the last decision is stored anew");
            }
            Err(why) => tracing::error!(
                log = %id, why,
                "whether the last decided transaction is whole cannot be told"
            ),
        }
    }
}

/// True if a message was missing.
async fn repair_log<R: Runtime>(shard: &Rc<Shard<R>>, log: &BrokerLog<R>) -> Result<bool, String> {
    let id = log.sink().log;
    let (_, _, decisions) = refusal(shard.queue_on(OPERATION_HALF_TOPIC, id))?;
    let (min, max) = log.bounds(decisions);
    if max <= min {
        return Ok(false);
    }
    let entry = text(log.entry(decisions, max - 1).await)?.ok_or("its entry is gone")?;
    let bytes = text(log.read_record(entry.physical).await)?.ok_or("its record is gone")?;
    let decision = Record::decode(&bytes).map_err(|error| error.to_string())?;
    let Some(stored) = StoredWith::of(decision.properties) else {
        return Ok(false);
    };
    let target = log.queue(stored.topic, stored.queue_id);
    if log.next_offset(target) > stored.offset {
        return Ok(false);
    }
    let halves = refusal(shard.half_queue(id))?;
    let entry = text(log.entry(halves, entry.tags_code).await)?.ok_or("the half is gone")?;
    let bytes = text(log.read_record(entry.physical).await)?.ok_or("the half is gone")?;
    let record = Record::decode(&bytes).map_err(|error| error.to_string())?;
    let half = refusal(Half::of(&record))?;
    let properties = half.ended_properties(stored.topic, &shard.live().transactions);
    let message = shard.ended(&half, &stored, &properties);
    let appended = shard.append(|| log.append(target, &message, half.tags_code(), |_| None));
    let appended = appended.map_err(|error| error.to_string())?;
    match appended.queue_offset == stored.offset {
        true => Ok(true),
        false => Err(format!("it is at {} and not at {}", appended.queue_offset, stored.offset)),
    }
}

fn refusal<T>(result: Result<T, Refusal>) -> Result<T, String> {
    result.map_err(|refusal| refusal.remark)
}

fn text<T>(result: Result<T, ReadError>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

/// Reads the decisions of a log about the halves that are not known to be decided.
pub async fn read_decisions<R: Runtime>(
    shard: &Rc<Shard<R>>,
    log: &BrokerLog<R>,
    halves: QueueHandle,
) -> Result<(), Refusal> {
    let id = log.sink().log;
    let (min, max) = log.bounds(halves);
    let first = shard.transactions.with(id, |own| own.halves.first());
    if first > max {
        // The log has lost what the metadata counts on: whatever is there is read.
        let sweeps = shard.transactions.with(id, |own| std::mem::take(&mut own.sweeps));
        shard.transactions.open(id, min, sweeps);
    }
    shard.transactions.with(id, |own| own.halves.skip_to(min));
    let first = shard.transactions.with(id, |own| own.halves.first());
    if first >= max {
        return Ok(());
    }
    let decisions =
        Decisions { shard, log, id, queue: shard.queue_on(OPERATION_HALF_TOPIC, id)?.2 };
    let Some(half) = decisions.entry(halves, first).await else {
        return Ok(());
    };
    decisions.read_behind(&half, max).await;
    Ok(())
}

struct Decisions<'a, R: Runtime> {
    shard: &'a Rc<Shard<R>>,
    log: &'a BrokerLog<R>,
    id: LogId,
    queue: QueueHandle,
}

impl<R: Runtime> Decisions<'_, R> {
    /// Notes the decisions that lie behind a half, which are all about it and later ones. `max`:
    /// the next half.
    async fn read_behind(&self, half: &Entry, max: i64) {
        let (mut low, end) = self.log.bounds(self.queue);
        let mut high = end;
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.entry(self.queue, middle).await;
            if entry.is_some_and(|entry| entry.physical <= half.physical) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let mut ahead = ReadAhead::default();
        for offset in low..end {
            self.log.read_ahead(self.queue, offset, &mut ahead).await;
            if let Some(entry) = self.entry(self.queue, offset).await
                && (0..max).contains(&entry.tags_code)
            {
                self.shard.transactions.note(self.id, entry.tags_code);
            }
            if offset % SLICE == 0 {
                self.shard.runtime.yield_if_needed().await;
            }
        }
    }

    /// An entry of a queue; `None` if it is not there. What cannot be read is tried again for ever:
    /// without it nobody knows what is decided.
    async fn entry(&self, queue: QueueHandle, offset: i64) -> Option<Entry> {
        let mut said = false;
        loop {
            match self.log.entry(queue, offset).await {
                Ok(entry) => return entry,
                Err(_) if self.shard.stopping.get() => return None,
                Err(error) if !said => {
                    let log = self.id;
                    tracing::error!(
                        %log, offset, %error,
                        "decisions of transactions cannot be read: none of this log is ended \
                         before they can"
                    );
                    said = true;
                }
                Err(_) => {}
            }
            self.shard.runtime.sleep(AGAIN).await;
        }
    }
}
