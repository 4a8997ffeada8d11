//! The life of a shard: open what it owns, serve, write everything, end.

mod drain;
pub mod inbox;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    rc::Rc,
    sync::{Arc, mpsc},
    time::Duration,
};

use futures_lite::future::zip;
use ringmq_base::{LogId, ShardId};
use ringmq_io::{Accepted, Runtime, Shares, listen_when_free, mailbox::Receiver};
use ringmq_net::accept::accept_all;
use ringmq_rules::{meta::MetaChange, transaction::Sweeps};
use ringmq_store::{FlushMode, Log, LogOptions, complete_store, log_directory};

use crate::{
    control::Control,
    engines::{
        answers,
        delay::{self, DelayOffsets},
        long_poll::{self, LongPoll},
        timer::{self, TimerCursors},
        transaction_check,
    },
    messages::{Message, Start},
    metrics,
    requests::{Requests, consume::pull, reader},
    shard::{
        Arrivals, CONTROL, Shard,
        acks::LogSink,
        router::{Lanes, Router},
        settings::BrokerSettings,
        view_version::Published,
    },
};

/// What a shard is made of; crosses to its thread.
pub struct ShardParts<R: Runtime> {
    pub id: ShardId,
    pub settings: Arc<BrokerSettings>,
    pub lanes: Vec<Lanes<Shard<R>>>,
    pub requests: Receiver<ShardMessage<R>>,
    pub replies: Receiver<ShardMessage<R>>,
    pub published: Published,
    /// To the thread that started the broker: ready, or the sentence why not.
    pub report: mpsc::Sender<Result<ShardId, String>>,
    /// To it as well, from the control shard: the first registration has been tried.
    pub tried: mpsc::Sender<()>,
}

/// What crosses the shards of a broker.
pub type ShardMessage<R> = Message<Shard<R>>;

/// Runs a shard until it is told to shut down; everything acknowledged is on disk then.
pub async fn run<R: Runtime>(runtime: R, parts: ShardParts<R>) {
    run_watched(runtime, parts, |_| {}).await;
}

/// The same; `watch` sees the shard before it does anything.
pub(crate) async fn run_watched<R: Runtime>(
    runtime: R,
    parts: ShardParts<R>,
    watch: impl FnOnce(&Rc<Shard<R>>),
) {
    let (report, tried) = (parts.report.clone(), parts.tried.clone());
    let id = parts.id;
    let router = Router::new(id, parts.lanes, &parts.settings.sizes);
    let shard = Shard::new(runtime, parts.settings, router, parts.published);
    watch(&shard);
    let inboxes = (parts.requests, parts.replies);
    if let Err(error) = run_or_fail(&shard, inboxes, &report, &tried).await {
        tracing::error!(shard = id.0, %error, "broker cannot start");
        let _ = report.send(Err(error));
    }
}

