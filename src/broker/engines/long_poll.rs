//! Long polls: pulls that wait are run again when something came into their queue, and answered
//! when their time is over.

use std::rc::Rc;

use ringmq_base::LogId;
use ringmq_io::Runtime;
use ringmq_store::QueueHandle;

use crate::{
    messages::{PullRequest, Wait},
    shard::{Arrivals, Shard},
};

/// Runs a pull, on the shard that owns its queue.
pub type RunPull<R> = fn(&Rc<Shard<R>>, PullRequest);

/// Hears of new messages.
pub struct LongPoll<R: Runtime> {
    pub run: RunPull<R>,
}

impl<R: Runtime> Arrivals<R> for LongPoll<R> {
    fn arrived(&self, shard: &Rc<Shard<R>>, log: LogId, queue: QueueHandle) {
        for request in shard.waiting_pulls.take((log, queue)) {
            (self.run)(shard, request);
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
        answer_expired(&shard, run, now);
    }
}

/// Ends the waiting of all pulls, for the shard's end.
pub fn release<R: Runtime>(shard: &Rc<Shard<R>>, run: RunPull<R>) {
    answer_expired(shard, run, std::time::Duration::MAX);
    shard.waiting_pulls.changed.set();
}

fn answer_expired<R: Runtime>(shard: &Rc<Shard<R>>, run: RunPull<R>, now: std::time::Duration) {
    for mut request in shard.waiting_pulls.expired(now) {
        request.wait = Wait::No;
        run(shard, request);
    }
    shard.flush();
}
