//! JSON bodies as fastjson, the library of the Java side, reads and writes them.
//!
//! Read: single quotes, names and numbers as keys without quotes, objects as keys, comments,
//! surplus commas, a byte order mark; names of members in any case; a member that is null is as
//! good as absent. Written: compact, absent members left out, numeric keys in quotes, a
//! [`crate::body::MessageQueue`] as key is an object.

mod memory;
mod read;

use std::cell::Cell;
use std::io;

use ringmq_base::limits::FRAME_BYTES_MAX;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter};

use crate::lexer::{JsonError, Lexer, Token};
pub(crate) use memory::Memory;
pub(crate) use read::{integer, is_like};

/// Deepest nesting of a body.
pub const DEPTH_MAX: usize = 64;

/// Why a body cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("body: {0}")]
    Json(#[from] JsonError),
    #[error("body is not what the request needs: {0}")]
    Shape(String),
}

impl serde::de::Error for BodyError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        BodyError::Shape(message.to_string())
    }
}

/// Reads a body that comes from a peer that is trusted. Takes no memory beyond what it returns and
/// a few words a level of nesting.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BodyError> {
    from_slice_within(bytes, usize::MAX)
}

/// Reads a body, which becomes at most about `memory` bytes.
///
/// # Errors
/// If it is not what the type needs, or too much.
pub fn from_slice_within<T: DeserializeOwned>(bytes: &[u8], memory: usize) -> Result<T, BodyError> {
    let mut lexer = Lexer::new(bytes);
    let body = T::deserialize(read::Value::new(&mut lexer, &Memory::new(memory)))?;
    match lexer.next()? {
        Token::End => Ok(body),
        token => Err(lexer.unexpected(&token, "end").into()),
    }
}

/// Reads the value that the lexer stands before.
pub(crate) fn value<T: DeserializeOwned>(
    lexer: &mut Lexer<'_>,
    memory: &Memory,
) -> Result<T, BodyError> {
    T::deserialize(read::Value::new(lexer, memory))
}

/// Writes a body.
///
/// # Panics
/// If a map has keys that are neither texts nor numbers; our bodies have none such.
pub fn to_vec<T: Serialize>(body: &T) -> Vec<u8> {
    let mut out = Vec::new();
    append(&mut out, body);
    out
}

/// Appends a body, or a part of one.
///
/// # Panics
/// As [`to_vec`].
pub fn append<T: Serialize + ?Sized>(out: &mut Vec<u8>, body: &T) {
    OBJECT_KEY.set(false);
    let mut serializer = serde_json::Serializer::with_formatter(out, Writer::default());
    body.serialize(&mut serializer).expect("bodies have keys of text and go into memory");
}

/// Writes a body unless it is longer than a frame can carry. Never holds more than that.
///
/// # Errors
/// How many bytes the body has.
///
/// # Panics
/// As [`to_vec`].
pub fn to_vec_for_frame<T: Serialize>(body: &T) -> Result<Vec<u8>, BodyTooLong> {
    let mut out = Bounded { bytes: Vec::new(), length: 0 };
    OBJECT_KEY.set(false);
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, Writer::default());
    body.serialize(&mut serializer).expect("bodies have keys of text and go into memory");
    if out.length > BODY_BYTES_MAX {
        return Err(BodyTooLong { bytes: out.length });
    }
    Ok(out.bytes)
}

/// Longest body of an answer: the frame's limit less room for its header.
pub const BODY_BYTES_MAX: usize = FRAME_BYTES_MAX - 64 * 1024;

/// Why a body cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer has {bytes} bytes, but a frame carries {BODY_BYTES_MAX} at most")]
pub struct BodyTooLong {
    pub bytes: usize,
}

/// Counts on when it holds as much as a frame carries.
struct Bounded {
    bytes: Vec<u8>,
    length: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.length += part.len();
        if self.length <= BODY_BYTES_MAX {
            self.bytes.extend_from_slice(part);
        } else {
            self.bytes = Vec::new();
        }
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

thread_local! {
    /// Whether the next string that this thread writes is the text of an object in key position.
    static OBJECT_KEY: Cell<bool> = const { Cell::new(false) };
}

/// A text of JSON that stands as key without quotes.
pub(crate) struct ObjectKey(pub String);

impl Serialize for ObjectKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        OBJECT_KEY.set(true);
        serializer.serialize_str(&self.0)
    }
}

/// Writes compact JSON, with objects as keys.
#[derive(Default)]
struct Writer {
    raw: bool,
}

