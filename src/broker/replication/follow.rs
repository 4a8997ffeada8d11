//! The slave's side of a control connection: it dials its master for as long as it runs.

use std::{convert::Infallible, rc::Rc, time::Duration};

use futures_lite::future;
use ringmq_io::{Runtime, Shares, Stream};
use ringmq_replication::{
    frames::{Frame, Heartbeat},
    streams::{FrameReader, StreamError, Talk, connect, control::Facts, dial_control, talk},
};

use super::{
    facts::OwnFacts,
    master,
    metadata::take::{Has, Taking},
};
use crate::control::{Control, complaints::Complaints, membership::Connected};

/// First and longest pause before the master is dialled again.
const AGAIN: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// A connection that was there for as long was one.
const LASTED: Duration = Duration::from_secs(10);

/// Pauses between dials, each twice as long as the one before.
#[derive(Default)]
pub struct Pauses(Duration);

impl Pauses {
    pub fn next(&mut self) -> Duration {
        self.0 = (self.0 * 2).clamp(AGAIN.0, AGAIN.1);
        self.0
    }

    fn begin_again(&mut self) {
        self.0 = Duration::ZERO;
    }
}

/// Begins to follow the master's metadata.
pub fn follow<R: Runtime>(control: &Rc<Control<R>>) {
    let control = control.clone();
    let runtime = control.shard.runtime.clone();
    runtime.spawn(Shares::Foreground, "control connection to the master", async move {
        let (mut pauses, mut complaints) = (Pauses::default(), Complaints::default());
        let (has, runtime) = (Has::default(), control.shard.runtime.clone());
        let what = "the master is not followed";
        while !control.shard.stopping.get() {
            let (began, had) = (runtime.monotonic(), has.0.get());
            let why = match master::address(&control) {
                Some(address) => {
                    let Err(error) = follow_once(&control, &has, &address).await;
                    format!("{address}: {error}")
                }
                None => StreamError::Unknown.to_string(),
            };
            // Whoever lets it in and then sends what cannot be taken is no master to hurry to.
            let has_taken = has.0.get() != had && has.0.get() != (0, 0);
            if has_taken || runtime.monotonic().saturating_sub(began) > LASTED {
                pauses.begin_again();
                complaints.forget();
            }
            if !control.shard.stopping.get() {
                complaints.say(runtime.monotonic(), what, &why);
            }
            future::or(runtime.sleep(pauses.next()), master::changed(&control)).await;
        }
    });
}

async fn follow_once<R: Runtime>(
    control: &Rc<Control<R>>,
    has: &Has,
    address: &str,
) -> Result<Infallible, StreamError> {
    let (shard, runtime) = (&control.shard, &control.shard.runtime);
    let membership = control.membership.as_ref().ok_or(StreamError::Closed)?;
    let address = master::resolve(runtime, address).await?;
    let stream = connect(runtime, address).await?;
    let mut reader = FrameReader::new(&stream);
    let party = membership.party(master::secret(&shard.settings));
    let master = dial_control(runtime, &party, (&stream, &mut reader)).await?;
    let logs = shard.queues.log_count();
    if master.logs != logs {
        return Err(StreamError::NotTaken(format!(
            "its store has {} logs and this one {logs}: empty this broker's directory, and it \
             begins as a copy",
            master.logs
        )));
    }
    let joined = membership.join(master.epoch, master.replica).await;
    joined.map_err(|error| StreamError::NotTaken(error.to_string()))?;
    let now = runtime.monotonic();
    let connected = membership.peers.connect(master.replica, (stream.peer(), 0, 0), now);
    let connected = connected.map_err(StreamError::NotTaken)?;
    let _heard = Heard::new(control);
    tracing::info!(replica = %master.replica, %address, "the master is connected");
    let taking = Taking::new(control, has);
    let following = Following { control, connected, taking, facts: OwnFacts::default() };
    let ended = future::or(
        future::or(
            talk(runtime, master.epoch, &following, (&stream, &mut reader)),
            following.taking.apply(),
        ),
        future::or(following.facts.refresh(shard), stopped(control)),
    );
    ended.await
}

/// As long as it is there, the view of all shards says that the master is heard.
struct Heard<'a, R: Runtime>(&'a Control<R>);

impl<'a, R: Runtime> Heard<'a, R> {
    fn new(control: &'a Control<R>) -> Self {
        control.master_is_heard(true);
        Heard(control)
    }
}

impl<R: Runtime> Drop for Heard<'_, R> {
    fn drop(&mut self) {
        self.0.master_is_heard(false);
    }
}

async fn stopped<R: Runtime>(control: &Control<R>) -> Result<Infallible, StreamError> {
    while !control.shard.stopping.get() {
        control.shard.runtime.sleep(ringmq_replication::streams::control::HEARTBEAT).await;
    }
    Err(StreamError::Closed)
}

struct Following<'a, R: Runtime> {
    control: &'a Rc<Control<R>>,
    connected: Connected<'a>,
    taking: Taking<'a, R>,
    facts: OwnFacts,
}

impl<R: Runtime> Talk for Following<'_, R> {
    fn facts(&self) -> Facts {
        self.facts.with(self.taking.has())
    }

    fn next(&self) -> Result<Option<Frame>, StreamError> {
        Ok(self.taking.next())
    }

    fn changed(&self) -> impl Future<Output = ()> {
        self.taking.changed()
    }

    async fn take(&self, frame: Frame) -> Result<(), StreamError> {
        self.taking.take(frame).await
    }

    fn heard(&self, heartbeat: Heartbeat) -> Result<(), StreamError> {
        self.taking.compare((heartbeat.metadata, heartbeat.metadata_hash))?;
        self.connected.heard(heartbeat, self.control.shard.runtime.monotonic());
        Ok(())
    }
}
