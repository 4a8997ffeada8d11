//! The number of the leadership that begins with the start of a synchronous master.

use std::rc::Rc;

use ringmq_io::Runtime;
use ringmq_replication::Epoch;
use ringmq_store::{Manifest, greatest_epoch};

use super::membership::Membership;
use crate::shard::{Shard, role::Role};

/// Greater than any that a log of this store has seen, or that this copy of it has promised to
/// others; 0 for a broker that waits for no copy. It is promised when this resolves.
///
/// # Errors
/// If what logs have seen cannot be read, or the promise not be written: a sentence for the
/// operator.
pub async fn begin<R: Runtime>(
    shard: &Rc<Shard<R>>,
    manifest: &Manifest,
    membership: Option<&Membership<R>>,
) -> Result<u32, String> {
    let Some(membership) = membership.filter(|_| shard.settings.role == Role::SyncMaster) else {
        return Ok(0);
    };
    let root = &shard.settings.store_path;
    let seen = greatest_epoch(shard.runtime.disk(), root, manifest.logs).await;
    let seen = seen.map_err(|error| error.to_string())?.max(membership.epoch().0);
    let epoch = seen.checked_add(1);
    let epoch = epoch.ok_or_else(|| format!("epoch {seen} is the last one that there can be"))?;
    let joined = membership.join(Epoch(epoch), membership.identity.replica).await;
    joined.map_err(|error| error.to_string())?;
    Ok(epoch)
}
