//! The server: accepts connections, reads requests, answers them in order, and drops brokers whose
//! connection ends or falls silent.

mod connection;
mod output_budget;
#[cfg(test)]
mod server_tests;
mod worker;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::Future,
    io,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    time::Duration,
};

use ringmq_base::config::NamesrvConfig;
use ringmq_io::{Accepted, Listener, Net, Runtime, Shares, signal::Event};
use ringmq_net::{
    accept::accept_all,
    addresses::{Addresses, Limits, is_loopback},
    input_budget::{Closable, Input, InputBudget},
    turn::Turn,
};
use ringmq_tls::{Acceptor, Handshakes, TlsStream};

use self::{
    connection::{Connection, ConnectionOf, Ended},
    output_budget::OutputBudget,
};
use crate::{
    answer::Peer,
    handlers::NameServer,
    kv::{KvLimits, file::KvFileError, store::KvStore},
    live_keys::LiveKeys,
    route::{ConnectionId, expire::Dropped},
};

/// How long connections may take to end when they are closed.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(3);

/// Topics that are removed, and addresses that are dropped or looked at, in one go.
const CLEAR_TOPICS: usize = 128;
const DROP_ADDRESSES: usize = 16;
const EXPIRE_ADDRESSES: usize = 512;

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
    /// How long a client may say nothing, and take nothing of its answers; zero: for ever.
    idle: Duration,
    stall: Duration,
    /// How long answers under way may take at the end.
    shutdown_wait: Duration,
    /// Longest body of a registration, in bytes.
    registration_bytes_max: usize,
    addresses: Addresses,
    handshakes: Rc<Handshakes>,
    input: InputBudget,
    outputs: OutputBudget,
    /// Held for a piece of long work.
    work: Turn,
    connections: RefCell<BTreeMap<u64, Rc<ConnectionOf<R>>>>,
    next_connection: Cell<u64>,
    closing: Event,
    /// No connection is accepted any more.
    accepted_last: Event,
    /// Set when the last connection has ended after `closing`.
    drained: Event,
}

/// Serves, with TLS as `tls` says, until `shutdown` resolves; then closes all connections, those
/// with an answer under way when it is sent, and resolves when they have ended, 3 seconds after
/// `shutdownWaitTimeSeconds` at the latest. Answers are sent as soon as they are known; changes of
/// the KV configuration are on stable storage before their answer.
pub async fn serve<R: Runtime>(
    runtime: R,
    config: NamesrvConfig,
    tls: &Acceptor,
    listener: <R::Net as Net>::Listener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    serve_led(runtime, config, tls, listener, |_| shutdown).await
}

/// A name server that serves.
pub struct Serving<R: Runtime>(Rc<Shared<R>>);

impl<R: Runtime> Serving<R> {
    /// Has live keys count as the configuration says them now.
    ///
    /// # Errors
    /// If one cannot be what it is to be: then none is changed.
    pub async fn reload(&self, keys: &[(String, String)]) -> Result<(), String> {
        self.0.server.reload(keys).await
    }
}

