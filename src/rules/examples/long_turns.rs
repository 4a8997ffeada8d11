//! What the largest requests of clients cost a shard in one go, as far as the rules do the work:
//! `cargo run --release -p ringmq-rules --example long_turns`. Each line is the fastest of some
//! rounds, in microseconds.

use std::time::{Duration, Instant};

use ringmq_remoting::{
    body::{ConsumerData, HeartbeatData, LockBatchRequestBody, MessageQueue, SubscriptionData},
    fastjson,
    language::Language,
};
use ringmq_rules::{
    ConnectionId,
    clients::{
        Channel, ClientTable, ConsumeFromWhere, ConsumeType, ConsumerRegistration, LookedTo,
        MessageModel, Subscription,
    },
    filter::Filter,
    limits::PULLED_EXPRESSION_BYTES_MAX,
    locks::{LOCK_LIVE_MS, QueueLocks, SweptTo},
    offsets::{ENTRIES_AT_ONCE_MAX, OffsetTable},
    sql_filter::SQL92,
};

const ROUNDS: usize = 9;
/// As many topics as a heartbeat of 1 MiB names.
const TOPICS: usize = 5500;

fn best<T>(what: &str, mut prepare: impl FnMut() -> T, mut work: impl FnMut(T)) {
    let times = (0..ROUNDS).map(|_| {
        let prepared = prepare();
        let began = Instant::now();
        work(prepared);
        began.elapsed()
    });
    let best = times.min().unwrap_or(Duration::ZERO);
    println!("{:>8.0} us  {what}", best.as_secs_f64() * 1e6);
}

fn heartbeat(topics: usize) -> Vec<u8> {
    let data = |number| SubscriptionData {
        topic: format!("topic-of-a-client-{number}"),
        sub_string: "a || b".to_owned(),
        tags_set: ["a".to_owned(), "b".to_owned()].into(),
        code_set: [97, 98].into(),
        sub_version: 1_764_000_000_000,
        ..SubscriptionData::default()
    };
    let consumer = ConsumerData {
        group_name: "g".to_owned(),
        subscription_data_set: (0..topics).map(data).collect(),
        ..ConsumerData::default()
    };
    fastjson::to_vec(&HeartbeatData {
        client_id: "10.0.0.1@1".to_owned(),
        consumer_data_set: vec![consumer],
        ..HeartbeatData::default()
    })
}

fn subscriptions(body: &[u8], version: i64) -> Vec<Subscription> {
    let mut beat: HeartbeatData = fastjson::from_slice(body).expect("a heartbeat");
    let data = std::mem::take(&mut beat.consumer_data_set[0].subscription_data_set);
    let mut all: Vec<_> = data
        .into_iter()
        .map(|one| {
            let (tags, codes) = (one.tags_set, one.code_set);
            let (tags, codes) = (tags.into_iter().collect(), codes.into_iter().collect());
            Subscription::new(&one.topic, &one.sub_string, tags, codes, version, "TAG")
        })
        .collect();
    all.sort_by(|a, b| a.topic.cmp(&b.topic));
    all
}

fn registration(subscriptions: Vec<Subscription>) -> ConsumerRegistration<'static> {
    ConsumerRegistration {
        group: "g",
        consume_type: ConsumeType::Passively,
        message_model: MessageModel::Clustering,
        consume_from_where: ConsumeFromWhere::LastOffset,
        subscriptions,
        notify: true,
    }
}

fn channel(slot: u32) -> Channel<'static> {
    Channel {
        connection: ConnectionId { shard: 0, slot, generation: 1 },
        client_id: "10.0.0.1@1",
        address: ([10, 0, 0, 1], 1).into(),
        language: Language::Java,
        version: 409,
    }
}

fn main() {
    for kib in [16, 64, 1024] {
        heartbeats(TOPICS * kib / 1024);
    }
    locks();
    offsets();
    clients();
    filters();
}

