//! Figures for `docs/RUNTIME.md`; they prove nothing and are run by people:
//! `cargo test --release -p ringmq-io --test measurements -- --ignored --nocapture`, one by one.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use ringmq_io::{
    Clock,
    launch::{Settings, allowed_cpus, launch_with},
    mailbox::mailbox,
};

#[test]
#[ignore = "a measurement"]
fn round_trips_between_executors() {
    for round in 0..3 {
        for spin_micros in [0, 50] {
            let settings = Settings {
                spin_before_park: Duration::from_micros(spin_micros),
                ..Settings::default()
            };
            println!("round {round} spin {spin_micros:2} us: {}", line(&measure(&settings)));
        }
    }
}

fn line(times: &Histogram<u64>) -> String {
    let at = |quantile| times.value_at_quantile(quantile) as f64 / 1000.0;
    format!(
        "us p50 {:.1} p99 {:.1} p99.9 {:.1} max {:.0}",
        at(0.5),
        at(0.99),
        at(0.999),
        times.max() as f64 / 1000.0
    )
}

fn measure(settings: &Settings) -> Histogram<u64> {
    const ROUND_TRIPS: u64 = 20_000;
    let (to_first, first) = mailbox::<u64>(1);
    let (to_second, second) = mailbox::<u64>(1);
    let ends = Arc::new(Mutex::new((Some(first), Some(second))));
    let allowed = allowed_cpus().expect("the CPUs are known");
    let cpus = [allowed[0], *allowed.last().expect("there is one")];
    let handles = launch_with(&cpus, settings, move |shard, _| {
        let (to_first, to_second, ends) = (to_first.clone(), to_second.clone(), ends.clone());
        async move {
            let end = {
                let mut ends = ends.lock().expect("nobody panics with it");
                if shard.index() == 0 { ends.0.take() } else { ends.1.take() }
            };
            let mut inbox = end.expect("each takes its own");
            let mut times = Histogram::<u64>::new(3).expect("three digits are allowed");
            for number in 0..ROUND_TRIPS {
                if shard.index() == 0 {
                    let start = Instant::now();
                    to_second.try_send(number).expect("the lane is empty");
                    inbox.recv().await;
                    let nanos = start.elapsed().as_nanos() as u64;
                    times.record(nanos).expect("the histogram grows");
                } else {
                    let number = inbox.recv().await;
                    to_first.try_send(number).expect("the lane is empty");
                }
            }
            times
        }
    });
    handles.expect("executors can be made here").join().swap_remove(0)
}

#[test]
#[ignore = "a measurement"]
fn what_idle_executors_cost() {
    for pulse_ms in [10, 20, 50] {
        let settings = Settings { pulse: Duration::from_millis(pulse_ms), ..Settings::default() };
        let cpus = allowed_cpus().expect("the CPUs are known");
        let handles = launch_with(&cpus, &settings, |shard, runtime| async move {
            let before = process_ticks();
            runtime.sleep(Duration::from_secs(5)).await;
            (shard.index(), process_ticks() - before)
        });
        let ticks = handles.expect("executors can be made here").join().swap_remove(0).1;
        let status = std::fs::read_to_string("/proc/self/status").expect("it exists");
        let resident = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
        println!(
            "{} executors, pulse {pulse_ms} ms: {ticks} ticks of 10 ms in 5 s, {resident}",
            cpus.len()
        );
    }
}

/// CPU time of this process so far, in ticks of 10 ms.
fn process_ticks() -> u64 {
    let status = std::fs::read_to_string("/proc/self/stat").expect("it exists");
    let fields = status.rsplit(") ").next().expect("the name is in parentheses");
    let number = |index| fields.split(' ').nth(index).and_then(|field| field.parse::<u64>().ok());
    number(11).expect("user time") + number(12).expect("system time")
}
