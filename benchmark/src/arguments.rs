//! What the command line says.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use ringmq_client::TlsOptions;

use crate::transactions::Rates;

/// Most requests in flight on one connection: the slot number must fit the opaque (`opaque.rs`).
pub const DEPTH_MAX: u32 = 1 << 14;
/// Queues that clients ask for when nothing is said.
pub const DEFAULT_QUEUES: u32 = 4;

/// Load tool: sends or pulls messages as RocketMQ's own clients do and reports rates and latencies.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub mode: Mode,
}

/// The kinds of load.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Mode {
    /// Send messages.
    Producer(Options),
    /// Pull messages.
    Consumer(Options),
    /// Send and pull at the same time; latency of the consumer is end to end.
    Both(Options),
    /// Send transactional messages, decide about them and answer the broker's questions.
    Transactions(Transactions),
}

/// Options of [`Mode::Transactions`].
#[derive(Debug, Clone, clap::Args)]
pub struct Transactions {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    rates: Rates,
    /// Pause between two messages of each sender, such as 10ms.
    #[arg(long, value_parser = parse_duration, conflicts_with = "rate")]
    interval: Option<Duration>,
}

/// Options of every kind of load; those of the other kind are ignored.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Name servers, `host:port`, several separated by `;`.
    #[arg(short = 'n', long, env = "NAMESRV_ADDR", default_value = "127.0.0.1:9876")]
    pub namesrv: String,
    /// How servers are connected to.
    #[command(flatten)]
    pub tls: TlsOptions,
    /// Topic; with --topics it is the prefix of their names.
    #[arg(short = 't', long, default_value = "BenchmarkTest")]
    pub topic: String,
    /// Bytes of a message body.
    #[arg(short = 's', long, alias = "message-size", default_value_t = 128)]
    pub size: u32,
    /// Connections to each broker, over all threads.
    #[arg(short = 'c', long, default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub connections: u32,
    /// Requests in flight on each connection.
    #[arg(short = 'd', long, default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(DEPTH_MAX)))]
    pub depth: u32,
    /// So many synchronous senders over one connection, as RocketMQ's benchmark has them: the same
    /// as `--connections 1 --depth N`.
    #[arg(short = 'w', long, alias = "thread-count", conflicts_with_all = ["connections", "depth"],
          value_parser = clap::value_parser!(u32).range(1..=i64::from(DEPTH_MAX)))]
    pub workers: Option<u32>,
    /// Queues of a topic on each broker: how many are created, and how many of those there are
    /// used.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub queues: Option<u32>,
    /// Number of topics.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub topics: u32,
    /// Create or update the topics on every broker first (otherwise the broker creates them when it
    /// receives the first message, if it is set so).
    #[arg(long)]
    pub create_topics: bool,
    /// Messages of one send request; more than one makes it a batch.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub batch: u32,
    /// Measured time, such as `10s`, `500ms`, `2m`; `0` is without end. Default 10s, or without end
    /// when --messages is given.
    #[arg(long, value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Time before the measured time. Default 2s, or none when --messages is given.
    #[arg(long, value_parser = parse_duration)]
    pub warmup: Option<Duration>,
    /// Messages a second in all threads (open loop). Latency then counts from the time when the
    /// message was due, whether or not it could be sent then; the tool spins between sends.
    #[arg(long, value_parser = parse_rate)]
    pub rate: Option<f64>,
    /// Stop after so many messages in all.
    #[arg(short = 'q', long, alias = "message-quantity")]
    pub messages: Option<u64>,
    /// Header encoding.
    #[arg(long, value_enum, default_value_t = Serialization::Json)]
    pub serialization: Serialization,
    /// Group of the producer or consumer. Default benchmark_producer or benchmark_consumer.
    #[arg(short = 'g', long)]
    pub group: Option<String>,
    /// Write the summary as JSON into this file; `-` is standard output, the text then goes to
    /// standard error.
    #[arg(long, value_name = "FILE")]
    pub json: Option<String>,
    /// Threads of the tool (of each kind, with `both`).
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: u32,
    /// CPUs of the tool's threads, such as `1` or `2-3,6`: one thread each, in turn.
    #[arg(long, value_name = "CPUS")]
    pub pin: Option<CpuList>,
    /// Give the messages tags, so many different ones.
    #[arg(short = 'l', long, alias = "tag-count", default_value_t = 0,
          value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub tags: u32,
    /// Give the messages keys.
    #[arg(short = 'k', long, alias = "key-enable", num_args = 0..=1, default_missing_value = "true",
          default_value_t = false, action = clap::ArgAction::Set)]
    pub keys: bool,
    /// Give the messages a property of so many bytes.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=30_000))]
    pub property_size: u32,
    /// Give the messages this delay level.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub delay_level: Option<u32>,
    /// Give the messages a time so many milliseconds ahead (`TIMER_DELAY_MS`). A consumer then
    /// tells how late after it they come, and reports those that are early as damage.
    #[arg(long, conflicts_with = "delay_level",
          value_parser = clap::value_parser!(u64).range(1..=259_200_000))]
    pub delay_ms: Option<u64>,
    /// Most messages of one pull.
    #[arg(short = 'B', long, default_value_t = 32,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub pull_batch: u32,
    /// Where the consumer begins in each queue.
    #[arg(long, value_enum, default_value_t = StartFrom::Max)]
    pub from: StartFrom,
    /// At the end of a queue begin again at its smallest offset instead of waiting for messages.
    #[arg(long)]
    pub replay: bool,
    /// Expression of the consumer.
    #[arg(short = 'e', long, default_value = "*")]
    pub expression: String,
    /// Kind of the expression.
    #[arg(long, value_enum, ignore_case = true, default_value_t = FilterType::Tag)]
    pub filter_type: FilterType,
    /// Check the body's CRC and that queue offsets follow each other; errors make the exit code 1.
    #[arg(long)]
    pub verify: bool,
    /// Print a line every second although standard output is no terminal.
    #[arg(long)]
    pub progress: bool,
    /// A request without an answer for so long has failed.
    #[arg(long, value_parser = parse_duration, default_value = "10s")]
    pub timeout: Duration,
    /// Also report CPU time and memory of this process (the server, on the same machine) over the
    /// measured time.
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// Messages are transactional.
    #[arg(skip)]
    pub transactions: Option<Rates>,
}

