//! Takes the messages of TopicTest until it is told to end: a member of a group that shares its
//! queues with the others, as Java's push consumers do.

mod worker;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use ringmq_remoting::{
    body::{ConsumerData, GetConsumerListByGroupResponseBody, HeartbeatData, SubscriptionData},
    codes::request,
};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::{
    TOPIC,
    channel::Channel,
    client_id, name_servers, now_ms,
    route::{Need, Queue, queues},
};
use worker::Worker;

const GROUP: &str = "please_rename_unique_group_name_4";
const HEARTBEAT: Duration = Duration::from_secs(30);
const REBALANCE: Duration = Duration::from_secs(20);
const COMMIT: Duration = Duration::from_secs(5);
/// After which a server that could not be reached is tried again.
const RETRY: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(50);

/// Consumes until SIGINT or SIGTERM.
///
/// # Errors
/// When signals cannot be waited for, or standard output is closed.
pub fn run() -> anyhow::Result<ExitCode> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, stop.clone()).context("cannot wait for signals")?;
    }
    let mut member = Member::new();
    writeln!(std::io::stdout(), "Consumer Started.").context("standard output")?;
    while !stop.load(Ordering::Relaxed) {
        member.turn();
        thread::sleep(TICK);
    }
    member.leave();
    Ok(ExitCode::SUCCESS)
}

struct Member {
    name_servers: String,
    client_id: String,
    subscriptions: Vec<SubscriptionData>,
    /// Connections by which brokers know this client, by address.
    channels: BTreeMap<String, Channel>,
    workers: BTreeMap<Queue, Worker>,
    beat_at: Instant,
    rebalance_at: Instant,
    commit_at: Instant,
    /// What was said last, so that it is said once.
    complaint: String,
}

impl Member {
    fn new() -> Member {
        let version = i64::try_from(now_ms()).unwrap_or(i64::MAX);
        let subscribed = [TOPIC.to_owned(), format!("%RETRY%{GROUP}")].map(|topic| {
            let (sub_string, sub_version) = ("*".to_owned(), version);
            SubscriptionData { topic, sub_string, sub_version, ..SubscriptionData::default() }
        });
        let now = Instant::now();
        Member {
            name_servers: name_servers(),
            client_id: client_id(),
            subscriptions: subscribed.into(),
            channels: BTreeMap::new(),
            workers: BTreeMap::new(),
            beat_at: now,
            rebalance_at: now,
            commit_at: now + COMMIT,
            complaint: String::new(),
        }
    }

    /// Does what is due.
    fn turn(&mut self) {
        let mut changed = false;
        let mut lost = Vec::new();
        for (address, channel) in &mut self.channels {
            match channel.listen() {
                Ok(members_changed) => changed |= members_changed,
                Err(_) => lost.push(address.clone()),
            }
        }
        for address in lost {
            self.channels.remove(&address);
            self.beat_at = Instant::now();
        }
        let now = Instant::now();
        if now >= self.beat_at || now >= self.rebalance_at || changed {
            match self.rebalance(now >= self.beat_at) {
                Ok(()) => self.complaint.clear(),
                Err(error) => self.complain(&error),
            }
        }
        if now >= self.commit_at {
            self.commit_at = now + COMMIT;
            self.commit();
        }
    }

    fn complain(&mut self, error: &anyhow::Error) {
        let text = format!("{error:#}");
        if text != self.complaint {
            eprintln!("{text}");
            self.complaint = text;
        }
        self.rebalance_at = Instant::now() + RETRY;
        self.beat_at = self.rebalance_at;
    }

    /// Takes this member's share of the queues.
    fn rebalance(&mut self, beat: bool) -> anyhow::Result<()> {
        let mut all = Vec::new();
        for subscription in &self.subscriptions {
            all.push(queues(&self.name_servers, &subscription.topic, Need::Read)?);
        }
        let addresses: BTreeSet<String> =
            all.iter().flatten().map(|queue| queue.address.clone()).collect();
        self.channels.retain(|address, _| addresses.contains(address));
        let mut new = false;
        for address in &addresses {
            if !self.channels.contains_key(address) {
                self.channels.insert(address.clone(), Channel::connect(address)?);
                new = true;
            }
        }
        if beat || new {
            self.beat()?;
        }
        let mut own = BTreeSet::new();
        for queues in &all {
            let Some(first) = queues.first() else { continue };
            let members = self.members(&first.address)?;
            own.extend(share(queues, &members, &self.client_id));
        }
        self.take(&own);
        // Without a queue there may be one soon: the topic may not be there yet.
        let wait = if own.is_empty() { RETRY } else { REBALANCE };
        self.rebalance_at = Instant::now() + wait;
        Ok(())
    }

