//! The shards of a broker before their executors run them: lanes between all of them.

use std::sync::{Arc, mpsc};

use ringmq_base::ShardId;
use ringmq_io::mailbox::mailbox;

use crate::{
    messages::Message,
    run::Seat,
    shard::{router::Lanes, settings::Facts, view_version::Published},
};

/// What is made at once for all shards of a broker.
pub struct Seats {
    pub lanes: Vec<Lanes>,
    pub seats: Vec<Seat>,
    /// Every shard says here that it is ready, or why not.
    pub reports: mpsc::Receiver<Result<ShardId, String>>,
}

impl Seats {
    pub fn new(facts: &Arc<Facts>, shards: usize) -> Seats {
        let room = facts.sizes.lane_messages;
        let published = Published::default();
        let (report, reports) = mpsc::channel();
        let mut lanes = Vec::new();
        let mut inboxes = Vec::new();
        for _ in 0..shards {
            let (requests, requests_inbox) = mailbox::<Message>(room);
            let (replies, replies_inbox) = mailbox::<Message>(room);
            lanes.push(Lanes { requests, replies });
            inboxes.push((requests_inbox, replies_inbox));
        }
        let seats = inboxes.into_iter().enumerate();
        let seats = seats.map(|(index, (requests, replies))| Seat {
            id: ShardId(index as u16),
            facts: facts.clone(),
            lanes: lanes.clone(),
            requests,
            replies,
            published: published.clone(),
            report: report.clone(),
        });
        Seats { seats: seats.collect(), lanes, reports }
    }
}
