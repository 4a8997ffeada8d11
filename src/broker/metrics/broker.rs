//! What is told of the broker as a whole: requests, clients, storage, timers.

use std::time::Duration;

use ringmq_remoting::codes::{request, response};

use super::{
    clients::{Clients, version_name},
    families::*,
    labels::{boolean, is_system_group},
    scrape::State,
    text::{Metric, Page},
};
use crate::{
    control::statistics::ShardTotals,
    shard::{
        buckets::{Sums, TIME_BUCKETS, time_bound},
        probe::{CREATE_BOUNDS_MS, RPC_BOUNDS_MS, RpcKind, Stage},
        timer_room::BOUNDS_SECONDS,
    },
};

/// Where everything is stored.
const STORAGE: [(&str, &str); 2] = [("storage_type", "local"), ("storage_medium", "disk")];

/// What was collected.
#[derive(Debug, Default)]
pub struct Broker {
    pub now_ms: i64,
    pub started_ms: i64,
    pub permission: i32,
    pub topics: usize,
    pub groups: usize,
    pub earliest_ms: Option<i64>,
    pub used_bytes: Option<u64>,
    pub series: usize,
    pub left_out: u64,
    pub clients: Clients,
    pub state: State,
    pub all: ShardTotals,
}

pub fn write(page: &mut Page, broker: &Broker) {
    write_rpc(page, broker);
    write_clients(page, &broker.clients);
    write_counts(page, broker);
    write_storage(page, broker);
    write_timers(page, broker);
    write_stages(page, broker);
    write_own(page, broker);
}

fn write_rpc(page: &mut Page, broker: &Broker) {
    let mut all: Vec<_> = broker.state.probe.rpc.iter().collect();
    all.sort_unstable_by_key(|(kind, _)| *kind);
    page.family(&RPC_LATENCY);
    for (kind, times) in all {
        let (request, answer) = names(kind);
        let labels = [
            ("protocol_type", "remoting"),
            ("request_code", &*request),
            ("response_code", &*answer),
            ("is_long_polling", boolean(kind.is_long_poll)),
            ("result", if kind.is_oneway { "oneway" } else { "success" }),
        ];
        page.histogram(&labels, RPC_BOUNDS_MS.iter(), &times.counts, times.sum);
    }
    for (metric, created) in
        [&TOPIC_CREATION, &GROUP_CREATION].iter().zip(&broker.state.probe.created)
    {
        page.family(metric);
        for (status, times) in ["success", "failure"].iter().zip(created) {
            let labels = [("invocation_status", *status), ("is_system", "false")];
            page.histogram(&labels, CREATE_BOUNDS_MS.iter(), &times.counts, times.sum);
        }
    }
}

/// Of request and answer.
fn names(kind: &RpcKind) -> (String, String) {
    let name = |name: Option<&str>, code: i32| match name {
        Some(name) => name.to_ascii_lowercase(),
        None if code < 0 => "others".to_owned(),
        None => code.to_string(),
    };
    (
        name(request::name(kind.request), kind.request),
        name(response::name(kind.answer), kind.answer),
    )
}

fn write_clients(page: &mut Page, clients: &Clients) {
    page.family(&PRODUCERS);
    for ((language, version), count) in &clients.producers {
        let labels = [
            ("language", &*language.to_ascii_lowercase()),
            ("version", &*version_name(*version)),
            ("protocol_type", "remoting"),
        ];
        page.sample(&labels, count);
    }
    page.family(&CONSUMERS);
    for ((group, (language, version)), (mode, count)) in &clients.consumers {
        let labels = [
            ("consumer_group", &**group),
            ("language", &*language.to_ascii_lowercase()),
            ("version", &*version_name(*version)),
            ("consume_mode", mode),
            ("protocol_type", "remoting"),
            ("is_system", is_system_group(group)),
        ];
        page.sample(&labels, count);
    }
}

