//! Long polls: pulls that wait are run again when something came into their queue, and answered
//! when their time is over.

use std::{rc::Rc, time::Duration};

use ringmq_base::LogId;
use ringmq_io::Runtime;
use ringmq_store::QueueHandle;

use crate::{
    messages::{PullRequest, Wait},
    shard::{Arrivals, Shard},
};

/// Pulls that are answered in one go when their time is over.
const EXPIRED_MAX: usize = 64;

/// Pulls that are run at once when something came into their queue. More wait for the task of
/// [`serve_crowds`], so that a message costs its sender no more, however many wait for others.
const RUN_MAX: usize = 64;

/// Runs a pull, on the shard that owns its queue.
pub type RunPull<R> = fn(&Rc<Shard<R>>, PullRequest);

/// Hears of new messages.
pub struct LongPoll<R: Runtime> {
    pub run: RunPull<R>,
}

impl<R: Runtime> Arrivals<R> for LongPoll<R> {
    fn arrived(&self, shard: &Rc<Shard<R>>, log: LogId, queue: QueueHandle) {
        let (place, number) = ((log, queue), shard.waiting_pulls.next_number());
        let requests = shard.waiting_pulls.take(place, number, RUN_MAX);
        if requests.len() == RUN_MAX {
            shard.waiting_pulls.crowd(place);
        }
        for request in requests {
            (self.run)(shard, request);
        }
    }
}

/// Runs the pulls again that wait for a queue with new messages in great number, some at a time;
/// what comes into it meanwhile is looked at once, when all had their turn. Ends with the shard.
pub async fn serve_crowds<R: Runtime>(shard: Rc<Shard<R>>, run: RunPull<R>) {
    let waiting = &shard.waiting_pulls;
    while !shard.stopping.get() {
        let Some(place) = waiting.take_crowd() else {
            waiting.crowded.wait_and_clear().await;
            continue;
        };
        // Those that wait on get a later number.
        let number = waiting.next_number();
        loop {
            let requests = waiting.take(place, number, RUN_MAX);
            if requests.is_empty() {
                break;
            }
            for request in requests {
                run(&shard, request);
            }
            shard.flush();
            shard.runtime.yield_if_needed().await;
        }
    }
}

/// Answers pulls whose time is over; ends with the shard.
pub async fn expire<R: Runtime>(shard: Rc<Shard<R>>, run: RunPull<R>) {
    while !shard.stopping.get() {
        let Some(first) = shard.waiting_pulls.first_deadline() else {
            shard.waiting_pulls.changed.wait_and_clear().await;
            continue;
        };
        let now = shard.runtime.monotonic();
        if first > now {
            let sleep = shard.runtime.sleep(first - now);
            futures_lite::future::or(sleep, shard.waiting_pulls.changed.wait_and_clear()).await;
            continue;
        }
        // Many may have come together.
        while answer_expired(&shard, run, now) {
            shard.runtime.yield_if_needed().await;
        }
    }
}

/// Ends the waiting of all pulls, for the shard's end.
pub fn release<R: Runtime>(shard: &Rc<Shard<R>>, run: RunPull<R>) {
    while answer_expired(shard, run, Duration::MAX) {}
    shard.waiting_pulls.changed.set();
    shard.waiting_pulls.crowded.set();
}

/// Answers some whose time is over; whether there may be more.
fn answer_expired<R: Runtime>(shard: &Rc<Shard<R>>, run: RunPull<R>, now: Duration) -> bool {
    let expired = shard.waiting_pulls.expired(now, EXPIRED_MAX);
    let more = expired.len() == EXPIRED_MAX;
    for mut request in expired {
        request.wait = Wait::No;
        run(shard, request);
    }
    shard.flush();
    more
}
