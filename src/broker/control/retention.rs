//! Carries out what retention decides. The control shard collects the use of all logs, decides once
//! for the whole disk (so that the oldest messages go first and no more than needed), and tells
//! the owners of the logs; every shard learns through the shared view whether sends are refused.

#[cfg(test)]
mod tests;

use std::{cell::Cell, pin::pin, rc::Rc, sync::Arc, time::Duration};

use futures_util::future::{Either, select};
use jiff::tz::TimeZone;
use ringmq_io::{Disk, Runtime, Shares, signal::Event};
use ringmq_remoting::body::StoragePlan;
use ringmq_store::{LogError, Retired};

use super::{Control, log_usage};
use crate::{messages::Change, shard::Shard};
use ringmq_rules::retention::{
    Actions, Deletion, LogUsage, Policy, Retention, RetentionInput,
    disk::{DiskState, DiskUsage, refusal},
    forecast,
    hours::hour_of,
};

/// Time between two looks while the disk is nearly full, or while there is more to delete.
const SOON: Duration = Duration::from_secs(1);
/// Rounds that an order to delete expired files counts for. Source: `executeDeleteFilesManually`.
const ASKED_ROUNDS: u32 = 20;

/// What the control shard knows of the store's files.
#[derive(Default)]
pub struct Storage {
    retention: Cell<Retention>,
    /// Rounds that somebody has ordered.
    asked: Cell<u32>,
    look: Event,
    deleted_segments: Cell<u64>,
    deleted_bytes: Cell<u64>,
    /// Oldest message of the store as of the last look, in milliseconds since 1970.
    pub earliest_ms: Cell<Option<i64>>,
}

impl Storage {
    /// Has the files looked at soon.
    pub fn look(&self) {
        self.look.set();
    }

    /// Deletes what has expired at whatever hour it is.
    pub fn delete_expired(&self) {
        self.asked.set(ASKED_ROUNDS);
        self.look.set();
    }
}

/// Starts the task that looks after the files.
pub fn start<R: Runtime>(control: &Rc<Control<R>>) {
    warn_of_order(&control.shard);
    let keeper = control.clone();
    control.shard.runtime.spawn(Shares::Background, "retention", async move {
        keep(&keeper).await;
    });
}

fn warn_of_order<R: Runtime>(shard: &Shard<R>) {
    let config = &shard.settings.config;
    let (warn, clean) = (config.disk_max_used_space_ratio, config.disk_space_clean_forcibly_ratio);
    if warn > clean {
        tracing::warn!(
            "diskMaxUsedSpaceRatio = {warn} is above diskSpaceCleanForciblyRatio = {clean}: \
             segments are deleted and sends refused by the lower limits; raise \
             diskSpaceCleanForciblyRatio and diskSpaceWarningLevelRatio too"
        );
    }
}

async fn keep<R: Runtime>(control: &Rc<Control<R>>) {
    let (shard, storage) = (&control.shard, &control.storage);
    while !shard.stopping.get() {
        let again = round(control).await.unwrap_or(false);
        let interval = Duration::from_millis(shard.settings.config.clean_resource_interval_ms);
        let nearly_full = storage.retention.get().disk > DiskState::Normal;
        let interval = if again || nearly_full { interval.min(SOON) } else { interval };
        let (sleep, look) =
            (pin!(shard.runtime.sleep(interval)), pin!(storage.look.wait_and_clear()));
        match select(sleep, look).await {
            Either::Left(_) | Either::Right(_) => {}
        }
    }
}

/// Looks, decides, acts. True if there is more to do.
async fn round<R: Runtime>(control: &Control<R>) -> Option<bool> {
    let (shard, storage) = (&control.shard, &control.storage);
    let live = shard.live();
    let policy = Policy::of(&live.config);
    let asked = storage.asked.get();
    storage.asked.set(asked.saturating_sub(1));
    let look_up_unconsumed = !policy.delete_unconsumed;
    let input =
        RetentionInput { asked: asked > 0, ..collect_input(shard, look_up_unconsumed).await };
    storage.earliest_ms.set(earliest_ms(&input));
    let mut retention = storage.retention.get();
    let actions = retention.step(&policy, &input, shard.runtime.now_ms());
    storage.retention.set(retention);
    publish_disk_state(control, &policy, &input, &actions);
    let pause = Duration::from_millis(live.config.delete_commit_log_files_interval_ms);
    for deletion in &actions.deletions {
        if shard.stopping.get() {
            return None;
        }
        delete(control, deletion, actions.spares).await;
        if !pause.is_zero() && actions.disk < DiskState::Clean {
            shard.runtime.sleep(pause).await;
        }
    }
    let spare_bytes_max = actions.spares as u64 * shard.settings.segment_bytes;
    if input.logs.iter().any(|log| log.spare_bytes > spare_bytes_max) {
        let spares = actions.spares;
        shard.call_all(async move |shard: Rc<Shard<R>>| keep_spares(&shard, spares).await).await;
    }
    Some(actions.more || asked > 1)
}

