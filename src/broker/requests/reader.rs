//! The life of a connection on its shard: its frames are read and handled until it ends.

use std::{
    net::IpAddr,
    panic::{self, AssertUnwindSafe},
    rc::Rc,
    time::Duration,
};

use ringmq_base::ShardId;
use ringmq_io::{Accepted, Net, Runtime, Shares, Stream};
use ringmq_net::{
    input_budget::Input,
    rounds::{Had, PIECE_BYTES, SHARE, units_of},
};
use ringmq_remoting::frame::{Frame, FrameBuffer};
use ringmq_rules::ConnectionId;
use ringmq_tls::{Came, TLS_WORK};

use super::{
    Requests,
    authorize::check_aside,
    dispatch::Malformed,
    next::{Next, Peer, Wait},
    table::BODY_BYTES_LEAST,
};
use crate::{
    messages::{Message, ReplyTo},
    net::{connection::Connection, connections::ShardConnection},
    shard::{CONTROL, Shard, probe::micros},
};

/// What a connection keeps of the room in which headers with escapes are read.
const SCRATCH_BYTES: usize = 4096;

/// Units of frames that are handled in a turn without a pause: some 200 to 500 us. An ordinary
/// message or pull is one.
const SLICE_UNITS: u32 = 128;
/// Units of any other frame.
const COSTLY_UNITS: u32 = 4;
/// Bytes of such frames after which there is a pause whatever their number.
const SLICE_COSTLY_BYTES: usize = 128 * 1024;
/// Bytes of answers after which there is a pause whatever was asked: some 200 us to copy.
const SLICE_ANSWERS_BYTES: usize = 1024 * 1024;

/// Serves a connection on this shard until it ends.
pub fn serve<R: Runtime>(requests: &Rc<Requests<R>>, accepted: Accepted) {
    let shard = &requests.shard;
    let peer = accepted.peer;
    let stream = match shard.runtime.net().adopt(accepted) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(%peer, %error, "cannot take a connection over");
            return left(requests, shard.id, peer.ip());
        }
    };
    let Some(connection) = shard.connections.add(stream, shard.runtime.monotonic()) else {
        let limit = shard.settings.connections_max;
        tracing::warn!(%peer, limit, "connection refused: connectionsMax is reached on this shard");
        return left(requests, shard.id, peer.ip());
    };
    let (writer, rounds) = (connection.clone(), shard.rounds.clone());
    shard.runtime.spawn(Shares::Foreground, "connection output", async move {
        writer.write_pending(&rounds).await;
    });
    let (requests, runtime) = (requests.clone(), shard.runtime.clone());
    runtime.spawn(Shares::Foreground, "connection input", async move {
        read_all(&requests, &connection).await;
        let shard = &requests.shard;
        connection.close();
        shard.connections.remove(connection.id);
        shard.client_calls.closed(connection.id);
        ended(&requests, connection.id);
        for peer in shard.router.peers() {
            shard.router.post(peer, Message::Closed(connection.id));
        }
        left(&requests, shard.id, peer.ip());
        shard.flush();
    });
}

/// The place of a connection is free again; the control shard, which gives them away, hears of it.
pub fn left<R: Runtime>(requests: &Requests<R>, shard: ShardId, address: IpAddr) {
    let own = &requests.shard;
    if own.id == CONTROL {
        requests.places.give_back(shard, address);
    } else {
        own.router.post(CONTROL, Message::Left { shard, address });
    }
}

/// What this shard holds for a connection of any shard goes with it.
pub fn ended<R: Runtime>(requests: &Requests<R>, connection: ConnectionId) {
    requests.shard.ended.note(connection);
    requests.shard.waiting_pulls.forget(connection);
    requests.shard.answer_room.forget(connection);
    if let Some(control) = &requests.control {
        control.connection_closed(connection);
    }
}

async fn read_all<R: Runtime>(requests: &Rc<Requests<R>>, connection: &Rc<ShardConnection<R>>) {
    let shard = &requests.shard;
    let mut buffer = FrameBuffer::default();
    let mut scratch = Vec::new();
    let had = Had::default();
    while !connection.is_closed() {
        if !read(shard, connection, &mut buffer, &had).await {
            return;
        }
        let read_at = shard.runtime.monotonic();
        shard.probe.set_now(read_at);
        shard.view_version.caught_up().await;
        connection.touch(read_at);
        shard.turn_ms.set(shard.runtime.now_ms());
        let parts = (&mut buffer, &mut scratch);
        let Some(complete) = handle_all(requests, connection, parts, (&had, read_at)).await else {
            return;
        };
        note_read(shard, connection, (&mut buffer, &mut scratch), (complete, read_at));
        if is_full(shard, connection) {
            until_taken(shard, connection).await;
        }
        shard.runtime.yield_if_needed().await;
    }
}

