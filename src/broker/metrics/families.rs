//! The metrics by name, as RocketMQ 5.3.3 has them (`BrokerMetricsConstant`,
//! `DefaultStoreMetricsConstant`, `RemotingMetricsConstant`), and RingMQ's own.

use super::text::{
    Kind::{Counter, Gauge, Histogram},
    Metric,
};

macro_rules! metrics {
    ($($id:ident: $name:literal $unit:literal $kind:ident $help:literal;)*) => {
        $(pub const $id: Metric =
            Metric { name: $name, unit: $unit, kind: $kind, help: $help };)*

        #[cfg(test)]
        pub const ALL: &[Metric] = &[$($id,)*];
    };
}

metrics! {
    MESSAGES_IN: "rocketmq_messages_in_total" "" Counter "Messages that producers sent.";
    THROUGHPUT_IN: "rocketmq_throughput_in_total" "" Counter "Bytes of messages sent.";
    MESSAGE_SIZE: "rocketmq_message_size" "" Histogram "Sizes of messages sent, in bytes.";
    MESSAGES_OUT: "rocketmq_messages_out_total" "" Counter "Messages that consumers got.";
    THROUGHPUT_OUT: "rocketmq_throughput_out_total" "" Counter "Bytes that consumers got.";
    DEAD_LETTERS: "rocketmq_send_to_dlq_messages_total" "" Counter
        "Messages that were given up.";
    LAG_MESSAGES: "rocketmq_consumer_lag_messages" "" Gauge
        "Messages that a group has not confirmed.";
    LAG_LATENCY: "rocketmq_consumer_lag_latency" "milliseconds" Gauge
        "Age of the oldest message that a group has not confirmed.";
    INFLIGHT: "rocketmq_consumer_inflight_messages" "" Gauge
        "Messages that a group has pulled and not confirmed.";
    QUEUEING_LATENCY: "rocketmq_consumer_queueing_latency" "milliseconds" Gauge
        "Age of the oldest message that a group has not pulled.";
    READY: "rocketmq_consumer_ready_messages" "" Gauge "Messages that a group has not pulled.";
    PRODUCERS: "rocketmq_producer_connections" "" Gauge "Producers by language and version.";
    CONSUMERS: "rocketmq_consumer_connections" "" Gauge
        "Consumers by group, language and version.";
    WATERMARK: "rocketmq_processor_watermark" "" Gauge "Requests that wait, by what they ask for.";
    PERMISSION: "rocketmq_broker_permission" "" Gauge "2 write, 4 read, 6 both.";
    TOPICS: "rocketmq_topic_number" "" Gauge "Topics, those of the system too.";
    GROUPS: "rocketmq_consumer_group_number" "" Gauge "Subscription groups.";
    TOPIC_CREATION: "rocketmq_topic_create_execution_time" "milliseconds" Histogram
        "How long topics took to be made or changed.";
    GROUP_CREATION: "rocketmq_consumer_group_create_execution_time" "milliseconds" Histogram
        "How long groups took to be made or changed.";
    COMMITTED: "rocketmq_commit_messages_total" "" Counter "Transactions that were committed.";
    ROLLED_BACK: "rocketmq_rollback_messages_total" "" Counter
        "Transactions that were rolled back.";
    FINISH_LATENCY: "rocketmq_finish_message_latency" "milliseconds" Histogram
        "How long committed transactions were open, in seconds as in RocketMQ.";
    HALF_MESSAGES: "rocketmq_half_messages" "" Gauge "Transactions that are open.";
    RPC_LATENCY: "rocketmq_rpc_latency" "milliseconds" Histogram
        "From a request to its answer, by request and answer.";
    STORAGE_SIZE: "rocketmq_storage_size" "bytes" Gauge "Bytes in use on the disk of the logs.";
    FLUSH_BEHIND: "rocketmq_storage_flush_behind_bytes" "bytes" Gauge
        "Appended bytes that are not on the disk yet.";
    DISPATCH_BEHIND: "rocketmq_storage_dispatch_behind_bytes" "bytes" Gauge
        "Always 0: the queue index is written with the message.";
    RESERVE_TIME: "rocketmq_storage_message_reserve_time" "milliseconds" Gauge
        "Age of the oldest message.";
    TIMER_ENQUEUE_LAG: "rocketmq_timer_enqueue_lag" "" Gauge
        "Messages with a time that are not in the timer yet.";
    TIMER_ENQUEUE_LATENCY: "rocketmq_timer_enqueue_latency" "milliseconds" Gauge
        "How long there have been messages with a time that are not in the timer yet.";
    TIMER_DEQUEUE_LAG: "rocketmq_timer_dequeue_lag" "" Gauge
        "Messages with a time that are due and not delivered, some seconds ago.";
    TIMER_DEQUEUE_LATENCY: "rocketmq_timer_dequeue_latency" "milliseconds" Gauge
        "How long the next message with a time is overdue.";
    TIMING: "rocketmq_timing_messages" "" Gauge "Messages that wait for their time.";
    TIMER_SNAPSHOT: "rocketmq_timer_message_snapshot" "" Gauge
        "Messages due within timer_bound_s seconds, but not within the bound before.";
    TIMER_ENQUEUED: "rocketmq_timer_enqueue_total" "" Counter
        "Messages with a time that went into the timer.";
    TIMER_DEQUEUED: "rocketmq_timer_dequeue_total" "" Counter
        "Messages with a time that were delivered or cancelled.";
    DELAY_LATENCY: "rocketmq_delay_message_latency" "seconds" Histogram
        "How far ahead messages with a time were sent.";
    STAGES: "ringmq_stage_latency_seconds" "" Histogram
        "Where sends spend their time; check and append of one in 64.";
    PULLS: "ringmq_pull_latency_seconds" "" Histogram
        "How long messages of a pull took to be read; memory of one in 64.";
    CONNECTIONS: "ringmq_connections" "" Gauge "Open connections.";
    WAITING_PULLS: "ringmq_waiting_pulls" "" Gauge "Pulls that wait for messages.";
    CACHE_HITS: "ringmq_block_cache_hits_total" "" Counter
        "Blocks that were in the block cache when wanted.";
    CACHE_MISSES: "ringmq_block_cache_misses_total" "" Counter "Blocks that were not.";
    FENCED: "ringmq_logs_failed" "" Gauge "Logs that take no messages: failed, or without space.";
    DAMAGED: "ringmq_damaged_ranges" "" Gauge "Damaged ranges of logs that are known.";
    WRITES: "ringmq_disk_writes_total" "" Counter "Writes of message logs.";
    WRITTEN: "ringmq_disk_written_bytes_total" "" Counter "Bytes of them, padding included.";
    OFFSETS_FAILING: "ringmq_offsets_not_durable_seconds" "" Gauge
        "How long consumer offsets could not be written.";
    LEFT_OUT: "ringmq_metrics_left_out_total" "" Counter
        "How often something was not counted, for there are too many series.";
    SERIES: "ringmq_metrics_series" "" Gauge "Series that are kept of topics and groups.";
    START: "process_start_time_seconds" "" Gauge "When the broker started, since 1970.";
    BUILD: "ringmq_build_info" "" Gauge "Always 1; its labels say the version.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_a_name_of_its_own_and_says_what_it_is() {
        let mut names: Vec<_> = ALL.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        for metric in ALL {
            assert_eq!(metric.kind == Counter, metric.name.ends_with("_total"), "{metric:?}");
            assert!(metric.help.ends_with('.'), "{metric:?}");
        }
    }
}
