//! One run: plan, threads, lines, summary.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};

use ringmq_tls::Connector;

use crate::arguments::{Arguments, Mode, Options, StartFrom};
use crate::clock::{Clock, Window};
use crate::consumer::{Consumer, Offsets};
use crate::control::{Control, Need};
use crate::live::Live;
use crate::plan::Plan;
use crate::process::{self, ProcessSample};
use crate::producer::Producer;
use crate::report::{Load, Report};
use crate::statistics::{Counters, Recorder};
use crate::worker::{Quota, Shared};

const SECOND_NS: u64 = 1_000_000_000;
/// RocketMQ's tools print a line every ten seconds.
const ROCKETMQ_LINE_SECONDS: u64 = 10;

/// Runs the load and prints its summary.
///
/// # Errors
/// When no broker can be reached, or the options cannot work. Failed requests are no error, they
/// are counted; the exit code is 1 when no message went through or what was pulled was damaged.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let (options, is_producer, is_consumer) = match arguments.mode {
        Mode::Producer(options) => (options, true, false),
        Mode::Consumer(options) => (options, false, true),
        Mode::Both(options) => (options, true, true),
        Mode::Transactions(transactions) => (transactions.into(), true, false),
    };
    options.check()?;
    let mut run = Run::new(Arc::new(options))?;
    let mut control = Control::new(&run.options, run.connector.clone());
    if is_producer {
        let plan = control.plan(&run.options, Need::Write)?;
        run.kinds.push(Kind::new(true, plan));
    }
    if is_consumer {
        // With both, the producer's first message may be what creates the topic.
        if is_producer {
            run.ensure_topics(&mut control)?;
        }
        let plan = control.plan(&run.options, Need::Read)?;
        let begin = control.offsets(&plan, run.options.from == StartFrom::Min)?;
        run.kinds.push(Kind { begin, ..Kind::new(false, plan) });
    }
    run.start()?;
    let records = run.watch()?;
    run.report(&records)
}

/// A run and its threads.
struct Run {
    options: Arc<Options>,
    connector: Option<Connector>,
    clock: Clock,
    window: Window,
    quota: Arc<Quota>,
    stop: Arc<AtomicBool>,
    kinds: Vec<Kind>,
    ended: Receiver<(usize, anyhow::Result<Recorder>)>,
    /// Taken when the threads run, so that only they hold senders.
    ends: Option<Sender<(usize, anyhow::Result<Recorder>)>>,
    server: Option<(ProcessSample, ProcessSample)>,
}

/// The threads that send, or those that pull.
struct Kind {
    is_producer: bool,
    plan: Arc<Plan>,
    begin: Offsets,
    live: Live,
    /// Threads that have not ended.
    running: u32,
}

impl Kind {
    fn new(is_producer: bool, plan: Plan) -> Kind {
        let live = Live::new(is_producer, Vec::new());
        Kind { is_producer, plan: Arc::new(plan), begin: Offsets::new(), live, running: 0 }
    }

    fn name(&self) -> &'static str {
        if self.is_producer { "producer" } else { "consumer" }
    }
}

