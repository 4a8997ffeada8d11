//! Reads everything that a store holds and tells the checker.

use ringmq_base::{LogId, LogPosition, PhysicalOffset, record::Record};
use ringmq_store::{QueueHandle, ReadError, ReadLimits, ReadStatus};

use crate::{
    checker::{Drain, Queue},
    history::{History, SharedHistory},
    workload::{Store, TestLog},
};

/// What may go wrong without being a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tolerance {
    Nothing,
    /// The disk may fail.
    DiskErrors,
    /// Bytes are damaged: errors that say so are fine, wrong bytes are not.
    Damage,
}

/// The records from `from` on, checked by the store.
pub async fn read(
    log: &TestLog,
    queue: QueueHandle,
    from: i64,
    limits: &ReadLimits,
) -> Result<(Vec<u8>, i64), ReadError> {
    let plan = log.plan_cold_read(queue, from, limits, |_| true).await?;
    if plan.status == ReadStatus::OffsetTooSmall {
        return Ok((Vec::new(), plan.next_offset));
    }
    assert_eq!(plan.status, ReadStatus::Found, "a read at {from} of {}..{}", plan.min, plan.max);
    let mut bytes = Vec::new();
    if log.copy_resident(&plan, &mut bytes) {
        // One in a few is read from the disk as well.
        if from % 4 == 0 {
            let mut cold = Vec::new();
            log.read_cold(&plan, &mut cold).await?;
            assert!(bytes == cold, "memory and disk differ at offset {from}");
        }
    } else {
        log.read_cold(&plan, &mut bytes).await?;
    }
    Ok((bytes, plan.next_offset))
}

/// The records of a read, one after the other.
pub fn records(bytes: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let record = Record::decode(rest).expect("the store hands out whole records");
        rest = &rest[record.size..];
        Some(record)
    })
}

/// Reads all queues and the consumer offsets and holds them against the history.
pub async fn check(store: &Store, history: &SharedHistory, tolerance: Tolerance) {
    let queues = history.borrow().queues.clone();
    for (index, queue) in queues.iter().enumerate() {
        if let Some(max) = drain(&store.log, history, queue, tolerance).await {
            let mut history = history.borrow_mut();
            let max = if history.offsets_may_lead { i64::MAX } else { max };
            history.checker.offset_found(queue, store.offsets[index], max);
        }
    }
    if tolerance == Tolerance::Nothing {
        check_places(store, history).await;
    }
}

/// The end of the queue, unless errors are in the way.
async fn drain(
    log: &TestLog,
    history: &SharedHistory,
    queue: &Queue,
    tolerance: Tolerance,
) -> Option<i64> {
    let Some(handle) = log.find_queue(&queue.0, queue.1) else {
        Drain::new(queue, 0).end(&mut history.borrow_mut().checker, 0);
        return Some(0);
    };
    let many = ReadLimits { messages: 32, bytes: 20_000, scan: 800 };
    let one = ReadLimits { messages: 1, ..many };
    let (min, max) = log.bounds(handle);
    let mut drain = Drain::new(queue, min);
    let (mut next, mut single_until) = (min, min);
    while next < max {
        let limits = if next < single_until { &one } else { &many };
        match read(log, handle, next, limits).await {
            Ok((bytes, after)) => {
                let History { checker, sent, problems, .. } = &mut *history.borrow_mut();
                for record in records(&bytes) {
                    if (record.topic, record.queue_id) != (queue.0.as_str(), queue.1) {
                        problems.push(format!("I6: {queue:?} holds a message of {}", record.topic));
                    }
                    drain.message(checker, sent, record.queue_offset, record.body);
                }
                next = after;
            }
            Err(ReadError::Disk(_)) if tolerance == Tolerance::DiskErrors => return None,
            Err(ReadError::Damaged { .. }) if tolerance == Tolerance::Damage => {
                if limits.messages == 1 {
                    drain.refused(&mut history.borrow_mut().checker, next);
                    next += 1;
                } else {
                    single_until = max.min(next + 32);
                }
            }
            Err(error) => {
                let text = format!("I1: {queue:?} offset {next} cannot be read: {error}");
                history.borrow_mut().problems.push(text);
                return None;
            }
        }
    }
    drain.end(&mut history.borrow_mut().checker, max);
    Some(max)
}

/// Some acknowledged messages by their physical offsets.
async fn check_places(store: &Store, history: &SharedHistory) {
    let some: Vec<_> = {
        let history = history.borrow();
        let step = history.acks.len() / 3 + 1;
        let first = store.log.position_range().0.position().0;
        let kept = history.acks.iter().filter(|ack| ack.position >= first);
        kept.rev().step_by(step).copied().collect()
    };
    for ack in some {
        let log = LogId::new(0).expect("0 is in range");
        let physical = PhysicalOffset::new(log, LogPosition(ack.position));
        let found = store.log.read_record(physical).await;
        let mut history = history.borrow_mut();
        let intact = |bytes: &Vec<u8>| {
            let record = Record::decode(bytes).ok();
            record.is_some_and(|record| history.sent.body(ack.id) == record.body)
        };
        match found {
            Ok(Some(bytes)) if intact(&bytes) => {}
            other => {
                let found = other.map(|bytes| bytes.map(|bytes| bytes.len()));
                let text = format!("I3: {ack:?} by its physical offset is {found:?}");
                history.problems.push(text);
            }
        }
    }
}