    /// Stops and starts workers until they are those of these queues.
    fn take(&mut self, own: &BTreeSet<Queue>) {
        let gone: Vec<Queue> =
            self.workers.keys().filter(|queue| !own.contains(queue)).cloned().collect();
        for queue in gone {
            if let Some(worker) = self.workers.remove(&queue) {
                worker.stop();
                self.commit_one(&queue, worker.offset());
            }
        }
        for queue in own {
            if !self.workers.contains_key(queue) {
                let thread =
                    format!("ConsumeMessageThread_{GROUP}_{}", 1 + self.workers.len() % 20);
                let worker = Worker::start(queue.clone(), GROUP, thread);
                self.workers.insert(queue.clone(), worker);
            }
        }
    }

    fn beat(&mut self) -> anyhow::Result<()> {
        let group = ConsumerData {
            group_name: GROUP.to_owned(),
            consume_type: Some("CONSUME_PASSIVELY".to_owned()),
            message_model: Some("CLUSTERING".to_owned()),
            consume_from_where: Some("CONSUME_FROM_FIRST_OFFSET".to_owned()),
            subscription_data_set: self.subscriptions.clone(),
            unit_mode: false,
        };
        let beat = HeartbeatData {
            client_id: self.client_id.clone(),
            consumer_data_set: vec![group],
            ..HeartbeatData::default()
        };
        let body = serde_json::to_vec(&beat)?;
        for channel in self.channels.values_mut() {
            channel.call(request::HEART_BEAT, &[], &body)?.success()?;
        }
        self.beat_at = Instant::now() + HEARTBEAT;
        Ok(())
    }

    /// Ids of all members that a broker knows, sorted.
    fn members(&mut self, address: &str) -> anyhow::Result<Vec<String>> {
        let channel = self.channels.get_mut(address).context("connected to every broker")?;
        let fields = [("consumerGroup", GROUP)];
        let answer = channel.call(request::GET_CONSUMER_LIST_BY_GROUP, &fields, &[])?.success()?;
        let body: GetConsumerListByGroupResponseBody = serde_json::from_slice(&answer.body)?;
        let mut members = body.consumer_id_list;
        members.sort();
        Ok(members)
    }

    fn commit(&mut self) {
        let done: Vec<(Queue, i64)> =
            self.workers.iter().map(|(queue, worker)| (queue.clone(), worker.offset())).collect();
        for (queue, offset) in done {
            self.commit_one(&queue, offset);
        }
    }

    /// What cannot be committed now is committed in the next turn.
    fn commit_one(&mut self, queue: &Queue, offset: i64) {
        let Some(channel) = self.channels.get_mut(&queue.address).filter(|_| offset >= 0) else {
            return;
        };
        let (id, offset) = (queue.id.to_string(), offset.to_string());
        let fields = [
            ("consumerGroup", GROUP),
            ("topic", &*queue.topic),
            ("queueId", &*id),
            ("commitOffset", &*offset),
        ];
        if channel.call(request::UPDATE_CONSUMER_OFFSET, &fields, &[]).is_err() {
            self.channels.remove(&queue.address);
            self.beat_at = Instant::now();
        }
    }

    fn leave(&mut self) {
        for worker in self.workers.values() {
            worker.stop();
        }
        self.commit();
        for channel in self.channels.values_mut() {
            let fields = [("clientID", &*self.client_id), ("consumerGroup", GROUP)];
            // They notice it by the connection as well.
            let _ = channel.call(request::UNREGISTER_CLIENT, &fields, &[]);
        }
    }
}

/// The part of the queues that one of the members has: neighbours, as evenly as possible, the first
/// members one more.
fn share<'a>(
    queues: &'a [Queue],
    members: &[String],
    own: &str,
) -> impl Iterator<Item = Queue> + use<'a> {
    let place = members.iter().position(|member| member == own);
    let (first, count) = place.map_or((0, 0), |place| {
        let (each, more) = (queues.len() / members.len(), queues.len() % members.len());
        (place * each + place.min(more), each + usize::from(place < more))
    });
    queues.iter().skip(first).take(count).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_queues_have_one_owner_whoever_the_members_are() {
        let (topic, broker) = ("T".to_owned(), "a".to_owned());
        let queue =
            |id| Queue { topic: topic.clone(), broker: broker.clone(), id, address: String::new() };
        let queues: Vec<Queue> = (0..7).map(queue).collect();
        for count in 1..10 {
            let members: Vec<String> = (0..count).map(|number| format!("m{number}")).collect();
            let shares: Vec<usize> =
                members.iter().map(|own| share(&queues, &members, own).count()).collect();
            let all: Vec<Queue> =
                members.iter().flat_map(|own| share(&queues, &members, own)).collect();
            assert_eq!(all, queues, "{count} members");
            assert!(shares.is_sorted_by(|a, b| a >= b), "{shares:?}");
            assert!(shares[0] - shares[count - 1] <= 1, "{shares:?}");
        }
        assert_eq!(share(&queues, &["other".to_owned()], "own").count(), 0);
    }
}
