//! What a member tells of itself with each heartbeat.

use std::{cell::RefCell, rc::Rc};

use ringmq_io::Runtime;
use ringmq_replication::{
    frames::Health,
    streams::control::{Facts, HEARTBEAT},
};

use crate::shard::Shard;

/// Kept up to date as long as somebody hears it.
#[derive(Default)]
pub struct OwnFacts {
    /// By log: its end, and how far it is committed.
    logs: RefCell<Vec<(u64, u64)>>,
    health: RefCell<Health>,
}

/// What a shard says of one of its logs.
type OfLog = (usize, (u64, u64), bool);

impl OwnFacts {
    /// With the last entry of metadata, and its hash.
    pub fn with(&self, metadata: (u64, u64)) -> Facts {
        Facts { metadata, health: *self.health.borrow(), logs: self.logs.borrow().clone() }
    }

    /// Asks all shards, for ever.
    pub async fn refresh<R: Runtime, T>(&self, shard: &Rc<Shard<R>>) -> T {
        loop {
            let all = shard.call_all(async |shard: Rc<Shard<R>>| of_shard(&shard)).await;
            let mut logs = vec![(0, 0); usize::from(shard.queues.log_count())];
            let mut is_fenced = false;
            for (log, ends, fenced) in all.into_iter().flatten() {
                logs.get_mut(log).into_iter().for_each(|place| *place = ends);
                is_fenced |= fenced;
            }
            self.logs.replace(logs);
            let is_leaving = shard.stopping.get();
            self.health.replace(Health { is_fenced, is_leaving, ..Health::default() });
            shard.runtime.sleep(HEARTBEAT).await;
        }
    }
}

fn of_shard<R: Runtime>(shard: &Shard<R>) -> Vec<OfLog> {
    let logs = shard.queues.own_logs();
    let of_log = |log: &crate::shard::BrokerLog<R>| {
        let ends = log.ends();
        (log.id().index(), (ends.end.0, ends.committed.0), log.failure().is_some())
    };
    logs.map(of_log).collect()
}
