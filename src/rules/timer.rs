//! Messages with a delivery time of their own (RocketMQ 5): when one is due, what it is stored as
//! until then, and what cancels it.
//!
//! A message is due at the millisecond that was asked for. As in Java, it carries the start of the
//! slot of `timerPrecisionMs` that this lies in as TIMER_OUT_MS, by which it can be cancelled.

pub mod cancelled;
pub mod recall;
pub mod wheel;

use super::{
    message_properties::{self as properties, text},
    refusal::{Refusal, code},
};
use ringmq_remoting::codes::property::{
    TIMER_DEL_UNIQKEY, TIMER_DELAY_MS, TIMER_DELAY_SEC, TIMER_DELIVER_MS, TIMER_OUT_MS, UNIQ_KEY,
};

/// Slots are never longer. In milliseconds.
pub const SLOT_MS_MAX: i64 = 1000;

/// What the operator allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerLimits {
    /// timerWheelEnable.
    pub enabled: bool,
    /// Of a slot, in milliseconds.
    pub precision_ms: i64,
    /// Longest delay in milliseconds.
    pub delay_ms_max: i64,
}

impl TimerLimits {
    /// From the keys timerWheelEnable, timerPrecisionMs and timerMaxDelaySec. Slots have one of
    /// Java's sizes: the next smaller one than asked for. Source: `setTimerPrecisionMs`.
    pub fn new(enabled: bool, precision_ms: u64, delay_seconds_max: u64) -> TimerLimits {
        let precision_ms = match precision_ms {
            0..200 => 100,
            200..500 => 200,
            500..1000 => 500,
            1000.. => SLOT_MS_MAX,
        };
        let delay_ms_max = i64::try_from(delay_seconds_max.saturating_mul(1000));
        TimerLimits { enabled, precision_ms, delay_ms_max: delay_ms_max.unwrap_or(i64::MAX) }
    }
}

/// When a message that is kept back is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueTime {
    /// Milliseconds since 1970; for a deletion the start of its slot.
    pub due_ms: i64,
    /// The property TIMER_OUT_MS: the start of the slot, which is before `due_ms`.
    pub out_ms: i64,
    /// Cancels another message and is never delivered.
    pub is_deletion: bool,
}

impl DueTime {
    /// The tags code of its entry in the timer topic: the time, negated for a deletion.
    pub fn tags_code(&self) -> i64 {
        if self.is_deletion { -self.due_ms } else { self.due_ms }
    }
}

/// When a message with these properties is due, if it asks to be kept back. `None`: it is delivered
/// at once, as its time has come, or it was kept back before.
///
/// # Errors
/// The answer to the client: its time cannot be kept, or it cancels a message in the past.
pub fn due_time(
    properties: &[u8],
    limits: &TimerLimits,
    now_ms: i64,
) -> Result<Option<DueTime>, Refusal> {
    let is_deletion = properties::value(properties, TIMER_DEL_UNIQKEY).is_some();
    let asked = asked_time(properties, now_ms).map_err(|()| illegal(limits))?;
    // One that was delivered and is sent again with all its properties.
    let again = properties::value(properties, TIMER_OUT_MS).is_some();
    let Some(deliver_ms) = asked.filter(|_| !again) else {
        return if is_deletion { Err(illegal(limits)) } else { Ok(None) };
    };
    if !limits.enabled {
        return Err(not_enabled());
    }
    if deliver_ms <= now_ms {
        return if is_deletion { Err(illegal(limits)) } else { Ok(None) };
    }
    if deliver_ms.saturating_sub(now_ms) > limits.delay_ms_max {
        return Err(illegal(limits));
    }
    let out_ms = (deliver_ms - 1).div_euclid(limits.precision_ms) * limits.precision_ms;
    let due_ms = if is_deletion { out_ms } else { deliver_ms };
    Ok(Some(DueTime { due_ms, out_ms, is_deletion }))
}

/// Of the three properties the first that is there counts, as in Java.
fn asked_time(properties: &[u8], now_ms: i64) -> Result<Option<i64>, ()> {
    let number = |name| match properties::value(properties, name) {
        None => Ok(None),
        Some(_) => {
            text(properties, name).and_then(|text| text.parse::<i64>().ok()).map(Some).ok_or(())
        }
    };
    if let Some(seconds) = number(TIMER_DELAY_SEC)? {
        return seconds.checked_mul(1000).and_then(|ms| ms.checked_add(now_ms)).map(Some).ok_or(());
    }
    if let Some(ms) = number(TIMER_DELAY_MS)? {
        return ms.checked_add(now_ms).map(Some).ok_or(());
    }
    number(TIMER_DELIVER_MS)
}

/// Source: `WHEEL_TIMER_MSG_ILLEGAL`.
#[cold]
pub fn illegal(limits: &TimerLimits) -> Refusal {
    let remark = format!(
        "timer message illegal, the delay time should not be bigger than the max delay {}ms; or if \
         set del msg, the delay time should be bigger than the current time",
        limits.delay_ms_max
    );
    Refusal::new(code::MESSAGE_ILLEGAL, remark)
}

/// Source: `WHEEL_TIMER_NOT_ENABLE`.
#[cold]
fn not_enabled() -> Refusal {
    Refusal::system_error("accurate timer message is not enabled, timerWheelEnable is false")
}

/// Source: `WHEEL_TIMER_FLOW_CONTROL`. `bytes`: what those that wait take.
#[cold]
pub fn flow_control(bytes: usize, limit: u64) -> Refusal {
    Refusal::system_error(format!(
        "timer message is under flow control, those that wait in this log take {bytes} bytes of \
         memory, the limit is {limit} (key timerMemoryBytesMax, shared by the logs); send again \
         when some were delivered"
    ))
}

