//! Answers that clients have not taken: pulls that wait for room go on when there is some, other
//! shards hear of what was taken, and clients that take nothing are closed.

use std::{cmp::Reverse, rc::Rc, time::Duration};

use ahash::AHashMap;
use futures_lite::future::or;
use ringmq_base::ShardId;
use ringmq_io::Runtime;
use ringmq_rules::ConnectionId;

use super::long_poll::RunPull;
use crate::{messages::Message, shard::Shard};

/// How long others wait to hear what was taken, at most: it is told together.
const TELL_WITHIN: Duration = Duration::from_millis(5);
/// Who has taken nothing for less is not closed, however scarce room is.
const SLOW: Duration = Duration::from_secs(1);
/// How often is looked who takes nothing, at least.
const LOOK: Duration = Duration::from_millis(250);

/// Runs pulls that waited for room.
pub async fn resume<R: Runtime>(shard: Rc<Shard<R>>, run: RunPull<R>) {
    let budget = shard.answer_room.budget.clone();
    loop {
        budget.some_room.wait_and_clear().await;
        while let Some(request) = shard.next_with_room() {
            run(&shard, request);
            shard.runtime.yield_if_needed().await;
        }
        shard.flush();
        budget.readers.notify();
    }
}

/// Tells other shards what clients have taken of their answers.
pub async fn tell<R: Runtime>(shard: Rc<Shard<R>>) {
    let budget = shard.answer_room.budget.clone();
    loop {
        budget.some_taken.wait_and_clear().await;
        if !budget.is_to_be_told() {
            let sleep = shard.runtime.sleep(TELL_WITHIN);
            or(sleep, budget.some_taken.wait_and_clear()).await;
        }
        let mut by_shard = AHashMap::<u16, Vec<_>>::new();
        for taken in budget.told() {
            by_shard.entry(taken.by).or_default().push((taken.connection, taken.bytes));
        }
        for (by, taken) in by_shard {
            shard.router.answer(ShardId(by), Message::Taken(taken));
        }
        shard.router.flush();
    }
}

/// Closes clients that take nothing, see the key `outputStallTimeMs`; while room is scarce the one
/// that has taken nothing for longest goes earlier. Ends with the shard.
pub async fn watch<R: Runtime>(shard: Rc<Shard<R>>) {
    let patience = shard.settings.output_stall_time;
    let look = (patience / 8).clamp(Duration::from_millis(10), LOOK);
    while !shard.stopping.get() {
        shard.runtime.sleep(look).await;
        let budget = &shard.answer_room.budget;
        if budget.written() > 0 || budget.bytes() > 0 {
            close_stalled(&shard, patience).await;
        }
    }
}

async fn close_stalled<R: Runtime>(shard: &Rc<Shard<R>>, patience: Duration) {
    let now = shard.runtime.monotonic();
    let mut stalled = shard.connections.stalled(now);
    for (time, connection) in &stalled {
        if *time >= patience {
            shard.connections.close_stalled(*connection, *time);
        }
    }
    stalled.extend(shard.answer_room.stalled(now));
    stalled.sort_unstable_by_key(|(time, connection)| (Reverse(*time), *connection));
    for (time, connection) in stalled {
        if time < SLOW || !shard.answer_room.budget.is_scarce() {
            return;
        }
        close_slow(shard, connection).await;
    }
}

/// Closes a connection, unless its shard knows better: what it was sent may still be on its way.
async fn close_slow<R: Runtime>(shard: &Rc<Shard<R>>, connection: ConnectionId) {
    let budget = &shard.answer_room.budget;
    let (all, limit) = (budget.bytes(), budget.most());
    let close = async move |shard: Rc<Shard<R>>| {
        let now = shard.runtime.monotonic();
        shard.connections.close_slow(connection, (now, SLOW), (all, limit))
    };
    if shard.call(ShardId(connection.shard), close).await {
        shard.answer_room.forget(connection);
    }
}
