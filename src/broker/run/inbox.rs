//! What a shard does with messages from the others.

use std::{rc::Rc, sync::mpsc, time::Duration};

use ringmq_base::ShardId;
use ringmq_io::{Runtime, Shares, mailbox::Receiver};

use super::{ShardMessage, drain};
use crate::{
    injected_bugs::{ANSWER_DROPPED, CHANGE_LATE, is_planted},
    messages::{Change, FramePart, LongReply, Message, ShardBatch},
    requests::{Requests, consume::pull, produce::forwarded, reader},
    shard::{Shard, replies::counted},
};

/// Pulls that are run without a pause: some 30 us, 500 us with the longest answers that are copied
/// at once.
const SLICE_PULLS: usize = 8;

/// Handles the messages of the request lane until the broker is told to stop.
pub async fn serve_requests<R: Runtime>(
    requests: &Rc<Requests<R>>,
    lane: &mut Receiver<ShardMessage<R>>,
) {
    let shard = &requests.shard;
    loop {
        let mut message = Some(lane.recv().await);
        while let Some(next) = message {
            shard.view_version.caught_up().await;
            if matches!(next, Message::Shutdown) {
                return;
            }
            take(requests, next).await;
            shard.runtime.yield_if_needed().await;
            message = lane.try_recv();
        }
        shard.flush();
        shard.runtime.yield_if_needed().await;
    }
}

/// Goes on with the request lane while the shard writes what it has.
pub async fn serve_to_the_end<R: Runtime>(
    requests: &Rc<Requests<R>>,
    lane: &mut Receiver<ShardMessage<R>>,
) {
    loop {
        match lane.recv().await {
            // Told twice.
            Message::Shutdown => {}
            message => take(requests, message).await,
        }
        requests.shard.flush();
    }
}

/// Handles the messages of the reply lane to the end of the shard. Nothing in it ever waits.
pub fn spawn_reply_lane<R: Runtime>(
    requests: &Rc<Requests<R>>,
    mut lane: Receiver<ShardMessage<R>>,
) {
    let requests = requests.clone();
    let runtime = requests.shard.runtime.clone();
    runtime.spawn(Shares::Foreground, "reply lane", async move {
        let shard = &requests.shard;
        loop {
            let mut message = Some(lane.recv().await);
            while let Some(next) = message {
                take(&requests, next).await;
                shard.runtime.yield_if_needed().await;
                message = lane.try_recv();
            }
            shard.flush();
            shard.runtime.yield_if_needed().await;
        }
    });
}

/// Handles a message of either lane without waiting, but for the turns of others. Output is flushed
/// by the caller.
pub async fn take<R: Runtime>(requests: &Rc<Requests<R>>, message: ShardMessage<R>) {
    let shard = &requests.shard;
    match message {
        Message::Sends(batch) => {
            let (bytes, sends) = (batch.bytes.len(), batch.sends.len());
            forwarded::store(shard, batch);
            shard.router.handled(bytes);
            shard.router.done(sends);
        }
        Message::Replies(batch) => write_replies(shard, batch),
        Message::LongReply(LongReply { connection, room, head, body }) => {
            shard.connections.write_long(connection, counted(room), &head, body);
        }
        Message::Pulls(pulls) => {
            let all = pulls.len();
            for (count, request) in (1..).zip(pulls) {
                pull::run(shard, request);
                if count % SLICE_PULLS == 0 {
                    shard.router.done(SLICE_PULLS);
                    shard.runtime.yield_if_needed().await;
                }
            }
            shard.router.done(all % SLICE_PULLS);
        }
        Message::Frames(frames) => {
            for frame in frames {
                requests.handle_frame(frame);
                shard.router.done(1);
                shard.runtime.yield_if_needed().await;
            }
        }
        Message::Change(change) if is_planted(CHANGE_LATE) => apply_late(shard, change),
        Message::Change(change) => {
            shard.apply(change);
            shard.view_version.applied();
        }
        Message::Connection(accepted) => reader::serve(requests, accepted),
        Message::Near => shard.router.wake(),
        Message::Behind { log, is_behind } => shard.logs_behind.note(log, is_behind),
        Message::Taken(taken) => shard.taken(&taken),
        Message::Handled(handled) => {
            for (connection, bytes) in handled {
                shard.frame_ended(connection, bytes);
            }
        }
        Message::Returned { id, value } => shard.calls.returned(id, value),
        Message::Call { from, id, work } => shard.run_call(from, id, work),
        Message::AccessRules(rules) => {
            if let Ok(control) = requests.control() {
                control.publish(Change::Access(rules));
            }
        }
        Message::LookAtStorage => shard.look_at_storage(),
        Message::Close(connection) => shard.connections.close(connection),
        Message::Closed(connection) => reader::ended(requests, connection),
        Message::Left { shard, address } => reader::left(requests, shard, address),
        Message::Drain { limit, drained } => drain::start(requests, limit, drained),
        Message::Reload { keys, reloaded } => reload(requests, keys, reloaded),
        Message::Ping(asked) => answer_ping(shard, &asked),
        Message::Finished(peer) => {
            if let Ok(control) = requests.control() {
                control.peer_finished(peer);
            }
        }
        Message::Start(_) | Message::Ready { .. } | Message::Shutdown => {
            tracing::error!(shard = shard.id.0, "message on the wrong lane or at the wrong time");
        }
    }
}

/// Changes live keys, in a task of its own, and tells who asked.
fn reload<R: Runtime>(
    requests: &Rc<Requests<R>>,
    keys: Vec<(String, String)>,
    reloaded: mpsc::Sender<Result<(), String>>,
) {
    let Ok(control) = requests.control().cloned() else {
        return;
    };
    let runtime = requests.shard.runtime.clone();
    runtime.spawn(Shares::Admin, "reload", async move {
        let done = control.reload_keys(&keys).await;
        control.shard.flush();
        // Who asked may have lost patience.
        let _ = reloaded.send(done.map_err(|refusal| refusal.remark));
    });
}

fn answer_ping<R: Runtime>(shard: &Shard<R>, asked: &mpsc::Sender<ShardId>) {
    // Who asks may have lost patience.
    let _ = asked.send(shard.id);
}

#[cold]
fn apply_late<R: Runtime>(shard: &Rc<Shard<R>>, change: Change) {
    let shard = shard.clone();
    shard.runtime.clone().spawn(Shares::Foreground, "late change", async move {
        shard.runtime.sleep(Duration::from_millis(5)).await;
        shard.apply(change);
        shard.view_version.applied();
    });
}

fn write_replies<R: Runtime>(shard: &Shard<R>, batch: ShardBatch) {
    let mut start = 0;
    for FramePart { connection, end, answers, room } in &batch.replies {
        let part = batch.bytes.get(start..*end).unwrap_or_default();
        if is_planted(ANSWER_DROPPED) && *answers > 2 {
            start = *end;
            continue;
        }
        let write = |out: &mut Vec<u8>| out.extend_from_slice(part);
        shard.connections.write(*connection, *answers, counted(*room), write);
        start = *end;
    }
    assert!(start == batch.bytes.len(), "the parts of a batch name all of its bytes");
    shard.router.unpacked(batch);
}
