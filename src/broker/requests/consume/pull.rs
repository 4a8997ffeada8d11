//! PULL_MESSAGE (11) and LITE_PULL_MESSAGE (361): checked on the connection's shard, which knows
//! the client's subscription, and read on the shard that owns the queue.

use std::{rc::Rc, time::Duration};

use ringmq_io::{Runtime, Shares};
use ringmq_net::rounds::PIECE_BYTES;
use ringmq_remoting::codes::response;
use ringmq_store::{PageNeeded, QueueHandle, ReadPlan, ReadStatus};

use super::{
    pull_answer::{answer_reset, answer_with_messages, answer_without_messages, begin, get_status},
    pull_filtered::answer_filtered,
};
use crate::{
    messages::{PullRequest, Wait},
    shard::{BrokerLog, Shard, probe::Stage, waiting_pulls::Hold},
};
use ringmq_rules::{filter::Filter, refusal::Refusal};

/// A larger answer is made in turns.
const LARGE_BYTES: usize = 4 * PIECE_BYTES;

/// Answers a pull now, or keeps it until there is something to answer. The queue is one of
/// this shard's.
pub fn run<R: Runtime>(shard: &Rc<Shard<R>>, mut request: PullRequest) {
    if let Some(offset) = request.commit.take() {
        let (topic, group) = (&request.topic.topic.name, &request.group);
        if let Err(refusal) = shard.commit_offset(topic, group, request.queue_id, offset) {
            tracing::debug!(%refusal, "consumer offset of a pull not stored");
        }
    }
    let (log, queue) = shard.queues.get(&request.topic, request.queue_id);
    if let Some(offset) = shard.reset_of_pull(&request) {
        return answer_reset(shard, request, offset, log.bounds(queue));
    }
    let filter = &request.filter;
    let plan = log.plan_read(queue, request.offset, &request.limits, |code| filter.keep(code));
    let plan = match plan {
        Ok(plan) => plan,
        Err(needed) => return run_with_page(shard, log, request, needed),
    };
    if plan.status == ReadStatus::Found {
        let Some(request) = shard.with_room(request, plan.bytes) else {
            return;
        };
        if let Filter::Sql(filter) = &request.filter {
            let filter = filter.clone();
            answer_filtered(shard, (log, queue), request, plan, filter, run);
            return;
        }
        if plan.bytes > LARGE_BYTES {
            return answer_large(shard, log, request, plan);
        }
        answer_found(shard, log, request, plan);
        return;
    }
    shard.set_room(&mut request.reply_to, 0);
    let code = get_status(plan.status).response_code(request.offset);
    let nothing_new = code == response::PULL_NOT_FOUND;
    // A kept pull whose filter lets nothing new through goes on waiting behind it.
    let passed_over = plan.status == ReadStatus::NoMatched
        && matches!(request.wait, Wait::Until(_))
        && plan.next_offset == plan.max;
    if nothing_new || passed_over {
        let deadline = match request.wait {
            Wait::No | Wait::Over => None,
            Wait::For(time) => Some(shard.runtime.monotonic() + time),
            Wait::Until(deadline) => Some(deadline),
        };
        if let Some(deadline) = deadline {
            if passed_over {
                shard.note_next_pull(&request, plan.next_offset);
                request.offset = plan.next_offset;
            }
            if let Err(refusal) = shard.may_hold(&request) {
                return shard.refuse(&request.reply_to, &refusal);
            }
            // Behind an await it may be gone, and what it had waiting with it.
            if shard.ended.has(request.reply_to.connection) {
                return;
            }
            request.wait = Wait::Until(deadline);
            match hold(shard, (log, queue), deadline, request) {
                None => return,
                Some(back) => request = back,
            }
        }
    }
    answer_without_messages(shard, &request, &plan);
}

/// Has a pull wait. It comes back if it has no place.
fn hold<R: Runtime>(
    shard: &Rc<Shard<R>>,
    (log, queue): (&BrokerLog<R>, QueueHandle),
    deadline: Duration,
    request: PullRequest,
) -> Option<PullRequest> {
    log.watch(queue);
    match shard.waiting_pulls.hold((log.sink().log, queue), deadline, request) {
        Hold::Waits => None,
        Hold::InPlaceOf(mut other) => {
            other.wait = Wait::Over;
            run(shard, other);
            None
        }
        Hold::NoPlace(back) => Some(back),
    }
}

