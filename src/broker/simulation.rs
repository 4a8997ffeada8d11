//! A whole broker as tasks of one executor, for deterministic simulations: the product's code from
//! its [parts](crate::run::ShardParts) on, with all shards on one thread.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{Arc, mpsc},
};

use ringmq_base::ShardId;
use ringmq_io::{Runtime, Shares, signal::Event};

use crate::{
    messages::Message,
    parts::BrokerParts,
    run,
    shard::{Shard, router::Lanes, settings::BrokerSettings},
};

/// What a shard holds in memory for others, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Requests for another shard that found its lane full, in messages; the most of any peer.
    pub backlog_messages: usize,
    /// What waits for other shards: collected, or in front of full lanes.
    pub router_bytes: usize,
    /// Answers that clients have not taken; the most of any connection.
    pub output_bytes: usize,
    /// Answers that this shard counts, see `outputBytesMax`.
    pub answer_bytes: usize,
    /// Of these, what is set aside, or made for connections of other shards.
    pub promised_bytes: usize,
    /// Pulls that wait for room for their answers.
    pub pulls_without_room: usize,
    /// Memory of read buffers, beyond that of idle connections.
    pub input_bytes: usize,
    /// Sends of other shards that wait for room in a log.
    pub waiting_send_bytes: usize,
    /// Appended and not written; the most of any log.
    pub log_bytes: usize,
}

type Probe = Box<dyn Fn() -> Option<Held>>;

/// A broker whose shards are tasks of the executor of a runtime. It ends with the simulation.
pub struct Simulated<R: Runtime> {
    lanes: Vec<Lanes<Shard<R>>>,
    reports: mpsc::Receiver<Result<ShardId, String>>,
    ended: Rc<Event>,
    running: Rc<RefCell<usize>>,
    probes: Rc<RefCell<Vec<Probe>>>,
}

/// Starts all shards. Ready when [`Simulated::ready`] resolves.
pub fn start<R: Runtime>(runtime: &R, settings: BrokerSettings, shards: usize) -> Simulated<R> {
    let BrokerParts { lanes, shards: all, reports, .. } =
        BrokerParts::new(&Arc::new(settings), shards);
    let broker = Simulated {
        lanes,
        reports,
        ended: Rc::default(),
        running: Rc::new(RefCell::new(shards)),
        probes: Rc::default(),
    };
    for parts in all {
        let (own, probes) = (runtime.clone(), broker.probes.clone());
        let (ended, running) = (broker.ended.clone(), broker.running.clone());
        runtime.spawn(Shares::Foreground, "shard", async move {
            let watch = |shard: &Rc<Shard<R>>| {
                let shard = Rc::downgrade(shard);
                probes.borrow_mut().push(Box::new(move || Some(held(&*shard.upgrade()?))));
            };
            run::run_watched(own, parts, watch).await;
            *running.borrow_mut() -= 1;
            ended.set();
        });
    }
    broker
}

impl<R: Runtime> Simulated<R> {
    /// Resolves when every shard is ready, or with the sentence why one could not start.
    pub async fn ready(&self, runtime: &R) -> Result<(), String> {
        for _ in 0..self.lanes.len() {
            loop {
                match self.reports.try_recv() {
                    Ok(report) => break report.map(|_| ())?,
                    Err(mpsc::TryRecvError::Disconnected) => return Err("it has ended".to_owned()),
                    Err(mpsc::TryRecvError::Empty) => {
                        runtime.sleep(std::time::Duration::from_millis(1)).await;
                    }
                }
            }
        }
        Ok(())
    }

    /// Tells all shards to stop, as the product does at a signal.
    pub fn shut_down(&self) {
        for lane in &self.lanes {
            // A lane that takes nothing belongs to a shard that has ended.
            let _ = lane.requests.try_send(Message::Shutdown);
        }
    }

    /// Resolves when all shards have ended.
    pub async fn ended(&self) {
        while *self.running.borrow() > 0 {
            self.ended.wait_and_clear().await;
        }
    }

    /// What each shard holds now.
    pub fn held(&self) -> Vec<Held> {
        self.probes.borrow().iter().filter_map(|probe| probe()).collect()
    }
}

fn held<R: Runtime>(shard: &Shard<R>) -> Held {
    let (backlog_messages, router_bytes) = shard.router.held();
    Held {
        backlog_messages,
        router_bytes,
        output_bytes: shard.connections.output_bytes_max(),
        answer_bytes: shard.answer_room.budget.bytes(),
        promised_bytes: shard.answer_room.budget.promised(),
        pulls_without_room: shard.answer_room.waiting(),
        input_bytes: shard.connections.input_bytes(),
        waiting_send_bytes: shard.waiting_sends.bytes(),
        log_bytes: shard.queues.own_logs().map(|log| log.backlog_bytes()).max().unwrap_or(0),
    }
}
