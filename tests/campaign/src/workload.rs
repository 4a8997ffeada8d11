//! Producers, a consumer and consumer offsets over one log and one metadata log.

use std::{cell::Cell, path::Path, time::Duration};

use futures_lite::future::zip;
use ringmq_base::{LogId, LogPosition};
use ringmq_io::{Clock as _, sim::Random};
use ringmq_store::{
    AppendError, Appended, Log, LogError, MetaLog, NewRecord, OpenError, QueueHandle, ReadError,
    ReadLimits, Recovery, log_directory, open_manifest,
};

use crate::{
    history::{Ack, History, Recorder, SharedHistory},
    machine::Machine,
    plan::Plan,
    reading::{Tolerance, read, records},
};

pub const ROOT: &str = "store";
/// Refusals by a full disk after which a producer gives up.
const FULL_TRIES: usize = 200;

pub type TestLog = Log<Machine, Recorder>;

/// An open store.
pub struct Store {
    pub log: TestLog,
    pub meta: MetaLog<Machine>,
    pub recovery: Recovery,
    /// Consumer offsets that the metadata log brought, by queue.
    pub offsets: Vec<Option<i64>>,
}

/// Opens or creates the store as a broker does.
pub async fn open(
    machine: &Machine,
    plan: &Plan,
    history: &SharedHistory,
) -> Result<Store, OpenError> {
    let root = Path::new(ROOT);
    history.borrow_mut().fenced = false;
    let manifest = open_manifest(machine, root, 1).await?;
    let directory = log_directory(root, LogId::new(0).expect("0 is in range"));
    let options = plan.options(directory, manifest.store_id);
    let (log, recovery) = Log::open(machine.clone(), options, Recorder(history.clone())).await?;
    let Recovery { case, first, mark, end, epoch, .. } = &recovery;
    let opened = format!("opened {first}..{end}, mark {mark}, epoch {epoch}: {}", case.label());
    history.borrow_mut().story.push(opened);
    let (meta, records) = MetaLog::open(machine.clone(), &root.join("meta")).await?;
    let mut offsets = vec![None; history.borrow().queues.len()];
    for record in records {
        match parse(&record).filter(|(queue, _)| *queue < offsets.len()) {
            Some((queue, offset)) => offsets[queue] = Some(offset),
            None => {
                let text = format!("I6: a metadata record of {} bytes", record.len());
                history.borrow_mut().problems.push(text);
            }
        }
    }
    Ok(Store { log, meta, recovery, offsets })
}

/// A committed consumer offset: queue, offset, and the sum of both.
fn format(queue: usize, offset: i64) -> [u8; 24] {
    let mut record = [0; 24];
    record[..8].copy_from_slice(&(queue as u64).to_le_bytes());
    record[8..16].copy_from_slice(&offset.to_le_bytes());
    let sum = (queue as u64).wrapping_add(offset.cast_unsigned());
    record[16..].copy_from_slice(&sum.to_le_bytes());
    record
}

