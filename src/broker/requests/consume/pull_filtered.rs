//! Pulls whose filter looks at the properties of messages: the records are read first, and those
//! that are not wanted are left out of the answer.

use std::{rc::Rc, sync::Arc};

use ringmq_base::record::Record;
use ringmq_io::{Runtime, Shares};
use ringmq_store::{QueueHandle, ReadPlan, ReadStatus};

use super::pull_answer::{answer_with_messages, answer_without_messages};
use crate::{
    messages::{PullRequest, Wait},
    shard::{BrokerLog, Shard},
};
use ringmq_rules::{
    Refusal,
    sql_filter::{SqlFilter, Steps, TooManySteps},
};

/// Answers a pull whose first `plan` found messages, in a task of its own. `run` goes on with one
/// that was kept and is kept again.
pub fn answer_filtered<R: Runtime>(
    shard: &Rc<Shard<R>>,
    (log, queue): (&BrokerLog<R>, QueueHandle),
    request: PullRequest,
    plan: ReadPlan,
    filter: Arc<SqlFilter>,
    run: fn(&Rc<Shard<R>>, PullRequest),
) {
    let shares = if plan.in_memory { Shares::Foreground } else { Shares::ColdRead };
    let (shard, log) = (shard.clone(), log.clone());
    let runtime = shard.runtime.clone();
    runtime.spawn(shares, "filtered pull", async move {
        let mut wanted =
            Wanted { runtime: &shard.runtime, filter: &filter, steps: Steps::default() };
        match read_wanted(&log, queue, &request, plan, &mut wanted).await {
            Ok((plan, kept)) => answer_kept(&shard, request, &plan, kept, run),
            Err(failure) => {
                let topic = &request.topic.topic.name;
                let refusal = match failure {
                    // Its client hears of it, and nobody else can do anything about it.
                    Failure::Client(refusal) => refusal,
                    Failure::Store(error) => {
                        tracing::error!(%topic, %error, "pull failed");
                        Refusal::system_error(error)
                    }
                };
                shard.refuse(&request.reply_to, &refusal);
            }
        }
        shard.flush();
    });
}

fn answer_kept<R: Runtime>(
    shard: &Rc<Shard<R>>,
    mut request: PullRequest,
    plan: &ReadPlan,
    kept: Kept,
    run: fn(&Rc<Shard<R>>, PullRequest),
) {
    shard.set_room(&mut request.reply_to, kept.records.len());
    if kept.messages > 0 {
        shard.count_pull(&request, (kept.messages, kept.records.len()), 0, plan.next_offset);
        answer_with_messages(shard, &request, plan, kept.records);
    } else if matches!(request.wait, Wait::Until(_)) && plan.next_offset == plan.max {
        // A kept pull whose filter lets nothing new through goes on waiting behind it.
        request.offset = plan.next_offset;
        run(shard, request);
    } else {
        answer_without_messages(shard, &request, plan);
    }
}

/// Why nobody knows what is wanted.
enum Failure {
    /// The client's expression takes too long.
    Client(Refusal),
    /// Messages cannot be read; what the store says.
    Store(String),
}

fn unread(error: impl std::error::Error) -> Failure {
    Failure::Store(error.to_string())
}

/// What is wanted of what was read.
#[derive(Default)]
struct Kept {
    records: Vec<u8>,
    messages: usize,
}

/// Reads on until a message is wanted, the queue ends or enough was looked at. Gives what is
/// wanted, and the plan to answer from.
async fn read_wanted<R: Runtime>(
    log: &BrokerLog<R>,
    queue: QueueHandle,
    request: &PullRequest,
    mut plan: ReadPlan,
    wanted: &mut Wanted<'_, R>,
) -> Result<(ReadPlan, Kept), Failure> {
    let limits = &request.limits;
    let (mut scanned, mut read, mut kept) = (0, Vec::new(), Kept::default());
    loop {
        read.clear();
        if !(plan.in_memory && log.copy_resident(&plan, &mut read)) {
            log.read_cold(&plan, &mut read).await.map_err(unread)?;
        }
        wanted.keep(&read, &mut kept).await?;
        scanned += plan.extents.len();
        if kept.messages > 0 || plan.next_offset >= plan.max || scanned >= limits.scan {
            break;
        }
        let next = log.plan_cold_read(queue, plan.next_offset, limits, |_| true).await;
        let next = next.map_err(unread)?;
        if next.status != ReadStatus::Found {
            break;
        }
        plan = next;
    }
    plan.status = if kept.messages > 0 { ReadStatus::Found } else { ReadStatus::NoMatched };
    Ok((plan, kept))
}

/// Decides about the messages of one pull.
struct Wanted<'a, R: Runtime> {
    runtime: &'a R,
    filter: &'a SqlFilter,
    steps: Steps,
}

impl<R: Runtime> Wanted<'_, R> {
    /// Appends those of the records that the filter keeps. Lets others run between two messages: an
    /// expression may take a millisecond for one.
    async fn keep(&mut self, records: &[u8], kept: &mut Kept) -> Result<(), Failure> {
        let mut rest = records;
        while !rest.is_empty() {
            let record = Record::decode(rest).map_err(unread)?;
            let (bytes, behind) = rest.split_at(record.size.min(rest.len()));
            let keep = self.filter.keep(record.properties, &mut self.steps);
            if keep.map_err(|error| too_long(&record, &error))? {
                kept.records.extend_from_slice(bytes);
                kept.messages += 1;
            }
            rest = behind;
            self.runtime.yield_if_needed().await;
        }
        Ok(())
    }
}

#[cold]
fn too_long(record: &Record<'_>, error: &TooManySteps) -> Failure {
    let Record { topic, queue_id, queue_offset, .. } = record;
    Failure::Client(Refusal::system_error(format!(
        "the SQL92 expression {error}, offset {queue_offset} of queue {topic}/{queue_id}; \
         subscribe with fewer or simpler conditions"
    )))
}
