//! `ringmq doctor --probe`: what SYNC_FLUSH costs here, by writes like those of a log, through the
//! same layer: O_DIRECT and O_DSYNC, one at a time, into blocks that were filled with zeros before.

use std::{
    fs, io,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use ringmq_base::{units::human_bytes, write_latency::WriteLatency};
use ringmq_io::{BlockBuffer as _, Disk, File, OpenMode, Runtime, launch};
use serde_json::{Value, json};

use super::{
    condition::{Condition, Severity},
    space::Space,
};

/// Sizes of a write, in bytes: a message alone, and what a busy broker writes at once.
const WRITES: [usize; 2] = [4 << 10, 128 << 10];
/// Of the file, which is written over and over.
const FILE_BYTES: u64 = 16 << 20;
/// Bytes and time of the writes of one size, whichever comes first.
const BYTES_MAX: u64 = 256 << 20;
const TIME_MAX: Duration = Duration::from_secs(2);
/// A disk that is not fuller afterwards than it may be.
const FREE_MIN: u64 = 4 * FILE_BYTES;

/// Above it clients feel each write, and above this they think that the broker hangs.
const P99_GOOD: Duration = Duration::from_millis(10);
const P99_BAD: Duration = Duration::from_millis(100);

/// Ends of the rows of the histogram.
const ROWS_US: [u64; 13] =
    [50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 500_000, 60_000_000];

/// Durable writes of one size.
pub struct Measured {
    bytes: usize,
    latency: WriteLatency,
    took: Duration,
}

/// What will be done, before it is.
fn announcement(directory: &Path) -> String {
    let (sizes, each) = (WRITES.len() as u64, human_bytes(BYTES_MAX));
    let most = human_bytes(FILE_BYTES + sizes * BYTES_MAX);
    format!(
        "writes to a file of {} in {} for {} s and {each} at most for each of {sizes} sizes, \
         {most} in all; it is removed",
        human_bytes(FILE_BYTES),
        directory.display(),
        TIME_MAX.as_secs(),
    )
}

/// Measures in `directory`.
///
/// # Errors
/// A sentence for the operator.
pub fn measure(directory: &Path) -> anyhow::Result<Vec<Measured>> {
    let free = Space::of(directory).map_or(0, |space| space.bytes_free);
    if free < FREE_MIN {
        return Err(anyhow!(
            "no probe of {}: it has {} free, and {} are wanted",
            directory.display(),
            human_bytes(free),
            human_bytes(FREE_MIN)
        ));
    }
    eprintln!("ringmq: probe: {}", announcement(directory));
    let path = directory.join(format!(".ringmq-probe-{}", std::process::id()));
    let cpu = launch::allowed_cpus()?.first().copied().unwrap_or(0);
    let probed = path.clone();
    let thread = launch::launch(&[cpu], false, move |_, runtime| {
        let path = probed.clone();
        async move { write_all(&runtime, &path).await }
    })?;
    let result = thread.join().pop().context("the executor ended without a result")?;
    // Only if it could not be removed at once.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            eprintln!("ringmq: cannot remove {}: {error}", path.display());
        }
        _ => {}
    }
    result.map_err(|error| anyhow!("no probe of {}: {error}", directory.display()))
}

async fn write_all<R: Runtime>(
    runtime: &R,
    path: &Path,
) -> Result<Vec<Measured>, ringmq_io::DiskError> {
    let disk = runtime.disk();
    let file = disk.create(path, OpenMode::WriteDurable).await?;
    // Nothing is left if this process is ended; the file lives until it is closed.
    disk.remove(path).await?;
    file.allocate(0, FILE_BYTES).await?;
    let zeros = disk.buffer(1 << 20);
    for position in (0..FILE_BYTES).step_by(1 << 20) {
        file.write(&zeros, position).await?;
    }
    file.sync().await?;
    let mut all = Vec::new();
    for bytes in WRITES {
        let mut buffer = disk.buffer(bytes);
        buffer.bytes_mut().fill(0x5a);
        let mut latency = WriteLatency::default();
        let (began, step) = (Instant::now(), bytes as u64);
        let mut written = 0;
        while written + step <= BYTES_MAX && began.elapsed() < TIME_MAX {
            let one = Instant::now();
            file.write(&buffer, written % FILE_BYTES).await?;
            latency.note(one.elapsed());
            written += step;
        }
        all.push(Measured { bytes, latency, took: began.elapsed() });
    }
    file.close().await?;
    Ok(all)
}

/// A row for each size.
pub fn rows(measured: &[Measured]) -> Vec<Condition> {
    measured.iter().map(row).collect()
}

