//! One thread that pulls: one pull in flight for each queue.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use anyhow::ensure;
use mio::{Events, Poll, Token};
use serde_json::json;

use crate::arguments::{DEPTH_MAX, Options};
use crate::clock::nanoseconds;
use crate::connection::{Connection, Received};
use crate::plan::Plan;
use crate::pull::PullTemplate;
use crate::record::Records;
use crate::reply::{Reply, Scanner};
use crate::slots::Slots;
use crate::statistics::{CODE_CONNECTION_LOST, CODE_TIMEOUT, Counters, Recorder};
use crate::worker::{
    HEARTBEAT_NS, Meter, RECONNECT_NS, Shared, TICK, connect_error, heartbeat_frame,
};

const FOUND: i32 = 0;
const PULL_NOT_FOUND: i32 = 19;
const PULL_RETRY_IMMEDIATELY: i32 = 20;
const PULL_OFFSET_MOVED: i32 = 21;
/// The broker may hold a pull for 15 s; the tool's own patience comes on top.
const SUSPEND_NS: u64 = 15_000_000_000;
/// An empty answer that comes sooner was not held: the next pull waits for the tick.
const HELD_NS_MIN: u64 = 1_000_000;

/// A pulling thread.
pub struct Consumer {
    shared: Shared,
    poll: Poll,
    connections: Vec<Link>,
    scanner: Scanner,
    recorder: Recorder,
    meter: Meter,
}

/// Where a queue begins, as the broker said.
pub type Offsets = Vec<Vec<i64>>;

struct Link {
    connection: Option<Connection>,
    name: String,
    address: SocketAddr,
    slots: Slots,
    /// Queue that each slot pulls.
    owners: Vec<usize>,
    queues: Vec<Queue>,
    /// Queues without a pull in flight, to be pulled at the next tick.
    idle: Vec<usize>,
    reconnect_ns: u64,
    beat_ns: u64,
    client_id: String,
    /// Sums since the counters were told.
    tally: Tally,
}

struct Queue {
    template: PullTemplate,
    next: i64,
    /// Where --replay goes on after the end.
    begin: i64,
    /// Offset that the next record must have; unknown after a jump.
    expected: Option<i64>,
}

#[derive(Default)]
struct Tally {
    messages: u64,
    bytes: u64,
    answered: u64,
    failed: u64,
    born_ms: u64,
    born_ms_max: u64,
    stored_ms: u64,
    stored_ms_max: u64,
}

impl Consumer {
    /// Connects. `begin` has the first offset of each queue of each broker of the plan.
    ///
    /// # Errors
    /// When a broker cannot be reached.
    pub fn new(shared: Shared, plan: &Plan, begin: &Offsets) -> anyhow::Result<Consumer> {
        let poll = Poll::new()?;
        let (connections, _) = shared.options.connections_and_depth();
        let mine = shared.share(u64::from(connections)) as usize;
        let (threads, thread) = (shared.options.threads as usize, shared.thread as usize);
        let mut links = Vec::new();
        for (broker, begins) in plan.brokers.iter().zip(begin) {
            for number in 0..mine {
                // Queue q belongs to connection q modulo the number of all connections.
                let number = number * threads + thread;
                let queues: Vec<Queue> = broker
                    .queues
                    .iter()
                    .zip(begins)
                    .skip(number)
                    .step_by(connections as usize)
                    .map(|(queue, begin)| Queue {
                        template: PullTemplate::new(
                            &shared.options,
                            &shared.group,
                            &plan.topics[queue.topic],
                            queue.queue,
                        ),
                        next: *begin,
                        begin: *begin,
                        expected: Some(*begin),
                    })
                    .collect();
                ensure!(
                    queues.len() <= DEPTH_MAX as usize,
                    "{} queues on one connection, the limit is {DEPTH_MAX}: raise --connections",
                    queues.len()
                );
                if !queues.is_empty() {
                    let id = shared.client_id("consumer", links.len());
                    links.push(Link::new(&broker.name, broker.address, queues, id));
                }
            }
        }
        for (index, link) in links.iter_mut().enumerate() {
            let connection = Connection::open(
                link.address,
                shared.connector.as_ref(),
                poll.registry(),
                Token(index),
            )
            .map_err(|error| connect_error(error, &link.name, link.address))?;
            link.connection = Some(connection);
        }
        Ok(Consumer {
            shared,
            poll,
            connections: links,
            scanner: Scanner::new(),
            recorder: Recorder::new(),
            meter: Meter::default(),
        })
    }

