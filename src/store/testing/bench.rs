//! `cargo test --release -p ringmq-store --lib append_costs -- --ignored --nocapture`

use std::time::Instant;

use ringmq_io::sim::Sim;

use super::*;

#[test]
#[ignore = "a measurement, only meaningful in release"]
fn append_costs() {
    const MESSAGES: usize = 2_000;
    const ROUNDS: usize = 500;
    let sim = Sim::new(1);
    let oracle = SharedOracle::default();
    sim.run(async |runtime| {
        let directory = directory();
        let options = LogOptions::new(directory, LogId::new(0).expect("in range"), 77);
        let (log, _) = open(&runtime, options, &oracle).await.expect("opens");
        let queue = log.queue(TOPICS[0], 0);
        let body = [7; 128];
        let message = record(TOPICS[0], 0, &body);
        let mut costs = Vec::new();
        for _ in 0..ROUNDS {
            let began = Instant::now();
            for _ in 0..MESSAGES {
                log.append(queue, &message, 7, |_| None).expect("room");
            }
            costs.push(began.elapsed().as_nanos() as usize / MESSAGES);
            runtime.sleep(Duration::from_millis(20)).await;
        }
        costs.sort_unstable();
        let (least, median) = (costs[0], costs[ROUNDS / 2]);
        println!("{least} ns an append at least, {median} ns in the median");
    });
}
