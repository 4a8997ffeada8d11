//! The streams of records, one a log and slave, served on both sides by the shard that owns the log
//! there.

mod followers;
mod masters;
mod own;
mod reopening;
mod slaves;

use std::rc::Rc;

use ringmq_io::Runtime;

use self::own::Own;
pub use self::slaves::tell_master;
use crate::{
    messages::Start,
    shard::{Shard, role::Role},
};

/// Readies the logs of a shard, which were just opened, for copies, or has them follow their
/// master. When it resolves, appends to them are taken unless this is a slave.
///
/// # Errors
/// If a leadership cannot begin: a sentence for the operator.
pub async fn begin<R: Runtime>(shard: &Rc<Shard<R>>, start: &Start) -> Result<(), String> {
    let Some(identity) = start.identity.clone() else { return Ok(()) };
    let own = Rc::new(Own::new(&shard.settings, identity));
    match shard.settings.role {
        Role::Alone => {}
        Role::AsyncMaster | Role::SyncMaster => masters::begin(shard, own, start.epoch).await?,
        Role::Slave => slaves::begin(shard, &own, start.store()),
    }
    Ok(())
}
