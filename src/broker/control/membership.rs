//! Who the broker is among the copies of its store, and what it has heard of the others.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use ringmq_io::{Runtime, signal::Notify};
use ringmq_replication::{
    frames::Heartbeat,
    ids::{Epoch, ReplicaId},
    streams::{Identity, Party},
};
use ringmq_store::{OpenError, Replica, ReplicaFile};

use super::complaints::Complaints;

/// Of a broker that has copies, or is one.
pub struct Membership<R: Runtime> {
    pub identity: Arc<Identity>,
    /// What it has promised to the others.
    pub file: ReplicaFile<R>,
    nonces: ahash::RandomState,
    drawn: Cell<u64>,
    pub peers: Peers,
    /// Of connections that others have made.
    pub complaints: RefCell<Complaints>,
}

impl<R: Runtime> Membership<R> {
    pub fn new(identity: Identity, file: ReplicaFile<R>) -> Membership<R> {
        Membership {
            identity: Arc::new(identity),
            file,
            nonces: ahash::RandomState::new(),
            drawn: Cell::new(0),
            peers: Peers::default(),
            complaints: RefCell::default(),
        }
    }

    /// The epoch that it has joined.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.file.last().joined)
    }

    /// It follows the leader of an epoch from now on, and none of a smaller one. Durable when
    /// resolved.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub async fn join(&self, epoch: Epoch, leader: ReplicaId) -> Result<(), OpenError> {
        let last = self.file.last();
        if epoch.0 <= last.joined {
            return Ok(());
        }
        self.file.update(Replica { joined: epoch.0, leader: leader.0, ..last }).await
    }

    /// What a connection begins with.
    pub fn party<'a>(
        &'a self,
        secret: Option<&'a ringmq_replication::frames::secret::Secret>,
    ) -> Party<'a> {
        Party { identity: &self.identity, secret, nonce: self.nonce(), epoch: self.epoch() }
    }

    /// A number that nobody has seen before.
    pub fn nonce(&self) -> u128 {
        let drawn = self.drawn.get();
        self.drawn.set(drawn + 2);
        u128::from(self.nonces.hash_one(drawn)) << 64 | u128::from(self.nonces.hash_one(drawn + 1))
    }

    /// The broker has written everything.
    pub async fn close(&self) {
        let last = self.file.last();
        if let Err(error) = self.file.update(Replica { clean: true, ..last }).await {
            tracing::warn!(%error, "not noted that this copy was closed in order");
        }
    }
}

/// What is known of another member whose control connection is there.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    pub instance: u128,
    pub directory: u128,
    /// When it connected, by the monotonic clock.
    pub since: Duration,
    /// When something was last heard of it.
    pub heard: Duration,
    /// What it has said last of its logs, its metadata and its health.
    pub heartbeat: Option<Heartbeat>,
    /// Counts connections.
    connection: u64,
}

/// The other members that are connected: those that copy a master, or the master of a copy.
#[derive(Default)]
pub struct Peers {
    known: RefCell<BTreeMap<ReplicaId, Peer>>,
    connections: Cell<u64>,
    /// One has come or gone.
    changed: Notify,
}

/// One connection of a peer, as long as it is there.
pub struct Connected<'a> {
    peers: &'a Peers,
    replica: ReplicaId,
    connection: u64,
}

impl Peers {
    pub fn all(&self) -> Vec<(ReplicaId, Peer)> {
        self.known.borrow().iter().map(|(replica, peer)| (*replica, peer.clone())).collect()
    }

    pub fn count(&self) -> usize {
        self.known.borrow().len()
    }

    /// Resolves when one comes or goes after this call.
    pub fn changed(&self) -> impl Future<Output = ()> {
        self.changed.wait()
    }

    /// A peer has proven who it is. What it had before on another connection ends.
    ///
    /// # Errors
    /// If its directory is that of another peer: a sentence.
    pub fn connect(
        &self,
        replica: ReplicaId,
        (address, instance, directory): (SocketAddr, u128, u128),
        now: Duration,
    ) -> Result<Connected<'_>, String> {
        let mut known = self.known.borrow_mut();
        let same = known.iter().find(|(id, peer)| **id != replica && peer.directory == directory);
        if let Some((other, peer)) = same {
            return Err(format!(
                "replica {replica} at {address} has a copy of the directory of replica {other} at \
                 {} ({directory:032x}): remove the file `replica` of the copy, or empty it",
                peer.address
            ));
        }
        let connection = self.connections.get() + 1;
        self.connections.set(connection);
        let peer = Peer {
            address,
            instance,
            directory,
            since: now,
            heard: now,
            heartbeat: None,
            connection,
        };
        let before = known.insert(replica, peer).filter(|before| before.instance != instance);
        if let Some(before) = before {
            tracing::warn!(
                "replica {replica} was connected from {} and another process connects as such from \
                 {address}: if both run, give each broker its own brokerId and directory",
                before.address
            );
        }
        self.changed.notify();
        Ok(Connected { peers: self, replica, connection })
    }
}

impl Connected<'_> {
    /// Whether no later connection has replaced it.
    pub fn is_current(&self) -> bool {
        let known = self.peers.known.borrow();
        known.get(&self.replica).is_some_and(|peer| peer.connection == self.connection)
    }

    pub fn heard(&self, heartbeat: Heartbeat, now: Duration) {
        let mut known = self.peers.known.borrow_mut();
        let own = known.get_mut(&self.replica).filter(|peer| peer.connection == self.connection);
        if let Some(peer) = own {
            (peer.heartbeat, peer.heard) = (Some(heartbeat), now);
        }
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        if self.is_current() {
            self.peers.known.borrow_mut().remove(&self.replica);
        }
        self.peers.changed.notify();
    }
}
