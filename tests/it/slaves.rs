//! A master and its slave, as two processes with the keys of RocketMQ's static roles.

mod pair;

use std::time::Instant;

use ringmq_remoting::codes::{request, response};
use ringmq_test_client::{commit_fields, topic_fields};

use self::pair::{PATIENCE, Pair, Role};
use crate::shards::for_shards;

for_shards!(
    a_slave_gets_every_byte_of_its_master,
    a_send_says_whether_a_slave_has_the_message,
    a_slave_serves_reads_when_its_master_is_gone,
    topics_groups_and_offsets_follow,
    what_was_acknowledged_is_at_the_slave_whoever_is_killed,
);

/// Sizes that fit into nothing on the way now and then.
fn body(number: usize) -> Vec<u8> {
    let bytes = match number {
        _ if number % 97 == 50 => 3 << 20,
        _ if number % 31 == 7 => 300 << 10,
        _ => number * 37 % 2000,
    };
    let mut body = format!("{number} ").into_bytes();
    body.resize(body.len() + bytes, number as u8);
    body
}

fn a_slave_gets_every_byte_of_its_master(shards: u32) {
    let mut pair = Pair::start("every-byte", Role::SyncMaster, shards);
    pair.start_slave();
    let mut client = pair.master.client();
    client.create_topic("TopicA", 8).expect("an answer").expect(response::SUCCESS);
    pair.await_in_sync();
    for number in 0..200 {
        let sent = client.send("TopicA", number as i32 % 8, &body(number)).expect("an answer");
        assert_eq!(sent.code, response::SUCCESS, "message {number}: {sent:?}");
    }
    let mut slave = pair.slave().client();
    for queue in 0..8 {
        let wanted: Vec<_> = (0..200).filter(|number| number % 8 == queue).map(body).collect();
        let found = pair::drain(&mut slave, "TopicA", queue as i32, wanted.len());
        assert!(found == wanted, "queue {queue} has {} messages, or others", found.len());
    }
    pair.stop_both();
    pair.compare_logs();
}

fn a_send_says_whether_a_slave_has_the_message(shards: u32) {
    let mut pair = Pair::start("statuses", Role::SyncMaster, shards);
    let mut client = pair.master.client();
    client.create_topic("TopicA", 4).expect("an answer").expect(response::SUCCESS);
    let mut sent = 0;
    let mut send = |queue| {
        sent += 1;
        let began = Instant::now();
        let answer = client.send("TopicA", queue, b"x").expect("an answer");
        (answer.code, began.elapsed())
    };
    let (code, took) = send(0);
    assert_eq!(code, response::SLAVE_NOT_AVAILABLE, "there is no slave");
    assert!(took.as_secs() < 3, "nobody waits for a slave that is not there: {took:?}");
    pair.start_slave();
    pair.await_in_sync();
    for queue in 0..4 {
        assert_eq!(send(queue).0, response::SUCCESS, "queue {queue}");
    }
    pair.slave().process.halt();
    let (code, took) = send(1);
    assert_eq!(code, response::FLUSH_SLAVE_TIMEOUT, "the slave stands still");
    assert!((2..30).contains(&took.as_secs()), "slaveTimeout is 3 s: {took:?}");
    pair.slave().process.signal(nix::sys::signal::Signal::SIGCONT);
    let began = Instant::now();
    while send(1).0 != response::SUCCESS {
        assert!(began.elapsed() < PATIENCE, "the slave does not catch up");
    }
    pair.kill_slave();
    let (code, took) = send(1);
    assert_ne!(code, response::SUCCESS, "the slave is dead");
    assert!(took.as_secs() < 30, "{took:?}");
    // All of them are stored.
    let mut stored = 0;
    let mut reader = pair.master.client();
    for queue in 0..4 {
        stored += reader.max_offset("TopicA", queue).expect("an answer");
    }
    assert_eq!(stored, sent, "whatever the status said");
    pair.start_slave();
    pair.await_in_sync();
    pair.stop_both();
    pair.compare_logs();
}

