//! The server: accepts connections, reads requests, answers them in order, and drops brokers whose
//! connection ends or falls silent.

mod connection;
#[cfg(test)]
mod server_tests;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::Future,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    rc::Rc,
    time::Duration,
};

use ringmq_base::config::NamesrvConfig;
use ringmq_io::{Accepted, Listener, Net, Runtime, Shares, Stream, signal::Event};
use ringmq_net::{
    accept::accept_all,
    addresses::{Addresses, Limits},
};

use crate::{
    answer::Peer,
    handlers::NameServer,
    kv::{file::KvFileError, store::KvStore},
    route::{ConnectionId, expire::Dropped},
};

/// How long connections may take to end after the shutdown.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(3);

type StreamOf<R> = <<R as Runtime>::Net as Net>::Stream;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Kv(#[from] KvFileError),
}

/// What all tasks of a server share.
struct Shared<R: Runtime> {
    runtime: R,
    server: NameServer<R::Disk>,
    started: Duration,
    idle: Duration,
    addresses: Addresses,
    connections: RefCell<BTreeMap<u64, Rc<StreamOf<R>>>>,
    next_connection: Cell<u64>,
    closing: Event,
    /// Set when the last connection has ended after `closing`.
    drained: Event,
}

/// Serves until `shutdown` resolves; then closes all connections and resolves when they have ended,
/// after 3 seconds at the latest. Answers are sent as soon as they are known; changes of the KV
/// configuration are on stable storage before their answer.
pub async fn serve<R: Runtime>(
    runtime: R,
    config: NamesrvConfig,
    listener: <R::Net as Net>::Listener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let entries_max = usize::try_from(config.kv_entries_max).unwrap_or(usize::MAX);
    let path = config.kv_config_path.clone();
    let kv = KvStore::open(runtime.disk().clone(), path, entries_max).await?;
    let address = listener.local();
    let shared = Rc::new(Shared {
        started: runtime.monotonic(),
        idle: Duration::from_secs(config.server_channel_max_idle_time_seconds),
        addresses: Addresses::new(connection_limits(&config)),
        server: NameServer::new(config, kv),
        runtime: runtime.clone(),
        connections: RefCell::default(),
        next_connection: Cell::new(1),
        closing: Event::default(),
        drained: Event::default(),
    });
    tracing::info!("name server listens on {address}");
    let accept = Rc::clone(&shared).accept_loop(listener);
    runtime.spawn(Shares::Foreground, "name server accept", accept);
    runtime.spawn(Shares::Admin, "name server scan", Rc::clone(&shared).scan_loop());
    shutdown.await;
    shared.close(address).await;
    Ok(())
}

impl<R: Runtime> Shared<R> {
    fn now_ms(&self) -> u64 {
        let elapsed = self.runtime.monotonic().saturating_sub(self.started);
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }

    /// Runs until the first connection after `closing`: [`Shared::close`] makes one.
    async fn accept_loop(self: Rc<Self>, listener: <R::Net as Net>::Listener) {
        accept_all(&self.runtime, &listener, |accepted| {
            if !self.closing.is_set() {
                self.admit(accepted);
            }
            !self.closing.is_set()
        })
        .await;
    }

    fn admit(self: &Rc<Self>, accepted: Accepted) {
        let address = accepted.peer;
        if let Err(refused) = self.addresses.enter(address.ip()) {
            tracing::warn!(peer = %address, "{refused}");
            return;
        }
        let stream = match self.runtime.net().adopt(accepted) {
            Ok(stream) => Rc::new(stream),
            Err(error) => {
                tracing::warn!(peer = %address, "connection lost: {error}");
                return self.addresses.leave(address.ip());
            }
        };
        let id = self.next_connection.get();
        self.next_connection.set(id + 1);
        let local = is_local(address.ip(), stream.local().ip());
        let peer = Peer { address, local, connection: ConnectionId(id) };
        self.connections.borrow_mut().insert(id, Rc::clone(&stream));
        let task = Rc::clone(self).converse(stream, peer);
        self.runtime.spawn(Shares::Foreground, "name server connection", task);
    }

