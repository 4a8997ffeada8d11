//! The memory of a broker: a row for each budget, with what sets it and how many there are of it.
//! What clients can take has a row here; the sum is what the process stays under. Budgets that the
//! operator did not set follow from the memory that there is.
//!
//! Pure: no file is read here.

use std::collections::BTreeMap;

use ringmq_base::{
    config::{BrokerConfig, Origin},
    units::human_bytes,
};
use ringmq_rules::acl::RULES_BYTES_MAX;

use crate::sizes::Sizes;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Of the memory that there is, the part that the kernel has for sockets, rings and page tables,
/// and that is not counted as the process's own.
const KERNEL_SHARE: u64 = 8;
/// Of all budgets, what the allocator may hold besides: it gives memory back late, in large pieces.
const ALLOCATOR_SHARE: u64 = 8;
/// Code, stacks and rings, without and with each shard.
const PROCESS_BYTES: u64 = 16 * MIB;
const SHARD_BYTES: u64 = 6 * MIB;
/// What a frame has beyond the body of its message, and room for a second small one.
const FRAME_MORE_BYTES: u64 = MIB;
/// Budgets are cut to parts of so many of their defaults.
const STEPS: u64 = 4096;

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

/// How a budget came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Nothing sets it.
    Fixed,
    Default,
    /// The operator has set its key.
    Set,
    /// Less than the default, for want of memory.
    Memory,
}

/// One budget of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Its key, or what it is for if there is none.
    pub name: &'static str,
    /// The value of the key: bytes, or a number of what is counted.
    pub value: u64,
    /// All of it in bytes.
    pub bytes: u64,
    pub basis: Basis,
}

/// All budgets, in the order of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budgets(pub Vec<Budget>);

impl Budgets {
    /// What the process stays under, in bytes.
    pub fn sum(&self) -> u64 {
        self.0.iter().map(|budget| budget.bytes).sum()
    }

    /// Some are less than they would be with more memory.
    pub fn are_cut(&self) -> bool {
        self.0.iter().any(|budget| budget.basis == Basis::Memory)
    }
}

/// `appendQueueBytesMax 16.0 MiB, ...`: a budget each, all of it.
impl std::fmt::Display for Budgets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, budget) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{} {}", budget.name, human_bytes(budget.bytes))?;
            match budget.basis {
                Basis::Set => f.write_str(" (set)")?,
                Basis::Memory => write!(f, " (cut to {})", budget.value)?,
                Basis::Fixed | Basis::Default => {}
            }
        }
        Ok(())
    }
}