fn a_slave_serves_reads_when_its_master_is_gone(shards: u32) {
    let mut pair = Pair::start("reads", Role::AsyncMaster, shards);
    pair.start_slave();
    let mut client = pair.master.client();
    client.create_topic("TopicA", 4).expect("an answer").expect(response::SUCCESS);
    for number in 0..40 {
        let sent = client.send("TopicA", number as i32 % 4, &body(number)).expect("an answer");
        assert_eq!(sent.code, response::SUCCESS, "an ASYNC_MASTER waits for nobody");
    }
    pair.await_both_in_route("TopicA");
    pair.await_equal_ends("TopicA", 4);
    pair.kill_master();
    let mut slave = pair.slave().client();
    let read = |slave: &mut crate::client::Client| {
        for queue in 0..4 {
            let wanted: Vec<_> = (0..40).filter(|number| number % 4 == queue).map(body).collect();
            let found = pair::drain(slave, "TopicA", queue as i32, wanted.len());
            assert!(found == wanted, "queue {queue} has {} messages, or others", found.len());
        }
    };
    read(&mut slave);
    let refused = slave.send("TopicA", 0, b"no").expect("an answer");
    assert_eq!(refused.code, response::SERVICE_NOT_AVAILABLE, "{refused:?}");
    let made = slave.create_topic("mine", 1).expect("an answer");
    assert_ne!(made.code, response::SUCCESS, "topics are made by masters");
    // Its own restart without a master changes nothing: what is committed was noted.
    pair.stop_slave();
    pair.start_slave();
    read(&mut pair.slave().client());
    pair.start_master();
    let sent = pair.master.client().send("TopicA", 0, b"more").expect("an answer");
    assert_eq!(sent.code, response::SUCCESS);
    pair.await_equal_ends("TopicA", 4);
    pair.stop_both();
    pair.compare_logs();
}

fn topics_groups_and_offsets_follow(shards: u32) {
    let mut pair = Pair::start("metadata", Role::AsyncMaster, shards);
    let mut master = pair.master.client();
    master.create_topic("before", 3).expect("an answer").expect(response::SUCCESS);
    pair.start_slave();
    for (topic, queues) in [("TopicA", 4), ("gone", 2)] {
        master.create_topic(topic, queues).expect("an answer").expect(response::SUCCESS);
    }
    master.send("TopicA", 1, b"x").expect("an answer").expect(response::SUCCESS);
    let delete = [("topic", "gone")];
    let deleted = master.call(request::DELETE_TOPIC_IN_BROKER, &delete, b"").expect("an answer");
    deleted.expect(response::SUCCESS);
    let wider = topic_fields("before", 6_i64);
    let changed = master.call_values(request::UPDATE_AND_CREATE_TOPIC, &wider, b"");
    changed.expect("an answer").expect(response::SUCCESS);
    let commit = commit_fields("group", "TopicA", 1, 1);
    let committed = master.call_values(request::UPDATE_CONSUMER_OFFSET, &commit, b"");
    committed.expect("an answer").expect(response::SUCCESS);
    pair.await_equal_metadata();
    pair.kill_slave();
    master.create_topic("while away", 1).ok();
    master.create_topic("while-away", 1).expect("an answer").expect(response::SUCCESS);
    pair.start_slave();
    pair.await_equal_metadata();
}

fn what_was_acknowledged_is_at_the_slave_whoever_is_killed(shards: u32) {
    let mut pair = Pair::start("kills", Role::SyncMaster, shards);
    pair.start_slave();
    let mut client = pair.master.client();
    client.create_topic("TopicA", 4).expect("an answer").expect(response::SUCCESS);
    pair.await_in_sync();
    let mut acknowledged = Vec::new();
    let mut number = 0;
    for round in 0..6 {
        pair.await_in_sync();
        let mut client = pair.master.client();
        for _ in 0..30 {
            number += 1;
            let sent = client.send("TopicA", (number % 4) as i32, &body(number));
            if sent.is_ok_and(|sent| sent.code == response::SUCCESS) {
                acknowledged.push(number);
            }
        }
        if round % 2 == 0 {
            pair.kill_slave();
            pair.start_slave();
        } else {
            pair.kill_master();
            pair.start_master();
        }
    }
    assert!(acknowledged.len() >= 150, "{} of {number} were acknowledged", acknowledged.len());
    pair.await_in_sync();
    pair.await_equal_ends("TopicA", 4);
    pair.kill_master();
    let mut slave = pair.slave().client();
    let mut found: Vec<Vec<u8>> = Vec::new();
    for queue in 0..4 {
        let end = slave.max_offset("TopicA", queue).expect("an answer");
        found.extend(pair::drain(&mut slave, "TopicA", queue, end as usize));
    }
    for number in acknowledged {
        assert!(
            found.contains(&body(number)),
            "message {number} was acknowledged and is not there"
        );
    }
    pair.stop_slave();
    pair.compare_logs();
}
