//! The summary, as text and as JSON.

use std::fmt::Write;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::arguments::{Options, Serialization};
use crate::process::ProcessUse;
use crate::statistics::Recorder;

/// What one kind of load came to.
#[derive(Debug, Serialize)]
pub struct Report {
    /// `producer` or `consumer`.
    pub kind: &'static str,
    /// What was asked for.
    pub load: Load,
    /// Length of the measured time.
    pub seconds: f64,
    /// Messages in it.
    pub messages: u64,
    /// Requests answered with success in it.
    pub requests: u64,
    /// Messages a second.
    pub messages_per_second: f64,
    /// Megabytes (1,000,000 bytes) of bodies a second.
    pub megabytes_per_second: f64,
    /// Time from sending a request (open loop: from when it was due) to its answer, microseconds.
    pub latency_us: Percentiles,
    /// Consumer: time from the message's birth, or from its own time with --delay-ms, to its
    /// receipt, microseconds; timestamps have a resolution of one millisecond.
    pub end_to_end_us: Option<Percentiles>,
    /// Failed requests by code.
    pub failures: Vec<Failure>,
    /// Open loop: requests that were due and never sent.
    pub behind: u64,
    /// Requests without an answer at the end.
    pub unanswered: u64,
    /// Damage that was found in what was pulled.
    pub corrupt: u64,
    /// The first of it.
    pub corrupt_first: Option<String>,
    /// CPU time of the tool a message, microseconds. An open loop spins: then this says nothing.
    pub tool_cpu_us_per_message: f64,
    /// The server, with --server-pid.
    pub server: Option<ProcessUse>,
}

/// The load that was asked for.
#[derive(Debug, Serialize)]
pub struct Load {
    topic: String,
    topics: u32,
    queues: usize,
    size: u32,
    batch: u32,
    connections: u32,
    depth: u32,
    threads: u32,
    rate: Option<f64>,
    pull_batch: u32,
    delay_ms: Option<u64>,
    serialization: &'static str,
}

/// Latencies in microseconds.
#[derive(Debug, Serialize)]
pub struct Percentiles {
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    p9999: f64,
    max: f64,
}

/// Requests that failed with one code.
#[derive(Debug, Serialize)]
pub struct Failure {
    code: i32,
    count: u64,
    first_remark: String,
}

impl Load {
    /// The load of the options, on so many queues.
    pub fn new(options: &Options, queues: usize) -> Load {
        let (connections, depth) = options.connections_and_depth();
        Load {
            topic: options.topic.clone(),
            topics: options.topics,
            queues,
            size: options.size,
            batch: options.batch,
            connections,
            depth,
            threads: options.threads,
            rate: options.rate,
            pull_batch: options.pull_batch,
            delay_ms: options.delay_ms,
            serialization: match options.serialization {
                Serialization::Json => "json",
                Serialization::Rocketmq => "rocketmq",
            },
        }
    }
}

impl Percentiles {
    fn new(histogram: &Histogram<u64>) -> Percentiles {
        let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        Percentiles {
            mean: histogram.mean() / 1000.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            p9999: at(0.9999),
            max: histogram.max() as f64 / 1000.0,
        }
    }

    fn text(&self) -> String {
        let Percentiles { mean, p50, p90, p99, p999, p9999, max } = self;
        format!(
            "mean {mean:.0}  p50 {p50:.0}  p90 {p90:.0}  p99 {p99:.0}  p99.9 {p999:.0}  \
             p99.99 {p9999:.0}  max {max:.0}"
        )
    }
}

