//! One thread that sends: closed loop (a request per free slot) or open loop (on schedule).

use std::{net::SocketAddr, time::Duration};

use mio::{Events, Poll, Token};
use ringmq_remoting::codes::request;
use serde_json::json;

use crate::alarm::Alarm;
use crate::clock::nanoseconds;
use crate::connection::{Connection, Received};
use crate::plan::Plan;
use crate::reply::{Reply, Scanner};
use crate::schedule::Schedule;
use crate::slots::Slots;
use crate::stamp::{Stamp, UNIQUE_PREFIX_DIGITS, UNIQUE_TAIL_DIGITS, unique_prefix};
use crate::statistics::{CODE_CONNECTION_LOST, CODE_TIMEOUT, Counters, Recorder};
use crate::template::{SendFrame, SendTemplate, decimal_digits};
use crate::transactions::Decisions;
use crate::worker::{
    DRAIN_NS, HEARTBEAT_NS, Meter, RECONNECT_NS, Shared, TICK, connect_error, heartbeat_frame,
};

/// Output is written when it has so many bytes, so that the start times of requests stay true.
const WRITE_BYTES: usize = 64 * 1024;
/// A shorter wait is not worth a sleep.
const SPIN: Duration = Duration::from_micros(10);

/// A sending thread.
pub struct Producer {
    shared: Shared,
    poll: Poll,
    alarm: Alarm,
    connections: Vec<Link>,
    brokers: Vec<BrokerFrames>,
    sender: Sender,
    schedule: Option<Schedule>,
    turn: usize,
    scanner: Scanner,
    recorder: Recorder,
    meter: Meter,
}

/// Frames and queues of one broker.
struct BrokerFrames {
    name: String,
    address: SocketAddr,
    prefix: [u8; UNIQUE_PREFIX_DIGITS],
    templates: Vec<SendTemplate>,
    /// Template and queue id of each queue, in the order in which they are used.
    targets: Vec<(usize, u32)>,
}

/// What changes with every message of the thread.
struct Sender {
    stamp: Stamp,
    /// Requests that may still be sent.
    remaining: u64,
}

/// A connection, or one that is lost for the moment.
struct Link {
    connection: Option<Connection>,
    broker: usize,
    slots: Slots,
    cursor: usize,
    reconnect_ns: u64,
    beat_ns: u64,
    client_id: String,
    halves: Option<Halves>,
}

/// Transactional messages of a connection.
struct Halves {
    decisions: Decisions,
    /// The end of the key of the message in each slot.
    keys: Vec<[u8; UNIQUE_TAIL_DIGITS]>,
}

impl Producer {
    /// Encodes the frames and connects.
    ///
    /// # Errors
    /// When a broker cannot be reached.
    pub fn new(shared: Shared, plan: &Plan) -> anyhow::Result<Producer> {
        let options = &shared.options;
        let (connections, depth) = options.connections_and_depth();
        let brokers: Vec<BrokerFrames> = (0..plan.brokers.len())
            .map(|broker| BrokerFrames::new(&shared, plan, broker))
            .collect();
        let requests_rate = options.rate.map(|rate| rate / f64::from(options.batch));
        let requests = options.messages.map(|all| all.div_ceil(u64::from(options.batch)));
        let poll = Poll::new()?;
        let mut producer = Producer {
            alarm: Alarm::new(poll.registry())?,
            poll,
            connections: Vec::new(),
            sender: Sender {
                stamp: Stamp::new(shared.clock.wall_ms(shared.clock.now_ns())),
                remaining: requests.map_or(u64::MAX, |requests| shared.share(requests)),
            },
            schedule: requests_rate.map(|rate| Schedule::new(rate, shared.thread, options.threads)),
            turn: 0,
            scanner: Scanner::new(),
            recorder: Recorder::new(),
            meter: Meter::default(),
            brokers,
            shared,
        };
        let mine = producer.shared.share(u64::from(connections));
        for number in 0..mine as usize {
            for broker in 0..producer.brokers.len() {
                producer.add_link(broker, number, depth)?;
            }
        }
        Ok(producer)
    }

