//! What a slave knows of its master, in the view of every shard.

use std::sync::Arc;

use ringmq_io::Runtime;

use super::{Control, registration::master::MasterAddress};
use crate::messages::{Change, SlaveView};

impl<R: Runtime> Control<R> {
    /// A name server has told where the master is.
    pub(super) fn note_master(&self, told: &MasterAddress) {
        if !self.registrar.master.note(told) {
            return;
        }
        let MasterAddress { ha, client } = self.registrar.master.address();
        let known =
            |address: &Option<Arc<str>>| address.as_deref().unwrap_or("not known").to_owned();
        tracing::info!(
            master = known(&client),
            ha = known(&ha),
            "the master of this slave is known"
        );
        self.publish_slave(|slave| slave.with((ha, client), slave.is_heard));
    }

    /// Whether this slave has a connection to its master; in the view of all shards when it
    /// returns, in that of others before whatever they are sent next.
    pub fn master_is_heard(&self, is_heard: bool) {
        let now = self.shard.view.borrow().slave.as_ref().map(|slave| slave.is_heard);
        if now.is_some_and(|now| now != is_heard) {
            self.publish_slave(|slave| slave.with(slave.addresses(), is_heard));
        }
    }

    fn publish_slave(&self, change: impl FnOnce(&SlaveView) -> SlaveView) {
        let now = self.shard.view.borrow().slave.clone();
        if let Some(slave) = now {
            self.publish(Change::Slave(Arc::new(change(&slave))));
        }
    }
}
