//! The life of a shard: open what it owns, serve, write everything, end.

pub mod inbox;

use std::{
    path::Path,
    rc::Rc,
    sync::{Arc, mpsc},
    time::Duration,
};

use ringmq_base::{LogId, ShardId};
use ringmq_io::{Runtime, Shares, mailbox::Receiver};
use ringmq_store::{FlushMode, Log, LogOptions, complete_store, log_directory};

use crate::{
    control::{Control, retention},
    engines::delay,
    messages::{Message, Start},
    net::listener,
    requests::produce::send,
    shard::{
        CONTROL, Shard,
        acks::LogSink,
        router::{Lanes, Router},
        settings::Facts,
        view_version::Published,
    },
};
use ringmq_rules::meta::MetaChange;

/// What a shard is born with; crosses to its thread.
pub struct Seat {
    pub id: ShardId,
    pub facts: Arc<Facts>,
    pub lanes: Vec<Lanes>,
    pub requests: Receiver<Message>,
    pub replies: Receiver<Message>,
    pub published: Published,
    /// To the thread that started the broker: ready, or the sentence why not.
    pub report: mpsc::Sender<Result<ShardId, String>>,
}

/// Runs a shard until it is told to shut down; everything acknowledged is on disk then.
pub async fn run<R: Runtime>(runtime: R, seat: Seat) {
    run_watched(runtime, seat, |_| {}).await;
}

/// The same; `watch` sees the shard before it does anything.
pub(crate) async fn run_watched<R: Runtime>(
    runtime: R,
    seat: Seat,
    watch: impl FnOnce(&Rc<Shard<R>>),
) {
    let report = seat.report.clone();
    let id = seat.id;
    let router = Router::new(id, seat.lanes, &seat.facts.sizes);
    let shard = Shard::new(runtime, seat.facts, router, seat.published);
    watch(&shard);
    let inboxes = (seat.requests, seat.replies);
    if let Err(error) = run_or_fail(&shard, inboxes, &report).await {
        tracing::error!(shard = id.0, %error, "broker cannot start");
        let _ = report.send(Err(error));
    }
}

async fn run_or_fail<R: Runtime>(
    shard: &Rc<Shard<R>>,
    (mut requests, replies): (Receiver<Message>, Receiver<Message>),
    report: &mpsc::Sender<Result<ShardId, String>>,
) -> Result<(), String> {
    let start = if shard.id == CONTROL {
        Control::open(shard).await?
    } else {
        match requests.recv().await {
            Message::Start(start) => *start,
            // The control shard could not start and says so itself.
            _ => return Ok(()),
        }
    };
    let opened = open_logs(shard, &start).await;
    if shard.id != CONTROL {
        let result = opened.clone();
        shard.router.post(CONTROL, Message::Ready { result });
        shard.router.flush();
    }
    if let Err(error) = opened {
        shard.shutdown_peers();
        return Err(error);
    }
    let store_id = start.store_id;
    take_start(shard, start);
    if shard.id == CONTROL {
        wait_for_peers(shard, &mut requests).await?;
        let (runtime, root) = (&shard.runtime, &shard.facts.store_path);
        if let Err(error) = complete_store(runtime, root, store_id).await {
            tracing::warn!(%error, "not noted that the store is complete");
        }
    }
    spawn_services(shard);
    spawn_lane(shard, replies);
    if shard.id == CONTROL {
        let control = shard.control.get().expect("the control shard has it").clone();
        control.start_services(shard);
        retention::start(shard);
        if let Err(error) = listener::listen(shard).await {
            shard.shutdown_peers();
            return Err(error);
        }
    }
    let _ = report.send(Ok(shard.id));
    serve_requests(shard, &mut requests).await;
    shut_down(shard).await;
    Ok(())
}

async fn open_logs<R: Runtime>(shard: &Rc<Shard<R>>, start: &Start) -> Result<(), String> {
    let mut logs = Vec::new();
    let ids = (0..start.logs).filter_map(LogId::new);
    let own = ids.filter(|id| shard.log_owner(*id) == shard.id).count();
    for number in 0..start.logs {
        let id = LogId::new(number).ok_or("the store has too many logs")?;
        if shard.log_owner(id) != shard.id {
            logs.push(None);
            continue;
        }
        let options = LogOptions {
            // The budget is a shard's.
            block_cache_bytes: shard.facts.block_cache_bytes / own.max(1),
            // All logs together.
            scrub_bytes_per_second: shard.facts.scrub_bytes_per_second.div_ceil(start.logs.into()),
            scrub_interval: shard.facts.scrub_interval,
            ..log_options(&shard.facts, id, start.store_id)
        };
        let sink = LogSink::new(shard, id);
        let opened = Log::open(shard.runtime.clone(), options, sink).await;
        let (log, _) = opened.map_err(|error| error.to_string())?;
        logs.push(Some(log));
    }
    shard.set_logs(logs);
    Ok(())
}

fn log_options(facts: &Facts, id: LogId, store_id: u128) -> LogOptions {
    let root: &Path = &facts.store_path;
    let flush = if facts.flush_sync { FlushMode::Sync } else { FlushMode::Async };
    LogOptions {
        flush,
        segment_bytes: facts.segment_bytes,
        zero_ahead_bytes: facts.zero_ahead_bytes,
        directory: log_directory(root, id),
        log: id,
        store_id,
        spare_segments_max: facts.config.spare_segments_max as usize,
        hot_tail_bytes: facts.hot_tail_bytes,
        backlog_bytes_max: facts.backlog_bytes_max,
        message_index: facts.config.message_index_enable,
        ..facts.sizes.log.clone()
    }
}