/// Kind of a consumer's expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum FilterType {
    /// Tags, such as `TagA || TagB`.
    Tag,
    /// A condition on properties.
    Sql92,
}

impl FilterType {
    /// As it stands in requests.
    pub fn name(self) -> &'static str {
        match self {
            FilterType::Tag => "TAG",
            FilterType::Sql92 => "SQL92",
        }
    }
}

impl From<Transactions> for Options {
    fn from(transactions: Transactions) -> Options {
        let Transactions { mut options, rates, interval } = transactions;
        let interval = interval.map(|interval| interval.as_secs_f64()).filter(|pause| *pause > 0.0);
        if let Some(interval) = interval {
            let (connections, depth) = options.connections_and_depth();
            options.rate = Some(f64::from(connections) * f64::from(depth) / interval);
        }
        Options { transactions: Some(rates), ..options }
    }
}

/// Header encoding on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Serialization {
    /// What clients use unless told otherwise.
    Json,
    /// The binary header.
    Rocketmq,
}

/// First offset of a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum StartFrom {
    /// The oldest message.
    Min,
    /// Only messages that come from now on.
    Max,
}

/// A list of CPU numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuList(pub Vec<usize>);

impl Options {
    /// Connections to each broker and requests in flight on each.
    pub fn connections_and_depth(&self) -> (u32, u32) {
        match self.workers {
            Some(workers) => (1, workers),
            None => (self.connections, self.depth),
        }
    }

    /// Measured time; `None` is without end.
    pub fn measured(&self) -> Option<Duration> {
        match self.duration {
            Some(duration) if duration.is_zero() => None,
            Some(duration) => Some(duration),
            None if self.messages.is_some() => None,
            None => Some(Duration::from_secs(10)),
        }
    }

    /// Time before the measured time.
    pub fn warmup(&self) -> Duration {
        let usual = if self.messages.is_some() { Duration::ZERO } else { Duration::from_secs(2) };
        self.warmup.unwrap_or(usual)
    }

    /// Queues that a topic is created with.
    pub fn default_queues(&self) -> u32 {
        self.queues.unwrap_or(DEFAULT_QUEUES)
    }

    /// Names of the topics.
    pub fn topic_names(&self) -> Vec<String> {
        if self.topics == 1 {
            return vec![self.topic.clone()];
        }
        (0..self.topics).map(|number| format!("{}-{number}", self.topic)).collect()
    }

