//! Random numbers that a seed repeats.

pub use fastrand::Rng as Random;

/// The seed of this run: `RINGMQ_SEED`, or one from the clock. Printed, so that it can be repeated.
pub fn seed(test: &str) -> u64 {
    let seed = match std::env::var("RINGMQ_SEED") {
        Ok(text) => text.parse().expect("RINGMQ_SEED is a decimal number"),
        Err(_) => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            u64::try_from(now.expect("after 1970").as_nanos() % (1 << 40)).expect("below 2^40")
        }
    };
    println!("repeat with: RINGMQ_SEED={seed} cargo test --test it {test} -- --nocapture");
    seed
}
