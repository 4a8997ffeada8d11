//! The shards of a broker before their executors run them: lanes between all of them.

use std::sync::{Arc, mpsc};

use ringmq_base::ShardId;
use ringmq_io::{Runtime, mailbox::mailbox};

use crate::{
    run::{ShardMessage, ShardParts},
    shard::{Shard, router::Lanes, settings::BrokerSettings, view_version::Published},
};

/// What is made at once for all shards of a broker.
pub struct BrokerParts<R: Runtime> {
    pub lanes: Vec<Lanes<Shard<R>>>,
    pub shards: Vec<ShardParts<R>>,
    /// Every shard says here that it is ready, or why not.
    pub reports: mpsc::Receiver<Result<ShardId, String>>,
    /// The control shard says here that the first registration has been tried.
    pub tried: mpsc::Receiver<()>,
}

impl<R: Runtime> BrokerParts<R> {
    pub fn new(settings: &Arc<BrokerSettings>, shards: usize) -> Self {
        let room = settings.sizes.lane_messages;
        let published = Published::default();
        let (report, reports) = mpsc::channel();
        let (try_report, tried) = mpsc::channel();
        let mut lanes = Vec::new();
        let mut inboxes = Vec::new();
        for _ in 0..shards {
            let (requests, requests_inbox) = mailbox::<ShardMessage<R>>(room);
            let (replies, replies_inbox) = mailbox::<ShardMessage<R>>(room);
            lanes.push(Lanes::new(requests, replies));
            inboxes.push((requests_inbox, replies_inbox));
        }
        let shards = inboxes.into_iter().enumerate();
        let shards = shards.map(|(index, (requests, replies))| ShardParts {
            id: ShardId(index as u16),
            settings: settings.clone(),
            lanes: lanes.clone(),
            requests,
            replies,
            published: published.clone(),
            report: report.clone(),
            tried: try_report.clone(),
        });
        BrokerParts { shards: shards.collect(), lanes, reports, tried }
    }
}
