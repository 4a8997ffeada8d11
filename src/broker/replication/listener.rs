//! Who dials `haListenPort`: what a connection begins with is read on the control shard, which
//! hands it on to the shard that owns the log.

use std::{cell::Cell, net::SocketAddr, rc::Rc};

use ringmq_base::LogId;
use ringmq_io::{Accepted, Net, Runtime, Shares, Stream, listen_when_free};
use ringmq_net::accept::accept_all;
use ringmq_replication::{
    frames::Channel,
    streams::{FrameReader, StreamError, hello},
};

use super::serve::serve;
use crate::{
    control::Control,
    shard::{Shard, copies::Dialled},
};

/// Connections that have not said yet who they are; of more, the newest go.
const UNKNOWN_MAX: usize = 64;

/// Listens for slaves, if there may be any.
///
/// # Errors
/// If the port cannot be had: a sentence for the operator.
pub async fn listen<R: Runtime>(control: &Rc<Control<R>>) -> Result<(), String> {
    let (shard, settings) = (&control.shard, &control.shard.settings);
    if !settings.role.is_copied() {
        return Ok(());
    }
    let address = SocketAddr::new(settings.bind_address, settings.config.ha_listen_port);
    let buffers = settings.socket_buffers;
    let listener = listen_when_free(&shard.runtime, address, buffers).await.map_err(|error| {
        format!(
            "the broker cannot listen on {address} for slaves (haListenPort): {error}; stop what \
             uses the port or set another haListenPort"
        )
    })?;
    let (control, unknown) = (control.clone(), Rc::new(Cell::new(0)));
    shard.runtime.spawn(Shares::Foreground, "accept slaves", async move {
        let runtime = control.shard.runtime.clone();
        accept_all(&runtime, &listener, |accepted| take(&control, &unknown, accepted)).await;
    });
    Ok(())
}

/// Reads in a task of its own what a connection begins with. False: the broker is stopping.
fn take<R: Runtime>(
    control: &Rc<Control<R>>,
    unknown: &Rc<Cell<usize>>,
    accepted: Accepted,
) -> bool {
    let shard = &control.shard;
    if shard.stopping.get() {
        return false;
    }
    let peer = accepted.peer;
    if unknown.get() >= UNKNOWN_MAX {
        tracing::warn!(
            %peer,
            "{UNKNOWN_MAX} connections to haListenPort have not said who they are: one more is \
             closed"
        );
        return true;
    }
    unknown.set(unknown.get() + 1);
    let (control, counted) = (control.clone(), Counted(unknown.clone()));
    shard.runtime.spawn(Shares::Foreground, "a slave dials", async move {
        let handed = hand_on(&control, accepted, counted).await;
        if let Err(error) = handed {
            tracing::warn!(%peer, "a connection to haListenPort was closed: {error}");
        }
    });
    true
}

struct Counted(Rc<Cell<usize>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

async fn hand_on<R: Runtime>(
    control: &Rc<Control<R>>,
    accepted: Accepted,
    counted: Counted,
) -> Result<(), StreamError> {
    let (shard, runtime) = (&control.shard, &control.shard.runtime);
    let stream = runtime.net().adopt(accepted)?;
    let mut reader = FrameReader::new(&stream);
    let (channel, hello) = hello(runtime, &mut reader).await?;
    let read = reader.into_buffer();
    drop(counted);
    let number = match channel {
        Channel::Log(number) => number,
        Channel::Control => {
            serve(control, stream, read, hello);
            return Ok(());
        }
    };
    let logs = shard.queues.log_count();
    let log = LogId::new(number).filter(|log| log.get() < logs);
    let log = log.ok_or(StreamError::NoLog { log: number, logs })?;
    let accepted = stream.release()?;
    let dialled = Dialled { log, accepted, read, hello };
    let take = async move |shard: Rc<Shard<R>>| {
        if let Some(streams) = shard.log_copies.streams.get() {
            streams.take(dialled);
        }
    };
    shard.call(shard.queues.log_owner(log), take).await;
    Ok(())
}