/// Publishes whether sends are refused, and logs what changed.
fn publish_disk_state<R: Runtime>(
    control: &Control<R>,
    policy: &Policy,
    input: &RetentionInput,
    actions: &Actions,
) {
    let disk = input.disk.as_ref();
    let refuses = disk.filter(|_| actions.disk == DiskState::Refuse);
    if disk.is_some() && (refuses.is_some() || actions.disk_before == Some(DiskState::Refuse)) {
        // Published at every look while it lasts: the refusal tells what was measured.
        let change = refuses.map(|disk| Arc::new(refusal(disk, &policy.thresholds)));
        control.publish(Change::DiskFull(change));
    }
    let (Some(before), Some(disk)) = (actions.disk_before, disk) else {
        return;
    };
    let percent = f64::from(disk.used_permille()) / 10.0;
    let (state, path, kept) = (actions.disk, disk.path.display(), actions.bytes_kept);
    match state {
        DiskState::Refuse => tracing::error!(
            %before, %path, percent, limit = policy.thresholds.refuse, bytes_missing = kept,
            "disk too full: sends are refused (diskSpaceWarningLevelRatio)"
        ),
        DiskState::Clean => tracing::warn!(
            %before, %path, percent, limit = policy.thresholds.clean, bytes_missing = kept,
            forcibly = policy.clean_forcibly,
            "disk nearly full: the oldest segments go (diskSpaceCleanForciblyRatio)"
        ),
        DiskState::Warn => tracing::warn!(
            %before, %path, percent, limit = policy.thresholds.warn,
            "disk fills up: expired segments go at any hour (diskMaxUsedSpaceRatio)"
        ),
        DiskState::Normal => tracing::info!(%before, %path, percent, "disk has space"),
    }
}

async fn delete<R: Runtime>(control: &Control<R>, deletion: &Deletion, spares: usize) {
    let Deletion { log, before, bytes, last_stored_ms, reason } = *deletion;
    let (shard, storage) = (&control.shard, &control.storage);
    let retire = async move |shard: Rc<Shard<R>>| {
        let log = shard.queues.log(log).expect("calls reach the shard that owns the log");
        log.retire(before, spares).await
    };
    let retired = match shard.call(shard.queues.log_owner(log), retire).await {
        Ok(retired) => retired,
        // The broker is stopping. The next start finds the segment expired again.
        Err(LogError::ShuttingDown) => return,
        Err(error) => {
            tracing::warn!(%log, before = before.0, %error, "segment not deleted");
            return;
        }
    };
    let Retired { segments, recycled, .. } = retired;
    storage.deleted_segments.set(storage.deleted_segments.get() + segments as u64);
    storage.deleted_bytes.set(storage.deleted_bytes.get() + retired.bytes);
    tracing::info!(
        %log, before = before.0, bytes, segments, recycled, last_stored_ms,
        "segment deleted: {}", reason.text()
    );
}

/// Gives files of deleted segments up that are more than so many, for each log of a shard.
async fn keep_spares<R: Runtime>(shard: &Shard<R>, spares: usize) {
    for log in shard.queues.own_logs() {
        log.drop_spares(spares).await;
    }
}

/// What all shards know, and the disk.
async fn collect_input<R: Runtime>(shard: &Rc<Shard<R>>, unconsumed: bool) -> RetentionInput {
    let own = async move |shard: Rc<Shard<R>>| log_usage::of_shard(&shard, unconsumed).await;
    let mut logs: Vec<LogUsage> = shard.call_all(own).await.into_iter().flatten().collect();
    logs.sort_by_key(|log| log.log);
    let path = shard.settings.log_path.clone();
    let disk = match shard.runtime.disk().space(&path).await {
        Ok((free, total)) => Some(DiskUsage { path, total, free }),
        Err(error) => {
            tracing::warn!(%error, "the fill of the disk is unknown");
            None
        }
    };
    let hour = hour_of(shard.runtime.now_ms(), &TimeZone::system());
    RetentionInput { logs, disk, hour, asked: false }
}

fn earliest_ms(input: &RetentionInput) -> Option<i64> {
    let first = |log: &LogUsage| log.segments.first()?.first_stored_ms;
    input.logs.iter().filter_map(first).min()
}

impl<R: Runtime> Control<R> {
    /// What is kept until when; `None` if the rules cannot be read.
    pub async fn storage_plan(&self) -> Option<StoragePlan> {
        let (shard, storage) = (&self.shard, &self.storage);
        let live = shard.live();
        let policy = Policy::of(&live.config);
        let input = collect_input(shard, true).await;
        let state = storage.retention.get().disk;
        let (now, zone) = (shard.runtime.now_ms(), TimeZone::system());
        let plan = forecast::forecast(&policy, &input, state, now, &zone);
        let config = &live.config;
        Some(StoragePlan {
            broker_name: config.broker_name.clone(),
            rules: forecast::rules(config, &zone),
            deleted_segments: storage.deleted_segments.get(),
            deleted_bytes: storage.deleted_bytes.get(),
            ..plan
        })
    }
}
