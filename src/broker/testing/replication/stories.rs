//! What becomes of a slave that has too much or too little.

use ringmq_io::sim::{Fault, FaultRule, OperationKind};

use super::*;

/// Files that keep what was cut.
fn salvaged(disk: &SimDisk) -> usize {
    let files = disk.files();
    files.iter().filter(|path| path.to_string_lossy().ends_with(".salvage")).count()
}

#[test]
fn a_slave_that_has_more_than_its_restarted_master_is_cut_and_goes_on() {
    let mut cuts = 0;
    for seed in 200..212 {
        let (shards, logs) = [((1, 2), 2), ((2, 1), 2), ((2, 4), 4)][seed as usize % 3];
        println!("seed {seed}, {shards:?} shards");
        let pair = Pair::new(seed, Role::AsyncMaster, shards, logs);
        let answers = Answers::default();
        pair.sim.run(async |host| {
            let mut client = pair.begin(&host).await;
            pair.slave.start(&host).await;
            for number in 0..8 {
                let queue = number % QUEUES;
                let sent = client.send_to(TOPIC, queue, false, "", &body(number as u64, 50)).await;
                assert_eq!(sent.code, response::SUCCESS, "{}", sent.remark);
            }
            pair.until_equal(&host).await;
            // The slave's disk is faster than the master's.
            let stall = Fault::Stall(Duration::from_secs(2));
            let disk = pair.master.node.disk();
            disk.add_fault(FaultRule::every(Some(OperationKind::Write), stall));
            let ip = pair.master.node.ip();
            let producers: Vec<_> = (1..7)
                .map(|one| produce(&host, ip, one * 1000..one * 1000 + 10, 9000, &answers))
                .collect();
            host.sleep(Duration::from_millis(300)).await;
            pair.master.die(false);
            pair.master.start(&host).await;
            let all = || producers.iter().all(|ended| ended.get());
            pair.until(&host, "sent", all).await;
            pair.until_equal(&host).await;
        });
        pair.compare();
        cuts += salvaged(&pair.slave.node.disk());
        for (number, code) in answers.borrow().iter() {
            assert_eq!(*code, response::SUCCESS);
            let held = numbers_on(&pair.slave.node.disk());
            assert!(held.contains(number), "seed {seed}: {number}");
        }
    }
    assert!(cuts > 3, "logs were cut {cuts} times: too few to tell anything");
}

/// Whoever writes without a pause has always committed more by itself than a slave has had time to
/// acknowledge.
#[test]
fn a_slave_of_a_busy_master_is_in_sync_soon() {
    for (seed, flush) in [(400, "ASYNC_FLUSH"), (401, "SYNC_FLUSH"), (402, "ASYNC_FLUSH")] {
        let pair = Pair::with_flush(seed, Role::SyncMaster, (1, 1), 1, flush);
        let answers = Answers::default();
        pair.sim.run(async |host| {
            pair.begin(&host).await;
            let (one, other) = (&pair.master.node, &pair.slave.node);
            // As long as some writes take.
            pair.sim.links().delay(one, other, Duration::from_millis(2), Duration::ZERO);
            pair.sim.links().delay(other, one, Duration::from_millis(2), Duration::ZERO);
            let numbers = |one: u64| one * 100_000..one * 100_000 + 4_000;
            let ip = one.ip();
            let producers: Vec<_> =
                (0..12).map(|one| produce(&host, ip, numbers(one), 200, &answers)).collect();
            host.sleep(Duration::from_millis(200)).await;
            pair.slave.start(&host).await;
            let is_in_sync = || pair.master.followers().iter().any(|one| one.is_in_sync);
            let began = host.monotonic();
            pair.until(&host, "in sync", is_in_sync).await;
            let took = host.monotonic() - began;
            assert!(took < Duration::from_secs(6), "seed {seed}: {took:?}");
            let is_busy = producers.iter().any(|ended| !ended.get());
            assert!(is_busy, "seed {seed}: it is no longer busy after {took:?}");
            println!("seed {seed}, {flush}: in sync after {took:?}");
        });
    }
}

/// Fills the log with some segments.
async fn fill(client: &mut Client) {
    for number in 0..40 {
        let sent = client.send_to(TOPIC, 0, false, "", &body(number, 50_000)).await;
        assert!(sent.fields.contains_key("msgId"), "{}", sent.remark);
    }
}

/// Has the master give up all segments but the last two; where its log begins then.
async fn give_up(pair: &Pair) -> ringmq_base::LogPosition {
    let shard = pair.master.broker().shard(0);
    let log = shard.queues.own_logs().next().expect("a log").clone();
    let facts = log.segment_facts(ringmq_base::LogPosition(0));
    let before = facts[facts.len() - 2].start;
    log.retire(before, 0).await.expect("retires");
    assert_eq!(log.position_range().0.position(), before, "it was ready");
    before
}

fn first_of(machine: &Machine) -> ringmq_base::LogPosition {
    let shard = machine.broker().shard(0);
    let first = shard.queues.own_logs().next().expect("a log").position_range().0;
    first.position()
}

#[test]
fn a_slave_gives_up_what_its_master_has_given_up_and_no_more() {
    let pair = Pair::new(300, Role::SyncMaster, (1, 1), 1);
    pair.sim.run(async |host| {
        let mut client = pair.begin(&host).await;
        pair.slave.start(&host).await;
        fill(&mut client).await;
        pair.until_equal(&host).await;
        assert_eq!(first_of(&pair.slave).0, 0);
        let first = give_up(&pair).await;
        pair.until(&host, "given up", || first_of(&pair.slave) == first).await;
        fill(&mut client).await;
        pair.until_equal(&host).await;
        assert_eq!(first_of(&pair.slave), first);
    });
    pair.compare();
}

#[test]
fn a_slave_that_was_away_for_too_long_says_what_to_do() {
    let pair = Pair::new(301, Role::AsyncMaster, (1, 1), 1);
    pair.sim.run(async |host| {
        let mut client = pair.begin(&host).await;
        pair.slave.start(&host).await;
        client.send_to(TOPIC, 0, false, "", &body(1, 50)).await;
        pair.until_equal(&host).await;
        pair.slave.die(false);
        fill(&mut client).await;
        give_up(&pair).await;
        pair.slave.start(&host).await;
        host.sleep(Duration::from_secs(150)).await;
        let facts = pair.slave.followed().remove(0);
        assert!(facts.master.is_none(), "{facts:?}");
        let trouble = facts.trouble.expect("it says why");
        assert!(trouble.contains("has given up what log 0 lacks here"), "{trouble}");
    });
}
