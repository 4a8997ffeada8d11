//! Masters that die and are followed by another member, beside followers that die: what was
//! acknowledged or served stays, and what only a dead master had is cut.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use ringmq_io::{
    Clock as _, Shares, Spawn as _,
    sim::{Random, Sim, SimRuntime},
};
use ringmq_store::FlushMode;

use super::machine::{EPOCH, Machine, produce};
use crate::ids::Epoch;

const ROUNDS: u32 = 4;
const MESSAGES: u64 = 100;

struct Story {
    seed: u64,
    runtime: SimRuntime,
    machines: [Rc<Machine>; 3],
    /// What anybody was served, for ever.
    served: BTreeMap<(i32, i64), u64>,
    power_cuts: bool,
}

impl Story {
    /// One leadership, which ends at some moment of its own.
    async fn lead(&mut self, master: usize, epoch: Epoch, random: &mut Random) {
        let leader = self.machines[master].clone();
        let lead = leader.lead(epoch, &[1, 2, 3]).await;
        for (number, follower) in self.machines.iter().enumerate() {
            if number != master {
                follower.follow(&leader).await;
            }
        }
        let first = u64::from(epoch.0) * 1000;
        let mut producing = random.fork();
        let (at, log) = (leader.runtime(), lead.log().clone());
        leader.runtime().spawn(Shares::Foreground, "produce", async move {
            produce(at, log, &mut producing, first..first + MESSAGES).await;
        });
        for _ in 0..random.below(12) {
            self.runtime.sleep(Duration::from_millis(random.below(12))).await;
            let follower = self.machines[(master + 1 + random.index(2)) % 3].clone();
            if random.chance(1, 2) {
                follower.die(self.power_cuts && random.chance(1, 2));
                follower.follow(&leader).await;
            }
            if random.chance(1, 3) {
                self.note_served().await;
            }
        }
        if random.chance(1, 3) {
            // It ends in peace: all of it is acknowledged.
            self.all_acknowledged(&leader, first).await;
        }
        self.note_served().await;
        for machine in &self.machines {
            machine.die(self.power_cuts && random.chance(1, 2));
        }
    }

    async fn all_acknowledged(&self, leader: &Machine, first: u64) {
        let began = self.runtime.monotonic();
        let acknowledged = |number| {
            leader.acks.numbers.borrow().iter().any(|(_, acknowledged)| *acknowledged == number)
        };
        while !(first..first + MESSAGES).all(acknowledged) {
            self.runtime.sleep(Duration::from_millis(10)).await;
            let waited = self.runtime.monotonic() - began;
            let said: Vec<_> =
                self.machines.iter().map(|one| one.ended.borrow().join("; ")).collect();
            assert!(waited < Duration::from_secs(60), "seed {}: {said:?}", self.seed);
        }
    }

    /// Nothing that anybody was served is another message now, or gone where so much is visible.
    async fn note_served(&mut self) {
        for machine in &self.machines {
            for (place, number) in machine.served().await {
                let before = self.served.insert(place, number);
                let same = before.is_none_or(|before| before == number);
                assert!(same, "seed {}: {place:?} is {number}, was {before:?}", self.seed);
            }
        }
    }

    /// A last leadership without faults has everything that was promised.
    async fn check(&mut self, master: usize, epoch: Epoch) {
        let leader = self.machines[master].clone();
        let lead = leader.lead(epoch, &[1, 2, 3]).await;
        for (number, follower) in self.machines.iter().enumerate() {
            if number != master {
                follower.follow(&leader).await;
            }
        }
        while lead.committed() < lead.log().ends().end {
            self.runtime.sleep(Duration::from_millis(5)).await;
        }
        self.note_served().await;
        let last = leader.served().await;
        for (place, number) in &self.served {
            assert_eq!(last.get(place), Some(number), "seed {}: {place:?}", self.seed);
        }
        for machine in &self.machines {
            for (_, number) in machine.acks.numbers.borrow().iter() {
                let there = last.values().any(|other| other == number);
                assert!(there, "seed {}: {number} was acknowledged", self.seed);
            }
        }
    }
}

/// How often a member had to cut its log, and how many messages were acknowledged.
fn play(seed: u64) -> (usize, usize) {
    // Without a sync of each write only a power cut of all at once may take what was acknowledged;
    // then nothing is promised here.
    let flush = if seed.is_multiple_of(3) { FlushMode::Async } else { FlushMode::Sync };
    let sim = Sim::new(seed);
    let machines = [1, 2, 3].map(|number| Machine::new(&sim, number, flush));
    sim.run(async |runtime| {
        let mut random = runtime.random();
        let (served, power_cuts) = (BTreeMap::new(), flush == FlushMode::Sync);
        let machines = machines.clone();
        let mut story = Story { seed, runtime, machines, served, power_cuts };
        for round in 0..ROUNDS {
            let master = random.index(3);
            story.lead(master, Epoch(EPOCH.0 + round), &mut random).await;
        }
        story.check(random.index(3), Epoch(EPOCH.0 + ROUNDS)).await;
    });
    let cuts = machines.iter().map(|one| one.cuts.get()).sum();
    let acknowledged = machines.iter().map(|one| one.acks.numbers.borrow().len()).sum();
    (cuts, acknowledged)
}

#[test]
fn what_was_acknowledged_or_served_stays_whoever_leads() {
    let (mut cuts, mut acknowledged) = (0, 0);
    for seed in 0..30 {
        let (cut, acked) = play(seed);
        cuts += cut;
        acknowledged += acked;
    }
    assert!(cuts > 10, "logs were cut {cuts} times: too few to tell anything");
    assert!(acknowledged > 2000, "{acknowledged} messages were acknowledged");
}
