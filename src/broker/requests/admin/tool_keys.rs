//! Keys of RocketMQ's configuration that RingMQ has no use for, and that tools read from the answer
//! to GET_BROKER_CONFIG (26): exportConfigs and exportMetrics of mqadmin, dashboards and exporters
//! fail or show nothing without them.

use ringmq_base::config::properties;

/// Threads that work on requests: here the shards.
const THREADS: [&str; 13] = [
    "ackMessageThreadPoolNums",
    "adminBrokerThreadPoolNums",
    "clientCallbackExecutorThreads",
    "clientManageThreadPoolNums",
    "consumerManageThreadPoolNums",
    "endTransactionThreadPoolNums",
    "heartbeatThreadPoolNums",
    "litePullMessageThreadPoolNums",
    "processReplyMessageThreadPoolNums",
    "pullMessageThreadPoolNums",
    "putMessageFutureThreadPoolNums",
    "queryMessageThreadPoolNums",
    "sendMessageThreadPoolNums",
];

/// What is not there: queues of thread pools, memory of mapped files, filter servers.
const NOTHING: [&str; 13] = [
    "accessMessageInMemoryMaxRatio",
    "ackThreadPoolQueueCapacity",
    "clientManagerThreadPoolQueueCapacity",
    "consumerManagerThreadPoolQueueCapacity",
    "endTransactionPoolQueueCapacity",
    "filterServerNums",
    "heartbeatThreadPoolQueueCapacity",
    "litePullThreadPoolQueueCapacity",
    "pullThreadPoolQueueCapacity",
    "queryThreadPoolQueueCapacity",
    "replyThreadPoolQueueCapacity",
    "sendThreadPoolQueueCapacity",
    "transientStorePoolSize",
];

/// One a line, in .properties format. `tls`: the broker's own connections use it.
pub fn lines(shards: usize, tls: bool) -> String {
    let threads = THREADS.map(|key| (key, shards.to_string()));
    let nothing = NOTHING.map(|key| (key, "0".to_owned()));
    let switch = [("useTLS", tls.to_string()), ("transientStorePoolEnable", false.to_string())];
    let keys = threads.into_iter().chain(nothing).chain(switch);
    keys.map(|(key, value)| properties::line(key, &value)).collect()
}

#[cfg(test)]
mod tests {
    use ringmq_base::config::{BrokerConfig, Table};

    use super::*;

    #[test]
    fn no_key_of_the_table_is_said_twice() {
        for properties::Entry { key, value, .. } in properties::parse(&lines(3, false)) {
            assert!(BrokerConfig::key(&key).is_none(), "{key}");
            let known = ["3", "0", "false"].contains(&value.as_str());
            assert!(known, "{key} = {value}");
        }
        assert!(lines(3, true).contains("useTLS=true\n"));
    }
}