async fn run_or_fail<R: Runtime>(
    shard: &Rc<Shard<R>>,
    (mut requests_lane, reply_lane): (Receiver<ShardMessage<R>>, Receiver<ShardMessage<R>>),
    report: &mpsc::Sender<Result<ShardId, String>>,
    tried: &mpsc::Sender<()>,
) -> Result<(), String> {
    let (control, start) = if shard.id == CONTROL {
        let (control, start) = Control::open(shard).await?;
        (Some(control), start)
    } else {
        match requests_lane.recv().await {
            Message::Start(start) => (None, *start),
            // The control shard could not start and says so itself.
            _ => return Ok(()),
        }
    };
    let metrics = match &control {
        Some(control) => metrics::start(control).await.inspect_err(|_| shut_down_peers(shard))?,
        None => None,
    };
    let opened = open_logs(shard, &start).await;
    if shard.id != CONTROL {
        let result = opened.clone();
        shard.router.post(CONTROL, Message::Ready { result });
        shard.router.flush();
    }
    if let Err(error) = opened {
        shut_down_peers(shard);
        return Err(error);
    }
    let store_id = start.store_id;
    let cursors = take_start(shard, start);
    transaction_check::repair(shard).await;
    let requests = Requests::new(shard.clone(), control.clone());
    if shard.id == CONTROL {
        wait_for_peers(&requests, &mut requests_lane).await?;
        let (runtime, root) = (&shard.runtime, &shard.settings.store_path);
        if let Err(error) = complete_store(runtime, root, store_id).await {
            tracing::warn!(%error, "not noted that the store is complete");
        }
    }
    spawn_services(shard);
    delay::start(shard, &cursors.delays);
    timer::start(shard, &cursors.timers);
    transaction_check::start(shard);
    inbox::spawn_reply_lane(&requests, reply_lane);
    if let Some(control) = &control {
        control.start_services();
        if let Err(error) = listen(&requests).await {
            shut_down_peers(shard);
            return Err(error);
        }
        let (control, tried) = (control.clone(), tried.clone());
        shard.runtime.spawn(Shares::Admin, "first registration", async move {
            control.registrar.tried().await;
            // Whoever started the broker may not wait for it.
            let _ = tried.send(());
        });
    }
    metrics.iter().for_each(|metrics| metrics.set_ready());
    let _ = report.send(Ok(shard.id));
    inbox::serve_requests(&requests, &mut requests_lane).await;
    // The others still call this shard, to persist what they have.
    let serve = inbox::serve_to_the_end(&requests, &mut requests_lane);
    let shut_down = shut_down(shard, control.as_deref(), &cursors);
    futures_lite::future::or(shut_down, serve).await;
    metrics.iter().for_each(|metrics| metrics.close());
    Ok(())
}

async fn open_logs<R: Runtime>(shard: &Rc<Shard<R>>, start: &Start) -> Result<(), String> {
    let mut logs = Vec::new();
    let ids = (0..start.logs).filter_map(LogId::new);
    let own = ids.filter(|id| shard.queues.log_owner(*id) == shard.id).count();
    for number in 0..start.logs {
        let id = LogId::new(number).ok_or("the store has too many logs")?;
        if shard.queues.log_owner(id) != shard.id {
            logs.push(None);
            continue;
        }
        let options = LogOptions {
            // The budget is a shard's.
            block_cache_bytes: shard.settings.block_cache_bytes / own.max(1),
            // All logs together.
            scrub_bytes_per_second: shard
                .settings
                .scrub_bytes_per_second
                .div_ceil(start.logs.into()),
            scrub_interval: shard.settings.scrub_interval,
            ..log_options(&shard.settings, id, start.store_id)
        };
        let sink = LogSink::new(shard, id);
        let opened = Log::open(shard.runtime.clone(), options, sink).await;
        let (log, _) = opened.map_err(|error| error.to_string())?;
        logs.push(Some(log));
    }
    shard.queues.set_logs(logs);
    Ok(())
}

pub fn log_options(settings: &BrokerSettings, id: LogId, store_id: u128) -> LogOptions {
    let root: &Path = &settings.store_path;
    let flush = if settings.flush_sync { FlushMode::Sync } else { FlushMode::Async };
    LogOptions {
        flush,
        segment_bytes: settings.segment_bytes,
        zero_ahead_bytes: settings.zero_ahead_bytes,
        directory: log_directory(root, id),
        log: id,
        store_id,
        spare_segments_max: settings.config.spare_segments_max as usize,
        hot_tail_bytes: settings.hot_tail_bytes,
        backlog_bytes_max: settings.backlog_bytes_max,
        message_index: settings.config.message_index_enable,
        ..settings.sizes.log.clone()
    }
}

/// How far the deliveries of a shard are.
struct DeliveryCursors {
    delays: Rc<DelayOffsets>,
    timers: Rc<TimerCursors>,
}

