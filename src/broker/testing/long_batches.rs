//! Batches of very many messages: stored some at a time, whole, and in the order in which their
//! producer sent them.

use std::{cell::Cell, pin::pin, rc::Rc, time::Duration};

use futures_lite::future::{poll_once, zip};
use ringmq_io::{
    Clock as _, Shares, Spawn as _,
    sim::{Sim, SimRuntime},
};
use ringmq_remoting::{
    codes::{request, response},
    encode,
    frame::Serialization,
};

use ringmq_rules::{ConnectionId, message_type::MessageType};

use super::{
    Client, Send,
    batches::{LARGE, batch_of, begin, check_stored, check_whole},
    cluster::{Broker, QUEUES, TOPIC, clients, on_all},
};
use crate::{
    messages::{Asked, ReplyTo, Room, SendItem},
    requests::produce::long_batch,
};

/// More than are handled at once.
const COUNT: u32 = 700;
const BYTES: usize = 20;

fn long_batch(number: u32) -> Vec<u8> {
    batch_of(number, COUNT, BYTES, |_| 0)
}

/// A send as a frame.
fn frame(opaque: i32, queue: i32, batch: bool, body: &[u8]) -> Vec<u8> {
    let send = Send { topic: TOPIC, queue, queues: 4, properties: "", batch };
    let code = if batch { request::SEND_BATCH_MESSAGE } else { request::SEND_MESSAGE_V2 };
    let mut out = Vec::new();
    let json = Serialization::Json;
    encode::request_values(&mut out, json, code, opaque, false, &send.fields(), body)
        .expect("fits");
    out
}

/// Before, it was looked at, appended and answered in one go.
#[test]
fn a_long_batch_is_stored_some_messages_at_a_time() {
    const COUNT: u32 = 3000;
    on_all(1, |shards, seed| {
        Sim::new(seed).run(async |runtime| {
            let mut clients = begin(&runtime, shards).await;
            for (number, client) in (0..).zip(&mut clients) {
                for queue in 0..QUEUES {
                    let first = client.end_of(TOPIC, queue).await;
                    let mut pauses = Vec::new();
                    for count in [5, COUNT] {
                        let body = batch_of(number, count, BYTES, |_| 0);
                        let before = runtime.pauses();
                        let answer = client.send_to(TOPIC, queue, true, "", &body).await;
                        pauses.push(runtime.pauses() - before);
                        let first = if count == 5 { first } else { first + 5 };
                        let batch = (number, count, BYTES);
                        if count == 5 || number == queue as u32 {
                            check_stored(client, &answer, queue, first, batch).await;
                        } else {
                            assert_eq!(answer.code, response::SUCCESS, "{}", answer.remark);
                        }
                    }
                    let slices = u64::from(COUNT) / 64;
                    assert!(pauses[1] > pauses[0] + slices, "{pauses:?}");
                }
            }
        });
    });
}

/// Sends to every queue a message, a long batch and two messages without waiting for an answer.
async fn send_in_order(client: &mut Client, number: u32) {
    let mut frames = Vec::new();
    for queue in 0..QUEUES {
        let opaque = queue * 4;
        let single = |at: u32| [number.to_be_bytes(), at.to_be_bytes()].concat();
        frames.extend(frame(opaque, queue, false, &single(0)));
        frames.extend(frame(opaque + 1, queue, true, &long_batch(number)));
        frames.extend(frame(opaque + 2, queue, false, &single(1)));
        frames.extend(frame(opaque + 3, queue, false, &single(2)));
    }
    client.write(&frames).await;
    let mut offsets = [-1_i64; QUEUES as usize * 4];
    for _ in 0..offsets.len() {
        let answer = client.receive().await;
        assert_eq!(answer.code, response::SUCCESS, "{}", answer.remark);
        let at = usize::try_from(answer.opaque).expect("one of those");
        offsets[at] = answer.fields["queueOffset"].parse().expect("a number");
    }
    for of_queue in offsets.chunks(4) {
        let [first, batch, second, third] = of_queue else { panic!("four for each queue") };
        assert!(first < batch && batch + i64::from(COUNT) <= *second && second < third);
    }
}

