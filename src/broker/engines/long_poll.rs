//! Long polls: pulls that wait are run again when something came into their queue, and answered
//! when their time is over.

use std::{rc::Rc, time::Duration};

use ringmq_base::LogId;
use ringmq_io::Runtime;
use ringmq_store::QueueHandle;

use crate::{
    messages::{PullRequest, Wait},
    shard::{
        Arrivals, Shard,
        waiting_pulls::{Number, Place},
    },
};

/// Pulls that are answered in one go when their time is over.
const EXPIRED_MAX: usize = 64;

/// Pulls of a queue that are run at once when something came into it. More wait for the task of
/// [`serve_crowds`], so that a message costs its sender no more, however many wait for others.
const RUN_MAX: usize = 64;
/// The same for all queues that something came into with one write.
const RUN_ALL_MAX: usize = 256;
/// The same, in bytes of answers: some 200 us to copy.
const RUN_BYTES_MAX: usize = 1024 * 1024;

/// Runs a pull, on the shard that owns its queue.
pub type RunPull<R> = fn(&Rc<Shard<R>>, PullRequest);

/// Hears of new messages.
pub struct LongPoll<R: Runtime> {
    pub run: RunPull<R>,
}

impl<R: Runtime> Arrivals<R> for LongPoll<R> {
    fn arrived(&self, shard: &Rc<Shard<R>>, log: LogId, queues: &[QueueHandle]) {
        let number = shard.waiting_pulls.next_number();
        let mut slice = Slice::begin(shard);
        for queue in queues {
            let place = (log, *queue);
            if slice.run(shard, self.run, place, number) {
                shard.waiting_pulls.crowd(place);
            }
        }
    }
}

/// What is run without a pause.
struct Slice {
    pulls: usize,
    /// It is over when the answers of the shard have more bytes.
    bytes: usize,
}

impl Slice {
    fn begin<R: Runtime>(shard: &Shard<R>) -> Slice {
        shard.probe.set_now(shard.runtime.monotonic());
        Slice { pulls: RUN_ALL_MAX, bytes: shard.answer_room.budget.bytes() + RUN_BYTES_MAX }
    }

    /// Runs pulls that wait for a queue and came before `number`. True: others of them still wait.
    fn run<R: Runtime>(
        &mut self,
        shard: &Rc<Shard<R>>,
        run: RunPull<R>,
        place: Place,
        number: Number,
    ) -> bool {
        for _ in 0..RUN_MAX {
            if self.pulls == 0 || shard.answer_room.budget.bytes() > self.bytes {
                break;
            }
            let Some(request) = shard.waiting_pulls.take(place, number) else {
                return false;
            };
            self.pulls -= 1;
            run(shard, request);
        }
        shard.waiting_pulls.has_before(place, number)
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
        let mut more = true;
        while more {
            more = Slice::begin(&shard).run(&shard, run, place, number);
            shard.flush();
            shard.runtime.yield_if_needed().await;
        }
    }
}

/// Drops what connections waited for that are gone, some pulls at a time. Ends with the shard.
pub async fn forget_gone<R: Runtime>(shard: Rc<Shard<R>>) {
    while !shard.stopping.get() {
        if shard.waiting_pulls.forget_more() {
            shard.runtime.yield_if_needed().await;
        } else {
            shard.waiting_pulls.some_gone.wait_and_clear().await;
        }
    }
}

/// Answers pulls that may not wait any more since a group or a topic has changed, some at a time.
/// Ends with the shard.
pub async fn recheck<R: Runtime>(shard: Rc<Shard<R>>) {
    while !shard.stopping.get() {
        shard.held_pulls.some_changed.wait_and_clear().await;
        while shard.recheck_some() {
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

/// Answers all pulls that wait, some at a time. None waits any more: the broker ends.
pub async fn answer_all<R: Runtime>(shard: &Rc<Shard<R>>, run: RunPull<R>) {
    while answer_expired(shard, run, Duration::MAX) {
        shard.runtime.yield_if_needed().await;
    }
}

/// Ends the waiting of all pulls, for the shard's end.
pub fn release<R: Runtime>(shard: &Rc<Shard<R>>, run: RunPull<R>) {
    while answer_expired(shard, run, Duration::MAX) {}
    shard.waiting_pulls.changed.set();
    shard.waiting_pulls.crowded.set();
    shard.waiting_pulls.some_gone.set();
    shard.held_pulls.some_changed.set();
}

/// Answers some whose time is over; whether there may be more.
fn answer_expired<R: Runtime>(shard: &Rc<Shard<R>>, run: RunPull<R>, now: Duration) -> bool {
    shard.probe.set_now(shard.runtime.monotonic());
    let expired = shard.waiting_pulls.expired(now, EXPIRED_MAX);
    let more = expired.len() == EXPIRED_MAX;
    for mut request in expired {
        request.wait = Wait::Over;
        run(shard, request);
    }
    shard.flush();
    more
}
