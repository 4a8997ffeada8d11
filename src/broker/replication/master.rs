//! Where the master of a slave is.

use std::{net::SocketAddr, rc::Rc};

use ringmq_io::{Net, Runtime};
use ringmq_replication::{frames::secret::Secret, streams::StreamError};

use crate::{
    control::Control,
    shard::{Shard, settings::BrokerSettings},
};

/// What both sides know.
pub fn secret(_: &BrokerSettings) -> Option<&Secret> {
    None
}

/// `host:port`, as it is known now.
pub fn address<R: Runtime>(control: &Control<R>) -> Option<String> {
    configured(&control.shard.settings)
}

/// Resolves when the address is another one.
pub async fn changed<R: Runtime>(_: &Control<R>) {
    std::future::pending().await
}

/// The address for who has no store, so that nothing else of the broker runs yet.
pub async fn before_the_store<R: Runtime>(shard: &Rc<Shard<R>>) -> Option<String> {
    configured(&shard.settings)
}

fn configured(settings: &BrokerSettings) -> Option<String> {
    let address = &settings.config.ha_master_address;
    (!address.is_empty()).then(|| address.clone())
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