    /// Refuses what cannot work, in words.
    pub fn check(&self) -> anyhow::Result<()> {
        let bytes = u64::from(self.size) * u64::from(self.batch);
        ensure!(
            bytes <= 16_000_000,
            "a request of {} messages of {} bytes does not fit a frame of 16 MiB: \
             lower --batch or --size",
            self.batch,
            self.size
        );
        let (connections, _) = self.connections_and_depth();
        ensure!(
            self.threads <= connections,
            "--threads {} for {connections} connections: each thread needs one of its own, raise \
             --connections or lower --threads",
            self.threads
        );
        ensure!(!self.topic.is_empty(), "--topic must not be empty");
        ensure!(
            self.transactions.is_none() || self.batch == 1,
            "--batch {}: transactional messages are sent one by one",
            self.batch
        );
        Ok(())
    }
}

impl FromStr for CpuList {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<CpuList> {
        let mut cpus = Vec::new();
        for part in text.split(',') {
            let number = |digits: &str| -> anyhow::Result<usize> {
                digits
                    .trim()
                    .parse()
                    .with_context(|| format!("CPU list {text:?}: {digits:?} is no number"))
            };
            match part.split_once('-') {
                Some((first, last)) => {
                    let (first, last) = (number(first)?, number(last)?);
                    ensure!(
                        first <= last && last < 4096,
                        "CPU list {text:?}: {part:?} is no range"
                    );
                    cpus.extend(first..=last);
                }
                None => cpus.push(number(part)?),
            }
        }
        Ok(CpuList(cpus))
    }
}

fn parse_duration(text: &str) -> anyhow::Result<Duration> {
    let text = text.trim();
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: f64 = digits
        .parse()
        .with_context(|| format!("{text:?} is no duration: write 10s, 500ms, 2m or 1h"))?;
    let seconds = match &text[digits.len()..] {
        "" | "s" => number,
        "ms" => number / 1e3,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        unit => bail!("{unit:?} is no unit of time: use ms, s, m or h"),
    };
    Duration::try_from_secs_f64(seconds).with_context(|| format!("{text:?} is out of range"))
}

fn parse_rate(text: &str) -> anyhow::Result<f64> {
    let rate: f64 = text.parse().with_context(|| format!("{text:?} is no number"))?;
    ensure!(
        (0.001..=1e9).contains(&rate),
        "a rate is between 0.001 and 1,000,000,000 messages a second"
    );
    Ok(rate)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn producer(words: &[&str]) -> Options {
        let line = ["bench", "producer"].iter().chain(words);
        match Line::try_parse_from(line).expect("a good command line").arguments.mode {
            Mode::Producer(options) => options,
            other => panic!("not a producer: {other:?}"),
        }
    }

    #[test]
    fn the_letters_of_rocketmqs_benchmark_are_understood() {
        let options = producer(&[
            "-n",
            "10.0.0.1:9876;10.0.0.2:9876",
            "-t",
            "T",
            "-w",
            "64",
            "-s",
            "1024",
            "-k",
            "true",
            "-l",
            "3",
            "-q",
            "5",
        ]);
        assert_eq!(options.connections_and_depth(), (1, 64));
        assert_eq!(
            (options.size, options.tags, options.keys, options.messages),
            (1024, 3, true, Some(5))
        );
        assert_eq!(options.measured(), None, "a number of messages alone runs until they are sent");
        assert_eq!(options.warmup(), Duration::ZERO, "and all of them are measured");
    }

    #[test]
    fn durations_rates_and_cpu_lists_are_parsed_or_refused() {
        let options = producer(&["--duration", "500ms", "--rate", "1e5", "--pin", "0,2-4"]);
        assert_eq!(options.measured(), Some(Duration::from_millis(500)));
        assert_eq!(options.rate, Some(100_000.0));
        assert_eq!(options.pin, Some(CpuList(vec![0, 2, 3, 4])));
        for bad in
            [["--duration", "10 parsecs"], ["--rate", "0"], ["--pin", "4-2"], ["--depth", "0"]]
        {
            assert!(
                Line::try_parse_from(["bench", "producer"].iter().chain(&bad)).is_err(),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn workers_and_depth_exclude_each_other() {
        assert!(Line::try_parse_from(["bench", "producer", "-w", "2", "-d", "3"]).is_err());
    }

    #[test]
    fn a_request_larger_than_a_frame_is_refused() {
        assert!(producer(&["--batch", "1000", "--size", "100000"]).check().is_err());
        assert!(producer(&["--batch", "100"]).check().is_ok());
        assert!(producer(&["--threads", "2", "--connections", "2"]).check().is_ok());
        assert!(producer(&["--threads", "2", "--workers", "64"]).check().is_err());
    }
}