/// RocketMQ's processors, and what waits here for what they do: most have no queue of their own.
fn watermarks(broker: &Broker) -> [(&'static str, u64); 12] {
    [
        ("send", broker.all.queued.messages),
        ("async_put", 0),
        ("pull", broker.state.pulls_without_room as u64),
        ("ack", 0),
        ("query_message", 0),
        ("client_manager", 0),
        ("heartbeat", 0),
        ("lite_pull", 0),
        ("transaction", 0),
        ("consumer_manager", 0),
        ("admin", broker.state.requests as u64),
        ("reply", 0),
    ]
}

fn write_counts(page: &mut Page, broker: &Broker) {
    page.family(&WATERMARK);
    for (processor, waiting) in watermarks(broker) {
        page.sample(&[("processor", processor)], waiting);
    }
    page.family(&PERMISSION).sample(&[], broker.permission);
    page.family(&TOPICS).sample(&[], broker.topics);
    page.family(&GROUPS).sample(&[], broker.groups);
    page.family(&HALF_MESSAGES).sample(&[], broker.state.halves);
}

fn write_storage(page: &mut Page, broker: &Broker) {
    page.family(&STORAGE_SIZE);
    if let Some(bytes) = broker.used_bytes {
        page.sample(&STORAGE, bytes);
    }
    page.family(&FLUSH_BEHIND).sample(&STORAGE, broker.all.queued.bytes);
    page.family(&DISPATCH_BEHIND).sample(&STORAGE, 0);
    page.family(&RESERVE_TIME);
    if let Some(earliest) = broker.earliest_ms {
        page.sample(&STORAGE, (broker.now_ms - earliest).max(0));
    }
}

fn write_timers(page: &mut Page, broker: &Broker) {
    let timers = &broker.all.timers;
    let overdue = timers.next_due_ms.map_or(0, |due| (broker.now_ms - due).max(0));
    let unread_for = timers.unread_since_ms.map_or(0, |since| (broker.now_ms - since).max(0));
    page.family(&TIMER_ENQUEUE_LAG).sample(&STORAGE, timers.unread);
    page.family(&TIMER_ENQUEUE_LATENCY).sample(&STORAGE, unread_for);
    page.family(&TIMER_DEQUEUE_LAG).sample(&STORAGE, timers.survey.overdue);
    page.family(&TIMER_DEQUEUE_LATENCY).sample(&STORAGE, overdue);
    page.family(&TIMING).sample(&STORAGE, timers.waiting);
    page.family(&TIMER_SNAPSHOT);
    for (bound, count) in BOUNDS_SECONDS.iter().zip(timers.survey.distribution) {
        let [kind, medium] = STORAGE;
        page.sample(&[kind, medium, ("timer_bound_s", &*bound.to_string())], count);
    }
    page.family(&TIMER_ENQUEUED).sample(&STORAGE, timers.read);
    page.family(&TIMER_DEQUEUED).sample(&STORAGE, timers.settled);
}

fn write_stages(page: &mut Page, broker: &Broker) {
    let stages = &broker.state.probe.stages;
    let write = |page: &mut Page, label, name, stage: Stage| {
        write_times(page, &[(label, name)], &stages[stage as usize]);
    };
    page.family(&STAGES);
    write(page, "stage", "check", Stage::Check);
    write(page, "stage", "route", Stage::Route);
    write(page, "stage", "append", Stage::Append);
    write_times(page, &[("stage", "write")], &disk_writes(broker));
    write(page, "stage", "answer", Stage::Answer);
    page.family(&PULLS);
    write(page, "source", "memory", Stage::PullMemory);
    write(page, "source", "cache", Stage::PullCache);
    write(page, "source", "disk", Stage::PullDisk);
}

/// How long writes took, in the buckets of the other stages.
fn disk_writes(broker: &Broker) -> Sums<TIME_BUCKETS> {
    let (latency, mut sums) = (&broker.all.write_latency, Sums::default());
    let mut from = Duration::ZERO;
    for (bucket, count) in sums.counts.iter_mut().enumerate() {
        let to = time_bound(bucket).map_or(Duration::MAX, Duration::from_nanos);
        *count = latency.between(from, to);
        from = to;
    }
    sums.sum = u64::try_from(latency.sum().as_nanos()).unwrap_or(u64::MAX);
    sums
}

fn write_times(page: &mut Page, labels: &[(&str, &str)], times: &Sums<TIME_BUCKETS>) {
    let seconds = |nanos: u64| nanos as f64 / 1e9;
    let bounds = (0..TIME_BUCKETS).map_while(time_bound).map(seconds);
    page.histogram(labels, bounds, &times.counts, seconds(times.sum));
}

fn write_own(page: &mut Page, broker: &Broker) {
    let (state, logs) = (&broker.state, &broker.state.logs);
    let numbers: [(&Metric, u64); 10] = [
        (&CONNECTIONS, state.connections as u64),
        (&WAITING_PULLS, state.waiting_pulls as u64),
        (&CACHE_HITS, logs.cache_hits),
        (&CACHE_MISSES, logs.cache_misses),
        (&FENCED, logs.failed),
        (&DAMAGED, logs.damaged),
        (&WRITES, logs.writes),
        (&WRITTEN, logs.write_bytes),
        (&LEFT_OUT, broker.left_out),
        (&SERIES, broker.series as u64),
    ];
    for (metric, value) in numbers {
        page.family(metric).sample(&[], value);
    }
    page.family(&OFFSETS_FAILING).sample(&[], broker.all.offsets_failing.as_secs_f64());
    page.family(&START).sample(&[], broker.started_ms as f64 / 1000.0);
    page.family(&BUILD).sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
}