    /// Pulls until the run is over. Pulls that the broker holds then are abandoned.
    pub fn run(mut self, topics: &[String]) -> anyhow::Result<Recorder> {
        let mut events = Events::with_capacity(1024);
        let mut tick_ns = 0;
        loop {
            let now_ns = self.shared.clock.now_ns();
            self.meter.observe(&self.shared.window, now_ns);
            if self.shared.quota.is_filled() || self.shared.is_over(now_ns) {
                self.meter.finish(&mut self.recorder, &self.shared.window, now_ns);
                return Ok(self.recorder);
            }
            if now_ns >= tick_ns {
                tick_ns = now_ns + nanoseconds(TICK);
                self.tick(now_ns, topics);
            }
            self.poll.poll(&mut events, Some(TICK))?;
            for event in &events {
                let Token(index) = event.token();
                let closed = event.is_read_closed() || event.is_error();
                let Some(link) = self.connections.get_mut(index) else {
                    continue;
                };
                let (shared, recorder) = (&self.shared, &mut self.recorder);
                if link.serve(shared, &mut self.scanner, recorder, closed).is_err() {
                    link.lose(shared, recorder);
                }
            }
        }
    }

    fn tick(&mut self, now_ns: u64, topics: &[String]) {
        let patience_ns = SUSPEND_NS + nanoseconds(self.shared.options.timeout);
        for (index, link) in self.connections.iter_mut().enumerate() {
            let expired = link.slots.expire(now_ns.saturating_sub(patience_ns));
            if expired > 0 {
                self.recorder.fail(CODE_TIMEOUT, expired, || {
                    format!("no answer to a pull within {patience_ns} ns")
                });
                Counters::add(&self.shared.counters.send_failed, expired);
                // Which queues these were is not known: all of the connection begin again.
                link.lose(&self.shared, &mut self.recorder);
            }
            if link.connection.is_none() && now_ns >= link.reconnect_ns {
                link.connection = Connection::open(
                    link.address,
                    self.shared.connector.as_ref(),
                    self.poll.registry(),
                    Token(index),
                )
                .ok();
                link.reconnect_ns = now_ns + RECONNECT_NS;
            }
            link.beat(&self.shared, topics, now_ns);
            if link.connection.is_some() {
                for queue in std::mem::take(&mut link.idle) {
                    link.pull(queue, now_ns);
                }
                if link.flush().is_err() {
                    link.lose(&self.shared, &mut self.recorder);
                }
            }
        }
    }
}

impl Link {
    fn new(name: &str, address: SocketAddr, queues: Vec<Queue>, client_id: String) -> Link {
        Link {
            connection: None,
            name: name.to_owned(),
            address,
            slots: Slots::new(u32::try_from(queues.len()).unwrap_or(u32::MAX)),
            owners: vec![0; queues.len()],
            idle: (0..queues.len()).collect(),
            queues,
            reconnect_ns: 0,
            beat_ns: 0,
            client_id,
            tally: Tally::default(),
        }
    }

