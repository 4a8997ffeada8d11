//! What may change while the broker runs: the keys that are marked as live, and what is made of
//! them. Shards read it from their view; what does not change is in `shard::settings`.

use std::time::Duration;

use ringmq_base::config::BrokerConfig;
use ringmq_rules::{
    own_properties::OwnPropertiesByVersion, timer::TimerLimits, transaction_rules::TransactionRules,
};

#[derive(Debug)]
pub struct LiveSettings {
    /// All keys; those that are not live are as at the start.
    pub config: BrokerConfig,
    pub transactions: TransactionRules,
    pub timers: TimerLimits,
    pub own_properties: OwnPropertiesByVersion,
    /// How long a send may wait for its log before it is answered SYSTEM_BUSY; `None`: for ever.
    pub send_wait_max: Option<Duration>,
}

impl LiveSettings {
    /// The error is a sentence for the operator.
    pub fn new(config: BrokerConfig) -> Result<LiveSettings, String> {
        Ok(LiveSettings {
            transactions: transaction_rules(&config),
            timers: TimerLimits::new(
                config.timer_wheel_enable,
                config.timer_precision_ms,
                config.timer_max_delay_seconds,
            ),
            own_properties: OwnPropertiesByVersion::new(
                &config.broker_cluster_name,
                &config.region_id,
                config.trace_on,
            )?,
            send_wait_max: config
                .broker_fast_failure_enable
                .then(|| Duration::from_millis(config.wait_time_in_send_queue_ms)),
            config,
        })
    }
}

fn transaction_rules(config: &BrokerConfig) -> TransactionRules {
    let ms = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    TransactionRules {
        reject: config.reject_transaction_message,
        time_out_ms: ms(config.transaction_time_out_ms),
        checks_max: config.transaction_check_max,
        age_max_ms: ms(config.file_reserved_time_hours.saturating_mul(3_600_000)),
    }
}
