//! Very many transactions that nobody has ended: what they take, and what becomes of them at the
//! limit. `RINGMQ_OPEN_TRANSACTIONS` sets how many (default 32,768, the smallest limit; a multiple
//! of 8).

use std::collections::BTreeMap;

use nix::sys::signal::Signal;

use super::*;
use crate::small_memory::own_bytes;

/// Half messages that are under way at once.
const PIECE: usize = 256;
/// What a broker may grow by besides the key's bytes: buffers, index and blocks that were read.
const BESIDES: u64 = 24 << 20;
const LONG: &str = "3600000";

fn open_transactions() -> usize {
    match std::env::var("RINGMQ_OPEN_TRANSACTIONS") {
        Ok(text) => text.parse().expect("RINGMQ_OPEN_TRANSACTIONS is a number"),
        Err(_) => 32_768,
    }
}

/// A broker whose limit is so many half messages of a log.
fn broker(directory: &std::path::Path, limit: usize, interval: &str, checks: &str) -> Server {
    let bytes = (limit / 8).to_string();
    let keys = [
        ("transactionStateBytesMax", bytes.as_str()),
        ("transactionTimeOut", "100"),
        ("transactionCheckInterval", interval),
        ("transactionCheckMax", checks),
        ("hotTailBytes", "1048576"),
        ("blockCacheBytes", "1048576"),
    ];
    Server::start(directory, &settings(2, &keys))
}

/// Stores half messages in the first queue, a piece of them at a time.
fn fill(client: &mut Client, count: usize) {
    let bodies: Vec<String> = (0..count).map(|number| format!("half {number}")).collect();
    for piece in bodies.chunks(PIECE) {
        for body in piece {
            start_half(client, 0, body);
        }
        for _ in piece {
            client.reply().expect("an answer").expect(response::SUCCESS);
        }
    }
}

fn is_refused(client: &mut Client, limit: usize) {
    start_half(client, 0, "one too many");
    let refused = client.reply().expect("an answer").expect(response::SYSTEM_BUSY);
    let sentence = format!("the limit is {limit} (8 for each byte of the key");
    assert!(refused.remark.contains(&sentence), "{}", refused.remark);
}

/// Ends all transactions that it is asked for but the first, every other one by a commit.
fn end_what_is_asked(producer: &mut Client, count: usize) {
    let mut ended = BTreeMap::new();
    while ended.len() < count {
        let asked = producer.asked(request::CHECK_TRANSACTION_STATE);
        let asked = asked.unwrap_or_else(|error| {
            panic!("no question after those for {} of {count}: {error}", ended.len())
        });
        let place = (asked.number("tranStateTableOffset"), asked.number("commitLogOffset"));
        let body = format!("half {}", place.0);
        let known = ended.insert(place.0, place.1);
        assert!(known.is_none_or(|position| position == place.1), "{place:?} was at {known:?}");
        if known.is_some() || place.0 == 0 {
            continue;
        }
        assert_eq!(crate::client::records(&asked.body)[0].body, body.as_bytes());
        let (offset, position) = (place.0.to_string(), place.1.to_string());
        let how = if place.0 % 2 == 0 { COMMIT } else { ROLLBACK };
        let fields = end_fields(&offset, &position, how);
        producer.start(request::END_TRANSACTION, true, &fields, b"").expect("it is sent");
    }
}

fn await_true(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

// Single: it is about one log, which is on one shard; the other shard shows that it is not held up.
#[test]
fn a_log_full_of_open_transactions_stays_small_and_all_of_them_end() {
    let (limit, directory) = (open_transactions(), process::directory("transactions-open"));
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let mut server = broker(directory.path(), limit, LONG, "1000");
    let mut client = server.client();
    client.create_topic(TOPIC, 2).expect("the broker serves").expect(0);
    for _ in 0..1_000 {
        client.send(TOPIC, 1, b"plain").expect("an answer").expect(response::SUCCESS);
    }
    let before = own_bytes(&server.process);
    let began = Instant::now();
    fill(&mut client, limit);
    let (full, took) = (own_bytes(&server.process), began.elapsed());
    println!("{limit} open: {:.1} MiB before, {:.1} after, {took:.1?}", mib(before), mib(full));
    assert!(full < before + BESIDES, "{before} bytes before, {full} after");
    is_refused(&mut client, limit);
    client.send(TOPIC, 0, b"plain").expect("an answer").expect(response::SUCCESS);
    let other = half(&mut client, 1, "in another log");
    end(&mut client, other, COMMIT).expect(response::SUCCESS);

    server.process.signal(Signal::SIGKILL);
    server.process.wait(PATIENCE);
    server = broker(directory.path(), limit, "1000", "1000");
    let mut client = server.client();
    is_refused(&mut client, limit);
    let before = own_bytes(&server.process);
    let mut producer = server.client();
    register(&mut producer);
    let began = Instant::now();
    end_what_is_asked(&mut producer, limit);
    // Those that were rolled back are not there; the first is open, and one was no transaction.
    let committed = i64::try_from(limit.div_ceil(2)).expect("small");
    await_true("not all are committed", || {
        client.max_offset(TOPIC, 0).expect("an answer") == committed
    });
    let (ended, took) = (own_bytes(&server.process), began.elapsed());
    println!("all but one ended: {:.1} MiB, then {:.1}, {took:.1?}", mib(before), mib(ended));
    let most = before + BESIDES + limit as u64 / 8;
    assert!(ended < most, "{before} bytes before, {ended} after");
    // The first one is open still.
    is_refused(&mut client, limit);

    drop(server);
    let began = Instant::now();
    let server = broker(directory.path(), limit, "1000", "2");
    println!("started after {:.1?}, {:.1} MiB", began.elapsed(), mib(own_bytes(&server.process)));
    let mut client = server.client();
    let given_up = |client: &mut Client| {
        let queues = (0..2).map(|queue| client.pull("TRANS_CHECK_MAX_TIME_TOPIC", queue, 0, 32));
        let all = queues.flatten().flat_map(|pulled| pulled.messages);
        all.map(|message| String::from_utf8_lossy(&message.body).into_owned()).collect::<Vec<_>>()
    };
    await_true("the first is not given up", || given_up(&mut client).contains(&"half 0".into()));
    half(&mut client, 0, "room again");
    assert_eq!(client.max_offset(TOPIC, 0).expect("an answer"), committed);
}