/// Reads until there is data; false at the end.
async fn read<R: Runtime>(
    shard: &Shard<R>,
    connection: &ShardConnection<R>,
    buffer: &mut FrameBuffer,
    had: &Had,
) -> bool {
    loop {
        let space = buffer.space();
        let piece = space.len().min(PIECE_BYTES);
        let (count, work) = match connection.read(&shard.runtime, &mut space[..piece]).await {
            Ok(Came::Bytes(count)) => (count, count),
            Ok(Came::Opened(count)) => (count, count * TLS_WORK),
            Ok(Came::Nothing) => {
                let now = shard.runtime.monotonic();
                connection.touch(now);
                note_input(shard, connection, buffer, false, now);
                shard.runtime.yield_if_needed().await;
                if connection.is_closed() {
                    return false;
                }
                continue;
            }
            Err(_) => return false,
        };
        buffer.filled(count);
        had.note(units_of(work), &shard.rounds);
        return count > 0;
    }
}

/// Handles all frames that are complete, in turn with others; whether there were some. `None`: the
/// connection is closed over one.
async fn handle_all<R: Runtime>(
    requests: &Rc<Requests<R>>,
    connection: &Rc<ShardConnection<R>>,
    (buffer, scratch): (&mut FrameBuffer, &mut Vec<u8>),
    (had, read_at): (&Had, Duration),
) -> Option<bool> {
    let (shard, rounds) = (&requests.shard, &requests.shard.rounds);
    let (mut complete, mut is_checked) = (false, false);
    loop {
        let turn = rounds.take(had).await;
        if turn.is_some() && !shard.stopping.get() {
            shard.router.others_are_near().await;
        }
        let most = if turn.is_some() { SLICE_UNITS } else { SHARE };
        let (mut units, output) = (0, connection.output_bytes());
        let parts = (&mut *buffer, &mut *scratch, &mut is_checked);
        let peer = peer_of(connection, read_at);
        let handled = take_frames(requests, connection, (peer, parts), (&mut units, most));
        units += units_of(connection.output_bytes().saturating_sub(output));
        had.note(units, rounds);
        if let Some(turn) = turn {
            shard.flush();
            turn.pass_on().await;
            shard.turn_ms.set(shard.runtime.now_ms());
        }
        match handled {
            Ok(Turn::Drained { some }) => return Some(complete | some),
            Ok(Turn::Later { reply_to, wait }) => {
                let checks = matches!(wait, Wait::Access);
                if wait_for(shard, connection, &reply_to, (wait, buffer), read_at).await {
                    is_checked |= checks;
                } else {
                    buffer.consume_first();
                    is_checked = false;
                }
            }
            Ok(Turn::Pause) => {
                complete = true;
                pause(shard).await;
            }
            Ok(Turn::Full) => {
                complete = true;
                shard.flush();
                until_taken(shard, connection).await;
            }
            Err(error) => {
                tracing::warn!(peer = %connection.peer, %error, "connection closed: bad frame");
                shard.flush();
                return None;
            }
        }
    }
}

/// Lets others go first: it may be long until the next turn.
async fn pause<R: Runtime>(shard: &Rc<Shard<R>>) {
    shard.flush();
    shard.runtime.yield_if_needed().await;
    shard.turn_ms.set(shard.runtime.now_ms());
}

/// All of a read is handled: tells what is kept of it, and sends what came of it.
fn note_read<R: Runtime>(
    shard: &Rc<Shard<R>>,
    connection: &Rc<ShardConnection<R>>,
    (buffer, scratch): (&mut FrameBuffer, &mut Vec<u8>),
    (new, now): (bool, Duration),
) {
    if scratch.capacity() > SCRATCH_BYTES {
        *scratch = Vec::new();
    }
    if shard.connections.is_input_scarce() {
        buffer.give_back();
    }
    note_input(shard, connection, buffer, new, now);
    shard.connections.flush();
    shard.router.flush_soon();
}

/// `new`: what is there in part began with this read.
fn note_input<R: Runtime>(
    shard: &Shard<R>,
    connection: &ShardConnection<R>,
    buffer: &FrameBuffer,
    new: bool,
    now: Duration,
) {
    let (tls_bytes, tls_partial) = connection.tls_input();
    let bytes = buffer.capacity() + tls_bytes;
    let partial = buffer.is_partial() || tls_partial;
    shard.connections.note_input(connection, &Input { bytes, partial, new, now });
}

