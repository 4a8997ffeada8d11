//! Listening, and the life of a connection. The control shard accepts and hands the sockets out in
//! turn: clients open one connection a broker, too few for the kernel to spread evenly.

use std::{net::SocketAddr, panic::AssertUnwindSafe, rc::Rc};

use ringmq_base::{LogId, ShardId, read_buffer::ReadBuffer};
use ringmq_io::{Accepted, Listener, Net, Runtime, Shares, listen_when_free};
use ringmq_remoting::frame::{self, Scan};

use crate::{
    messages::{Message, Origin},
    requests::{
        dispatch::{From, Malformed, Next},
        prerequisite::{Preparation, Prepared},
    },
    shard::{CONTROL, Shard, ShardConnection},
};

/// Binds the ports and starts accepting. The error is a sentence for the operator.
pub async fn listen<R: Runtime>(shard: &Rc<Shard<R>>) -> Result<(), String> {
    let ports = std::iter::once(shard.facts.listen_port).chain(shard.facts.vip_port());
    for (index, port) in ports.enumerate() {
        let address = SocketAddr::new(shard.facts.bind_address, port);
        let listener = listen_when_free(&shard.runtime, address).await.map_err(|error| {
            let (what, or) = match index {
                0 => ("listenPort", ""),
                _ => ("listenPort - 2, for VIP clients", ", or vipPortEnable=false"),
            };
            format!(
                "the broker cannot listen on {address} ({what}): {error}; stop what uses the port \
                 or set another listenPort (standalone: --listen-port){or}"
            )
        })?;
        let acceptor = shard.clone();
        shard.runtime.spawn(Shares::Foreground, "accept", async move {
            accept_all(&acceptor, &listener).await;
        });
    }
    Ok(())
}

async fn accept_all<R: Runtime>(shard: &Rc<Shard<R>>, listener: &impl Listener) {
    let mut next = 0;
    loop {
        match listener.accept().await {
            Ok(accepted) => {
                if shard.stopping.get() {
                    return;
                }
                let target = ShardId((next % shard.router.shards()) as u16);
                next += 1;
                if target == shard.id {
                    serve(shard, accepted);
                } else {
                    shard.router.post(target, Message::Connection(accepted));
                    shard.router.flush();
                }
            }
            Err(error) => {
                // Out of descriptors, most likely: connections that end make room again.
                tracing::warn!(%error, "cannot accept a connection");
                shard.runtime.sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

/// Serves a connection on this shard until it ends.
pub fn serve<R: Runtime>(shard: &Rc<Shard<R>>, accepted: Accepted) {
    let peer = accepted.peer;
    let stream = match shard.runtime.net().adopt(accepted) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(%peer, %error, "cannot take a connection over");
            return;
        }
    };
    let Some(connection) = shard.connections.add(stream, shard.runtime.monotonic()) else {
        let limit = shard.facts.connections_max;
        tracing::warn!(%peer, limit, "connection refused: connectionsMax is reached on this shard");
        return;
    };
    let writer = connection.clone();
    shard.runtime.spawn(Shares::Foreground, "connection output", async move {
        writer.write_pending().await;
    });
    let (shard, runtime) = (shard.clone(), shard.runtime.clone());
    runtime.spawn(Shares::Foreground, "connection input", async move {
        read_all(&shard, &connection).await;
        connection.close();
        shard.connections.remove(connection.id);
        shard.client_calls.closed(connection.id);
        if let Some(control) = shard.control.get() {
            control.connection_closed(&shard, connection.id);
        } else {
            shard.router.post(CONTROL, Message::Closed(connection.id));
        }
        shard.flush();
    });
}

async fn read_all<R: Runtime>(shard: &Rc<Shard<R>>, connection: &Rc<ShardConnection<R>>) {
    let mut buffer = ReadBuffer::default();
    let mut scratch = Vec::new();
    let mut need = 4;
    while !connection.is_closed() {
        match connection.read(buffer.space(need)).await {
            Ok(0) | Err(_) => return,
            Ok(count) => buffer.filled(count),
        }
        let read_at = shard.runtime.monotonic();
        shard.publication.caught_up().await;
        connection.touch(read_at);
        shard.turn_ms.set(shard.runtime.now_ms());
        loop {
            match take_frames(shard, connection, &mut buffer, &mut scratch) {
                Ok(Turn::Drained { need: more }) => {
                    need = more;
                    break;
                }
                Ok(Turn::Wait { preparation, length }) => {
                    shard.flush();
                    let counted = u32::from(!preparation.origin.oneway);
                    match preparation.run(shard).await {
                        Prepared::Refused => buffer.consume(length),
                        Prepared::Ready => connection.end_requests(counted),
                    }
                }
                Ok(Turn::Room { log, origin, length }) => {
                    shard.flush();
                    match shard.log_room(log, read_at).await {
                        Ok(()) => connection.end_requests(u32::from(!origin.oneway)),
                        Err(refusal) => {
                            shard.refuse(&origin, &refusal);
                            buffer.consume(length);
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(peer = %connection.peer, %error, "connection closed: bad frame");
                    shard.flush();
                    return;
                }
            }
        }
        shard.connections.flush();
        shard.router.flush_soon();
        if connection.output_bytes() > shard.facts.output_bytes_max {
            connection.drained().await;
        }
        shard.runtime.yield_if_needed().await;
    }
}

enum Turn {
    /// All complete frames are handled; the next one needs this many bytes, as far as known.
    Drained { need: usize },
    /// The first frame, of this length, has to be looked at again after this.
    Wait { preparation: Preparation, length: usize },
    /// The first frame, of this length, waits until the log has room.
    Room { log: LogId, origin: Origin, length: usize },
}

fn take_frames<R: Runtime>(
    shard: &Rc<Shard<R>>,
    connection: &ShardConnection<R>,
    buffer: &mut ReadBuffer,
    scratch: &mut Vec<u8>,
) -> Result<Turn, Malformed> {
    let from = From { connection: connection.id, peer: connection.peer };
    loop {
        let data = buffer.data();
        let length = match frame::scan(data)? {
            Scan::Incomplete { need } => return Ok(Turn::Drained { need }),
            Scan::Complete { length } => length,
        };
        let frame = data.get(..length).expect("scan saw the whole frame");
        // A panic costs this connection only; what it borrowed is released by unwinding.
        let dispatch = || shard.dispatch(from, frame, scratch);
        let next = std::panic::catch_unwind(AssertUnwindSafe(dispatch));
        match next.map_err(|_| Malformed::Panicked)?? {
            Next::Continue => buffer.consume(length),
            Next::Wait(preparation) => {
                return Ok(Turn::Wait { preparation, length });
            }
            Next::Room(log, origin) => return Ok(Turn::Room { log, origin, length }),
        }
    }
}
