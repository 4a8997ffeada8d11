//! The memory of a broker: a row for each budget, with what sets it and how many there are of it.
//! What clients can take has a row here; the sum is what the process stays under. Budgets that the
//! operator did not set follow from the memory that there is.
//!
//! Pure: no file is read here.

use std::collections::BTreeMap;

pub use ringmq_base::budgets::Budgets;
use ringmq_base::{
    budgets::{Row, Table},
    config::{BrokerConfig, MetricsExporterType, Origin, TlsMode},
};
use ringmq_rules::acl::RULES_BYTES_MAX;

use crate::sizes::{Sizes, WAITING_PULL_BYTES};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Code, stacks and rings, without and with each shard.
const PROCESS_BYTES: u64 = 16 * MIB;
const SHARD_BYTES: u64 = 6 * MIB;
/// Read buffer, output and tasks of a connection without TLS that has nothing on its way.
const CONNECTION_BYTES: u64 = 16 * KIB;
/// What a frame has beyond the body of its message, and room for a second small one.
const FRAME_MORE_BYTES: u64 = MIB;

/// Parts of answers that are made, and requests, of those who ask for metrics.
const METRICS_ANSWER_BYTES: u64 = 2 * MIB;

/// What budgets are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    pub shards: u64,
    pub logs: u64,
}

/// What a start is made with: those values of both that are budgets are changed.
#[derive(Clone, Debug)]
pub struct Values {
    pub config: BrokerConfig,
    pub sizes: Sizes,
}

/// `name, where the value is, least, unit, bytes of memory`. `log.` is of the options of a log.
macro_rules! row {
    ($name:literal, $root:ident . $($field:ident).+ : $type:ty, $least:expr, $unit:expr,
     $bytes:expr) => {
        Row {
            name: $name,
            get: |values| values.$root.$($field).+ as u64,
            set: |values, value| {
                values.$root.$($field).+ = <$type>::try_from(value).unwrap_or(<$type>::MAX);
            },
            bytes: $bytes,
            least: $least,
            unit: $unit,
        }
    };
}

/// What a queue takes at most: its entries that are in no page yet, 4 KiB, and what finds them.
const QUEUE_BYTES: u64 = 4 * KIB + 256;

/// Of the system's topics: BenchmarkTest has 1,024.
const SYSTEM_QUEUES: u64 = 1_100;

