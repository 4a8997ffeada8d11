//! Crashes while transactions end.

use std::{cell::RefCell, rc::Rc, time::Duration};

use ringmq_io::{
    Clock as _, Shares, Spawn as _,
    sim::{Sim, SimRuntime},
};

use super::*;

/// Larger than a write of the log, so that a decision and what goes with it can be apart.
const LARGE: usize = 60_000;

fn start(runtime: &SimRuntime, shards: usize) -> Broker {
    Broker::start_with(runtime, shards, &[], |settings| settings.sizes.log.batch_bytes_max = 4096)
}

fn body(number: usize) -> Vec<u8> {
    let mut body = format!("{number:020}").into_bytes();
    body.resize(LARGE, number as u8);
    body
}

/// Commits halves until the lights go out, at some moment of the second commit or later; gives what
/// was sent and how many ends were answered.
fn commit_until_the_end(sim: &Sim, shards: usize, after: Duration) -> (Vec<Sent>, usize) {
    let (halves, answered) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(0)));
    let (sent, ended) = (halves.clone(), answered.clone());
    sim.run(async |runtime| {
        let _broker = start(&runtime, shards);
        let mut clients = clients(&runtime, shards).await;
        assert_eq!(clients[0].make_topic(TOPIC).await.code, response::SUCCESS);
        for number in 0..6 {
            let half = clients[0].half(number as i32 % QUEUES, &body(number)).await;
            sent.borrow_mut().push(half);
        }
        let all = sent.borrow().clone();
        runtime.spawn(Shares::Foreground, "commits", async move {
            for half in &all {
                clients[0].commits(half).await;
                *ended.borrow_mut() += 1;
            }
        });
        runtime.sleep(after).await;
    });
    (halves.take(), answered.take())
}

/// Resolves when the decisions of all logs are known, and what a crash has torn off of them and the
/// start has stored anew can be read.
async fn all_known(broker: &Broker, shards: usize) {
    for number in 0..shards {
        let shard = broker.shard(number as u16);
        for log in shard.queues.own_logs() {
            shard.transactions.ready(log.sink().log).await;
            log.synced().await.expect("the log is sound");
        }
    }
}

#[test]
fn whatever_a_crash_leaves_of_a_commit_a_half_is_committed_once() {
    let mut torn = 0;
    for (shards, seed) in
        [1, 2, 4].into_iter().flat_map(|shards| (0..60).map(move |seed| (shards, seed)))
    {
        println!("{shards} shards, seed {seed}");
        let sim = Sim::new(seed);
        let after = Duration::from_micros(seed * 37 % 2_200);
        let (halves, answered) = commit_until_the_end(&sim, shards, after);
        let image = match seed % 2 {
            0 => sim.disk().kill(seed),
            _ => sim.disk().power_cut(seed),
        };
        let again = Sim::with_disk(seed + 1, &image);
        torn += again.run(async |runtime| {
            let broker = start(&runtime, shards);
            let mut clients = clients(&runtime, shards).await;
            all_known(&broker, shards).await;
            let client = &mut clients[0];
            let mut decided_unanswered = 0;
            for (number, half) in halves.iter().enumerate() {
                let before = client.count(TOPIC, half.queue, &half.body).await;
                assert!(number >= answered || before == 1, "an answered commit is lost");
                let answer = client.end(half, COMMIT).await;
                let decided = answer.code != response::SUCCESS;
                assert_eq!(decided, before == 1, "{}", answer.remark);
                assert_eq!(client.count(TOPIC, half.queue, &half.body).await, 1);
                client.is_decided(half).await;
                decided_unanswered += usize::from(decided && number >= answered);
            }
            decided_unanswered
        });
    }
    assert!(torn > 0, "no crash came between a decision and its answer");
}

/// A crash leaves a decision without the message behind it: the start stores that.
#[test]
fn a_decision_whose_message_is_torn_off_gets_it_at_the_start() {
    let mut repaired = 0;
    for seed in 0..200 {
        let sim = Sim::new(seed);
        let after = Duration::from_micros(seed * 11);
        let (halves, _) = commit_until_the_end(&sim, 1, after);
        let sim = Sim::with_disk(seed + 1, &sim.disk().kill(seed));
        repaired += sim.run(async |runtime| {
            let broker = start(&runtime, 1);
            let mut clients = clients(&runtime, 1).await;
            for half in &halves {
                let answer = clients[0].end(half, COMMIT).await;
                println!("seed {seed}: {} {}", answer.code, answer.remark);
                assert_eq!(clients[0].count(TOPIC, half.queue, &half.body).await, 1, "seed {seed}");
            }
            u64::from(broker.shard(0).transactions.repaired.get())
        });
    }
    assert!(repaired > 0, "no crash came between a decision and its message");
}

#[test]
fn decisions_are_found_again_behind_what_the_metadata_says() {
    on_all(3, |shards, seed| {
        let sim = Sim::new(seed);
        let keys = [("transactionCheckInterval", "100"), ("transactionTimeOut", "3600000")];
        let mut halves = Vec::new();
        sim.run(async |runtime| {
            let (_broker, mut clients) = begin(&runtime, shards, &keys).await;
            let mut random = runtime.random();
            for number in 0..200 {
                let half = clients[0].half(number % QUEUES, format!("{number}").as_bytes()).await;
                halves.push((half, None));
                let at = random.index(halves.len());
                let (half, decided) = &mut halves[at];
                if decided.is_none() {
                    let asked = if random.chance(1, 2) { COMMIT } else { ROLLBACK };
                    let answer = clients[0].end(half, asked).await;
                    assert_eq!(answer.code, response::SUCCESS, "{}", answer.remark);
                    *decided = Some(asked);
                }
                runtime.sleep(Duration::from_millis(random.below(20))).await;
            }
        });
        after_a_kill(&sim, async |runtime| {
            let _broker = Broker::start(&runtime, shards, &keys);
            let mut clients = clients(&runtime, shards).await;
            for (half, decided) in &halves {
                match decided {
                    Some(_) => clients[0].is_decided(half).await,
                    None => clients[0].commits(half).await,
                }
                let expected = usize::from(*decided != Some(ROLLBACK));
                assert_eq!(clients[0].count(TOPIC, half.queue, &half.body).await, expected);
            }
        });
    });
}