/// What the control shard knows of this shard, transactions among it; gives how far its deliveries
/// are.
fn take_start<R: Runtime>(shard: &Rc<Shard<R>>, start: Start) -> DeliveryCursors {
    for change in start.changes {
        shard.apply(change);
    }
    for (topic, deleted) in &start.deleted {
        shard.record_deletion(topic, deleted.first_log, deleted.ends.iter().copied());
    }
    for log in shard.queues.own_logs() {
        shard.transactions.open(log.sink().log, 0, Sweeps::default());
    }
    let mut offsets = shard.offsets.borrow_mut();
    let (mut delays, mut timers) = (BTreeMap::new(), BTreeMap::new());
    for change in &start.offsets {
        match change {
            MetaChange::DelayOffset { level, offset } => {
                delays.insert(*level, *offset);
            }
            MetaChange::TimerFrontier { queue, frontier } => {
                timers.insert(*queue, (*frontier).into());
            }
            other => offsets.apply(other),
        }
        if let MetaChange::Transactions { log, first, sweeps } = change
            && let Some(log) = LogId::new(*log).filter(|log| shard.queues.log(*log).is_some())
        {
            shard.transactions.open(log, *first, Sweeps::new(sweeps));
        }
    }
    let (delays, timers) = (DelayOffsets::new(delays).into(), TimerCursors::new(timers).into());
    DeliveryCursors { delays, timers }
}

async fn wait_for_peers<R: Runtime>(
    requests: &Rc<Requests<R>>,
    lane: &mut Receiver<ShardMessage<R>>,
) -> Result<(), String> {
    let shard = &requests.shard;
    let mut missing = shard.router.shards() - 1;
    while missing > 0 {
        match lane.recv().await {
            Message::Ready { result: Ok(()) } => missing -= 1,
            Message::Ready { result: Err(error) } => {
                shut_down_peers(shard);
                return Err(error);
            }
            Message::Shutdown => return Err("told to stop before it was ready".to_owned()),
            other => inbox::take(requests, other).await,
        }
    }
    Ok(())
}

fn spawn_services<R: Runtime>(shard: &Rc<Shard<R>>) {
    let runtime = shard.runtime.clone();
    let long_poll: Rc<dyn Arrivals<R>> = Rc::new(LongPoll { run: pull::run });
    assert!(shard.arrivals.set(long_poll).is_ok(), "services start once");
    let expire = long_poll::expire(shard.clone(), pull::run);
    runtime.spawn(Shares::Foreground, "long polls", expire);
    let crowds = long_poll::serve_crowds(shard.clone(), pull::run);
    runtime.spawn(Shares::ColdRead, "crowds of long polls", crowds);
    let forget = long_poll::forget_gone(shard.clone());
    runtime.spawn(Shares::Foreground, "pulls of gone connections", forget);
    runtime.spawn(Shares::Foreground, "pulls and changes", long_poll::recheck(shard.clone()));
    let resume = answers::resume(shard.clone(), pull::run);
    runtime.spawn(Shares::Foreground, "pulls without room", resume);
    runtime.spawn(Shares::Foreground, "answers taken", answers::tell(shard.clone()));
    runtime.spawn(Shares::Foreground, "clients that take nothing", answers::watch(shard.clone()));
    runtime.spawn(Shares::Admin, "consumer offsets", persist_offsets(shard.clone()));
    runtime.spawn(Shares::Admin, "idle connections", close_idle(shard.clone()));
    runtime.spawn(Shares::Foreground, "forwarding", flush_collected(shard.clone()));
    runtime.spawn(Shares::Foreground, "full lanes", retry_lanes(shard.clone()));
}

/// How soon offsets that could not be written are tried again, at the latest.
const OFFSETS_AGAIN: Duration = Duration::from_secs(1);

/// Hands changed consumer offsets to the control shard. Source: `flushConsumerOffsetInterval`.
async fn persist_offsets<R: Runtime>(shard: Rc<Shard<R>>) {
    let interval = shard.settings.offset_flush_interval;
    while !shard.stopping.get() {
        let failing = shard.offset_writes.is_failing();
        shard.runtime.sleep(if failing { interval.min(OFFSETS_AGAIN) } else { interval }).await;
        shard.persist_offsets().await;
    }
}

/// Closes connections that have sent nothing for `serverChannelMaxIdleTimeSeconds`; with 0 none,
/// as in Java.
async fn close_idle<R: Runtime>(shard: Rc<Shard<R>>) {
    let idle_max = Duration::from_secs(shard.settings.config.server_channel_max_idle_time_seconds);
    if idle_max.is_zero() {
        return;
    }
    let look = (idle_max / 4).clamp(Duration::from_millis(250), Duration::from_secs(10));
    while !shard.stopping.get() {
        shard.runtime.sleep(look).await;
        let now = shard.runtime.monotonic();
        if let Some(oldest) = now.checked_sub(idle_max) {
            shard.connections.close_idle(oldest);
        }
    }
}