    fn serve(
        &mut self,
        shared: &Shared,
        scanner: &mut Scanner,
        recorder: &mut Recorder,
        until_closed: bool,
    ) -> std::io::Result<()> {
        let Some(mut connection) = self.connection.take() else {
            return Ok(());
        };
        loop {
            let received = connection.receive()?;
            let now_ns = shared.clock.now_ns();
            while let Some(frame) = connection.next_frame()? {
                let reply = scanner.scan(frame).ok_or(std::io::ErrorKind::InvalidData)?;
                let answered = reply.is_response.then(|| self.slots.complete(reply.opaque));
                let Some(Some(started_ns)) = answered else {
                    continue;
                };
                let queue = self.owners[Slots::number(reply.opaque)];
                let held_ns = now_ns.saturating_sub(started_ns);
                match self.take_reply(queue, &reply, held_ns, shared, recorder, now_ns) {
                    Next::Now => {
                        let offset = self.queues[queue].next;
                        let opaque = self.claim(queue, now_ns);
                        self.queues[queue].template.append(&mut connection.output, opaque, offset);
                    }
                    Next::Later => self.idle.push(queue),
                }
            }
            shared.quota.receive(self.tally.messages);
            self.tally.publish(&shared.counters);
            connection.flush()?;
            if received == Received::All {
                if until_closed {
                    connection.receive()?;
                }
                self.connection = Some(connection);
                return Ok(());
            }
        }
    }

    /// Counts what a reply brings and moves the queue's offset on.
    fn take_reply(
        &mut self,
        index: usize,
        reply: &Reply<'_>,
        held_ns: u64,
        shared: &Shared,
        recorder: &mut Recorder,
        now_ns: u64,
    ) -> Next {
        let queue = &mut self.queues[index];
        let next = reply.ext_number("nextBeginOffset");
        let in_window = shared.window.contains(now_ns);
        match reply.code {
            FOUND => {
                if in_window {
                    recorder.latency.saturating_record(held_ns);
                    recorder.requests += 1;
                }
                self.tally.answered += 1;
                let wall_ms = shared.clock.wall_ms(now_ns);
                self.tally.count(queue, reply.body, &shared.options, wall_ms, in_window, recorder);
                queue.next = next.unwrap_or(queue.next);
                Next::Now
            }
            PULL_NOT_FOUND if shared.options.replay => {
                queue.next = queue.begin;
                queue.expected = None;
                if held_ns < HELD_NS_MIN && queue.begin == next.unwrap_or(-1) {
                    Next::Later
                } else {
                    Next::Now
                }
            }
            PULL_NOT_FOUND | PULL_RETRY_IMMEDIATELY => {
                queue.next = next.unwrap_or(queue.next);
                if held_ns < HELD_NS_MIN { Next::Later } else { Next::Now }
            }
            PULL_OFFSET_MOVED => {
                queue.next = next.unwrap_or(queue.begin);
                queue.begin = queue.next;
                queue.expected = None;
                if shared.options.verify {
                    recorder.corrupt(|| format!("offset moved to {next:?}: messages are missing"));
                }
                Next::Later
            }
            code => {
                self.tally.failed += 1;
                recorder.fail(code, 1, || reply.remark());
                Next::Later
            }
        }
    }

    fn claim(&mut self, queue: usize, now_ns: u64) -> u32 {
        let opaque = self.slots.take(now_ns, now_ns).expect("there is a slot for each queue");
        self.owners[Slots::number(opaque)] = queue;
        opaque
    }