/// Waits for what a frame needs before it is handled again. False: that has been done, or it is
/// refused.
async fn wait_for<R: Runtime>(
    shard: &Rc<Shard<R>>,
    connection: &ShardConnection<R>,
    reply_to: &ReplyTo,
    (wait, buffer): (Wait, &mut FrameBuffer),
    read_at: Duration,
) -> bool {
    shard.flush();
    connection.set_paused(true);
    let again = !matches!(wait, Wait::LongBatch(_));
    // What is large is boxed: every connection that waits for nothing has the place for it.
    let waited = match wait {
        Wait::Prerequisite(needed) => needed.make(shard).await,
        Wait::Room(log) => shard.log_room(log, read_at).await,
        Wait::Handled => {
            connection.frame_handled().await;
            Ok(())
        }
        Wait::Access => {
            let frame = buffer.first().ok().flatten().unwrap_or_default();
            Box::pin(check_aside(shard, peer_of(connection, read_at), frame)).await
        }
        Wait::CaughtUp(log) => shard.log_caught_up(log, read_at).await,
        Wait::Answer(needed) => {
            shard.room_for(connection.id, needed).await;
            Ok(())
        }
        Wait::LongBatch(batch) => {
            let frame = Frame::parse(buffer.first().ok().flatten().unwrap_or_default());
            let body = frame.map_or(&[][..], |frame| frame.body);
            Box::pin(batch.store_guarded(shard, body, read_at)).await
        }
    };
    go_on(shard, connection);
    match &waited {
        // It is counted again when the frame is handled again.
        Ok(()) if again => connection.end_requests(u32::from(!reply_to.oneway)),
        Ok(()) => shard.flush(),
        Err(refusal) => {
            shard.refuse(reply_to, refusal);
            shard.flush();
        }
    }
    waited.is_ok() && again
}

/// Whether the client has to take what it was sent before it may ask for more.
fn is_full<R: Runtime>(shard: &Shard<R>, connection: &ShardConnection<R>) -> bool {
    let waiting = connection.output_bytes();
    let room = &shard.answer_room;
    waiting > room.pause_at() || (waiting > 0 && room.budget.is_scarce())
}

async fn until_taken<R: Runtime>(shard: &Shard<R>, connection: &ShardConnection<R>) {
    connection.set_paused(true);
    connection.drained().await;
    go_on(shard, connection);
}

/// The connection is read on; meanwhile it was not silent.
fn go_on<R: Runtime>(shard: &Shard<R>, connection: &ShardConnection<R>) {
    connection.set_paused(false);
    connection.touch(shard.runtime.monotonic());
    shard.turn_ms.set(shard.runtime.now_ms());
}

fn peer_of<S: Stream>(connection: &Connection<S>, read_at: Duration) -> Peer {
    Peer { connection: connection.id, address: connection.peer, at_us: micros(read_at) }
}

enum Turn {
    /// Too much waits to be taken for the next frame to be handled.
    Full,
    /// Others are to have a turn before the next frame is handled.
    Pause,
    /// All complete frames are handled, of which there were some.
    Drained { some: bool },
    /// The first frame has to be handled again after this.
    Later { reply_to: ReplyTo, wait: Wait },
}

fn take_frames<R: Runtime>(
    requests: &Rc<Requests<R>>,
    connection: &ShardConnection<R>,
    (peer, (buffer, scratch, is_checked)): (Peer, (&mut FrameBuffer, &mut Vec<u8>, &mut bool)),
    (units, most): (&mut u32, u32),
) -> Result<Turn, Malformed> {
    let mut some = false;
    let mut costly_bytes = 0;
    let answered = connection.output_bytes() + SLICE_ANSWERS_BYTES;
    loop {
        if *units >= most
            || costly_bytes >= SLICE_COSTLY_BYTES
            || connection.output_bytes() > answered
        {
            return Ok(Turn::Pause);
        }
        if is_full(&requests.shard, connection) {
            return Ok(Turn::Full);
        }
        let Some(frame) = buffer.first()? else {
            if buffer.need() > BODY_BYTES_LEAST
                && let Some(begun) = buffer.begun()?
                && !guarded(requests, || requests.admit(peer, &begun))?
            {
                buffer.skip_first();
            }
            return Ok(Turn::Drained { some });
        };
        some = true;
        let bytes = frame.len();
        let frame = (frame, *is_checked);
        match guarded(requests, || requests.dispatch(peer, frame, scratch))? {
            Next::Continue => *units += 1,
            Next::Costly => {
                *units += COSTLY_UNITS;
                costly_bytes += bytes;
            }
            Next::Wait(reply_to, wait) => return Ok(Turn::Later { reply_to, wait }),
        }
        buffer.consume_first();
        *is_checked = false;
    }
}

/// A panic in decoding or checking costs this connection only; what it borrowed is released by
/// unwinding. One in the midst of an append goes on: nobody knows what the log holds.
fn guarded<R: Runtime, T>(
    requests: &Requests<R>,
    dispatch: impl FnOnce() -> Result<T, Malformed>,
) -> Result<T, Malformed> {
    match panic::catch_unwind(AssertUnwindSafe(dispatch)) {
        Ok(dispatched) => dispatched,
        Err(cause) if requests.shard.is_appending() => panic::resume_unwind(cause),
        Err(_) => Err(Malformed::Panicked),
    }
}

#[cfg(test)]
mod tests;