impl Report {
    /// Makes a report of the merged record of all threads of one kind.
    pub fn new(kind: &'static str, load: Load, record: &Recorder) -> Report {
        let seconds = record.measured_ns as f64 / 1e9;
        let rate = |count: u64| {
            if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
        };
        let is_consumer = kind == "consumer";
        Report {
            kind,
            load,
            seconds,
            messages: record.messages,
            requests: record.requests,
            messages_per_second: rate(record.messages),
            megabytes_per_second: rate(record.bytes) / 1e6,
            latency_us: Percentiles::new(&record.latency),
            end_to_end_us: is_consumer.then(|| Percentiles::new(&record.end_to_end)),
            failures: record
                .failures
                .iter()
                .map(|(code, (count, remark))| Failure {
                    code: *code,
                    count: *count,
                    first_remark: remark.clone(),
                })
                .collect(),
            behind: record.behind,
            unanswered: record.unanswered,
            corrupt: record.corrupt,
            corrupt_first: record.corrupt_first.clone(),
            tool_cpu_us_per_message: record.cpu_us as f64 / record.messages.max(1) as f64,
            server: None,
        }
    }

    /// The summary for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.write_text(&mut text).expect("a String takes everything");
        text
    }

    fn write_text(&self, text: &mut String) -> std::fmt::Result {
        let Load { size, batch, connections, depth, queues, threads, .. } = &self.load;
        let kind = self.kind;
        writeln!(
            text,
            "\n{kind}: {connections} connections x {depth} in flight a broker, {queues} queues, \
             bodies of {size} bytes, batch {batch}, {threads} threads"
        )?;
        writeln!(
            text,
            "  {:.0} msg/s  {:.1} MB/s  ({} messages, {} requests in {:.2} s)",
            self.messages_per_second,
            self.megabytes_per_second,
            self.messages,
            self.requests,
            self.seconds
        )?;
        let what = if kind == "producer" { "latency" } else { "pull" };
        writeln!(text, "  {what}, us: {}", self.latency_us.text())?;
        if let Some(end_to_end) = &self.end_to_end_us {
            let since = if self.load.delay_ms.is_some() { "due" } else { "born" };
            writeln!(text, "  {since} to received, us: {}", end_to_end.text())?;
        }
        writeln!(text, "  tool CPU: {:.3} us a message", self.tool_cpu_us_per_message)?;
        if let Some(server) = &self.server {
            writeln!(
                text,
                "  server CPU: {:.3} us a message; RSS {:.0} MiB, at most {:.0} MiB",
                server.cpu_us_per_message, server.rss_mib, server.rss_peak_mib
            )?;
        }
        for Failure { code, count, first_remark } in &self.failures {
            writeln!(text, "  failed: {count} with code {code}, first: {first_remark}")?;
        }
        let rest = [
            ("requests were due and not sent: the broker is slower than --rate", self.behind),
            ("requests had no answer at the end", self.unanswered),
            ("records were damaged or out of order", self.corrupt),
        ];
        for (words, count) in rest {
            if count > 0 {
                writeln!(text, "  {count} {words}")?;
            }
        }
        if let Some(first) = &self.corrupt_first {
            writeln!(text, "  first damage: {first}")?;
        }
        Ok(())
    }

    /// Whether the run was good: messages went through and nothing was damaged.
    pub fn is_good(&self) -> bool {
        self.messages > 0 && self.corrupt == 0
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn a_report_has_rates_percentiles_and_failures() {
        let options = Line::parse_from(["bench", "-w", "4"]).options;
        let mut record = Recorder::new();
        record.measured_ns = 2_000_000_000;
        (record.messages, record.requests, record.bytes) = (1000, 1000, 128_000);
        record.latency.record_n(250_000, 1000).expect("in range");
        record.cpu_us = 400;
        record.fail(2, 3, || "[TIMEOUT_CLEAN_QUEUE]broker busy".to_owned());
        let report = Report::new("producer", Load::new(&options, 8), &record);
        assert!(report.is_good());
        let text = report.text();
        assert!(text.contains("500 msg/s") && text.contains("p99.99 250"), "{text}");
        assert!(text.contains("3 with code 2, first: [TIMEOUT_CLEAN_QUEUE]"), "{text}");
        let json = serde_json::to_value(&report).expect("a report is JSON");
        assert_eq!(json["load"]["depth"], 4);
        assert_eq!(json["tool_cpu_us_per_message"], 0.4);
    }
}
