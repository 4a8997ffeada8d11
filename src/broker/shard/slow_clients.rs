//! Whose clients hold room for answers of a shard, and how slowly they take them.

use std::{cmp::Reverse, collections::BTreeMap, rc::Rc, time::Duration};

use ringmq_base::ShardId;
use ringmq_io::Runtime;
use ringmq_rules::ConnectionId;

use super::Shard;
use crate::net::connections::Slow;

impl<R: Runtime> Shard<R> {
    /// Connections for which this shard counts answers that are not taken: the slowest first, as
    /// far as anything is known of them; sure if they were `watched` for so long.
    pub async fn slowest(self: &Rc<Self>, watched: Duration) -> Vec<Slow> {
        let mut all = self.connections.counted(self.runtime.monotonic(), watched);
        all.extend(self.slow_elsewhere(watched).await);
        all.sort_unstable_by_key(|slow| (Reverse(slow.pace.time), slow.connection));
        all
    }

    /// Those of other shards, which know how slow they are.
    async fn slow_elsewhere(self: &Rc<Self>, watched: Duration) -> Vec<Slow> {
        let mut by_shard = BTreeMap::<u16, Vec<(ConnectionId, usize)>>::new();
        for (connection, held) in self.answer_room.made() {
            by_shard.entry(connection.shard).or_default().push((connection, held));
        }
        let mut slow = Vec::new();
        for (owner, made) in by_shard {
            let ids: Vec<_> = made.iter().map(|(connection, _)| *connection).collect();
            let times = async move |shard: Rc<Self>| {
                let now = shard.runtime.monotonic();
                shard.connections.times_to_take(&ids, now, watched)
            };
            let times = self.call(ShardId(owner), times).await;
            let known = made.into_iter().zip(times);
            slow.extend(known.filter_map(|((connection, held), pace)| {
                pace.map(|pace| Slow { pace, connection, held })
            }));
        }
        slow
    }
}