/// What a pull brings along.
fn filters() {
    let repeated = |part: &str, bytes: usize| part.repeat(bytes / part.len());
    let sql = [
        repeated("a=1 OR ", PULLED_EXPRESSION_BYTES_MAX - 8) + "a=1",
        format!("a IN ({}'x')", repeated("'x',", PULLED_EXPRESSION_BYTES_MAX - 16)),
    ];
    for text in &sql {
        let what = format!("an SQL92 expression of {} bytes is compiled", text.len());
        best(&what, || (), |()| drop(Filter::parse(Some(text), Some(SQL92)).expect("one")));
    }
    let tags: String = (0..9000).map(|tag| format!("t{tag}||")).collect();
    let what = format!("tags of {} bytes are read", tags.len());
    best(&what, || (), |()| drop(Filter::parse(Some(&tags), None).expect("tags")));
}

fn heartbeats(topics: usize) {
    let body = heartbeat(topics);
    let read = |body: &[u8]| fastjson::from_slice::<HeartbeatData>(body).expect("a heartbeat");
    let what = format!("a heartbeat of {} bytes is read and dropped", body.len());
    best(&what, || (), |()| drop(read(&body)));
    best("  the same, with its subscriptions made", || (), |()| drop(subscriptions(&body, 1)));
    let mut table = ClientTable::default();
    let mut note = |subscriptions| {
        let noted = table.register_consumer(&channel(1), registration(subscriptions), 0);
        noted.map(drop).expect("room");
    };
    best("  noted again", || subscriptions(&body, 1), &mut note);
    let mut version = 1;
    let newer = || {
        version += 1;
        subscriptions(&body, version)
    };
    best("  noted with newer versions", newer, &mut note);
}

fn locks() {
    let queues: Vec<_> = (0..10_000).map(|id| MessageQueue::new("topic", "broker-a", id)).collect();
    let body = LockBatchRequestBody {
        consumer_group: "g".to_owned(),
        client_id: "c".to_owned(),
        only_this_broker: false,
        mq_set: queues.iter().cloned().collect(),
    };
    let body = fastjson::to_vec(&body);
    let what = format!("a request for 10,000 locks ({} bytes) is read and dropped", body.len());
    let read = || fastjson::from_slice::<LockBatchRequestBody>(&body).expect("queues");
    best(&what, || (), |()| drop(read()));
    for count in [128, 10_000] {
        let lock = |mut locks: QueueLocks<MessageQueue>| {
            assert_eq!(locks.lock_batch("g", "c", &queues[..count], 0).len(), count);
            std::mem::forget(locks);
        };
        best(&format!("{count} queues are locked"), QueueLocks::default, lock);
    }
    let locked = || {
        let mut locks = QueueLocks::default();
        locks.lock_batch("g", "c", &queues, 0);
        locks
    };
    best("4,096 expired locks are swept", locked, |mut locks: QueueLocks<MessageQueue>| {
        assert!(!locks.sweep_some(&mut SweptTo::default(), 4096, LOCK_LIVE_MS + 1));
        std::mem::forget(locks);
    });
}

fn offsets() {
    let mut table = OffsetTable::default();
    for group in 0..20 {
        for queue in 0..10_000 {
            table.commit("t", &format!("g{group:02}"), queue, 1).expect("room");
        }
    }
    for (what, most) in [("a slice", ENTRIES_AT_ONCE_MAX), ("a single group", 1)] {
        table.take_dirty(usize::MAX);
        let began = Instant::now();
        table.mark_dirty_behind(Some("t"), None, "", most);
        let took = began.elapsed().as_micros();
        println!("{took:>8} us  {what} of 200,000 offsets of 20 groups is marked");
    }
}

fn clients() {
    let mut clients = ClientTable::default();
    for number in 0..50_000 {
        clients
            .register_producer(&channel(number), &format!("g{}", number % 1000), 0)
            .expect("room");
    }
    best("twice 4,096 of 50,000 clients are looked at", LookedTo::default, |mut to| {
        drop(clients.expired_some(&mut to, 4096, 1));
        drop(clients.expired_some(&mut to, 4096, 1));
    });
}
