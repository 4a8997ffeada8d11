//! Which queues of which brokers the load goes to.

use std::net::SocketAddr;

/// The brokers and their queues.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Topic names.
    pub topics: Vec<String>,
    /// Brokers with at least one queue.
    pub brokers: Vec<Broker>,
    /// Queues that a send asks for when the broker has to create the topic.
    pub default_queues: u32,
}

/// A master.
#[derive(Debug, Clone)]
pub struct Broker {
    /// Broker name.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its queues, in the order in which they are used.
    pub queues: Vec<Queue>,
}

/// A queue of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// Index into [`Plan::topics`].
    pub topic: usize,
    /// Queue id.
    pub queue: u32,
}

impl Plan {
    /// Adds the queues of one topic on one broker.
    pub fn add(&mut self, topic: usize, broker: &str, address: SocketAddr, queues: u32) {
        let place = self.brokers.iter().position(|known| known.name == broker);
        let place = place.unwrap_or_else(|| {
            self.brokers.push(Broker { name: broker.to_owned(), address, queues: Vec::new() });
            self.brokers.len() - 1
        });
        self.brokers[place].queues.extend((0..queues).map(|queue| Queue { topic, queue }));
    }

    /// Number of queues on all brokers.
    pub fn queues(&self) -> usize {
        self.brokers.iter().map(|broker| broker.queues.len()).sum()
    }
}