/// The batch with a message that would have to be kept back.
#[cold]
pub fn in_batch() -> Refusal {
    Refusal::new(
        code::MESSAGE_ILLEGAL,
        "the message is illegal: messages of a batch cannot be kept back, and one has a property \
         TIMER_* or DELAY; send it alone"
            .to_owned(),
    )
}

/// What a kept message or a deletion says about cancelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role<'a> {
    /// To be delivered; with the unique key that it can be cancelled by.
    Message { topic: &'a str, unique_key: Option<&'a str> },
    /// Cancels the message with that topic and unique key, `topic+key`.
    Deletion(&'a [u8]),
}

/// What a message of the timer topic is, and the start of its slot.
pub fn role(properties: &[u8]) -> (Role<'_>, Option<i64>) {
    let out_ms = text(properties, TIMER_OUT_MS).and_then(|text| text.parse().ok());
    let role = match properties::value(properties, TIMER_DEL_UNIQKEY) {
        Some(key) => Role::Deletion(key),
        None => Role::Message {
            topic: text(properties, properties::REAL_TOPIC).unwrap_or_default(),
            unique_key: text(properties, UNIQ_KEY),
        },
    };
    (role, out_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_300;

    fn limits() -> TimerLimits {
        TimerLimits::new(true, 1000, 259_200)
    }

    fn due(properties: &str) -> Result<Option<DueTime>, Refusal> {
        let properties = properties.replace('=', "\u{1}").replace(';', "\u{2}");
        due_time(properties.as_bytes(), &limits(), NOW)
    }

    fn message(due_ms: i64, out_ms: i64) -> Result<Option<DueTime>, Refusal> {
        Ok(Some(DueTime { due_ms, out_ms, is_deletion: false }))
    }

    #[test]
    fn a_message_is_due_at_the_millisecond_and_its_slot_begins_before() {
        let slot = NOW / 1000 * 1000;
        assert_eq!(due("TIMER_DELAY_SEC=2"), message(NOW + 2000, slot + 2000));
        assert_eq!(due("TIMER_DELAY_MS=700"), message(slot + 1000, slot));
        assert_eq!(due("TIMER_DELAY_MS=701;"), message(slot + 1001, slot + 1000));
        assert_eq!(due(&format!("TIMER_DELIVER_MS={}", NOW + 1)), message(NOW + 1, slot));
        assert_eq!(due("TIMER_DELIVER_MS=1;TIMER_DELAY_MS=5"), message(NOW + 5, slot));
        assert_eq!(due("TIMER_DELAY_MS=1;TIMER_DELAY_SEC=3;"), message(NOW + 3000, slot + 3000));
    }

    #[test]
    fn what_is_due_or_was_kept_back_before_is_delivered_at_once() {
        for at_once in [
            "TIMER_DELAY_SEC=0",
            "TIMER_DELAY_MS=-5",
            "TIMER_DELIVER_MS=7",
            "TIMER_DELAY_SEC=5;TIMER_OUT_MS=1",
            "KEYS=k",
        ] {
            assert_eq!(due(at_once), Ok(None), "{at_once}");
        }
    }

    #[test]
    fn what_cannot_be_kept_back_is_refused() {
        assert_eq!(due("TIMER_DELAY_SEC=259200").map(|due| due.is_some()), Ok(true));
        for illegal in [
            "TIMER_DELAY_SEC=259201",
            "TIMER_DELAY_SEC=x",
            "TIMER_DELAY_MS=99999999999999999999",
            "TIMER_DELAY_SEC=9223372036854775807",
            "TIMER_DELIVER_MS=9223372036854775807",
            "TIMER_DEL_UNIQKEY=T+k",
            "TIMER_DEL_UNIQKEY=T+k;TIMER_DELAY_SEC=0",
            "TIMER_DEL_UNIQKEY=T+k;TIMER_DELAY_SEC=1;TIMER_OUT_MS=5",
        ] {
            let refusal = due(illegal).expect_err(illegal);
            assert_eq!(refusal.code, code::MESSAGE_ILLEGAL, "{illegal}");
            assert!(refusal.remark.contains("bigger than the max delay 259200000ms"));
        }
        let off = TimerLimits { enabled: false, ..limits() };
        let refusal = due_time(b"TIMER_DELAY_SEC\x015", &off, NOW).expect_err("off");
        assert_eq!(refusal.code, code::SYSTEM_ERROR);
        assert!(refusal.remark.ends_with("timerWheelEnable is false"));
        assert_eq!(due_time(b"KEYS\x015", &off, NOW), Ok(None));
    }

    #[test]
    fn a_deletion_comes_with_the_start_of_its_slot_before_all_messages_of_it() {
        let slot = NOW / 1000 * 1000;
        let deletion = due("TIMER_DEL_UNIQKEY=T+k;TIMER_DELAY_MS=900").expect("legal");
        let expected = DueTime { due_ms: slot + 1000, out_ms: slot + 1000, is_deletion: true };
        assert_eq!(deletion, Some(expected));
        assert_eq!(expected.tags_code(), -(slot + 1000));
    }

    #[test]
    fn slots_have_a_size_of_java() {
        let sizes = [(1, 100), (100, 100), (199, 100), (200, 200), (999, 500), (60_000, 1000)];
        for (asked, size) in sizes {
            assert_eq!(TimerLimits::new(true, asked, 1).precision_ms, size, "{asked}");
        }
    }
}
