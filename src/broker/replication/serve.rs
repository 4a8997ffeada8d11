//! The master's side of a control connection: the slave hears of metadata, and what it says of
//! itself is kept.

use std::{convert::Infallible, net::SocketAddr, rc::Rc};

use bytes::BytesMut;
use futures_lite::future;
use ringmq_io::{Runtime, Shares, Stream};
use ringmq_replication::{
    frames::{Frame, Heartbeat, Hello},
    ids::ReplicaId,
    streams::{FrameReader, StreamError, Talk, control::Facts, greet_control, talk},
};

use super::{facts::OwnFacts, master, metadata::send::Sending};
use crate::control::{
    Control,
    membership::{Connected, Membership},
};

/// Serves a connection whose HELLO was read, with what came behind that, in a task of its own.
pub fn serve<R: Runtime, C: Stream>(
    control: &Rc<Control<R>>,
    stream: C,
    read: BytesMut,
    hello: Hello,
) {
    let control = control.clone();
    let runtime = control.shard.runtime.clone();
    runtime.spawn(Shares::Foreground, "slave's control connection", async move {
        let peer = stream.peer();
        let mut reader = FrameReader::with(&stream, read);
        let Err(error) = serve_to_the_end(&control, &hello, (&stream, &mut reader)).await;
        stream.shutdown();
        let replica = hello.replica;
        match error {
            // An empty slave asks, and comes again when it has a store.
            StreamError::Closed if hello.lineage == 0 => {}
            error if control.shard.stopping.get() => {
                tracing::debug!(%replica, %peer, %error, "a slave's control connection has ended");
            }
            error => {
                let (now, what) = (control.shard.runtime.monotonic(), named(replica, peer));
                let complaints = control.membership.iter().map(|own| &own.complaints);
                complaints.for_each(|all| all.borrow_mut().say(now, &what, &error.to_string()));
            }
        }
    });
}

/// A port is another one with each try.
fn named(replica: ReplicaId, peer: SocketAddr) -> String {
    format!("replica {replica} at {} is not connected", peer.ip())
}

async fn serve_to_the_end<R: Runtime, C: Stream>(
    control: &Rc<Control<R>>,
    hello: &Hello,
    (stream, reader): (&C, &mut FrameReader<'_, C>),
) -> Result<Infallible, StreamError> {
    let (shard, runtime) = (&control.shard, &control.shard.runtime);
    let membership = control.membership.as_ref().ok_or(StreamError::Closed)?;
    let logs = shard.queues.log_count();
    let party = membership.party(master::secret(&shard.settings));
    greet_control(runtime, logs, &party, (hello, stream, reader)).await?;
    if hello.lineage == 0 {
        // It has heard what it wanted to know.
        return Err(StreamError::Closed);
    }
    let serving = Serving::new(control, membership, hello, stream)?;
    tracing::info!(replica = %hello.replica, peer = %stream.peer(), "a slave is connected");
    tell_followed(control, true);
    let ended = future::or(
        future::or(
            talk(runtime, party.epoch, &serving, (stream, reader)),
            serving.replaced(membership),
        ),
        serving.facts.refresh(shard),
    );
    let ended = ended.await;
    drop(serving);
    tell_followed(control, membership.peers.count() > 0);
    ended
}

/// Has all shards write offsets as often as a slave needs them.
fn tell_followed<R: Runtime>(control: &Rc<Control<R>>, is_followed: bool) {
    let shard = control.shard.clone();
    let runtime = shard.runtime.clone();
    runtime.spawn(Shares::Admin, "slaves come and go", async move {
        shard.call_all(async move |shard| shard.offset_writes.set_followed(is_followed)).await;
    });
}

struct Serving<'a, R: Runtime> {
    control: &'a Rc<Control<R>>,
    connected: Connected<'a>,
    sending: Sending<R>,
    facts: OwnFacts,
}

impl<'a, R: Runtime> Serving<'a, R> {
    fn new<C: Stream>(
        control: &'a Rc<Control<R>>,
        membership: &'a Membership<R>,
        hello: &Hello,
        stream: &C,
    ) -> Result<Self, StreamError> {
        let who = (stream.peer(), hello.instance, hello.directory);
        let now = control.shard.runtime.monotonic();
        let connected = membership.peers.connect(hello.replica, who, now);
        let connected = connected.map_err(StreamError::NotTaken)?;
        let (sending, facts) = (Sending::new(control), OwnFacts::default());
        Ok(Serving { control, connected, sending, facts })
    }

    async fn replaced(&self, membership: &Membership<R>) -> Result<Infallible, StreamError> {
        while self.connected.is_current() {
            membership.peers.changed().await;
        }
        Err(StreamError::Replaced)
    }
}

impl<R: Runtime> Talk for Serving<'_, R> {
    fn facts(&self) -> Facts {
        self.facts.with(self.sending.sent())
    }

    fn next(&self) -> Result<Option<Frame>, StreamError> {
        Ok(self.sending.next())
    }

    fn changed(&self) -> impl Future<Output = ()> {
        self.sending.changed()
    }

    async fn take(&self, frame: Frame) -> Result<(), StreamError> {
        match frame {
            Frame::MetaAck(ack) => self.sending.acknowledged(ack),
            other => Err(StreamError::Unexpected { kind: other.kind() }),
        }
    }

    fn heard(&self, heartbeat: Heartbeat) -> Result<(), StreamError> {
        self.sending.has((heartbeat.metadata, heartbeat.metadata_hash));
        self.connected.heard(heartbeat, self.control.shard.runtime.monotonic());
        Ok(())
    }
}
