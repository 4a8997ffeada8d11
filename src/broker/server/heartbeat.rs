//! Whether the shards of a broker handle messages, asked by a thread of none of them.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use ringmq_base::ShardId;
use ringmq_io::{mailbox::Sender, ring::RingRuntime};

use crate::{
    messages::Message,
    shard::{Shard, router::Lanes},
};

type Lane = Sender<Message<Shard<RingRuntime>>>;

/// Asks the shards for a sign of life.
pub struct Heartbeat(Vec<Lane>);

impl Heartbeat {
    pub(super) fn new(lanes: &[Lanes<Shard<RingRuntime>>]) -> Heartbeat {
        // Nothing in these lanes ever waits, however many requests there are.
        Heartbeat(lanes.iter().map(|lanes| lanes.replies.clone()).collect())
    }

    /// Asks all of them. Those that do not answer in this time; all is well without any.
    pub fn silent(&self, patience: Duration) -> Vec<ShardId> {
        let end = Instant::now() + patience;
        let (asked, answers) = mpsc::channel();
        for lane in &self.0 {
            // A lane without room belongs to a shard that has handled nothing for long.
            let _ = lane.try_send(Message::Ping(asked.clone()));
        }
        drop(asked);
        let shards = (0..self.0.len()).filter_map(|index| u16::try_from(index).ok());
        let mut silent: Vec<ShardId> = shards.map(ShardId).collect();
        while !silent.is_empty()
            && let Ok(answered) =
                answers.recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            silent.retain(|shard| *shard != answered);
        }
        silent
    }
}
