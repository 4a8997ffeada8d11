//! The connection of two members that is about no log: heartbeats both ways, each 100 ms, and what
//! else they have to say. Each side watches for itself whether the other has fallen silent.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    time::Duration,
};

use futures_lite::future;
use ringmq_io::{Runtime, Stream};
use sha2::{Digest, Sha256};

use super::{
    FrameReader, LogFacts, Party, StreamError,
    handshake::exchange::{Told, ask, meet},
    write_frame,
};
use crate::{
    election::suspicion::{Action, Event, Suspicion, TIMER},
    frames::{Answer, Channel, Frame, Health, Heartbeat, Hello},
    ids::{Epoch, ReplicaId},
};

/// Between two heartbeats.
pub const HEARTBEAT: Duration = Duration::from_millis(100);

/// What a follower has found out about its master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Met {
    pub epoch: Epoch,
    pub replica: ReplicaId,
    pub lineage: u128,
    /// Of its store.
    pub logs: u16,
}

/// The follower's side of the beginning. One without a store has the lineage 0.
///
/// # Errors
/// If the master refuses, is none of this group, or does not answer in time.
pub async fn dial_control<R: Runtime, C: Stream>(
    runtime: &R,
    party: &Party<'_>,
    with: (&C, &mut FrameReader<'_, C>),
) -> Result<Met, StreamError> {
    let asked = ask(runtime, Channel::Control, &LogFacts::default(), party, with).await?;
    let challenge = asked.challenge;
    let (lineage, logs) = (challenge.lineage, challenge.logs);
    Ok(Met { epoch: asked.epoch, replica: challenge.replica, lineage, logs })
}

/// The master's side of the beginning, behind HELLO. `logs`: how many its store has.
///
/// # Errors
/// If the follower is none of this group, or says nothing in time. It was told why, where that
/// helps.
pub async fn greet_control<R: Runtime, C: Stream>(
    runtime: &R,
    logs: u16,
    party: &Party<'_>,
    with: (&Hello, &C, &mut FrameReader<'_, C>),
) -> Result<(), StreamError> {
    let go_on =
        Told { answer: Answer::GoOn, position: 0, crc_before: 0, first: 0, segment_bytes: 0 };
    meet(runtime, (Channel::Control, logs), party, with, async |_| Ok(go_on)).await
}

/// Of all entries of metadata up to one: those before it, and its own bytes. Two members that have
/// the same number have taken the same entries.
pub fn chained(before: u64, entry: &[u8]) -> u64 {
    let digest = Sha256::new().chain_update(before.to_le_bytes()).chain_update(entry).finalize();
    digest.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}

/// What a member tells of itself with each heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The last entry of metadata that it has, and [`chained`] there.
    pub metadata: (u64, u64),
    pub health: Health,
    /// By log: its end, and how far it is committed.
    pub logs: Vec<(u64, u64)>,
}

/// What one side has to say on the connection, and does with what it hears.
#[allow(async_fn_in_trait)]
pub trait Talk {
    fn facts(&self) -> Facts;

    /// The next frame besides heartbeats; none for now.
    ///
    /// # Errors
    /// If the connection is to be ended.
    fn next(&self) -> Result<Option<Frame>, StreamError>;

    /// Resolves when there may be a next frame, counted from the call.
    fn changed(&self) -> impl Future<Output = ()>;

    /// A frame of the other side that is no heartbeat. Nothing is read meanwhile: it must not wait
    /// for long.
    ///
    /// # Errors
    /// If the connection is to be ended.
    async fn take(&self, frame: Frame) -> Result<(), StreamError>;

    /// A heartbeat of the other side.
    ///
    /// # Errors
    /// If the connection is to be ended.
    fn heard(&self, heartbeat: Heartbeat) -> Result<(), StreamError>;
}

/// Speaks and listens in `epoch`, that of the master, until the connection fails, or the other side
/// is silent for longer than it should be. Ends only with an error.
pub async fn talk<R: Runtime, C: Stream>(
    runtime: &R,
    epoch: Epoch,
    with: &impl Talk,
    (stream, reader): (&C, &mut FrameReader<'_, C>),
) -> Result<Infallible, StreamError> {
    let suspicion = RefCell::new(Suspicion::new(epoch, runtime.monotonic()));
    let talking = Talking { runtime, epoch, with, suspicion, echo: Cell::new(0) };
    let speak = talking.speak(stream);
    let listen = talking.listen(reader);
    future::or(future::or(listen, speak), talking.watch()).await
}

struct Talking<'a, R: Runtime, T> {
    runtime: &'a R,
    epoch: Epoch,
    with: &'a T,
    suspicion: RefCell<Suspicion>,
    /// The newest time that the other side has sent.
    echo: Cell<u64>,
}

impl<R: Runtime, T: Talk> Talking<'_, R, T> {
    async fn speak<C: Stream>(&self, stream: &C) -> Result<Infallible, StreamError> {
        let mut due = self.runtime.monotonic();
        loop {
            let now = self.runtime.monotonic();
            let frame = if now >= due {
                due = now + HEARTBEAT;
                Frame::Heartbeat(self.heartbeat(now))
            } else if let Some(frame) = self.with.next()? {
                frame
            } else {
                let changed = self.with.changed();
                future::or(changed, self.runtime.sleep(due - now)).await;
                continue;
            };
            write_frame(stream, &frame, Channel::Control, self.epoch).await?;
            self.runtime.yield_if_needed().await;
        }
    }

    fn heartbeat(&self, now: Duration) -> Heartbeat {
        let Facts { metadata: (metadata, metadata_hash), health, logs } = self.with.facts();
        let sent = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        Heartbeat { sent, echo: self.echo.get(), metadata, metadata_hash, health, logs }
    }

    async fn listen<C: Stream>(
        &self,
        reader: &mut FrameReader<'_, C>,
    ) -> Result<Infallible, StreamError> {
        loop {
            let (header, frame) = reader.next().await?;
            self.suspicion.borrow_mut().step(Event::Heard, self.runtime.monotonic());
            if header.epoch != self.epoch {
                return Err(StreamError::Epoch { said: header.epoch, epoch: self.epoch });
            }
            match frame {
                _ if header.channel != Channel::Control => {
                    return Err(StreamError::Unexpected { kind: header.kind });
                }
                Frame::Heartbeat(heartbeat) => {
                    self.echo.set(self.echo.get().max(heartbeat.sent));
                    self.with.heard(heartbeat)?;
                }
                Frame::Refused(refused) => {
                    return Err(StreamError::Refused { sentence: refused.sentence });
                }
                frame => self.with.take(frame).await?,
            }
            self.runtime.yield_if_needed().await;
        }
    }

    /// Nothing is decided by a silence here, but that the connection is made anew.
    async fn watch(&self) -> Result<Infallible, StreamError> {
        loop {
            let due = self.runtime.monotonic() + TIMER;
            self.runtime.sleep(TIMER).await;
            let now = self.runtime.monotonic();
            let said = self.suspicion.borrow_mut().step(Event::Timer { due }, now);
            if let Some(Action::Report(view)) = said {
                return Err(StreamError::Silent { within: view.silent_for });
            }
        }
    }
}