    /// Sends until the run is over, then awaits the last answers.
    pub fn run(mut self) -> anyhow::Result<Recorder> {
        let mut events = Events::with_capacity(1024);
        let mut tick_ns = 0;
        let mut drained_ns = u64::MAX;
        loop {
            let now_ns = self.shared.clock.now_ns();
            self.meter.observe(&self.shared.window, now_ns);
            if drained_ns == u64::MAX && (self.shared.is_over(now_ns) || self.sender.remaining == 0)
            {
                self.end_sending(now_ns);
                drained_ns = now_ns + DRAIN_NS;
            }
            if drained_ns != u64::MAX {
                let busy: usize = self.connections.iter().map(|link| link.slots.busy()).sum();
                if busy == 0 || now_ns >= drained_ns {
                    self.recorder.unanswered = busy as u64;
                    self.meter.finish(&mut self.recorder, &self.shared.window, now_ns);
                    return Ok(self.recorder);
                }
            }
            if now_ns >= tick_ns {
                tick_ns = now_ns + nanoseconds(TICK);
                self.tick(now_ns);
            }
            let full = self.send_due();
            let patience = if full { TICK } else { self.patience()? };
            self.poll.poll(&mut events, Some(patience))?;
            for event in &events {
                let Token(index) = event.token();
                let all = event.is_read_closed() || event.is_error();
                self.serve(index, event.is_readable() || all, all);
            }
        }
    }

    fn end_sending(&mut self, now_ns: u64) {
        if let Some(schedule) = self.schedule.take() {
            let end_ns = now_ns.min(self.shared.window.last_ns);
            self.recorder.behind = schedule.behind(end_ns).min(self.sender.remaining);
        }
        self.sender.remaining = 0;
    }

    /// How long the poll may wait until the next request is due.
    fn patience(&self) -> anyhow::Result<Duration> {
        let Some(schedule) = &self.schedule else {
            return Ok(TICK);
        };
        let wait_ns = schedule.next_due_ns().saturating_sub(self.shared.clock.now_ns());
        let wait = Duration::from_nanos(wait_ns);
        if wait < SPIN {
            return Ok(Duration::ZERO);
        }
        if wait < TICK {
            self.alarm.set(wait)?;
        }
        Ok(TICK)
    }

    fn serve(&mut self, index: usize, readable: bool, until_closed: bool) {
        let Some(link) = self.connections.get_mut(index) else {
            return;
        };
        let mut result = Ok(());
        if readable {
            result =
                link.receive(&self.shared, &mut self.scanner, &mut self.recorder, until_closed);
        }
        if result.is_ok() {
            result = match &self.schedule {
                Some(_) => link.flush(),
                None => link.refill(&self.shared, &self.brokers, &mut self.sender),
            };
        }
        if result.is_err() {
            link.lose(&self.shared, &mut self.recorder);
        }
    }

    /// Open loop: sends what is due on connections in turn; what finds no free slot stays due, and
    /// then it answers true.
    fn send_due(&mut self) -> bool {
        let Some(schedule) = &mut self.schedule else {
            return false;
        };
        let now_ns = self.shared.clock.now_ns();
        let count = self.connections.len();
        let mut full = 0;
        while full < count && self.sender.remaining > 0 && schedule.next_due_ns() <= now_ns {
            let link = &mut self.connections[self.turn];
            self.turn = (self.turn + 1) % count;
            let Some(connection) = &mut link.connection else {
                full += 1;
                continue;
            };
            if !link.slots.has_free() || connection.output.len() >= WRITE_BYTES {
                full += 1;
                continue;
            }
            full = 0;
            let due_ns = schedule.take(now_ns).expect("the loop looked whether one is due");
            let opaque = link.slots.take(due_ns, now_ns).expect("there was a free slot");
            let wall_ms = self.shared.clock.wall_ms(now_ns);
            self.sender.append(
                &self.brokers[link.broker],
                &mut link.cursor,
                connection,
                opaque,
                wall_ms,
            );
            link.halves.iter_mut().for_each(|halves| halves.note(opaque, &self.sender.stamp));
        }
        for link in &mut self.connections {
            if link.flush().is_err() {
                link.lose(&self.shared, &mut self.recorder);
            }
        }
        full == count
    }

    /// Time-outs, heartbeats, lost connections; in a closed loop also the first requests.
    fn tick(&mut self, now_ns: u64) {
        let timeout_ns = nanoseconds(self.shared.options.timeout);
        for (index, link) in self.connections.iter_mut().enumerate() {
            let expired = link.slots.expire(now_ns.saturating_sub(timeout_ns));
            Counters::add(&self.shared.counters.send_failed, expired);
            self.recorder
                .fail(CODE_TIMEOUT, expired, || format!("no answer within {timeout_ns} ns"));
            if link.connection.is_none() && now_ns >= link.reconnect_ns {
                let address = self.brokers[link.broker].address;
                link.connection = Connection::open(
                    address,
                    self.shared.connector.as_ref(),
                    self.poll.registry(),
                    Token(index),
                )
                .ok();
                link.reconnect_ns = now_ns + RECONNECT_NS;
            }
            link.beat(&self.shared, now_ns);
            let result = match &self.schedule {
                Some(_) => link.flush(),
                None => link.refill(&self.shared, &self.brokers, &mut self.sender),
            };
            if result.is_err() {
                link.lose(&self.shared, &mut self.recorder);
            }
        }
    }