fn take_start<R: Runtime>(shard: &Rc<Shard<R>>, start: Start) {
    for change in start.changes {
        shard.apply(change);
    }
    for (topic, deleted) in &start.buried {
        shard.bury(topic, deleted.first_log, deleted.ends.iter().map(|(id, end)| (*id, *end)));
    }
    let mut offsets = shard.offsets.borrow_mut();
    for change in &start.offsets {
        offsets.apply(change);
        if let MetaChange::DelayOffset { level, offset } = change {
            shard.delay_offsets.borrow_mut().insert(*level, *offset);
        }
    }
}

async fn wait_for_peers<R: Runtime>(
    shard: &Rc<Shard<R>>,
    requests: &mut Receiver<Message>,
) -> Result<(), String> {
    let mut missing = shard.router.shards() - 1;
    while missing > 0 {
        match requests.recv().await {
            Message::Ready { result: Ok(()) } => missing -= 1,
            Message::Ready { result: Err(error) } => {
                shard.shutdown_peers();
                return Err(error);
            }
            Message::Shutdown => return Err("told to stop before it was ready".to_owned()),
            other => shard.take(other),
        }
    }
    Ok(())
}

async fn serve_requests<R: Runtime>(shard: &Rc<Shard<R>>, requests: &mut Receiver<Message>) {
    loop {
        let mut message = Some(requests.recv().await);
        while let Some(next) = message {
            shard.publication.caught_up().await;
            if matches!(next, Message::Shutdown) {
                return;
            }
            match next {
                Message::Sends(parcel) => {
                    send::store_forwarded(shard, &parcel).await;
                    shard.router.unpacked(parcel);
                }
                other => shard.take(other),
            }
            message = requests.try_recv();
        }
        shard.flush();
        shard.runtime.yield_if_needed().await;
    }
}

fn spawn_lane<R: Runtime>(shard: &Rc<Shard<R>>, mut lane: Receiver<Message>) {
    let (shard, runtime) = (shard.clone(), shard.runtime.clone());
    runtime.spawn(Shares::Foreground, "reply lane", async move {
        loop {
            let mut message = Some(lane.recv().await);
            while let Some(next) = message {
                shard.take(next);
                message = lane.try_recv();
            }
            shard.flush();
            shard.runtime.yield_if_needed().await;
        }
    });
}

fn spawn_services<R: Runtime>(shard: &Rc<Shard<R>>) {
    let runtime = shard.runtime.clone();
    runtime.spawn(Shares::Foreground, "long polls", shard.clone().expire_waiting());
    runtime.spawn(Shares::Admin, "consumer offsets", persist_offsets(shard.clone()));
    runtime.spawn(Shares::Admin, "idle connections", close_idle(shard.clone()));
    runtime.spawn(Shares::Foreground, "forwarding", flush_collected(shard.clone()));
    runtime.spawn(Shares::Foreground, "full lanes", retry_lanes(shard.clone()));
    delay::start(shard);
}

/// Hands changed consumer offsets to the control shard. Source: `flushConsumerOffsetInterval`.
async fn persist_offsets<R: Runtime>(shard: Rc<Shard<R>>) {
    while !shard.stopping.get() {
        shard.runtime.sleep(shard.facts.offset_flush_interval).await;
        shard.persist_offsets();
        shard.flush();
    }
}

/// Closes connections that have sent nothing for `serverChannelMaxIdleTimeSeconds`; with 0 none,
/// as in Java.
async fn close_idle<R: Runtime>(shard: Rc<Shard<R>>) {
    let idle_max = Duration::from_secs(shard.facts.config.server_channel_max_idle_time_seconds);
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
        shard.router.collected.take().await;
        shard.router.flush();
    }
}

/// Sends again what a full lane did not take. The peer empties its lane at its own pace, so there
/// is nothing to wait for but time.
async fn retry_lanes<R: Runtime>(shard: Rc<Shard<R>>) {
    loop {
        shard.router.stalled.take().await;
        while shard.router.is_stalled() {
            shard.runtime.sleep(Duration::from_millis(1)).await;
            shard.router.flush();
        }
    }
}

async fn shut_down<R: Runtime>(shard: &Rc<Shard<R>>) {
    shard.stopping.set(true);
    shard.release_waiting();
    shard.persist_offsets();
    shard.flush();
    if let Some(control) = shard.control.get() {
        control.unregister().await;
    }
    for log in shard.own_logs() {
        if let Err(error) = log.clone().close().await {
            tracing::error!(%error, "log not closed cleanly; the next start recovers it");
        }
    }
    if let Some(control) = shard.control.get() {
        control.finish(shard).await;
    } else {
        // On the reply lane: the control shard reads no requests any more.
        shard.router.answer(CONTROL, Message::Finished(shard.id));
        shard.router.flush();
    }
    shard.connections.close_all();
}

impl<R: Runtime> Shard<R> {
    pub fn shutdown_peers(&self) {
        for peer in self.router.peers() {
            self.router.post(peer, Message::Shutdown);
        }
        self.router.flush();
    }

    /// Sends the consumer offsets that changed since the last call to where they are persisted.
    pub fn persist_offsets(self: &Rc<Self>) {
        let changes = self.offsets.borrow_mut().take_dirty();
        if !changes.is_empty() {
            self.persist(changes);
        }
    }
}
