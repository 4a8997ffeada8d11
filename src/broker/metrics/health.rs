//! Whether the process is well, and whether it serves clients; if not, why, a sentence a line.

use std::{rc::Rc, time::Duration};

use ringmq_io::Runtime;

use super::http::within;
use crate::{control::Control, shard::Shard};

/// How soon all shards have to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether all shards answer.
///
/// # Errors
/// What is wrong.
pub async fn health<R: Runtime>(control: &Rc<Control<R>>, is_ready: bool) -> Result<(), String> {
    let shard = &control.shard;
    // They answer nothing while they open their logs, which may take long.
    if !is_ready {
        return Ok(());
    }
    let failed = shard.call_all(async |shard: Rc<Shard<R>>| failed_logs(&shard));
    match within(&shard.runtime, PATIENCE, failed).await {
        None => Err(format!("a shard has not answered for {PATIENCE:?}\n")),
        Some(failed) => report(&failed.concat()),
    }
}

/// Whether clients are served.
///
/// # Errors
/// Why they are not.
pub fn readiness<R: Runtime>(control: &Control<R>, is_ready: bool) -> Result<(), String> {
    let shard = &control.shard;
    let mut reasons = Vec::new();
    if !is_ready {
        reasons.push("the broker starts: its logs are not open yet".to_owned());
    }
    if shard.stopping.get() || shard.view.borrow().draining.is_some() {
        reasons.push("the broker is stopping".to_owned());
    }
    let (servers, registered) = control.registrar.registered();
    if servers > 0 && registered == 0 {
        reasons.push(format!("none of {servers} name servers knows the broker"));
    }
    if let Some(refusal) = &shard.view.borrow().disk_full {
        reasons.push(refusal.remark.clone());
    }
    report(&reasons)
}

/// Why logs of a shard take no messages any more until a restart.
fn failed_logs<R: Runtime>(shard: &Shard<R>) -> Vec<String> {
    let logs = shard.queues.own_logs();
    let failed = logs.filter_map(|log| Some((log.sink().log, log.counters().fenced?)));
    failed.map(|(log, why)| format!("log {log} has failed: {why}")).collect()
}

fn report(reasons: &[String]) -> Result<(), String> {
    match reasons {
        [] => Ok(()),
        reasons => Err(reasons.join("\n") + "\n"),
    }
}