    fn pull(&mut self, queue: usize, now_ns: u64) {
        let opaque = self.claim(queue, now_ns);
        let Queue { template, next, .. } = &self.queues[queue];
        if let Some(connection) = &mut self.connection {
            template.append(&mut connection.output, opaque, *next);
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.connection.as_mut().map_or(Ok(()), Connection::flush)
    }

    fn beat(&mut self, shared: &Shared, topics: &[String], now_ns: u64) {
        if now_ns < self.beat_ns {
            return;
        }
        if let Some(connection) = &mut self.connection {
            self.beat_ns = now_ns + HEARTBEAT_NS;
            let subscriptions: Vec<_> = topics
                .iter()
                .map(|topic| {
                    json!({
                        "topic": topic, "subString": shared.options.expression, "tagsSet": [],
                        "codeSet": [], "subVersion": 0, "classFilterMode": false,
                        "expressionType": shared.options.filter_type.name(),
                    })
                })
                .collect();
            let client = json!({
                "clientID": self.client_id,
                "producerDataSet": [],
                "consumerDataSet": [{
                    "groupName": shared.group, "consumeType": "CONSUME_ACTIVELY",
                    "messageModel": "CLUSTERING", "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET",
                    "unitMode": false, "subscriptionDataSet": subscriptions,
                }],
            });
            connection.output.extend_from_slice(&heartbeat_frame(&client));
        }
    }

    fn lose(&mut self, shared: &Shared, recorder: &mut Recorder) {
        self.connection = None;
        self.beat_ns = 0;
        self.reconnect_ns = shared.clock.now_ns() + RECONNECT_NS;
        let lost = self.slots.expire(u64::MAX);
        Counters::add(&shared.counters.send_failed, lost);
        recorder.fail(CODE_CONNECTION_LOST, lost, || "the connection was lost".to_owned());
        self.idle = (0..self.queues.len()).collect();
    }
}

/// When a queue is pulled again.
enum Next {
    Now,
    Later,
}

impl Tally {
    fn count(
        &mut self,
        queue: &mut Queue,
        body: &[u8],
        options: &Options,
        wall_ms: u64,
        in_window: bool,
        recorder: &mut Recorder,
    ) {
        let mut records = Records::new(body);
        // A filter leaves gaps.
        let in_order = options.expression == "*";
        // Neighbours mostly have the same age: they enter the histogram together.
        let (mut run_ms, mut run) = (0, 0);
        let (messages, bytes) = (self.messages, self.bytes);
        for record in &mut records {
            // With a time of its own a message counts from then.
            let due_ms = record.born_ms.saturating_add(options.delay_ms.unwrap_or(0));
            if options.delay_ms.is_some() && wall_ms < due_ms {
                let (at, early) = (record.queue_offset, due_ms - wall_ms);
                recorder.corrupt(|| format!("the message at offset {at} is {early} ms early"));
            }
            let born_ms = wall_ms.saturating_sub(due_ms);
            let stored_ms = wall_ms.saturating_sub(record.stored_ms);
            self.messages += 1;
            self.bytes += record.body.len() as u64;
            self.born_ms = self.born_ms.wrapping_add(born_ms);
            self.stored_ms = self.stored_ms.wrapping_add(stored_ms);
            self.born_ms_max = self.born_ms_max.max(born_ms);
            self.stored_ms_max = self.stored_ms_max.max(stored_ms);
            if born_ms != run_ms {
                recorder.age(run_ms, run);
                (run_ms, run) = (born_ms, 0);
            }
            run += u64::from(in_window);
            if options.verify {
                if !record.is_intact() {
                    recorder
                        .corrupt(|| format!("CRC of the body at offset {}", record.queue_offset));
                }
                let expected = queue.expected.filter(|_| in_order).unwrap_or(record.queue_offset);
                if expected != record.queue_offset {
                    recorder.corrupt(|| {
                        format!("offset {} where {expected} comes next", record.queue_offset)
                    });
                }
                queue.expected = Some(record.queue_offset + 1);
            }
        }
        recorder.age(run_ms, run);
        if records.rest() > 0 {
            recorder.corrupt(|| format!("{} bytes behind the last whole record", records.rest()));
        }
        if in_window {
            recorder.messages += self.messages - messages;
            recorder.bytes += self.bytes - bytes;
        }
    }

    fn publish(&mut self, counters: &Counters) {
        let sums = std::mem::take(self);
        Counters::add(&counters.messages, sums.messages);
        Counters::add(&counters.bytes, sums.bytes);
        Counters::add(&counters.answered, sums.answered);
        Counters::add(&counters.response_failed, sums.failed);
        Counters::add(&counters.latency_us, sums.born_ms.wrapping_mul(1000));
        Counters::add(&counters.stored_us, sums.stored_ms.wrapping_mul(1000));
        counters.latency_us_max.fetch_max(sums.born_ms_max.saturating_mul(1000), Ordering::Relaxed);
        counters
            .stored_us_max
            .fetch_max(sums.stored_ms_max.saturating_mul(1000), Ordering::Relaxed);
    }
}