/// Sends other shards what the connections of a turn brought for them. Woken by the first of
/// them, this task has its turn behind those that are runnable already.
async fn flush_collected<R: Runtime>(shard: Rc<Shard<R>>) {
    loop {
        shard.router.collected.wait_and_clear().await;
        shard.router.flush();
    }
}

/// Sends again what a full lane did not take. The peer empties its lane at its own pace, so there
/// is nothing to wait for but time.
async fn retry_lanes<R: Runtime>(shard: Rc<Shard<R>>) {
    loop {
        shard.router.stalled.wait_and_clear().await;
        while shard.router.is_stalled() {
            shard.runtime.sleep(Duration::from_millis(1)).await;
            shard.router.flush();
        }
    }
}

async fn shut_down<R: Runtime>(
    shard: &Rc<Shard<R>>,
    control: Option<&Control<R>>,
    cursors: &DeliveryCursors,
) {
    shard.stopping.set(true);
    shard.router.wake();
    long_poll::release(shard, pull::run);
    if let Some(control) = control {
        control.registrar.unregister().await;
    }
    for log in shard.queues.own_logs() {
        if let Err(error) = log.clone().close().await {
            tracing::error!(%error, "log not closed cleanly; the next start recovers it");
        }
    }
    // Offsets are refused since this shard is stopping: these are the last.
    let DeliveryCursors { delays, timers } = cursors;
    let delivered = zip(delays.persist_at_last(shard), timers.persist_at_last(shard));
    zip(shard.persist_offsets_at_last(), delivered).await;
    match control {
        Some(control) => control.finish().await,
        None => {
            shard.router.answer(CONTROL, Message::Finished(shard.id));
            shard.router.flush();
        }
    }
    shard.connections.close_all();
}

fn shut_down_peers<R: Runtime>(shard: &Shard<R>) {
    for peer in shard.router.peers() {
        shard.router.post(peer, Message::Shutdown);
    }
    shard.router.flush();
}

/// Binds the ports and starts accepting. The error is a sentence for the operator.
async fn listen<R: Runtime>(requests: &Rc<Requests<R>>) -> Result<(), String> {
    let shard = &requests.shard;
    let ports = std::iter::once(shard.settings.listen_port).chain(shard.settings.vip_port());
    let buffers = shard.settings.socket_buffers;
    for (index, port) in ports.enumerate() {
        let address = SocketAddr::new(shard.settings.bind_address, port);
        let listener = listen_when_free(&shard.runtime, address, buffers).await.map_err(|error| {
            let (what, or) = match index {
                0 => ("listenPort", ""),
                _ => ("listenPort - 2, for VIP clients", ", or vipPortEnable=false"),
            };
            format!(
                "the broker cannot listen on {address} ({what}): {error}; stop what uses the port \
                 or set another listenPort (standalone: --listen-port){or}"
            )
        })?;
        let acceptor = requests.clone();
        shard.runtime.spawn(Shares::Foreground, "accept", async move {
            let runtime = acceptor.shard.runtime.clone();
            accept_all(&runtime, &listener, |accepted| hand_out(&acceptor, accepted)).await;
        });
    }
    Ok(())
}

/// Gives a connection to one shard after the other. False: the broker is stopping.
fn hand_out<R: Runtime>(requests: &Rc<Requests<R>>, accepted: Accepted) -> bool {
    let shard = &requests.shard;
    if shard.stopping.get() {
        return false;
    }
    let target = match requests.places.take(accepted.peer.ip()) {
        Ok(target) => target,
        Err(refused) => {
            tracing::warn!(peer = %accepted.peer, "{refused}");
            return true;
        }
    };
    if target == shard.id {
        reader::serve(requests, accepted);
    } else {
        shard.router.post(target, Message::Connection(accepted));
        shard.router.flush();
    }
    true
}
