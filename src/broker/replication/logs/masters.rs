//! A master's side: its logs are led, and whoever follows them is sent what they have.

use std::{
    convert::Infallible,
    rc::{Rc, Weak},
    time::Duration,
};

use futures_lite::future;
use ringmq_io::{Net, Runtime, Shares, Stream};
use ringmq_replication::{
    Epoch,
    in_sync_set::InSyncSet,
    streams::{FrameReader, GoOn, Lead, LogFacts, Member, SendOptions, StreamError, greet, send},
};
use ringmq_store::Leadership;

use super::{
    followers::{Led, Rules},
    own::Own,
};
use crate::{
    shard::{
        BrokerLog, Shard,
        acks::LogSink,
        copies::{Dialled, FollowedFacts, FollowerFacts, Streams},
        role::Role,
    },
    sizes::COPIED_FRAME_BYTES,
};

/// How often it is looked whether logs begin later than their followers have heard.
const RETIRED_EVERY: Duration = Duration::from_secs(1);

/// The logs of a shard of a master.
struct Masters<R: Runtime> {
    shard: Weak<Shard<R>>,
    own: Rc<Own>,
    logs: Vec<Rc<Led<R>>>,
}

/// Leads the logs of this shard. Appends to them are taken when it resolves.
///
/// # Errors
/// If the record that begins a leadership cannot be written: a sentence for the operator.
pub async fn begin<R: Runtime>(
    shard: &Rc<Shard<R>>,
    own: Rc<Own>,
    epoch: u32,
) -> Result<(), String> {
    let config = &shard.settings.config;
    let rules = Rules {
        timeout: Duration::from_millis(config.slave_timeout_ms),
        gap_max: config.ha_max_gap_not_in_sync_bytes,
        is_sync: shard.settings.role == Role::SyncMaster,
    };
    let mut logs = Vec::new();
    for log in shard.queues.own_logs() {
        let lead = match rules.is_sync {
            true => lead(shard, log, &own, epoch).await?,
            false => Lead::alone(log.clone(), own.replica()),
        };
        logs.push(Rc::new(Led::new(lead, own.replica(), rules)));
    }
    for led in &logs {
        keep(shard, led, rules);
    }
    let masters = Masters { shard: Rc::downgrade(shard), own, logs };
    assert!(shard.log_copies.streams.set(Rc::new(masters)).is_ok(), "logs are led once");
    Ok(())
}

/// Begins the leadership of a log whose slaves count.
async fn lead<R: Runtime>(
    shard: &Rc<Shard<R>>,
    log: &BrokerLog<R>,
    own: &Own,
    epoch: u32,
) -> Result<Lead<R, LogSink<R>>, String> {
    let replica = own.replica();
    let start =
        Leadership { leader: replica.0.into(), set_version: 0, time_ms: shard.runtime.now_ms() };
    log.start_epoch(epoch, start)
        .await
        .map_err(|error| format!("log {} cannot begin epoch {epoch}: {error}", log.id()))?;
    let begun = log.ends().end.0;
    let alone = InSyncSet::all_of([replica]);
    let lead = Lead::new(log.clone(), Epoch(epoch), replica, alone, begun);
    log.sink().copies.wait_for(lead.held_elsewhere().clone());
    Ok(lead)
}

/// The tasks of a log. They end with it.
fn keep<R: Runtime>(shard: &Rc<Shard<R>>, led: &Rc<Led<R>>, rules: Rules) {
    let (runtime, own) = (&shard.runtime, led.clone());
    let clock = runtime.clone();
    runtime.spawn(Shares::Admin, "begin of a log", async move {
        let mut first = own.log().position_range().0;
        while own.log().is_open() {
            clock.sleep(RETIRED_EVERY).await;
            let now = own.log().position_range().0;
            if first != now {
                first = now;
                own.lead.wake();
            }
        }
    });
    if !rules.is_sync {
        return;
    }
    let own = led.clone();
    runtime.spawn(Shares::Foreground, "commit", async move { own.lead.watch_own().await });
    let (own, clock) = (led.clone(), runtime.clone());
    runtime.spawn(Shares::Foreground, "slaves in sync", async move {
        while own.log().is_open() {
            let progressed = own.lead.progressed();
            own.reconcile(clock.monotonic());
            let sleep = clock.sleep(own.look_in());
            match own.waits_for_somebody() {
                true => future::or(progressed, sleep).await,
                false => sleep.await,
            }
        }
    });
}