    fn add_link(&mut self, broker: usize, number: usize, depth: u32) -> anyhow::Result<()> {
        let index = self.connections.len();
        let BrokerFrames { name, address, targets, prefix, .. } = &self.brokers[broker];
        let connection = Connection::open(
            *address,
            self.shared.connector.as_ref(),
            self.poll.registry(),
            Token(index),
        )
        .map_err(|error| connect_error(error, name, *address))?;
        let threads = self.shared.options.threads as usize;
        let (all, _) = self.shared.options.connections_and_depth();
        let place = (number * threads + self.shared.thread as usize) * targets.len();
        self.connections.push(Link {
            connection: Some(connection),
            broker,
            slots: Slots::new(depth),
            // Connections begin far from each other, so that together they soon use all queues.
            cursor: place / all as usize % targets.len().max(1),
            reconnect_ns: 0,
            beat_ns: 0,
            client_id: self.shared.client_id("producer", index),
            halves: self.shared.options.transactions.map(|rates| Halves {
                decisions: Decisions::new(rates, &self.shared.group, name, *prefix),
                keys: vec![[0; UNIQUE_TAIL_DIGITS]; depth as usize],
            }),
        });
        Ok(())
    }
}

impl Sender {
    fn append(
        &mut self,
        broker: &BrokerFrames,
        cursor: &mut usize,
        connection: &mut Connection,
        opaque: u32,
        wall_ms: u64,
    ) {
        let (template, queue) = broker.targets[*cursor];
        *cursor = if *cursor + 1 == broker.targets.len() { 0 } else { *cursor + 1 };
        self.stamp.refresh(wall_ms);
        broker.templates[template].append(&mut connection.output, opaque, queue, &mut self.stamp);
        self.remaining -= 1;
    }
}

impl Halves {
    fn note(&mut self, opaque: u32, stamp: &Stamp) {
        if let Some(key) = self.keys.get_mut(Slots::number(opaque)) {
            *key = stamp.unique_tail();
        }
    }

    fn sent(&self, reply: &Reply<'_>, output: &mut Vec<u8>) {
        if let Some(key) = self.keys.get(Slots::number(reply.opaque)) {
            self.decisions.sent(reply, key, output);
        }
    }
}

impl Link {
    /// Takes answers; `until_closed` reads on until the socket says that it is empty or closed.
    fn receive(
        &mut self,
        shared: &Shared,
        scanner: &mut Scanner,
        recorder: &mut Recorder,
        until_closed: bool,
    ) -> std::io::Result<()> {
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        loop {
            let received = connection.receive()?;
            let now_ns = shared.clock.now_ns();
            let in_window = shared.window.contains(now_ns);
            // Open loop: a late answer to a request that was due in the measured time is the most
            // interesting latency of all.
            let late = shared.options.rate.is_some() && now_ns >= shared.window.last_ns;
            let (mut answered, mut refused, mut sum_ns, mut max_ns) = (0, 0, 0, 0);
            // Requests that left together and are answered together enter the histogram together.
            let (mut run_ns, mut run) = (0, 0);
            let mut decided = Vec::new();
            while let Some(frame) = connection.next_frame()? {
                let reply = scanner.scan(frame).ok_or(std::io::ErrorKind::InvalidData)?;
                if !reply.is_response {
                    if let Some(halves) = &mut self.halves
                        && reply.code == request::CHECK_TRANSACTION_STATE
                    {
                        halves.decisions.asked(&reply, &shared.counters, &mut decided);
                    }
                    continue;
                }
                let Some(started_ns) = self.slots.complete(reply.opaque) else {
                    continue;
                };
                if reply.code != 0 {
                    refused += 1;
                    recorder.fail(reply.code, 1, || reply.remark());
                    continue;
                }
                if let Some(halves) = &self.halves {
                    halves.sent(&reply, &mut decided);
                }
                let latency_ns = now_ns.saturating_sub(started_ns);
                answered += 1;
                sum_ns += latency_ns;
                max_ns = latency_ns.max(max_ns);
                if latency_ns != run_ns {
                    recorder.took(run_ns, run);
                    (run_ns, run) = (latency_ns, 0);
                }
                run += u64::from(in_window || late);
            }
            recorder.took(run_ns, run);
            connection.output.extend_from_slice(&decided);
            let sums = Sums { answered, refused, sum_ns, max_ns };
            sums.publish(shared, recorder, in_window);
            if received == Received::All && !until_closed {
                return Ok(());
            }
            if received == Received::All {
                // The peer closed: the next read says so, after what it sent before.
                connection.receive()?;
                return Ok(());
            }
        }
    }