/// Every budget. A new one is a row here, and a limit that holds it where it is used.
const ROWS: &[Row<Values, Counts>] = &[
    row!("hotTailBytes", config.hot_tail_bytes: u64, |_, _| MIB, 4 * KIB, |_, counts, value| {
        counts.logs * value
    }),
    // A batch may bring it to half as much again; sends of other shards wait up to as much.
    row!("appendQueueBytesMax", config.append_queue_bytes_max: u64, |_, _| 4 * MIB, 4 * KIB,
        |_, counts, value| counts.logs * value * 3 / 2 + between(counts, value)),
    row!("blockCacheBytes", config.block_cache_bytes: u64, |_, _| MIB, 4 * KIB,
        |_, counts, value| counts.shards * value),
    // A part for each shard, which a message of full size must fit in.
    row!("inputBytesMax", config.input_bytes_max: u64,
        |values, counts| counts.shards * (record_bytes(values) + FRAME_MORE_BYTES), 4 * KIB,
        |_, _, value| value),
    // What one connection has asked of other shards, and has not taken.
    row!("perConnectionOutputBytesMax", config.per_connection_output_bytes_max: u64,
        |values, _| record_bytes(values) + FRAME_MORE_BYTES, 4 * KIB,
        |_, counts, value| between(counts, value)),
    // A part for each shard, which is that of one connection at least.
    row!("outputBytesMax", config.output_bytes_max: u64,
    |values, counts| counts.shards * (record_bytes(values) + FRAME_MORE_BYTES), 4 * KIB,
    |values, counts, value| {
        value.max(counts.shards * values.config.per_connection_output_bytes_max)
    }),
    // Chunks of it are found by a list of some bytes each.
    row!("transactionStateBytesMax", config.transaction_state_bytes_max: u64, |_, _| 256 * KIB,
        4 * KIB, |_, counts, value| counts.logs * (value + value / 64)),
    row!("connectionsMax", config.connections_max: u32, |_, _| 450, 1,
        |values, _, value| value * connection_bytes(values)),
    row!("waiting pulls", sizes.waiting_pulls_max: usize, |_, _| 2_000, 1,
        |_, counts, value| counts.shards * value * WAITING_PULL_BYTES as u64),
    row!("requests under way", sizes.lane_bytes_max: usize, |_, _| 2 * MIB, 4 * KIB,
        |_, counts, value| counts.shards * value),
    row!("bodies", sizes.bodies_memory_max: usize, |_, _| 2 * MIB, 4 * KIB,
        |_, counts, value| counts.shards * value),
    // On the control shard, and what every shard sees of it.
    row!("topics", sizes.tables.topics: usize, |_, _| 500, 1,
        |_, counts, value| value * (KIB + KIB / 2 + counts.shards * 512)),
    // On the control shard, and what their queues began with on every shard that had some.
    row!("deleted topics", sizes.tables.topics_deleted_bytes: usize, |_, _| MIB, 4 * KIB,
        |_, counts, value| value * (1 + counts.shards)),
    // The entry and the newest messages of each in the index, which the last page may fill.
    row!("queuesMax", config.queues_max: u32, |_, _| 300, 1,
        |_, _, value| (SYSTEM_QUEUES + value) * QUEUE_BYTES),
    row!("groups", sizes.tables.groups: usize, |_, _| 250, 1,
        |_, counts, value| value * (KIB + KIB / 2 + counts.shards * 128)),
    row!("clients", sizes.tables.clients_bytes: usize, |_, _| 2 * MIB, 1,
        |_, _, value| value),
    // The control shard has those of all shards once more, as they are durable.
    row!("consumer offsets", sizes.tables.offsets_bytes: usize, |_, _| MIB, 4 * KIB,
        |_, counts, value| 2 * counts.shards * value),
    row!("locks", sizes.tables.locks_bytes: usize, |_, _| MIB, 4 * KIB, |_, _, value| value),
    row!("offset resets", sizes.tables.resets: usize, |_, _| 4_096, 1,
        |_, counts, value| counts.shards * value * 96),
    row!("next pulls", sizes.tables.next_pulls_bytes: usize, |_, _| 256 * KIB, 4 * KIB,
        |_, counts, value| counts.shards * value),
    row!("statistics", sizes.tables.stats_bytes: usize, |_, _| MIB, 4 * KIB, |_, _, value| value),
    // What is told of groups that are behind takes as much while it is told.
    row!("metrics", sizes.tables.metrics_bytes: usize, |_, _| MIB, 4 * KIB,
    |values, _, value| match values.config.metrics_exporter_type {
        MetricsExporterType::Prom => 2 * value + METRICS_ANSWER_BYTES,
        MetricsExporterType::Disable => 0,
    }),
    row!("timerMemoryBytesMax", config.timer_memory_bytes_max: u64,
        |_, counts| counts.logs * MIB, 4 * KIB, |_, _, value| value),
    // What is written, what is kept for the next write, and a record that is larger than a write.
    row!("writes", sizes.log.batch_bytes_max: usize, |_, _| 512 * KIB, 4 * KIB,
    |values, counts, value| {
        counts.logs * (value * 2 + value.max(record_bytes(values)))
    }),
    row!("queue index, waiting", sizes.log.index_batch_pages: usize, |_, _| 4, 1,
        |_, counts, value| counts.logs * value * 64 * 4 * KIB),
    row!("queue index, pages", sizes.log.index_cache_pages: usize, |_, _| 64, 1,
        |_, counts, value| counts.logs * value * 4 * KIB),
    row!("key index", sizes.log.keys.sealed_max: usize, |_, _| 2, 1,
    |values, counts, value| match values.config.message_index_enable {
        true => counts.logs * (value + 1) * MIB,
        false => 0,
    }),
];

/// Of what other shards may hold for each shard; nothing if there is one only.
fn between(counts: Counts, bytes: u64) -> u64 {
    if counts.shards > 1 { counts.shards * bytes } else { 0 }
}

/// Of a connection that waits for its client, which may use TLS unless that is off.
fn connection_bytes(values: &Values) -> u64 {
    match values.config.tls_server_mode {
        TlsMode::Disabled => CONNECTION_BYTES,
        _ => CONNECTION_BYTES + ringmq_tls::IDLE_BYTES as u64,
    }
}

/// The largest record of a log.
fn record_bytes(values: &Values) -> u64 {
    let overhead = ringmq_base::limits::MESSAGE_OVERHEAD_BYTES_MAX as u64;
    u64::from(values.config.max_message_size) + overhead
}

/// Cuts what the operator did not set until all fits into `memory` bytes, and lists what came of
/// it. `whence`: what says that there is no more. `beside`: what else the process stays under, a
/// name server's budgets.
///
/// # Errors
/// If it cannot: a sentence for the operator.
pub fn fit(
    values: &mut Values,
    origins: &BTreeMap<&'static str, Origin>,
    counts: Counts,
    beside: u64,
    memory: (u64, &str),
) -> Result<Budgets, String> {
    let mut fixed = vec![("process", PROCESS_BYTES + SHARD_BYTES * counts.shards)];
    fixed.extend((beside > 0).then_some(("name server", beside)));
    fixed.extend(values.config.acl_enable.then_some(("access rules", RULES_BYTES_MAX)));
    let table = Table {
        server: "broker",
        rows: ROWS,
        counts,
        defaults: Values { config: BrokerConfig::default(), sizes: Sizes::default() },
        origins,
        fixed,
        remedy: "run fewer shards (key shards)",
    };
    table.fit(values, memory)
}

#[cfg(test)]
mod tests;