#[test]
fn what_a_producer_sends_behind_a_long_batch_is_stored_behind_it() {
    on_all(3, |shards, seed| {
        Sim::new(seed).run(async |runtime| {
            Broker::start(&runtime, shards, LARGE);
            let mut first = clients(&runtime, shards).await;
            first[0].make_topic(TOPIC).await;
            let done = Rc::new(Cell::new(0));
            let senders = first.len();
            for (number, mut client) in (0..).zip(first) {
                let done = done.clone();
                runtime.spawn(Shares::Foreground, "sender", async move {
                    send_in_order(&mut client, number).await;
                    done.set(done.get() + 1);
                });
            }
            while done.get() < senders {
                runtime.sleep(Duration::from_millis(10)).await;
            }
        });
    });
}

/// Sends a long batch and ends the connection some time later.
async fn send_and_go(runtime: &SimRuntime, queue: i32, number: u32, wait: Duration) {
    let client = Client::connect(runtime).await;
    let frame = frame(1, queue, true, &long_batch(number));
    let end = async {
        runtime.sleep(wait).await;
    };
    zip(client.write_open(&frame), end).await;
    drop(client);
}

#[test]
fn a_long_batch_whose_connection_ends_is_stored_whole_or_not_at_all() {
    on_all(2, |shards, seed| {
        Sim::new(seed).run(async |runtime| {
            Broker::start(&runtime, shards, LARGE);
            let mut client = Client::connect(&runtime).await;
            client.make_topic(TOPIC).await;
            for number in 0..12 {
                let wait = Duration::from_micros(u64::from(number) * 80);
                send_and_go(&runtime, number as i32 % QUEUES, number, wait).await;
            }
            runtime.sleep(Duration::from_secs(1)).await;
            let mut stored = 0;
            for queue in 0..QUEUES {
                stored += check_whole(&mut client, queue, COUNT as usize).await;
            }
            assert!(stored > 0, "some are stored");
        });
    });
}

/// A topic that is made again begins where the old one ended: behind a whole batch.
#[test]
fn a_topic_is_sealed_behind_a_long_batch_that_is_being_stored() {
    let sealed = Cell::new(0);
    on_all(8, |shards, seed| {
        Sim::new(seed).run(async |runtime| {
            let broker = Broker::start(&runtime, shards, LARGE);
            let mut client = Client::connect(&runtime).await;
            client.make_topic(TOPIC).await;
            let shard = broker.shard(seed as u16 % shards as u16);
            let topic = shard.view.borrow().topics.get(TOPIC).expect("it was made").clone();
            let queue = (0..QUEUES).find(|queue| shard.queues.owns(&topic, *queue));
            let item = item(queue.expect("one on each shard"));
            let (log, _) = shard.queues.get(&topic, item.queue_id);
            let body = long_batch(0);
            let mut append = pin!(long_batch::append(&shard, &topic, &item, b"", &body));
            while poll_once(log.settled()).await.is_some() {
                if poll_once(&mut append).await.is_some() {
                    return;
                }
            }
            let (ends, stored) = zip(shard.seal_topic(&topic), append).await;
            assert!(stored.is_ok(), "it had begun");
            let end = (item.queue_id, i64::from(COUNT));
            assert_eq!(ends.expect("nothing fails"), (vec![end], 1));
            sealed.set(sealed.get() + 1);
        });
    });
    assert!(sealed.get() > 8, "{} batches had a pause", sealed.get());
}

/// A batch that nobody waits for.
fn item(queue_id: i32) -> SendItem {
    let connection = ConnectionId { shard: 0, slot: 0, generation: 9 };
    let (serialization, room) = (Serialization::Json, Room::default());
    let asked = Asked::default();
    SendItem {
        reply_to: ReplyTo { connection, opaque: 1, serialization, oneway: true, room, asked },
        topic: 0,
        queue_id,
        reply_queue_id: queue_id,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1,
        born_host: ([127, 0, 0, 1], 1).into(),
        reconsume_times: 0,
        tags_code: 0,
        properties_bytes: 0,
        body_bytes: 0,
        is_batch: true,
        is_long: true,
        is_half: false,
        is_timer: false,
        message_type: MessageType::Normal,
    }
}
