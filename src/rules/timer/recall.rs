//! The handle by which a message that waits for its time is called back (RECALL_MESSAGE):
//! `v1 topic broker time key` in Base64, the time being TIMER_OUT_MS and one.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::super::refusal::{Refusal, code};

/// As Java writes and reads it: padded or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const VERSION: &str = "v1";

/// Which message a handle is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecallHandle {
    pub topic: String,
    pub broker: String,
    /// As it stands in the handle; a time that is no number is refused by the caller.
    pub deliver_ms: i64,
    pub unique_key: String,
}

impl RecallHandle {
    pub fn encode(topic: &str, broker: &str, deliver_ms: i64, unique_key: &str) -> String {
        BASE64.encode(format!("{VERSION} {topic} {broker} {deliver_ms} {unique_key}"))
    }

    /// # Errors
    /// The answer to the client.
    pub fn decode(handle: &str) -> Result<RecallHandle, Refusal> {
        let bytes = BASE64.decode(handle).map_err(|_| invalid())?;
        let text = String::from_utf8(bytes).map_err(|_| invalid())?;
        let mut items = text.split(' ');
        let mut next = || items.next().ok_or_else(invalid);
        if next()? != VERSION {
            return Err(invalid());
        }
        Ok(RecallHandle {
            topic: next()?.to_owned(),
            broker: next()?.to_owned(),
            // As in Java, refused later: it is in the past.
            deliver_ms: next()?.parse().unwrap_or(-1),
            unique_key: next()?.to_owned(),
        })
    }
}

#[cold]
fn invalid() -> Refusal {
    Refusal::new(code::ILLEGAL_OPERATION, "recall handle is invalid".to_owned())
}

/// Checks a handle against the topic that it is used for and this broker.
///
/// # Errors
/// The answer to the client.
pub fn check(
    handle: &RecallHandle,
    topic: &str,
    broker: &str,
    now_ms: i64,
    delay_ms_max: i64,
) -> Result<(), Refusal> {
    let left = handle.deliver_ms.saturating_sub(now_ms);
    let why = if handle.topic != topic {
        "recall failed, topic not match"
    } else if handle.broker != broker {
        "recall failed, broker service not available"
    } else if left <= 0 || left >= delay_ms_max {
        "recall failed, timestamp invalid"
    } else {
        return Ok(());
    };
    Err(Refusal::new(code::ILLEGAL_OPERATION, why.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_the_one_of_java() {
        let handle = RecallHandle::encode("T", "broker-a", 1_700_000_001, "0A01");
        assert_eq!(handle, "djEgVCBicm9rZXItYSAxNzAwMDAwMDAxIDBBMDE=");
        let expected = RecallHandle {
            topic: "T".to_owned(),
            broker: "broker-a".to_owned(),
            deliver_ms: 1_700_000_001,
            unique_key: "0A01".to_owned(),
        };
        assert_eq!(RecallHandle::decode(&handle), Ok(expected.clone()));
        assert_eq!(RecallHandle::decode(handle.trim_end_matches('=')), Ok(expected));
    }

    #[test]
    fn other_handles_are_refused() {
        let encode = |text: &str| BASE64.encode(text);
        for handle in ["", "%", &encode("v2 T b 1 k"), &encode("v1 T b 1"), &encode("v1")] {
            let refusal = RecallHandle::decode(handle).expect_err(handle);
            assert_eq!(refusal.code, code::ILLEGAL_OPERATION);
            assert_eq!(refusal.remark, "recall handle is invalid");
        }
        let handle = RecallHandle::decode(&encode("v1 T b 1000 k")).expect("complete");
        let remark = |topic, broker, now| {
            check(&handle, topic, broker, now, 500).map_err(|refusal| refusal.remark)
        };
        assert_eq!(remark("T", "b", 900), Ok(()));
        assert_eq!(remark("U", "b", 900), Err("recall failed, topic not match".to_owned()));
        let other = "recall failed, broker service not available".to_owned();
        assert_eq!(remark("T", "c", 900), Err(other));
        for now in [1000, 500] {
            assert_eq!(remark("T", "b", now), Err("recall failed, timestamp invalid".to_owned()));
        }
    }
}
