//! kill -9 of the real broker: runs the test of the binary with more kills.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::Instant,
};

use crate::meter::Totals;

/// Runs so many kills; what they print goes to the output.
pub fn run(seed: u64, cycles: u64) -> Totals {
    let began = Instant::now();
    let mut totals = Totals { campaign: "kill9".into(), first_seed: seed, ..Totals::default() };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut child = Command::new(cargo)
        .args(["test", "--test", "it", "nothing_acknowledged_is_lost", "--", "--nocapture"])
        .env("RINGMQ_KILL9_CYCLES", cycles.to_string())
        .env("RINGMQ_SEED", seed.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("cargo runs");
    let output = child.stdout.take().expect("it is a pipe");
    for line in BufReader::new(output).lines() {
        let line = line.expect("text");
        println!("kill9: {line}");
        if line.starts_with("cycle ") {
            totals.runs += 1;
            totals.images += 1;
            totals.operations += acks(&line);
        }
        totals.violations += u64::from(line.starts_with("violation:"));
    }
    let status = child.wait().expect("our own child");
    if !status.success() {
        totals.violations = totals.violations.max(1);
        println!("repeat with: scripts/campaign kill9 --seed {seed} --cycles {cycles}");
    }
    totals.seeds = 1;
    totals.seconds = began.elapsed().as_secs();
    totals
}

/// The acknowledgements of a cycle: `cycle 3: sync flush, killed after 20 ms, 17 acks, ...`.
fn acks(line: &str) -> u64 {
    let part = line.split(", ").find_map(|part| part.strip_suffix(" acks"));
    part.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_are_read_from_the_output() {
        let line = "cycle 3: sync flush, killed after 20 ms, 17 acks, 0 refusals, 99 acked in all";
        assert_eq!(acks(line), 17);
        assert_eq!(acks("test result: ok"), 0);
    }
}
