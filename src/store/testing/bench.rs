//! `cargo test --release -p ringmq-store --lib append_costs -- --ignored --nocapture`

use std::time::Instant;

use ringmq_io::sim::Sim;

use super::*;

#[test]
#[ignore = "a measurement, only meaningful in release"]
fn append_costs() {
    const MESSAGES: u64 = 100_000;
    let sim = Sim::new(1);
    let oracle = SharedOracle::default();
    sim.run(async |runtime| {
        let options = LogOptions {
            backlog_bytes_max: 1 << 30,
            zero_ahead_bytes: 1 << 30,
            ..LogOptions::new(directory(), LogId::new(0).expect("in range"), 77)
        };
        let (log, _) = open(&runtime, options, &oracle).await.expect("opens");
        let queue = log.queue(TOPICS[0], 0);
        let body = [7; 128];
        let message = record(TOPICS[0], 0, &body);
        for round in 0..10 {
            while log.counters().appends * 400 > (1 << 20) * (1 << 10) {
                log.room().await;
            }
            runtime.sleep(Duration::from_secs(2)).await;
            let began = Instant::now();
            let mut bytes = 0;
            for _ in 0..MESSAGES {
                bytes += log.append(queue, &message, 7, |_| None).expect("room").size;
            }
            let nanoseconds = began.elapsed().as_nanos() as u64 / MESSAGES;
            println!(
                "round {round}: {nanoseconds} ns an append of {} bytes",
                bytes as u64 / MESSAGES
            );
        }
    });
}