/// The same, until what `lead` makes of the server resolves.
pub async fn serve_led<R: Runtime, F: Future<Output = ()>>(
    runtime: R,
    config: NamesrvConfig,
    tls: &Acceptor,
    listener: <R::Net as Net>::Listener,
    lead: impl FnOnce(Serving<R>) -> F,
) -> Result<(), ServeError> {
    let limits = KvLimits {
        entries: usize::try_from(config.kv_entries_max).unwrap_or(usize::MAX),
        bytes: bytes(config.kv_bytes_max),
    };
    let path = config.kv_config_path.clone();
    let kv = KvStore::open(runtime.disk().clone(), path, limits).await?;
    let (live, config) = LiveKeys::open(runtime.disk().clone(), config).await?;
    let address = listener.local();
    let shared = Rc::new(Shared {
        started: runtime.monotonic(),
        idle: Duration::from_secs(config.server_channel_max_idle_time_seconds),
        stall: Duration::from_millis(config.output_stall_time_ms),
        shutdown_wait: Duration::from_secs(config.shutdown_wait_time_seconds),
        registration_bytes_max: bytes(config.input_bytes_max) / 2,
        addresses: Addresses::new(connection_limits(&config)),
        handshakes: Handshakes::new(tls),
        input: InputBudget::new(bytes(config.input_bytes_max)),
        outputs: OutputBudget::new(bytes(config.output_bytes_max)),
        work: Turn::default(),
        server: NameServer::new(config, kv, live),
        runtime: runtime.clone(),
        connections: RefCell::default(),
        next_connection: Cell::new(1),
        closing: Event::default(),
        accepted_last: Event::default(),
        drained: Event::default(),
    });
    tracing::info!("name server listens on {address}");
    let accept = Rc::clone(&shared).accept_loop(listener);
    runtime.spawn(Shares::Foreground, "name server accept", accept);
    runtime.spawn(Shares::Admin, "name server scan", Rc::clone(&shared).scan_loop());
    runtime.spawn(Shares::Foreground, "name server clear", Rc::clone(&shared).clear_loop());
    lead(Serving(Rc::clone(&shared))).await;
    shared.close(address).await;
    Ok(())
}