impl Run {
    fn new(options: Arc<Options>) -> anyhow::Result<Run> {
        let stop = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGINT, stop.clone())
            .and_then(|_| signal_hook::flag::register(signal_hook::consts::SIGTERM, stop.clone()))
            .context("cannot install the signal handlers")?;
        let (ends, ended) = channel();
        Ok(Run {
            clock: Clock::start(),
            window: Window::new(options.warmup(), options.measured()),
            quota: Arc::new(Quota::new(options.messages)),
            connector: options.tls.connector()?,
            options,
            stop,
            kinds: Vec::new(),
            ended,
            ends: Some(ends),
            server: None,
        })
    }

    /// Sends one message to each topic, so that the consumer finds a route.
    fn ensure_topics(&self, control: &mut Control) -> anyhow::Result<()> {
        if self.options.create_topics {
            return Ok(());
        }
        let options = Options {
            messages: Some(u64::from(self.options.topics) * u64::from(self.options.batch)),
            connections: 1,
            depth: 1,
            workers: None,
            threads: 1,
            rate: None,
            duration: None,
            queues: Some(1),
            ..(*self.options).clone()
        };
        let one_queue = control.plan(&options, Need::Write)?;
        // The topic gets as many as were asked for.
        let default_queues = self.options.default_queues();
        let plan = Plan { default_queues, ..one_queue };
        let shared = self.shared(Arc::new(options), true, 0, 0);
        let window = Window::new(Duration::ZERO, None);
        let shared = Shared { window, clock: Clock::start(), ..shared };
        Producer::new(shared, &plan)?.run()?;
        Ok(())
    }

    fn shared(
        &self,
        options: Arc<Options>,
        is_producer: bool,
        thread: u32,
        number: usize,
    ) -> Shared {
        let group = match (&options.group, is_producer) {
            (Some(group), _) => group.clone(),
            (None, true) if options.transactions.is_some() => {
                "benchmark_transaction_producer".to_owned()
            }
            (None, true) => "benchmark_producer".to_owned(),
            (None, false) => "benchmark_consumer".to_owned(),
        };
        let cpus = options.pin.as_ref().map(|list| &list.0).filter(|cpus| !cpus.is_empty());
        Shared {
            cpu: cpus.map(|cpus| cpus[number % cpus.len()]),
            options,
            connector: self.connector.clone(),
            thread,
            group,
            clock: self.clock,
            window: self.window,
            quota: self.quota.clone(),
            stop: self.stop.clone(),
            counters: Arc::new(Counters::default()),
        }
    }

    /// Connects everything, then starts the clock and the threads.
    fn start(&mut self) -> anyhow::Result<()> {
        self.clock = Clock::start();
        let all_ends = self.ends.take().context("a run starts once")?;
        let mut number = 0;
        for kind in 0..self.kinds.len() {
            let mut counters = Vec::new();
            for thread in 0..self.options.threads {
                let is_producer = self.kinds[kind].is_producer;
                let shared = self.shared(self.options.clone(), is_producer, thread, number);
                counters.push(shared.counters.clone());
                let plan = self.kinds[kind].plan.clone();
                let begin = self.kinds[kind].begin.clone();
                let ends = all_ends.clone();
                number += 1;
                thread::Builder::new()
                    .name(format!("{}-{thread}", self.kinds[kind].name()))
                    .spawn(move || {
                        let result = work(shared, is_producer, &plan, &begin);
                        // The receiver lives as long as the run.
                        let _ = ends.send((kind, result));
                    })
                    .context("cannot start a thread")?;
            }
            let live = Live::new(self.kinds[kind].is_producer, counters);
            self.kinds[kind].live = live.with_transactions(self.options.transactions.is_some());
            self.kinds[kind].running = self.options.threads;
        }
        Ok(())
    }

    /// Prints lines until all threads have ended; the records of the kinds.
    fn watch(&mut self) -> anyhow::Result<Vec<Recorder>> {
        let mut records: Vec<Recorder> = self.kinds.iter().map(|_| Recorder::new()).collect();
        let mut second = 0;
        self.look(second);
        let mut failure = None;
        while self.kinds.iter().any(|kind| kind.running > 0) {
            let now_ns = self.clock.now_ns();
            self.sample_server(now_ns);
            let mut wake_ns = (second + 1) * SECOND_NS;
            for edge_ns in [self.window.first_ns, self.window.last_ns] {
                if edge_ns > now_ns {
                    wake_ns = wake_ns.min(edge_ns);
                }
            }
            let wait = Duration::from_nanos(wake_ns.saturating_sub(now_ns));
            match self.ended.recv_timeout(wait) {
                Ok((kind, Ok(record))) => {
                    records[kind].merge(&record);
                    self.thread_ended(kind);
                }
                Ok((kind, Err(error))) => {
                    self.stop.store(true, Ordering::Relaxed);
                    failure = failure.or(Some(error));
                    self.thread_ended(kind);
                }
                Err(RecvTimeoutError::Timeout) => {
                    if self.clock.now_ns() >= (second + 1) * SECOND_NS {
                        second += 1;
                        self.look(second);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("a thread of the tool ended by a panic, its message is above")
                }
            }
        }
        self.sample_server(u64::MAX);
        failure.map_or(Ok(records), Err)
    }

    /// Consumers do not wait for messages whose sends failed.
    fn thread_ended(&mut self, kind: usize) {
        let kind = &mut self.kinds[kind];
        kind.running -= 1;
        if kind.is_producer && kind.running == 0 {
            self.quota.lower(kind.live.messages());
        }
    }

    fn look(&mut self, second: u64) {
        let is_live = self.options.progress || std::io::stdout().is_terminal();
        let now_ns = self.clock.now_ns();
        let wall_ms = self.clock.wall_ms(now_ns);
        let mut lines = Vec::new();
        for kind in &mut self.kinds {
            kind.live.look(now_ns);
            lines.extend(kind.live.line().filter(|_| is_live));
            if second > 0 && second.is_multiple_of(ROCKETMQ_LINE_SECONDS) {
                lines.extend(kind.live.rocketmq_line(wall_ms));
            }
        }
        for line in lines {
            self.print(&line);
        }
    }

    /// Samples the server when the window opens, and when it closes or the run ends.
    fn sample_server(&mut self, now_ns: u64) {
        let Some(pid) = self.options.server_pid else {
            return;
        };
        let open = now_ns >= self.window.first_ns && self.server.is_none();
        let within =
            self.server.is_some() && now_ns <= self.window.last_ns.saturating_add(SECOND_NS / 10);
        let at_end = now_ns == u64::MAX && self.window.last_ns == u64::MAX;
        if !(open || within || at_end) {
            return;
        }
        if let Some(sample) = process::sample(pid) {
            let first = self.server.map_or(sample, |(first, _)| first);
            self.server = Some((first, sample));
        }
    }

    fn report(&self, records: &[Recorder]) -> anyhow::Result<ExitCode> {
        let messages: u64 = records.iter().map(|record| record.messages).sum();
        let mut reports = Vec::new();
        for (kind, record) in self.kinds.iter().zip(records) {
            let load = Load::new(&self.options, kind.plan.queues());
            let mut report = Report::new(kind.name(), load, record);
            report.server =
                self.server.map(|(first, last)| process::difference(first, last, messages));
            if let Some(line) = kind.live.rocketmq_complete() {
                self.print(&line);
            }
            self.print(&report.text());
            if report.messages == 0 {
                eprintln!("ringmq: the {} had nothing to measure: {}", kind.name(), self.idle());
            }
            reports.push(report);
        }
        if let Some(file) = &self.options.json {
            let mut text = serde_json::to_string_pretty(&reports).context("a report is JSON")?;
            text.push('\n');
            if file == "-" {
                std::io::stdout().write_all(text.as_bytes())?;
            } else {
                std::fs::write(file, text).with_context(|| format!("cannot write {file}"))?;
            }
        }
        let is_good = reports.iter().all(Report::is_good);
        Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Why there may have been nothing to measure.
    fn idle(&self) -> String {
        let warmup = self.options.warmup();
        if self.clock.now_ns() < self.window.first_ns {
            return format!("the run was over before its warm-up of {warmup:?}; lower --warmup");
        }
        "no request succeeded within the measured time; what failed is listed above".to_owned()
    }

    /// Prints a line where the JSON does not go. A closed pipe must not end the run.
    fn print(&self, line: &str) {
        let _ = if self.options.json.as_deref() == Some("-") {
            writeln!(std::io::stderr(), "{line}")
        } else {
            writeln!(std::io::stdout(), "{line}")
        };
    }
}

fn work(
    shared: Shared,
    is_producer: bool,
    plan: &Plan,
    begin: &Offsets,
) -> anyhow::Result<Recorder> {
    shared.pin()?;
    if is_producer {
        Producer::new(shared, plan)?.run()
    } else {
        Consumer::new(shared, plan, begin)?.run(&plan.topics)
    }
}
