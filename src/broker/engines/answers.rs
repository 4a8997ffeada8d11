//! Answers that clients have not taken: pulls that wait for room go on when there is some, other
//! shards hear of what was taken, and clients that take nothing are closed.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use futures_lite::future::or;
use ringmq_base::ShardId;
use ringmq_io::Runtime;
use ringmq_rules::ConnectionId;

use super::long_poll::RunPull;
use crate::{messages::Message, shard::Shard};

/// How long others wait to hear what was taken, at most: it is told together.
const TELL_WITHIN: Duration = Duration::from_millis(5);
/// How long a client is watched before it is called slow, and room that was made goes to others
/// before more is made: they may be slower.
const WATCHED: Duration = Duration::from_secs(1);
/// Where room is scarce, clients may need this part of `outputStallTimeMs` for what waits for them.
const SCARCE_PART: u32 = 8;
/// How often is looked who takes nothing, at least.
const LOOK: Duration = Duration::from_millis(250);

/// Runs pulls that waited for room, and wakes readers of connections whose next request does: in
/// turn, as each may take all that there is.
pub async fn resume<R: Runtime>(shard: Rc<Shard<R>>, run: RunPull<R>) {
    let budget = shard.answer_room.budget.clone();
    let mut readers_first = false;
    loop {
        budget.some_room.wait_and_clear().await;
        readers_first = !readers_first;
        if readers_first {
            budget.readers.notify();
            futures_lite::future::yield_now().await;
        }
        while let Some(request) = shard.next_with_room() {
            run(&shard, request);
            shard.runtime.yield_if_needed().await;
        }
        shard.flush();
        if !readers_first {
            budget.readers.notify();
        }
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
        let mut by_shard = BTreeMap::<u16, Vec<_>>::new();
        for taken in budget.told() {
            by_shard.entry(taken.by).or_default().push((taken.connection, taken.bytes));
        }
        for (by, taken) in by_shard {
            shard.router.answer(ShardId(by), Message::Taken(taken));
        }
        shard.router.flush();
    }
}

/// Closes clients that take nothing, see the key `outputStallTimeMs`; while others wait for room
/// the slowest go earlier. Ends with the shard.
pub async fn watch<R: Runtime>(shard: Rc<Shard<R>>) {
    let patience = shard.settings.output_stall_time;
    let look = (patience / 8).clamp(Duration::from_millis(10), LOOK);
    let most = patience / SCARCE_PART;
    let rule = Rule { watched: WATCHED.min(most), most };
    let mut again = Duration::ZERO;
    while !shard.stopping.get() {
        shard.runtime.sleep(look).await;
        let budget = &shard.answer_room.budget;
        if budget.written() == 0 && budget.bytes() == 0 {
            continue;
        }
        let now = shard.runtime.monotonic();
        close_stalled(&shard, now, patience);
        shard.connections.look_at_paces(now, rule.watched);
        let is_due = budget.is_scarce() && budget.is_wanted() && now >= again;
        if is_due && make_room(&shard, rule).await {
            again = now + rule.watched + look;
        }
    }
}

fn close_stalled<R: Runtime>(shard: &Shard<R>, now: Duration, patience: Duration) {
    for (time, connection) in shard.connections.stalled(now) {
        if time >= patience {
            shard.connections.close_stalled(connection, time);
        }
    }
}

/// Which clients are slow.
#[derive(Clone, Copy)]
struct Rule {
    watched: Duration,
    /// In which a client has to take what waits for it.
    most: Duration,
}

/// Closes the slowest clients until a quarter of the budget is left. What comes free goes to others
/// at once and does not count: it is not known how slow they are. True: some are closed.
async fn make_room<R: Runtime>(shard: &Rc<Shard<R>>, rule: Rule) -> bool {
    let mut excess = shard.answer_room.budget.excess();
    let mut some = false;
    for slow in shard.slowest(rule.watched).await {
        // Who comes behind one of whom it is not sure may be faster.
        if excess == 0 || slow.pace.time <= rule.most || !slow.pace.is_sure {
            break;
        }
        if close_slow(shard, slow.connection, rule).await {
            excess = excess.saturating_sub(slow.held);
            some = true;
        }
    }
    some
}

/// Closes a connection, unless it has become faster meanwhile. True: it is closed.
async fn close_slow<R: Runtime>(
    shard: &Rc<Shard<R>>,
    connection: ConnectionId,
    rule: Rule,
) -> bool {
    let budget = &shard.answer_room.budget;
    let (all, limit) = (budget.bytes(), budget.most());
    let close = async move |shard: Rc<Shard<R>>| {
        let now = shard.runtime.monotonic();
        shard.connections.close_slow(connection, (now, rule.watched, rule.most), (all, limit))
    };
    let closed = shard.call(ShardId(connection.shard), close).await;
    if closed {
        shard.answer_room.forget(connection);
    }
    closed
}