fn row(measured: &Measured) -> Condition {
    let Measured { bytes, latency, .. } = measured;
    let p99 = latency.quantile(0.99);
    let found = format!(
        "p50 {}, p99 {}, longest {}",
        ms(latency.quantile(0.5)),
        ms(p99),
        ms(latency.longest()),
    );
    let name = format!("durable write of {}", human_bytes(*bytes as u64));
    let row = Condition::new(name, format!("p99 of {} at most", ms(P99_GOOD)), found);
    let remedy = "with SYNC_FLUSH a send waits for one or two such writes, which many sends share: \
                  take a device with power-loss protection, or flushDiskType = ASYNC_FLUSH if a \
                  power cut may cost the last messages";
    row.but_if(p99 > P99_GOOD, Severity::Note, remedy).but_if(
        p99 > P99_BAD,
        Severity::Warning,
        remedy,
    )
}

/// The histogram of each size, a line a row that has any.
pub fn histograms(measured: &[Measured]) -> String {
    let mut text = String::new();
    for one in measured {
        text += &format!(
            "\n{} durable writes of {}, one after the other: {:.0} a second\n",
            one.latency.writes(),
            human_bytes(one.bytes as u64),
            one.per_second(),
        );
        let most = one.counts().map(|(.., count)| count).max().unwrap_or(1).max(1);
        for (from, to, count) in one.counts().filter(|(.., count)| *count > 0) {
            let bar = "#".repeat(usize::try_from(count * 40 / most).unwrap_or(40).max(1));
            let range = format!("{} to {}", ms(micros(from)), ms(micros(to)));
            text += &format!("  {range:<24} {count:>9}  {bar}\n");
        }
    }
    text
}

pub fn json(measured: &[Measured]) -> Value {
    let of = |one: &Measured| {
        let us = |share| one.latency.quantile(share).as_micros() as u64;
        let rows: Vec<Value> = one
            .counts()
            .map(|(from, to, count)| json!({ "fromUs": from, "toUs": to, "writes": count }))
            .collect();
        json!({
            "bytes": one.bytes,
            "writes": one.latency.writes(),
            "seconds": one.took.as_secs_f64(),
            "writesPerSecond": one.per_second(),
            "p50Us": us(0.5),
            "p99Us": us(0.99),
            "p999Us": us(0.999),
            "longestUs": one.latency.longest().as_micros() as u64,
            "histogram": rows,
        })
    };
    measured.iter().map(of).collect()
}

impl Measured {
    fn per_second(&self) -> f64 {
        self.latency.writes() as f64 / self.took.as_secs_f64().max(1e-6)
    }

    /// Rows of the histogram: from and to in microseconds, and the writes.
    fn counts(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        let froms = [0].into_iter().chain(ROWS_US);
        froms.zip(ROWS_US).map(|(from, to)| {
            let end = if to == ROWS_US[ROWS_US.len() - 1] { u64::MAX / 2 } else { to };
            (from, to, self.latency.between(micros(from), micros(end)))
        })
    }
}

fn micros(us: u64) -> Duration {
    Duration::from_micros(us)
}

fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(times_us: &[(u64, usize)]) -> Measured {
        let mut latency = WriteLatency::default();
        for (us, count) in times_us {
            (0..*count).for_each(|_| latency.note(micros(*us)));
        }
        Measured { bytes: 4096, latency, took: Duration::from_secs(2) }
    }

    #[test]
    fn a_slow_device_is_judged_by_its_slow_writes() {
        let fast = row(&measured(&[(300, 990), (30_000, 5)]));
        assert_eq!(fast.severity, Severity::Ok, "{fast:?}");
        assert!(fast.found.starts_with("p50 0.30 ms, p99 0.30 ms, longest 30"), "{fast:?}");
        let turning = row(&measured(&[(9_000, 100), (20_000, 100)]));
        assert_eq!(turning.severity, Severity::Note);
        let slow = row(&measured(&[(150_000, 20)]));
        assert_eq!(slow.severity, Severity::Warning);
        assert!(slow.remedy.contains("ASYNC_FLUSH"));
    }

    #[test]
    fn the_histogram_has_every_write_in_one_row() {
        let measured = measured(&[(49, 3), (50, 2), (999, 7), (59_000_000, 1), (80_000_000, 1)]);
        let counts: Vec<_> = measured.counts().collect();
        assert_eq!(counts.iter().map(|(.., count)| count).sum::<u64>(), 14);
        assert_eq!(counts[0], (0, 50, 3));
        assert_eq!(counts[12], (500_000, 60_000_000, 2));
        let text = histograms(std::slice::from_ref(&measured));
        assert!(text.starts_with("\n14 durable writes of 4.0 KiB"), "{text}");
        assert!(text.contains("0.50 ms to 1.00 ms") && text.contains("########"), "{text}");
        assert_eq!(json(&[measured])[0]["histogram"][1]["writes"], 2);
    }
}
