//! Machines that die and links that break while messages are sent.

use ringmq_io::sim::Random;

use super::*;

/// More than any buffer on the way.
const LARGE: usize = 150_000;
const MESSAGES: u64 = 120;

/// What goes wrong next.
async fn trouble(pair: &Pair, host: &SimRuntime, random: &mut Random) {
    let (links, one, other) = (pair.sim.links(), &pair.master.node, &pair.slave.node);
    match random.below(9) {
        0 => links.reset(one, other),
        1 => links.cut_both(one, other),
        2 => links.cut(one, other),
        3 => links.hold(other, one),
        4 => links.delay(one, other, Duration::from_millis(random.below(30)), Duration::ZERO),
        5 | 6 => {
            pair.slave.die(random.chance(1, 2));
            host.sleep(Duration::from_millis(random.below(200))).await;
            pair.slave.start(host).await;
        }
        7 => {
            pair.master.die(random.chance(1, 2));
            host.sleep(Duration::from_millis(random.below(200))).await;
            pair.master.start(host).await;
        }
        _ => links.heal_all(),
    }
}

/// What was acknowledged with SEND_OK is on both disks, whatever a power cut takes from them.
fn check_disks(pair: &Pair, answers: &Answers, random: &mut Random, both: bool) {
    let acknowledged: Vec<u64> = {
        let answers = answers.borrow();
        let ok = answers.iter().filter(|(_, code)| *code == response::SUCCESS);
        ok.map(|(number, _)| *number).collect()
    };
    let machines = [(&pair.master, "the master"), (&pair.slave, "the slave")];
    for (machine, who) in &machines[..1 + usize::from(both)] {
        let held = numbers_on(&machine.node.disk().power_cut(random.word()));
        for number in &acknowledged {
            assert!(held.contains(number), "seed {}: {who} lacks {number}", pair.seed);
        }
    }
}

fn play(seed: u64, role: Role, shards: (usize, usize), logs: usize) -> Vec<i32> {
    println!("seed {seed}, {role:?}, {shards:?} shards, {logs} logs");
    let pair = Pair::new(seed, role, shards, logs);
    let answers = Answers::default();
    pair.sim.run(async |host| {
        let mut random = host.random();
        pair.begin(&host).await;
        pair.slave.start(&host).await;
        let ip = pair.master.node.ip();
        let producers: Vec<_> = (0..3)
            .map(|number| {
                let first = number * 1000;
                produce(&host, ip, first..first + MESSAGES, LARGE, &answers)
            })
            .collect();
        let is_sync = role == Role::SyncMaster;
        for _ in 0..2 + random.below(10) {
            host.sleep(Duration::from_millis(random.below(300))).await;
            check_disks(&pair, &answers, &mut random, is_sync);
            trouble(&pair, &host, &mut random).await;
        }
        pair.sim.links().heal_all();
        let all = || producers.iter().all(|ended| ended.get());
        pair.until(&host, "sent", all).await;
        pair.until_equal(&host).await;
        check_disks(&pair, &answers, &mut random, true);
    });
    pair.compare();
    answers.borrow().iter().map(|(_, code)| *code).collect()
}

const SHARDS: [((usize, usize), usize); 5] =
    [((1, 1), 1), ((2, 2), 2), ((1, 2), 2), ((4, 1), 4), ((2, 4), 4)];

#[test]
fn what_a_synchronous_master_acknowledges_is_on_both_disks() {
    let mut codes = std::collections::BTreeMap::new();
    for seed in 0..15 {
        let (shards, logs) = SHARDS[seed as usize % SHARDS.len()];
        for code in play(seed, Role::SyncMaster, shards, logs) {
            *codes.entry(code).or_insert(0) += 1;
        }
    }
    println!("{codes:?}");
    for code in [response::SUCCESS, response::SLAVE_NOT_AVAILABLE, response::FLUSH_SLAVE_TIMEOUT] {
        assert!(codes.get(&code).is_some_and(|count| *count > 0), "{code}: {codes:?}");
    }
}

#[test]
fn a_slave_of_an_asynchronous_master_has_its_logs_in_the_end() {
    for seed in 100..108 {
        let (shards, logs) = SHARDS[seed as usize % SHARDS.len()];
        play(seed, Role::AsyncMaster, shards, logs);
    }
}