/// A row of the table.
struct Row {
    /// The key, or a few words.
    name: &'static str,
    get: fn(&Values) -> u64,
    set: fn(&mut Values, u64),
    /// Bytes of memory for a value.
    bytes: fn(&Values, Counts, u64) -> u64,
    /// What it is never cut below.
    least: fn(&Values, Counts) -> u64,
    /// Values are multiples of it.
    unit: u64,
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

/// Every budget. A new one is a row here, and a limit that holds it where it is used.
const ROWS: &[Row] = &[
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
    row!("connectionsMax", config.connections_max: u32, |_, _| 500, 1,
        |_, _, value| value * 16 * KIB),
    row!("waiting pulls", sizes.waiting_pulls_max: usize, |_, _| 2_000, 1,
        |_, counts, value| counts.shards * value * 512),
    row!("requests under way", sizes.lane_bytes_max: usize, |_, _| 2 * MIB, 4 * KIB,
        |_, counts, value| counts.shards * value),
    row!("bodies", sizes.bodies_memory_max: usize, |_, _| 2 * MIB, 4 * KIB,
        |_, counts, value| counts.shards * value),
    // On the control shard, and what every shard sees of it.
    row!("topics", sizes.tables.topics: usize, |_, _| 2_000, 1,
        |_, counts, value| value * (KIB + KIB / 2 + counts.shards * 512)),
    // On the control shard, and what their queues began with on every shard that had some.
    row!("deleted topics", sizes.tables.topics_deleted_bytes: usize, |_, _| MIB, 4 * KIB,
        |_, counts, value| value * (1 + counts.shards)),
    row!("groups", sizes.tables.groups: usize, |_, _| 1_000, 1,
        |_, counts, value| value * (KIB + KIB / 2 + counts.shards * 128)),
    row!("clients", sizes.tables.clients_bytes: usize, |_, _| 2 * MIB, 1,
        |_, _, value| value),
    // The control shard has those of all shards once more, as they are durable.
    row!("consumer offsets", sizes.tables.offsets_bytes: usize, |_, _| 2 * MIB, 4 * KIB,
        |_, counts, value| 2 * counts.shards * value),
    row!("locks", sizes.tables.locks_bytes: usize, |_, _| MIB, 4 * KIB, |_, _, value| value),
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

/// The largest record of a log.
fn record_bytes(values: &Values) -> u64 {
    let overhead = ringmq_base::limits::MESSAGE_OVERHEAD_BYTES_MAX as u64;
    u64::from(values.config.max_message_size) + overhead
}

/// Cuts what the operator did not set until all fits into `memory` bytes, and lists what came of
/// it. `whence`: what says that there is no more.
///
/// # Errors
/// If it cannot: a sentence for the operator.
pub fn fit(
    values: &mut Values,
    origins: &BTreeMap<&'static str, Origin>,
    counts: Counts,
    (memory, whence): (u64, &str),
) -> Result<Budgets, String> {
    let room = memory - memory / KERNEL_SHARE;
    let wanted = values.clone();
    let mut low = 0;
    let mut high = STEPS;
    // The largest part of the defaults that fits: budgets grow with it.
    while low < high {
        let middle = (low + high).div_ceil(2);
        if list(&cut(&wanted, origins, counts, middle), origins, counts).sum() <= room {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    *values = cut(&wanted, origins, counts, low);
    let budgets = list(values, origins, counts);
    if budgets.sum() <= room { Ok(budgets) } else { Err(refusal(&budgets, memory, whence)) }
}

fn is_set(origins: &BTreeMap<&'static str, Origin>, name: &str) -> bool {
    matches!(
        origins.get(name),
        Some(Origin::File { .. } | Origin::CommandLine | Origin::Environment(_))
    )
}

/// The values with `part` of [`STEPS`] of what nobody has set.
fn cut(
    wanted: &Values,
    origins: &BTreeMap<&'static str, Origin>,
    counts: Counts,
    part: u64,
) -> Values {
    let mut values = wanted.clone();
    for row in ROWS.iter().filter(|row| part < STEPS && !is_set(origins, row.name)) {
        let default = (row.get)(wanted);
        let less = u128::from(default) * u128::from(part) / u128::from(STEPS);
        let less = u64::try_from(less).unwrap_or(default) / row.unit * row.unit;
        (row.set)(&mut values, less.max((row.least)(wanted, counts)).min(default));
    }
    values
}

fn list(values: &Values, origins: &BTreeMap<&'static str, Origin>, counts: Counts) -> Budgets {
    let defaults = Values { config: BrokerConfig::default(), sizes: Sizes::default() };
    let process = PROCESS_BYTES + SHARD_BYTES * counts.shards;
    let fixed = |name, bytes| Budget { name, value: bytes, bytes, basis: Basis::Fixed };
    let mut budgets = vec![fixed("process", process)];
    if values.config.acl_enable {
        budgets.push(fixed("access rules", RULES_BYTES_MAX));
    }
    budgets.extend(ROWS.iter().map(|row| {
        let value = (row.get)(values);
        let basis = match is_set(origins, row.name) {
            true => Basis::Set,
            false if value < (row.get)(&defaults) => Basis::Memory,
            false => Basis::Default,
        };
        Budget { name: row.name, value, bytes: (row.bytes)(values, counts, value), basis }
    }));
    let all: u64 = budgets.iter().map(|budget| budget.bytes).sum();
    budgets.push(fixed("allocator", all / ALLOCATOR_SHARE));
    Budgets(budgets)
}

#[cold]
fn refusal(budgets: &Budgets, memory: u64, whence: &str) -> String {
    let need = budgets.sum() + budgets.sum() / (KERNEL_SHARE - 1);
    let set = budgets.0.iter().filter(|budget| budget.basis == Basis::Set);
    let remedy = match set.max_by_key(|budget| budget.bytes) {
        Some(most) => format!("lower {} = {}", most.name, most.value),
        None => "run fewer shards (key shards)".to_owned(),
    };
    format!(
        "the budgets of this broker need {need} bytes of memory and {whence} gives it {memory}: \
         {remedy}, or raise the limit (budgets: {budgets})"
    )
}

#[cfg(test)]
mod tests;
