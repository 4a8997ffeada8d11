//! Where the master of a slave is.

use std::{net::SocketAddr, sync::Arc};

use ringmq_io::{Net, Runtime};
use ringmq_replication::{frames::secret::Secret, streams::StreamError};

use crate::{
    control::{Control, registration},
    shard::{Shard, settings::BrokerSettings},
};

/// What both sides know.
pub fn secret(settings: &BrokerSettings) -> Option<&Secret> {
    settings.replicated.secret.as_ref().map(|secret| &*secret.0)
}

/// `host:port`, as it is known now.
pub fn address<R: Runtime>(control: &Control<R>) -> Option<Arc<str>> {
    control.registrar.master.address().ha
}

/// Resolves when the address is another one than at the time of the call.
pub fn changed<R: Runtime>(control: &Control<R>) -> impl Future<Output = ()> {
    control.registrar.master.changed()
}

/// The address for who has no store, so that nothing else of the broker runs yet.
pub async fn before_the_store<R: Runtime>(shard: &Shard<R>) -> Option<Arc<str>> {
    match &shard.settings.replicated.master {
        Some(configured) => Some(configured.clone()),
        None => registration::master::ask(shard).await,
    }
}

/// The first address that a name stands for now.
///
/// # Errors
/// If it stands for none.
pub async fn resolve<R: Runtime>(runtime: &R, address: &str) -> Result<SocketAddr, StreamError> {
    if let Ok(address) = address.parse() {
        return Ok(address);
    }
    let found = runtime.net().look_up(address).await?;
    found.first().copied().ok_or(StreamError::Closed)
}