    /// One connection from its first to its last byte.
    async fn converse(self: Rc<Self>, stream: Rc<StreamOf<R>>, peer: Peer) {
        if let Err(ended) = connection::converse(&self, &*stream, peer).await {
            let peer = peer.address;
            match ended {
                connection::Ended::Malformed { .. } => tracing::warn!(%peer, "closed: {ended}"),
                _ => tracing::debug!(%peer, "closed: {ended}"),
            }
        }
        stream.shutdown();
        let ConnectionId(id) = peer.connection;
        self.connections.borrow_mut().remove(&id);
        self.addresses.leave(peer.address.ip());
        let now = self.now_ms();
        let dropped = self.server.table().borrow_mut().connection_closed(peer.connection, now);
        for broker in &dropped {
            report(broker, "its connection has ended");
        }
        self.drained_if_empty();
    }

    /// Drops silent brokers until `closing`.
    async fn scan_loop(self: Rc<Self>) {
        while !self.closing.is_set() {
            let interval = self.server.config().scan_not_active_broker_interval_ms;
            let sleep = self.runtime.sleep(Duration::from_millis(interval));
            futures_lite::future::or(sleep, self.closing.wait()).await;
            let dropped = self.server.table().borrow_mut().expire(self.now_ms());
            for broker in &dropped {
                report(broker, "it was silent for too long");
                let ConnectionId(id) = broker.connection;
                if let Some(stream) = self.connections.borrow().get(&id) {
                    stream.shutdown();
                }
            }
        }
    }

    async fn close(&self, address: SocketAddr) {
        self.closing.set();
        for stream in self.connections.borrow().values() {
            stream.shutdown();
        }
        self.drained_if_empty();
        // A waiting accept must not be dropped: one more connection ends it.
        if let Err(error) = self.runtime.net().connect(reachable(address)).await {
            tracing::debug!("cannot end the accept loop: {error}");
        }
        let patience = self.runtime.sleep(SHUTDOWN_PATIENCE);
        futures_lite::future::or(self.drained.wait(), patience).await;
    }

    fn drained_if_empty(&self) {
        if self.closing.is_set() && self.connections.borrow().is_empty() {
            self.drained.set();
        }
    }
}

fn connection_limits(config: &NamesrvConfig) -> Limits {
    let count = |number| usize::try_from(number).unwrap_or(usize::MAX);
    Limits {
        all: count(config.connections_max),
        per_address: count(config.connections_per_address_max),
        reserved: count(config.connections_reserved),
        exempt_loopback: config.connections_per_address_exempt_loopback,
    }
}

/// A peer is on this machine if it comes from a loopback address, or from the very address of this
/// machine that it connected to.
fn is_local(peer: IpAddr, local: IpAddr) -> bool {
    let (peer, local) = (peer.to_canonical(), local.to_canonical());
    peer.is_loopback() || peer == local
}

/// Where a listener can be reached; one on all addresses by IPv4, which every machine has.
fn reachable(address: SocketAddr) -> SocketAddr {
    let all = address.ip().is_unspecified();
    let ip = if all { Ipv4Addr::LOCALHOST.into() } else { address.ip() };
    SocketAddr::new(ip, address.port())
}

fn report(broker: &Dropped, reason: &str) {
    let Dropped { cluster, address, broker_name, silent_ms, .. } = broker;
    let name = broker_name.as_deref().unwrap_or("(replaced)");
    tracing::warn!(
        "broker {name} {address} of cluster {cluster} is dropped: {reason}; last heard of \
         {silent_ms} ms ago"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_loopback_and_by_its_own_address() {
        let ip = |text: &str| -> IpAddr { text.parse().expect("an address") };
        assert!(is_local(ip("127.0.0.1"), ip("127.0.0.1")));
        assert!(is_local(ip("::1"), ip("::1")));
        assert!(is_local(ip("::ffff:127.0.0.1"), ip("::")));
        assert!(is_local(ip("10.0.0.1"), ip("10.0.0.1")));
        assert!(!is_local(ip("10.0.0.2"), ip("10.0.0.1")));
    }
}
