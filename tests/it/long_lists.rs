//! Clients that ask for long lists on many connections, beside one that asks for little.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringmq_remoting::codes::{request, response};
use ringmq_remoting::encode;
use ringmq_remoting::frame::Serialization;

use crate::client::GROUP;
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(lists_of_huge_topics_on_many_connections_hold_up_nobody_who_asks_for_little);

const HUGE: &str = "huge";
const QUEUES: u32 = 65_536;
const SMALL: &str = "small";
const CONNECTIONS: usize = 64;
/// Lists that are answered while the honest client works, at least.
const LISTS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(120);
/// How long the honest client works, at least.
const WORK: Duration = Duration::from_secs(3);
/// Before, pulls waited for room behind tens of lists: 10 s and more than a minute where they take
/// less than half a second now (a debug build on a machine that was busy with others).
const BOUND: Duration = Duration::from_secs(3);

/// The lists of a topic, of how far its group is, and of all groups.
fn questions() -> Vec<Vec<u8>> {
    let questions: [(i32, &[(&str, &str)]); 4] = [
        (request::GET_TOPIC_STATS_INFO, &[("topic", HUGE)]),
        (request::GET_CONSUME_STATS, &[("consumerGroup", GROUP), ("topic", HUGE)]),
        (request::QUERY_CONSUME_TIME_SPAN, &[("topic", HUGE), ("group", GROUP)]),
        (request::GET_BROKER_CONSUME_STATS, &[("isOrder", "false")]),
    ];
    let frame = |(code, fields): (i32, &[(&str, &str)])| {
        let mut out = Vec::new();
        encode::request(&mut out, Serialization::Json, code, 7, false, fields, b"").expect("fits");
        out
    };
    questions.map(frame).into()
}

/// Asks on one connection until that is closed, and takes all answers.
fn ask(mut stream: &TcpStream, frames: &[Vec<u8>], answered: &AtomicUsize) -> io::Result<()> {
    let mut room = vec![0; 1 << 18];
    for frame in frames.iter().cycle() {
        stream.write_all(frame)?;
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut rest = u32::from_be_bytes(length) as usize;
        while rest > 0 {
            let most = rest.min(room.len());
            let count = stream.read(&mut room[..most])?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            rest -= count;
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn lists_of_huge_topics_on_many_connections_hold_up_nobody_who_asks_for_little(shards: u32) {
    let directory = process::directory("long-lists");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    let mut honest = server.client();
    honest.set_timeout(PATIENCE);
    honest.create_topic(HUGE, QUEUES).expect("an answer").expect(response::SUCCESS);
    honest.create_topic(SMALL, 4).expect("an answer").expect(response::SUCCESS);
    let offset =
        [("consumerGroup", GROUP), ("topic", HUGE), ("queueId", "1"), ("commitOffset", "0")];
    let committed = honest.call(request::UPDATE_CONSUMER_OFFSET, &offset, b"");
    committed.expect("an answer").expect(response::SUCCESS);
    let (frames, answered) = (questions(), AtomicUsize::new(0));
    let connect = |_| {
        let stream = TcpStream::connect(server.address).expect("the broker listens");
        stream.set_read_timeout(Some(PATIENCE * 2)).expect("above 0");
        stream
    };
    let streams: Vec<TcpStream> = (0..CONNECTIONS).map(connect).collect();
    let mut slowest = [Duration::ZERO; 3];
    thread::scope(|scope| {
        for (number, stream) in streams.iter().enumerate() {
            let (mut own, answered) = (frames.clone(), &answered);
            own.rotate_left(number % frames.len());
            // It ends when its connection is shut down.
            scope.spawn(move || drop(ask(stream, &own, answered)));
        }
        let began = Instant::now();
        let enough = || answered.load(Ordering::Relaxed) >= LISTS && began.elapsed() > WORK;
        while !enough() && began.elapsed() < PATIENCE {
            let queue = (began.elapsed().as_millis() % 4) as i32;
            let begun = Instant::now();
            honest.send(SMALL, queue, b"beside").expect("an answer").expect(response::SUCCESS);
            let sent = Instant::now();
            let pulled = honest.pull(SMALL, queue, 0, 1).expect("an answer");
            assert_eq!(pulled.messages.len(), 1);
            let read = Instant::now();
            honest.max_offset(SMALL, queue).expect("an answer");
            let took = [sent - begun, read - sent, read.elapsed()];
            slowest = std::array::from_fn(|one| slowest[one].max(took[one]));
        }
        for stream in &streams {
            let _ = stream.shutdown(Shutdown::Both);
        }
    });
    let lists = answered.load(Ordering::Relaxed);
    assert!(lists >= LISTS, "{lists} lists");
    println!("{shards} shards: {lists} lists; slowest send, pull and question {slowest:?}");
    assert!(slowest.iter().all(|took| *took < BOUND), "send, pull, question: {slowest:?}");
}