fn parse(record: &[u8]) -> Option<(usize, i64)> {
    let word = |at: usize| {
        let bytes = record.get(at..at + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    let (queue, offset, sum) = (word(0)?, word(8)?, word(16)?);
    let intact = record.len() == 24 && queue.wrapping_add(offset) == sum;
    if intact { Some((usize::try_from(queue).ok()?, offset.cast_signed())) } else { None }
}

/// What the tasks of a workload share.
struct Shift<'a> {
    machine: &'a Machine,
    store: &'a Store,
    plan: &'a Plan,
    history: &'a SharedHistory,
    tolerance: Tolerance,
    producing: Cell<u64>,
}

/// Sends so many messages by each producer of the plan, reads and commits meanwhile.
pub async fn work(
    machine: &Machine,
    store: &Store,
    plan: &Plan,
    history: &SharedHistory,
    (random, messages, tolerance): (&mut Random, u64, Tolerance),
) {
    let producing = Cell::new(3);
    let shift = Shift { machine, store, plan, history, tolerance, producing };
    let of = |number: u64| if number < plan.producers { messages } else { 0 };
    let (first, second, third, fourth) =
        (random.fork(), random.fork(), random.fork(), random.fork());
    let producers = zip(
        produce(&shift, first, of(0)),
        zip(produce(&shift, second, of(1)), produce(&shift, third, of(2))),
    );
    let retention = random.fork();
    zip(producers, zip(consume(&shift, fourth), retain(&shift, retention))).await;
}

async fn produce(shift: &Shift<'_>, mut random: Random, messages: u64) {
    let producer = shift.history.borrow_mut().new_producer();
    let mut sent = 0;
    while sent < messages {
        let queue = random.index(shift.history.borrow().queues.len());
        // Some come as a batch: one after the other to one queue.
        let batch = if random.chance(1, 6) { 2 + random.below(6) } else { 1 };
        for _ in 0..batch.min(messages - sent) {
            if !send(shift, producer, queue).await {
                shift.producing.set(shift.producing.get() - 1);
                return;
            }
            sent += 1;
        }
        if random.chance(1, shift.plan.pause_one_in) {
            let pause = random.below(shift.plan.pause_microseconds);
            shift.machine.sleep(Duration::from_micros(pause)).await;
        }
    }
    shift.producing.set(shift.producing.get() - 1);
}

/// False if the log takes nothing any more.
async fn send(shift: &Shift<'_>, producer: u64, queue: usize) -> bool {
    let log = &shift.store.log;
    let ((topic, queue_id), id, body) = {
        let history = shift.history.borrow();
        let id = history.sent.next_id(producer);
        (history.queues[queue].clone(), id, history.sent.body(id))
    };
    let record = record(&topic, queue_id, &body);
    let handle = log.queue(&topic, queue_id);
    for _ in 0..FULL_TRIES {
        let appended_after = shift.history.borrow().writes;
        let ticket = |appended: &Appended| {
            Some(Ack {
                queue,
                offset: appended.queue_offset,
                id,
                position: appended.physical.position().0,
                bytes: appended.size as u64,
                appended_after,
                write: 0,
            })
        };
        match log.append(handle, &record, 7, ticket) {
            Ok(_) => {
                shift.history.borrow_mut().sent.count(producer);
                return true;
            }
            Err(AppendError::Busy { .. }) => log.room().await,
            Err(AppendError::Full { .. } | AppendError::NoRoom { .. }) => {
                shift.machine.sleep(Duration::from_millis(20)).await;
                log.room().await;
            }
            Err(AppendError::Fenced { .. } | AppendError::ShuttingDown) => return false,
            Err(error @ (AppendError::TooLarge { .. } | AppendError::Following)) => {
                panic!("{error}")
            }
        }
    }
    false
}

/// A message with a key and nothing else of interest.
pub fn record<'a>(topic: &'a str, queue_id: i32, body: &'a [u8]) -> NewRecord<'a> {
    NewRecord {
        topic,
        queue_id,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1,
        born_host: "127.0.0.1:1".parse().expect("an address"),
        store_host: "127.0.0.1:10911".parse().expect("an address"),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties: [b"KEYS\x01k\x02", b"", b""],
    }
}

/// Follows the queues in no order and commits how far it got.
async fn consume(shift: &Shift<'_>, mut random: Random) {
    let queues = shift.history.borrow().queues.clone();
    let starts = shift.store.offsets.iter().map(|offset| offset.unwrap_or(0));
    let mut next: Vec<i64> = starts.collect();
    while shift.producing.get() > 0 && !shift.history.borrow().fenced {
        let index = random.index(queues.len());
        let (topic, queue_id) = &queues[index];
        if let Some(handle) = shift.store.log.find_queue(topic, *queue_id) {
            let (min, max) = shift.store.log.bounds(handle);
            let from = next[index].clamp(min, max);
            if from == max {
                shift.store.log.watch(handle);
            } else if let Some(after) = look(shift, handle, index, from).await {
                next[index] = after;
            }
            if random.chance(1, shift.plan.commit_one_in) {
                commit(shift, &mut random, index, next[index].min(max)).await;
            }
        }
        let pause = random.below(shift.plan.pause_microseconds);
        shift.machine.sleep(Duration::from_micros(pause)).await;
    }
}

/// Reads some messages; the offset behind them.
async fn look(shift: &Shift<'_>, handle: QueueHandle, index: usize, from: i64) -> Option<i64> {
    let limits = ReadLimits { messages: 10, bytes: 9000, scan: 100 };
    match read(&shift.store.log, handle, from, &limits).await {
        Ok((bytes, after)) => {
            let History { checker, sent, queues, .. } = &mut *shift.history.borrow_mut();
            for record in records(&bytes) {
                checker.served(sent, &queues[index], record.queue_offset, record.body);
            }
            Some(after)
        }
        Err(ReadError::Disk(_)) if shift.tolerance == Tolerance::DiskErrors => None,
        Err(ReadError::Damaged { .. }) if shift.tolerance == Tolerance::Damage => Some(from + 1),
        Err(ReadError::Removed { .. }) if shift.plan.retires => None,
        Err(error) => {
            let text = format!("I1: offset {from} cannot be read: {error}");
            shift.history.borrow_mut().problems.push(text);
            None
        }
    }
}

/// Gives up old segments now and then.
async fn retain(shift: &Shift<'_>, mut random: Random) {
    let log = &shift.store.log;
    while shift.plan.retires && shift.producing.get() > 0 && !shift.history.borrow().fenced {
        let pause = shift.plan.pause_microseconds * (1 + random.below(30));
        shift.machine.sleep(Duration::from_micros(pause)).await;
        let segments = log.segments().await;
        let complete: Vec<_> = segments.iter().filter(|one| one.complete).collect();
        let keep = random.index(3);
        let Some(last) = complete.len().checked_sub(keep + 1) else { continue };
        let before = complete[last].end;
        if give_up(shift, before).await.is_err() {
            continue;
        }
        match log.retire(before, shift.plan.spare_segments).await {
            Ok(_) => {}
            Err(_) if shift.tolerance != Tolerance::Nothing => return,
            Err(error) => {
                let text = format!("segments cannot be given up: {error}");
                shift.history.borrow_mut().problems.push(text);
                return;
            }
        }
    }
}

/// Tells the checker which messages may go.
async fn give_up(shift: &Shift<'_>, before: LogPosition) -> Result<(), ReadError> {
    let queues = shift.history.borrow().queues.clone();
    for queue in &*queues {
        let Some(handle) = shift.store.log.find_queue(&queue.0, queue.1) else { continue };
        let (mut next, max) = shift.store.log.bounds(handle);
        while next < max {
            let entry = shift.store.log.entry(handle, next).await?;
            if entry.is_none_or(|entry| entry.physical.position() >= before) {
                break;
            }
            next += 1;
        }
        shift.history.borrow_mut().checker.give_up(queue, next);
    }
    Ok(())
}

async fn commit(shift: &Shift<'_>, random: &mut Random, index: usize, offset: i64) {
    let queue = {
        let mut history = shift.history.borrow_mut();
        let queue = history.queues[index].clone();
        let last = history.offsets[index].max(shift.store.offsets[index]);
        if last.is_some_and(|last| last >= offset) {
            return;
        }
        history.offsets[index] = Some(offset);
        history.checker.offset_tried(&queue, offset);
        queue
    };
    let result = if random.chance(1, 8) {
        let all: Vec<Vec<u8>> = {
            let history = shift.history.borrow();
            let newest = history.offsets.iter().zip(&shift.store.offsets);
            let newest = newest.map(|(tried, found)| (*tried).max(*found));
            let numbered = newest.enumerate();
            numbered
                .filter_map(|(at, offset)| offset.map(|offset| format(at, offset).to_vec()))
                .collect()
        };
        let mut pieces = all.into_iter();
        let next = move || pieces.next().into_iter().collect();
        shift.store.meta.rewrite(next).await
    } else {
        shift.store.meta.append(&[&format(index, offset)]).await
    };
    match result {
        Ok(()) => shift.history.borrow_mut().checker.offset_acked(&queue, offset),
        Err(LogError::Fenced { .. } | LogError::Full { .. } | LogError::Failed { .. })
            if shift.tolerance == Tolerance::DiskErrors => {}
        Err(error) => {
            let text = format!("a consumer offset was refused: {error}");
            shift.history.borrow_mut().problems.push(text);
        }
    }
}