/// Goes on with a pull of long ago when part of the index has been read.
fn run_with_page<R: Runtime>(
    shard: &Rc<Shard<R>>,
    log: &BrokerLog<R>,
    request: PullRequest,
    needed: PageNeeded,
) {
    let (shard, log) = (shard.clone(), log.clone());
    let runtime = shard.runtime.clone();
    runtime.spawn(Shares::ColdRead, "index page", async move {
        match log.fetch(needed).await {
            Ok(()) => run(&shard, request),
            Err(error) => {
                tracing::error!(topic = %request.topic.topic.name, %error, "pull failed");
                shard.refuse(&request.reply_to, &Refusal::system_error(error.to_string()));
            }
        }
        shard.flush();
    });
}

/// An answer that takes long to copy is copied after those before it, a piece at a time, in turn
/// with what else takes long, and once: it holds up nobody who asks for little.
fn answer_large<R: Runtime>(
    shard: &Rc<Shard<R>>,
    log: &BrokerLog<R>,
    request: PullRequest,
    plan: ReadPlan,
) {
    let (shard, log) = (shard.clone(), log.clone());
    let runtime = shard.runtime.clone();
    runtime.spawn(Shares::Foreground, "large pull", async move {
        let one = shard.copies.take().await;
        let mut body = Vec::new();
        body.reserve_exact(plan.bytes);
        let mut resident = plan.in_memory;
        while resident && body.len() < plan.bytes {
            let turn = shard.rounds.turn().await;
            resident = log.copy_resident_piece(&plan, PIECE_BYTES, &mut body);
            turn.pass_on().await;
            shard.runtime.yield_if_needed().await;
        }
        drop(one);
        if !resident {
            return answer_cold(&shard, &log, request, plan);
        }
        shard.count_pull(&request, (plan.extents.len(), plan.bytes), 0, plan.next_offset);
        answer_with_messages(&shard, &request, &plan, body);
        shard.flush();
    });
}

fn answer_found<R: Runtime>(
    shard: &Rc<Shard<R>>,
    log: &BrokerLog<R>,
    request: PullRequest,
    plan: ReadPlan,
) {
    if plan.in_memory {
        let began = shard.probe.pulls.takes().then(|| shard.runtime.monotonic());
        let mut resident = true;
        shard.write_reply(&request.reply_to, |out| {
            let before = out.len();
            let start = begin(out, &request.reply_to, response::SUCCESS, Some("FOUND"), &plan)?;
            resident = log.copy_resident(&plan, out);
            if resident {
                return start.finish(out);
            }
            out.truncate(before);
            Ok(())
        });
        if resident {
            if let Some(began) = began {
                shard.note_copied(began);
            }
            shard.count_pull(&request, (plan.extents.len(), plan.bytes), 0, plan.next_offset);
            shard.count_answer(&request.reply_to, response::SUCCESS, request.wait.is_long());
            return;
        }
    }
    answer_cold(shard, log, request, plan);
}

fn answer_cold<R: Runtime>(
    shard: &Rc<Shard<R>>,
    log: &BrokerLog<R>,
    request: PullRequest,
    plan: ReadPlan,
) {
    let (shard, log) = (shard.clone(), log.clone());
    let runtime = shard.runtime.clone();
    runtime.spawn(Shares::ColdRead, "cold pull", async move {
        let (mut body, begun) = (Vec::new(), shard.runtime.monotonic());
        let misses = log.cache_misses();
        match log.read_cold(&plan, &mut body).await {
            Ok(()) => {
                let took = shard.runtime.monotonic() - begun;
                let is_cached = log.cache_misses() == misses;
                let stage = if is_cached { Stage::PullCache } else { Stage::PullDisk };
                shard.probe.took(stage, took);
                let (count, next) = ((plan.extents.len(), plan.bytes), plan.next_offset);
                shard.count_pull(&request, count, took.as_millis() as u64, next);
                answer_with_messages(&shard, &request, &plan, body);
            }
            Err(error) => {
                tracing::error!(topic = %request.topic.topic.name, %error, "pull failed");
                shard.refuse(&request.reply_to, &Refusal::system_error(error.to_string()));
            }
        }
        shard.flush();
    });
}