fn bytes(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
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
        self.accepted_last.set();
    }

    fn admit(self: &Rc<Self>, accepted: Accepted) {
        let address = accepted.peer;
        if let Err(refused) = self.addresses.enter(address.ip()) {
            tracing::warn!(peer = %address, "{refused}");
            return;
        }
        let stream = match self.runtime.net().adopt(accepted) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(peer = %address, "connection lost: {error}");
                return self.addresses.leave(address.ip());
            }
        };
        let id = self.next_connection.get();
        self.next_connection.set(id + 1);
        let local = is_loopback(address.ip());
        let peer = Peer { address, local, connection: ConnectionId(id) };
        let stream = TlsStream::accepted(stream, &self.handshakes);
        let connection = Rc::new(Connection::new(stream, address));
        self.connections.borrow_mut().insert(id, Rc::clone(&connection));
        let task = Rc::clone(self).converse(connection, peer);
        self.runtime.spawn(Shares::Foreground, "name server connection", task);
    }

    /// One connection from its first to its last byte, and what it leaves.
    async fn converse(self: Rc<Self>, connection: Rc<ConnectionOf<R>>, peer: Peer) {
        if let Err(ended) = connection::converse(&self, &connection, peer).await {
            let peer = peer.address;
            match ended {
                Ended::Malformed { .. } | Ended::Stalled { .. } => tracing::warn!(%peer, "{ended}"),
                _ => tracing::debug!(%peer, "{ended}"),
            }
        }
        connection.close();
        self.input.forget(&*connection);
        self.outputs.set(&*connection, 0, self.runtime.monotonic());
        let ConnectionId(id) = peer.connection;
        self.connections.borrow_mut().remove(&id);
        self.addresses.leave(peer.address.ip());
        loop {
            let (table, now) = (self.server.table(), self.now_ms());
            let dropped = table.borrow_mut().leave_some(peer.connection, now, DROP_ADDRESSES);
            let Some(dropped) = dropped else {
                break;
            };
            self.server.to_clear.set();
            for broker in &dropped {
                report(broker, peer.address, "its connection has ended");
            }
            self.runtime.yield_if_needed().await;
        }
        self.drained_if_empty();
    }

    /// The result of a read or write, or the end of patience, which 0 makes endless as in Java.
    async fn within<T>(
        &self,
        patience: Duration,
        operation: impl Future<Output = io::Result<T>>,
        late: impl FnOnce(Duration) -> Ended,
    ) -> Result<T, Ended> {
        let operation = async { operation.await.map_err(Ended::Broken) };
        if patience.is_zero() {
            return operation.await;
        }
        let timeout = async {
            self.runtime.sleep(patience).await;
            Err(late(patience))
        };
        futures_lite::future::or(operation, timeout).await
    }

    /// Notes what a connection's read buffer holds, and closes the slowest senders if all buffers
    /// are over their budget.
    fn note_input(&self, connection: &ConnectionOf<R>, input: &Input) {
        self.input.note(connection, input);
        while self.input.is_exceeded() {
            let open = self.connections.borrow();
            if !self.input.close_slowest(open.values().map(|connection| &**connection)) {
                return;
            }
        }
    }

    /// Closes the connection whose answer has been on its way for longest, but for one.
    fn close_longest(&self, but: &ConnectionOf<R>) -> bool {
        let open = self.connections.borrow();
        let all = open.values().map(|connection| &**connection);
        self.outputs.close_longest(all, but, self.runtime.monotonic())
    }

    /// Removes what has gone, a little at a time, until `closing`.
    async fn clear_loop(self: Rc<Self>) {
        while !self.closing.is_set() {
            let wanted = self.server.to_clear.wait_and_clear();
            futures_lite::future::or(wanted, self.closing.wait()).await;
            while !self.closing.is_set() {
                let turn = self.work.take().await;
                let more = self.server.table().borrow_mut().clear_some(CLEAR_TOPICS);
                drop(turn);
                if !more {
                    break;
                }
                self.runtime.yield_if_needed().await;
            }
        }
    }

    /// Drops silent brokers until `closing`.
    async fn scan_loop(self: Rc<Self>) {
        while !self.closing.is_set() {
            let interval = self.server.config().scan_not_active_broker_interval_ms;
            let sleep = self.runtime.sleep(Duration::from_millis(interval));
            futures_lite::future::or(sleep, self.closing.wait()).await;
            let mut next = None;
            loop {
                let (table, now) = (self.server.table(), self.now_ms());
                let dropped = table.borrow_mut().expire_some(now, &mut next, EXPIRE_ADDRESSES);
                for broker in &dropped {
                    self.drop_silent(broker);
                }
                if next.is_none() {
                    break;
                }
                self.runtime.yield_if_needed().await;
            }
        }
    }

    fn drop_silent(&self, broker: &Dropped) {
        self.server.to_clear.set();
        let ConnectionId(id) = broker.connection;
        let connection = self.connections.borrow().get(&id).cloned();
        match connection {
            Some(connection) => {
                report(broker, Closable::peer(&*connection), "it was silent for too long");
                connection.close();
            }
            None => report(broker, &broker.address, "it was silent for too long"),
        }
    }

    async fn close(&self, address: SocketAddr) {
        self.closing.set();
        self.close_connections(|connection| !connection.is_busy());
        self.drained_if_empty();
        // A waiting accept must not be dropped: one more connection ends it.
        match self.runtime.net().connect(reachable(address)).await {
            Ok(_) => {
                let patience = self.runtime.sleep(SHUTDOWN_PATIENCE);
                futures_lite::future::or(self.accepted_last.wait(), patience).await;
            }
            Err(error) => tracing::debug!("cannot end the accept loop: {error}"),
        }
        let answered = self.runtime.sleep(self.shutdown_wait);
        futures_lite::future::or(self.drained.wait(), answered).await;
        self.close_connections(|_| true);
        let patience = self.runtime.sleep(SHUTDOWN_PATIENCE);
        futures_lite::future::or(self.drained.wait(), patience).await;
    }

    fn close_connections(&self, which: impl Fn(&ConnectionOf<R>) -> bool) {
        let open = self.connections.borrow();
        open.values()
            .filter(|connection| which(connection))
            .for_each(|connection| connection.close());
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

/// Where a listener can be reached; one on all addresses by IPv4, which every machine has.
fn reachable(address: SocketAddr) -> SocketAddr {
    let all = address.ip().is_unspecified();
    let ip = if all { Ipv4Addr::LOCALHOST.into() } else { address.ip() };
    SocketAddr::new(ip, address.port())
}

fn report(broker: &Dropped, peer: impl std::fmt::Display, reason: &str) {
    let Dropped { cluster, address, broker_name, silent_ms, .. } = broker;
    tracing::warn!(
        %peer,
        "broker {broker_name} {address} of cluster {cluster} is dropped: {reason}; last heard of \
         {silent_ms} ms ago"
    );
}