impl Formatter for Writer {
    fn begin_string<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.raw = OBJECT_KEY.replace(false);
        if self.raw { Ok(()) } else { writer.write_all(b"\"") }
    }

    fn end_string<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if std::mem::take(&mut self.raw) { Ok(()) } else { writer.write_all(b"\"") }
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        match escape {
            CharEscape::Quote if self.raw => writer.write_all(b"\""),
            CharEscape::ReverseSolidus if self.raw => writer.write_all(b"\\"),
            escape => CompactFormatter.write_char_escape(writer, escape),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use crate::body::{HeartbeatData, LockBatchRequestBody, MessageQueue, SubscriptionGroupConfig};

    fn read<T: DeserializeOwned>(json: &str) -> T {
        from_slice(json.as_bytes()).expect(json)
    }

    #[test]
    fn the_dialect_is_read() {
        let cases = [
            ("{0:\"a\",'b':[1,null,],}", json!({"0": "a", "b": [1, null]})),
            ("{a:null,b:true,c:null}", json!({"b": true})),
            ("{{\"q\":0}:{x:'\"'}}", json!({"{\"q\":0}": {"x": "\""}})),
            (" [ ] ", json!([])),
            ("\u{feff}[,1.5,-2,x,]", json!([1.5, -2, "x"])),
            ("{\"$ref\":\"$.a\"}", json!({"$ref": "$.a"})),
        ];
        for (json, expected) in cases {
            assert_eq!(read::<Value>(json), expected, "{json}");
        }
    }

    #[test]
    fn members_are_found_in_any_case() {
        let names = |json: &str| read::<SubscriptionGroupConfig>(json).retry_max_times;
        for name in ["retryMaxTimes", "RETRYMAXTIMES", "retry_max_times", "Retry-Max-Times"] {
            assert_eq!(names(&format!("{{\"{name}\":3}}")), 3, "{name}");
        }
        assert_eq!(names("{retryMaxTimes:3,RETRYMAXTIMES:4}"), 3);
        assert_eq!(names("{RETRYMAXTIMES:4,retryMaxTimes:3}"), 4);
        assert_eq!(names("{retryMaxTimes:3,retryMaxTimes:4}"), 4);
        assert_eq!(names("{retryMaxTime:3,isRetryMaxTimes:4,retryMaxTimes:null}"), 16);
        let config: SubscriptionGroupConfig = read("{isConsumeEnable:false}");
        assert!(!config.consume_enable);
        let beat: HeartbeatData =
            read("{CLIENTID:'c',PRODUCER_DATA_SET:[{GroupName:'g'}],x:{a:[1,{b:null}]}}");
        assert_eq!((beat.client_id.as_str(), beat.producer_data_set.len()), ("c", 1));
        assert_eq!(beat.producer_data_set[0].group_name, "g");
    }

    #[test]
    fn numbers_and_truth_values_may_be_texts_and_the_other_way_round() {
        let json = "{groupName:{a:[1]},retryMaxTimes:'3',retryQueueNums:2.9,groupSysFlag:true,\
                    consumeEnable:'false',consumeBroadcastEnable:5}";
        let config: SubscriptionGroupConfig = read(json);
        assert_eq!((config.group_name.as_str(), config.retry_max_times), ("{a:[1]}", 3));
        assert_eq!((config.retry_queue_nums, config.group_sys_flag), (2, 1));
        assert!(!config.consume_enable && !config.consume_broadcast_enable);
        let numbers: SubscriptionGroupConfig = read("{groupName:7,consumeEnable:1.5}\0");
        assert_eq!((numbers.group_name.as_str(), numbers.consume_enable), ("7", true));
        for wrong in [
            "{retryMaxTimes:x}",
            "{brokerId:true}",
            "{retryMaxTimes:''}",
            "{retryMaxTimes:[1]}",
            "{consumeEnable:maybe}",
            "[]",
        ] {
            assert!(from_slice::<SubscriptionGroupConfig>(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn queues_are_keys_as_objects_and_as_texts() {
        type Table = BTreeMap<MessageQueue, i64>;
        let expected: Table = [(MessageQueue::new("t", "b", 2), 5)].into();
        let plain = r#"{{"topic":"t","BrokerName":"b","queueId":"2"}:5}"#;
        let quoted = r#"{"{\"topic\":\"t\",\"brokerName\":\"b\",\"queueId\":2}":5}"#;
        assert_eq!(read::<Table>(plain), expected);
        assert_eq!(read::<Table>(quoted), expected);
        assert_eq!(read::<BTreeMap<i64, String>>("{1:2,'3':x}").len(), 2);
        assert_eq!(read::<Vec<i32>>("[1,null,'2']"), [1, 2]);
        let body: LockBatchRequestBody = read(r#"{"mqSet":[{topic:t,brokerName:b,queueId:2}]}"#);
        assert!(body.mq_set.iter().eq(expected.keys()));
    }

    #[test]
    fn what_is_no_json_is_an_error() {
        for json in ["", "{", "[1", "{a}", "{a:}", "}", "[]]", "{,", "\"a", "{a:1}x"] {
            assert!(from_slice::<Value>(json.as_bytes()).is_err(), "{json}");
            assert!(from_slice::<HeartbeatData>(json.as_bytes()).is_err(), "{json}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_without_deep_recursion() {
        for (open, close) in [("[", "]"), ("{a:", "}")] {
            let json = [open.repeat(100_000), close.repeat(100_000)].concat();
            assert!(from_slice::<Value>(json.as_bytes()).is_err());
        }
        let json = ["[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX)].concat();
        assert!(from_slice::<Value>(json.as_bytes()).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = from_slice::<Value>(&bytes);
            let _ = from_slice::<HeartbeatData>(&bytes);
        }

        #[test]
        fn any_text_like_a_body_is_survived(
            text in "([{}:,'\"a0u/* ]|\\[|\\]|clientID|consumerDataSet|subVersion|groupName){0,30}",
        ) {
            let _ = from_slice::<Value>(text.as_bytes());
            let _ = from_slice::<HeartbeatData>(text.as_bytes());
        }

        #[test]
        fn standard_json_means_the_same(numbers in proptest::collection::vec(any::<i64>(), 0..9),
                                        texts in proptest::collection::vec("\\PC{0,9}", 0..9)) {
            let value = json!({"numbers": numbers, "texts": texts, "more": {"a": true, "b": 1.5}});
            prop_assert_eq!(read::<Value>(&value.to_string()), value);
        }
    }
}
