//! Memory of messages that wait for their time: `timers_scale 10000000` spreads so many over three
//! days, prints what they take, and takes those of the first minute.

use std::{env, fs, time::Instant};

use ringmq_rules::timer::wheel::{Frontier, Waiting, Wheel};

const DAYS_MS: i64 = 3 * 24 * 3600 * 1000;
const NOW_MS: i64 = 1_800_000_000_000;

fn main() {
    let count = env::args().nth(1).map_or(Ok(10_000_000), |count| count.parse());
    let count: i64 = count.expect("a number of messages");
    let before = resident_bytes();
    let mut wheel = Wheel::new(Frontier::default());
    let began = Instant::now();
    for offset in 0..count {
        // In no order.
        let due_ms = NOW_MS + offset.wrapping_mul(7_919_777) % DAYS_MS;
        wheel.add(Waiting { due_ms, offset, is_deletion: false });
        wheel.has_read(offset + 1);
    }
    let added = began.elapsed();
    let resident = resident_bytes().saturating_sub(before);
    println!("{count} messages added in {added:?}");
    println!("counted {} bytes, resident {resident} bytes more", wheel.bytes());
    let began = Instant::now();
    let mut delivered = 0;
    while let Some(next) = wheel.take(NOW_MS + 60_000) {
        wheel.settle(&next);
        delivered += 1;
    }
    println!("{delivered} of the first minute taken in {:?}", began.elapsed());
}

fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