impl<R: Runtime> Streams for Masters<R> {
    fn take(&self, dialled: Dialled) {
        let led = self.logs.iter().find(|led| led.log().id() == dialled.log);
        let (Some(shard), Some(led)) = (self.shard.upgrade(), led) else { return };
        let (own, led) = (self.own.clone(), led.clone());
        let runtime = shard.runtime.clone();
        runtime.spawn(Shares::Foreground, "a slave's log", async move {
            serve(&shard, &own, &led, dialled).await;
        });
    }

    fn followers(&self) -> Vec<FollowerFacts> {
        self.logs.iter().flat_map(|led| led.facts()).collect()
    }

    fn followed(&self) -> Vec<FollowedFacts> {
        Vec::new()
    }
}

/// Serves a connection to its end, and says why that came.
async fn serve<R: Runtime>(shard: &Shard<R>, own: &Own, led: &Led<R>, dialled: Dialled) {
    let (log, replica) = (dialled.log, dialled.hello.replica.0);
    let peer = dialled.accepted.peer;
    let Err(error) = send_all(shard, own, led, dialled).await;
    match error {
        _ if shard.stopping.get() => {}
        // Of the network, or of a slave that ends.
        StreamError::Io(_)
        | StreamError::Closed
        | StreamError::Replaced
        | StreamError::LogClosed
        | StreamError::Silent { .. } => {
            tracing::info!(%log, %peer, replica, "a slave follows no more: {error}");
        }
        error => tracing::warn!(%log, %peer, replica, "a slave is not served: {error}"),
    }
}

async fn send_all<R: Runtime>(
    shard: &Shard<R>,
    own: &Own,
    led: &Led<R>,
    dialled: Dialled,
) -> Result<Infallible, StreamError> {
    let Dialled { log: id, accepted, read, hello } = dialled;
    let (runtime, log) = (&shard.runtime, led.log());
    let stream = runtime.net().adopt(accepted)?;
    let mut reader = FrameReader::with(&stream, read);
    let facts = LogFacts::of(log).await?;
    let party = own.party(led.lead.epoch());
    let greeted = greet(runtime, log, &facts, &party, (&hello, &stream, &mut reader)).await?;
    let (replica, end) = (greeted.replica, greeted.end);
    match greeted.go_on {
        GoOn::AtEnd => {}
        // It comes again when its log was cut.
        GoOn::Truncate { to } => {
            tracing::info!(log = %id, replica = replica.0, %to, %end, "a slave cuts its log");
            return Err(StreamError::Closed);
        }
        GoOn::Seed => return Err(StreamError::Removed { end, first: facts.first }),
    }
    led.lead.note_own();
    let member = led.lead.connect(replica, end);
    let follower = led.enter(member, stream.peer(), runtime.now_ms())?;
    let _leaves = Leaves { shard, led, member };
    led.reconcile(runtime.monotonic());
    tracing::info!(log = %id, replica = replica.0, peer = %stream.peer(), %end, "a slave follows");
    let options = SendOptions { frame_bytes: COPIED_FRAME_BYTES, ..SendOptions::default() };
    let sends = send(runtime, &led.lead, (member, &stream, &mut reader), end, options);
    let replaced = async {
        follower.replaced.wait().await;
        Err(StreamError::Replaced)
    };
    // What a synchronous master has written itself counts all the time.
    let counts = async {
        if led.is_sync() {
            future::pending::<()>().await;
        }
        led.lead.watch_own().await;
        Err(StreamError::LogClosed)
    };
    future::or(replaced, future::or(sends, counts)).await
}

/// Takes the follower out, however its connection ends.
struct Leaves<'a, R: Runtime> {
    shard: &'a Shard<R>,
    led: &'a Led<R>,
    member: Member,
}

impl<R: Runtime> Drop for Leaves<'_, R> {
    fn drop(&mut self) {
        self.led.leave(self.member, self.shard.runtime.monotonic());
    }
}