    /// Closed loop: a request for each free slot.
    fn refill(
        &mut self,
        shared: &Shared,
        brokers: &[BrokerFrames],
        sender: &mut Sender,
    ) -> std::io::Result<()> {
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        let broker = &brokers[self.broker];
        connection.flush()?;
        while self.slots.has_free() && sender.remaining > 0 && !connection.has_unwritten() {
            let now_ns = shared.clock.now_ns();
            let wall_ms = shared.clock.wall_ms(now_ns);
            while sender.remaining > 0 && connection.output.len() < WRITE_BYTES {
                let Some(opaque) = self.slots.take(now_ns, now_ns) else {
                    break;
                };
                sender.append(broker, &mut self.cursor, connection, opaque, wall_ms);
                self.halves.iter_mut().for_each(|halves| halves.note(opaque, &sender.stamp));
            }
            connection.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.connection.as_mut().map_or(Ok(()), Connection::flush)
    }

    fn beat(&mut self, shared: &Shared, now_ns: u64) {
        if now_ns < self.beat_ns {
            return;
        }
        if let Some(connection) = &mut self.connection {
            self.beat_ns = now_ns + HEARTBEAT_NS;
            let client = json!({
                "clientID": self.client_id,
                "producerDataSet": [{"groupName": shared.group}],
                "consumerDataSet": [],
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
    }
}

/// What one read of answers comes to.
struct Sums {
    answered: u64,
    refused: u64,
    sum_ns: u64,
    max_ns: u64,
}

impl Sums {
    fn publish(&self, shared: &Shared, recorder: &mut Recorder, in_window: bool) {
        let messages = self.answered * u64::from(shared.options.batch);
        let bytes = messages * u64::from(shared.options.size);
        if in_window {
            recorder.requests += self.answered;
            recorder.messages += messages;
            recorder.bytes += bytes;
        }
        let counters = &shared.counters;
        Counters::add(&counters.answered, self.answered);
        Counters::add(&counters.messages, messages);
        Counters::add(&counters.bytes, bytes);
        Counters::add(&counters.latency_us, self.sum_ns / 1000);
        Counters::add(&counters.response_failed, self.refused);
        let longest_us = self.max_ns / 1000;
        counters.latency_us_max.fetch_max(longest_us, std::sync::atomic::Ordering::Relaxed);
    }
}

impl BrokerFrames {
    fn new(shared: &Shared, plan: &Plan, broker: usize) -> BrokerFrames {
        let options = &shared.options;
        let broker = &plan.brokers[broker];
        let wall_ms = shared.clock.wall_ms(shared.clock.now_ns());
        let prefix = unique_prefix(std::process::id(), shared.thread, wall_ms);
        let body = random_letters(options.size as usize, wall_ms);
        let mut frames = BrokerFrames {
            name: broker.name.clone(),
            address: broker.address,
            prefix,
            templates: Vec::new(),
            targets: Vec::with_capacity(broker.queues.len()),
        };
        let mut last = None;
        for queue in &broker.queues {
            let kind = (queue.topic, decimal_digits(queue.queue));
            if last != Some(kind) {
                last = Some(kind);
                frames.templates.push(SendTemplate::new(&SendFrame {
                    serialization: options.serialization,
                    group: &shared.group,
                    topic: &plan.topics[queue.topic],
                    broker: &broker.name,
                    default_queues: plan.default_queues,
                    queue_digits: kind.1,
                    body: &body,
                    batch: options.batch as usize,
                    keys: options.keys,
                    tags: options.tags,
                    unique_prefix: &prefix,
                    is_half: options.transactions.is_some(),
                    property_bytes: options.property_size as usize,
                    delay_level: options.delay_level,
                    delay_ms: options.delay_ms,
                }));
            }
            frames.targets.push((frames.templates.len() - 1, queue.queue));
        }
        frames
    }
}

/// Letters and digits, as RocketMQ's benchmark sends them.
fn random_letters(bytes: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..bytes).map(|_| random.alphanumeric() as u8).collect()
}
