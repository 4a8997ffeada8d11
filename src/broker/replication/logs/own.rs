//! What this broker says of itself where it speaks about a log.

use std::{cell::Cell, sync::Arc};

use ahash::RandomState;
use ringmq_replication::{
    Epoch, ReplicaId,
    streams::{Identity, Party},
};

use crate::{replication::master, shard::settings::BrokerSettings};

pub struct Own {
    identity: Arc<Identity>,
    settings: Arc<BrokerSettings>,
    nonces: RandomState,
    drawn: Cell<u64>,
}

impl Own {
    pub fn new(settings: &Arc<BrokerSettings>, identity: Arc<Identity>) -> Own {
        let (nonces, drawn) = (RandomState::new(), Cell::default());
        Own { identity, settings: settings.clone(), nonces, drawn }
    }

    pub fn replica(&self) -> ReplicaId {
        self.identity.replica
    }

    /// For one connection, in an epoch.
    pub fn party(&self, epoch: Epoch) -> Party<'_> {
        let (identity, secret) = (&*self.identity, master::secret(&self.settings));
        Party { identity, secret, nonce: self.draw(), epoch }
    }

    /// A number that nobody has seen before.
    fn draw(&self) -> u128 {
        let half = || {
            self.drawn.set(self.drawn.get() + 1);
            u128::from(self.nonces.hash_one(self.drawn.get()))
        };
        half() << 64 | half()
    }
}
