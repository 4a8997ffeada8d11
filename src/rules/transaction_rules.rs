//! What the configuration says of transactions.

use ringmq_remoting::codes::property::CHECK_IMMUNITY_TIME_IN_SECONDS;

use super::message_properties as properties;

/// What the broker's configuration says of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionRules {
    /// rejectTransactionMessage.
    pub reject: bool,
    /// transactionTimeOut, in milliseconds.
    pub time_out_ms: i64,
    /// transactionCheckMax.
    pub checks_max: u32,
    /// fileReservedTime, in milliseconds: an older half is given up.
    pub age_max_ms: i64,
}

impl TransactionRules {
    /// When a half that is stored now is checked first. `properties` are those of the message.
    /// Never later than it would be given up anyway.
    pub fn check_from(&self, sent: &[u8], now: i64) -> i64 {
        let asked = properties::text(sent, CHECK_IMMUNITY_TIME_IN_SECONDS);
        let asked = asked.and_then(|text| text.parse::<i64>().ok()).filter(|asked| *asked != -1);
        let immune = asked.map_or(self.time_out_ms, |seconds| seconds.saturating_mul(1000));
        now.saturating_add(immune.clamp(0, self.age_max_ms))
    }
}
