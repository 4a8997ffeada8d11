//! Streams under resets, cuts, delays and slow followers.

use std::{rc::Rc, time::Duration};

use ringmq_io::{
    Clock as _, Shares, Spawn as _,
    sim::{Fault, FaultRule, OperationKind, Random, Sim},
};
use ringmq_store::FlushMode;

use super::machine::{EPOCH, Machine, QUEUES, produce, segments};

const MESSAGES: u64 = 300;

/// A master of two followers on a network, which must all have what is acknowledged.
fn cluster(sim: &Sim, flush: FlushMode) -> [Rc<Machine>; 3] {
    let machines = [1, 2, 3].map(|number| Machine::new(sim, number, flush));
    let [master, others @ ..] = &machines;
    let others = others.clone();
    master.acks.check.replace(Some(Box::new(move |end| {
        for other in &others {
            let has = other.log().ends().written.0;
            assert!(has >= end, "acknowledged to {end}, and member {:?} has {has}", other.replica);
        }
    })));
    machines
}

fn trouble(sim: &Sim, random: &mut Random, machines: &[Rc<Machine>; 3]) {
    let links = sim.links();
    let (one, other) = (random.index(3), 1 + random.index(2));
    let (one, other) = (&machines[one].node, &machines[(one + other) % 3].node);
    match random.below(6) {
        0 => links.reset(one, other),
        1 => links.cut_both(one, other),
        2 => links.cut(one, other),
        3 => links.hold(one, other),
        4 => links.delay(one, other, Duration::from_millis(random.below(30)), Duration::ZERO),
        _ => links.heal_all(),
    }
}

fn run(seed: u64, flush: FlushMode) -> (u64, usize) {
    let sim = Sim::new(seed);
    let machines = cluster(&sim, flush);
    let [master, ..] = &machines;
    let (end, ended) = sim.run(async |runtime| {
        let lead = master.lead(EPOCH, &[1, 2, 3]).await;
        for follower in &machines[1..] {
            follower.follow(master).await;
        }
        let mut random = runtime.random();
        let mut producing = random.fork();
        let (at, log) = (runtime.clone(), lead.log().clone());
        runtime.spawn(Shares::Foreground, "produce", async move {
            produce(at, log, &mut producing, 0..MESSAGES).await;
        });
        for _ in 0..random.below(40) {
            runtime.sleep(Duration::from_millis(random.below(15))).await;
            trouble(&sim, &mut random, &machines);
        }
        sim.links().heal_all();
        let began = runtime.monotonic();
        while master.acks.numbers.borrow().len() < MESSAGES as usize {
            runtime.sleep(Duration::from_millis(10)).await;
            let waited = runtime.monotonic() - began;
            let said: Vec<_> = machines.iter().map(|one| one.ended.borrow().join("; ")).collect();
            let ends: Vec<_> = machines.iter().map(|one| one.log().ends()).collect();
            let held = [1, 2, 3].map(|id| lead.held_by(crate::ids::ReplicaId(id)).0);
            assert!(
                waited < Duration::from_secs(30),
                "seed {seed}: {said:?}, {ends:?}, held {held:?}"
            );
        }
        let order: Vec<u64> =
            master.acks.numbers.borrow().iter().map(|(_, number)| *number).collect();
        assert_eq!((0..MESSAGES).collect::<Vec<_>>(), order, "seed {seed}");
        let end = lead.log().ends().end;
        assert_eq!(lead.committed(), end, "seed {seed}");
        for follower in &machines[1..] {
            // They hear of it without anything more being sent.
            while follower.log().ends().committed < end {
                follower.log().progressed().await;
            }
            for queue in 0..QUEUES {
                let bounds = |log: &super::machine::TestLog| {
                    log.find_queue("TopicA", queue).map(|queue| log.bounds(queue))
                };
                assert_eq!(bounds(&follower.log()), bounds(lead.log()), "seed {seed}");
            }
        }
        (end, machines.iter().map(|one| one.ended.borrow().len()).sum())
    });
    let [own, one, two] = machines.each_ref().map(|one| segments(&one.node.disk(), end));
    for other in [one, two] {
        assert_eq!(own.len(), other.len(), "seed {seed}");
        for ((path, bytes), (_, copied)) in own.iter().zip(&other) {
            let length = bytes.len().min(copied.len());
            assert!(bytes[..length] == copied[..length], "seed {seed}: {}", path.display());
        }
    }
    (sim.trace_hash(), ended)
}

#[test]
fn what_is_acknowledged_is_on_every_member_whatever_happens_to_the_network() {
    let mut ended = 0;
    for seed in 0_u64..40 {
        let flush = if seed.is_multiple_of(2) { FlushMode::Sync } else { FlushMode::Async };
        let (hash, count) = run(seed, flush);
        ended += count;
        if seed.is_multiple_of(10) {
            assert_eq!(run(seed, flush).0, hash, "seed {seed} twice");
        }
    }
    assert!(ended > 40, "connections ended {ended} times: too few to tell anything");
}

#[test]
fn a_slow_follower_takes_no_memory_of_its_master() {
    let sim = Sim::new(5);
    let machines = cluster(&sim, FlushMode::Sync);
    let [master, _, slow] = &machines;
    sim.run(async |runtime| {
        let lead = master.lead(EPOCH, &[1, 2]).await;
        for follower in &machines[1..] {
            follower.follow(master).await;
        }
        master.acks.check.replace(None);
        let stall = Fault::Stall(Duration::from_millis(40));
        slow.node.disk().add_fault(FaultRule::every(Some(OperationKind::Write), stall));
        let mut random = runtime.random();
        produce(runtime.clone(), lead.log().clone(), &mut random, 0..MESSAGES).await;
        // The others go on without it.
        while master.acks.numbers.borrow().len() < MESSAGES as usize {
            runtime.sleep(Duration::from_millis(1)).await;
        }
        let behind = lead.log().ends().end.0 - lead.held_by(slow.replica).0;
        assert!(behind > 40_000, "it is only {behind} bytes behind");
        // What it lacks comes from the files, in time.
        while lead.held_by(slow.replica) < lead.log().ends().end {
            runtime.sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(slow.log().ends().written, lead.log().ends().written);
    });
}
