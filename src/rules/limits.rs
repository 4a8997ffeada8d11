//! Limits of the tables that clients fill, so that no client can fill the memory.

/// Topics of a broker: 100,000 queues must fit (one queue each), with room for retry topics.
pub const TOPICS_MAX: usize = 200_000;

/// What the attributes of a topic or group may take on average, in bytes: more than half of all can
/// have a short one.
pub const ATTRIBUTES_BYTES: usize = 768;

/// Bytes of the deleted topics whose offsets are remembered, with their names: some 130,000 of four
/// queues.
pub const TOPICS_DELETED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Queues of one topic: BenchmarkTest has 1,024; more than this is a typing error.
pub const TOPIC_QUEUES_MAX: i32 = 65_536;

/// Subscription groups of a broker; each has a retry topic as well.
pub const GROUPS_MAX: usize = 100_000;

/// Longest group name. Source: `Validators.CHARACTER_MAX_LENGTH`.
pub const GROUP_BYTES_MAX: usize = 255;

/// Longest name of a topic that is referred to: that of the longest group's retry topic.
pub const TOPIC_NAME_BYTES_MAX: usize = "%RETRY%".len() + GROUP_BYTES_MAX;

/// Longest name of a broker in a request.
pub const BROKER_NAME_BYTES_MAX: usize = 255;

/// Longest client id: `ip@instance@unit`; far above what clients make of it.
pub const CLIENT_ID_BYTES_MAX: usize = 1024;

/// Producer and consumer groups of one connection; a client instance has a few.
pub const GROUPS_PER_CONNECTION_MAX: usize = 4096;

/// Bytes of the memberships of all clients in groups and of what the groups subscribe to: some
/// 280,000 producers, or 130,000 consumers with two topics in a group of their own each.
pub const CLIENTS_BYTES_MAX: usize = 128 * 1024 * 1024;

/// One connection has at most this fraction of what is left of [`CLIENTS_BYTES_MAX`].
pub const CLIENTS_SHARE: usize = 8;

/// What a membership takes in memory, in bytes, besides its names; with an allocator's losses.
pub const MEMBERSHIP_BYTES: usize = 448;

/// Bytes of all subscriptions of a consumer group, each with [`SUBSCRIPTION_BYTES`] besides its
/// texts: some 15,000 topics.
pub const SUBSCRIPTIONS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a subscription takes in memory besides its texts.
pub const SUBSCRIPTION_BYTES: usize = 256;

/// Bytes of one subscription expression.
pub const SUBSCRIPTION_BYTES_MAX: usize = 64 * 1024;

/// Bytes of an SQL92 expression that a pull brings along, which is compiled for it: half a
/// millisecond. Longer ones are subscribed to by a heartbeat, and compiled once.
pub const PULLED_EXPRESSION_BYTES_MAX: usize = 16 * 1024;

/// What a body may become in memory, in bytes, besides [`BODY_MEMORY_PER_BYTE`] of its length: a
/// few bytes of JSON make a value of hundreds.
pub const BODY_MEMORY_FREE: usize = 64 * 1024;

/// What a body may become in memory for each of its bytes; names of usual length take 4 to 8.
pub const BODY_MEMORY_PER_BYTE: usize = 16;

/// Bytes of a body that is read where its request is handled: some 200 us. Longer ones are read
/// beside the shard.
pub const SHORT_BODY_BYTES: usize = 16 * 1024;

/// Subscriptions that are compared with those of a group, or dropped, where their heartbeat is
/// noted: some 100 us. That is done with more beside the shard.
pub const FEW_SUBSCRIPTIONS: usize = 256;

/// Bytes of a body whose signature is checked where its request comes in: some 300 us, and less
/// than 1 ms where the processor has no instructions for SHA-1. Those of longer ones are checked
/// beside the shard.
pub const SHORT_SIGNED_BYTES: usize = 512 * 1024;

/// What all bodies that a shard handles at a time may become in memory, in bytes: one of 1 MiB, or
/// hundreds of usual size.
pub const BODIES_MEMORY_MAX: usize = BODY_MEMORY_FREE + BODY_MEMORY_PER_BYTE * 1024 * 1024;

/// Bytes of the consumer offsets of one shard: 4,000,000 of few groups in few topics, or some
/// 150,000 of a group in a topic of its own each.
pub const OFFSETS_BYTES_MAX: usize = 192 * 1024 * 1024;

/// What a consumer offset takes in memory, in bytes, besides its share of its group.
pub const OFFSET_BYTES: usize = 48;

/// Queues of all groups of one shard whose offsets were reset in the last minute: a topic of the
/// most queues with room to spare.
pub const RESETS_MAX: usize = 100_000;

/// Bytes of where the next pulls of groups begin in the queues of one shard: some 80,000 of a group
/// in a topic of its own each.
pub const NEXT_PULLS_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bytes of what is known of topics and groups for the last minute, hour and day: some 15,000 that
/// are always in use, and many more that are now and then.
pub const STATS_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bytes of the ordered consumption locks of a broker: some 200,000 of few groups.
pub const QUEUE_LOCKS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of the series of metrics that say what was done with topics: those of 50,000 topics and
/// 50,000 groups in topics.
pub const METRICS_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What the tables of a broker may hold. The defaults are the limits above; in little memory they
/// are lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableLimits {
    pub topics: usize,
    pub topics_deleted_bytes: usize,
    pub groups: usize,
    /// Bytes of the memberships of all clients.
    pub clients_bytes: usize,
    /// Bytes of each shard's table.
    pub offsets_bytes: usize,
    pub locks_bytes: usize,
    /// Of each shard's table.
    pub resets: usize,
    /// Bytes of each shard's table.
    pub next_pulls_bytes: usize,
    pub stats_bytes: usize,
    /// Of the series of metrics.
    pub metrics_bytes: usize,
}

impl Default for TableLimits {
    fn default() -> TableLimits {
        TableLimits {
            topics: TOPICS_MAX,
            topics_deleted_bytes: TOPICS_DELETED_BYTES_MAX,
            groups: GROUPS_MAX,
            clients_bytes: CLIENTS_BYTES_MAX,
            offsets_bytes: OFFSETS_BYTES_MAX,
            locks_bytes: QUEUE_LOCKS_BYTES_MAX,
            resets: RESETS_MAX,
            next_pulls_bytes: NEXT_PULLS_BYTES_MAX,
            stats_bytes: STATS_BYTES_MAX,
            metrics_bytes: METRICS_BYTES_MAX,
        }
    }
}

const _: () = assert!(GROUPS_MAX < TOPICS_MAX, "every group needs room for its retry topic");
