//! The header of PULL_MESSAGE (11) and LITE_PULL_MESSAGE (361).

use crate::codes::{pull_flag, request};
use crate::command::{FLAG_ONEWAY, Header};
use crate::fast::{self, Piece};
use crate::frame::{Frame, Serialization};
use crate::headers::{HeaderFieldError, required};

/// What a consumer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PullHeader<'a> {
    pub consumer_group: &'a str,
    pub topic: &'a str,
    pub queue_id: i32,
    pub queue_offset: i64,
    pub max_msg_nums: i32,
    /// Bits of [`crate::codes::pull_flag`].
    pub sys_flag: i32,
    /// Counts only with [`crate::codes::pull_flag::COMMIT_OFFSET`].
    pub commit_offset: i64,
    /// How long the broker may wait for messages, with [`crate::codes::pull_flag::SUSPEND`].
    pub suspend_timeout_millis: i64,
    pub subscription: Option<&'a str>,
    pub sub_version: i64,
    /// `TAG` when absent, or `SQL92`.
    pub expression_type: Option<&'a str>,
    pub max_msg_bytes: Option<i32>,
    pub request_source: Option<i32>,
    pub opaque: i32,
    pub oneway: bool,
    pub code: i32,
    pub version: i32,
    pub serialization: Serialization,
}

const FIELDS: usize = 13;

fn index(name: &[u8]) -> Option<usize> {
    Some(match name {
        b"consumerGroup" => 0,
        b"topic" => 1,
        b"queueId" => 2,
        b"queueOffset" => 3,
        b"maxMsgNums" => 4,
        b"sysFlag" => 5,
        b"commitOffset" => 6,
        b"suspendTimeoutMillis" => 7,
        b"subscription" => 8,
        b"subVersion" => 9,
        b"expressionType" => 10,
        b"maxMsgBytes" => 11,
        b"requestSource" => 12,
        _ => return None,
    })
}

/// Whether a request has a header that this module decodes.
pub fn is_pull(code: i32) -> bool {
    matches!(code, request::PULL_MESSAGE | request::LITE_PULL_MESSAGE)
}

/// Decodes the header of a pull as clients write it, without allocation besides growth of
/// `scratch`, which holds what had escapes. None means: decode the [`Header`] and ask
/// [`PullHeader::from_header`].
pub fn decode_fast<'a>(frame: &Frame<'a>, scratch: &'a mut Vec<u8>) -> Option<PullHeader<'a>> {
    let mut pieces = [Piece::Absent; FIELDS];
    let top = fast::scan(frame, scratch, |name, value| {
        if let Some(place) = index(name).and_then(|index| pieces.get_mut(index)) {
            *place = value;
        }
    })?;
    if !is_pull(top.code) {
        return None;
    }
    let scratch: &'a [u8] = scratch;
    let optional = |piece: Piece<'a>| match piece {
        Piece::Absent => Some(None),
        piece => piece.text(scratch).map(Some),
    };
    let [
        group,
        topic,
        queue,
        offset,
        count,
        flag,
        commit,
        suspend,
        sub,
        version,
        kind,
        bytes,
        from,
    ] = pieces;
    Some(PullHeader {
        consumer_group: group.text(scratch)?,
        topic: topic.text(scratch)?,
        queue_id: queue.number(scratch)??,
        queue_offset: offset.number(scratch)??,
        max_msg_nums: count.number(scratch)??,
        sys_flag: flag.number(scratch)??,
        commit_offset: commit.number(scratch)??,
        suspend_timeout_millis: suspend.number(scratch)??,
        subscription: optional(sub)?,
        sub_version: version.number(scratch)??,
        expression_type: optional(kind)?,
        max_msg_bytes: bytes.number(scratch)?,
        request_source: from.number(scratch)?,
        opaque: top.opaque,
        oneway: top.flag & FLAG_ONEWAY != 0,
        code: top.code,
        version: top.version,
        serialization: frame.serialization,
    })
}

impl<'a> PullHeader<'a> {
    /// Takes a pull header out of a decoded one. As in Java, a field is needed only if the flags
    /// make it count.
    ///
    /// # Errors
    /// If a field is missing that the answer needs, or a number is none.
    pub fn from_header(
        header: &'a Header<'_>,
        serialization: Serialization,
    ) -> Result<PullHeader<'a>, HeaderFieldError> {
        const HEADER: &str = "PullMessageRequestHeader";
        let fields = &header.fields;
        let sys_flag: i32 = required(HEADER, fields, "sysFlag")?;
        let has = |flag| sys_flag & flag != 0;
        let number = |name, counts: bool| match fields.get(name) {
            None if !counts => Ok(0),
            _ => required::<i64>(HEADER, fields, name),
        };
        let optional = |name| fields.get(name).and_then(|value: &str| value.parse().ok());
        Ok(PullHeader {
            consumer_group: required(HEADER, fields, "consumerGroup")?,
            topic: required(HEADER, fields, "topic")?,
            queue_id: required(HEADER, fields, "queueId")?,
            queue_offset: required(HEADER, fields, "queueOffset")?,
            max_msg_nums: required(HEADER, fields, "maxMsgNums")?,
            sys_flag,
            commit_offset: number("commitOffset", has(pull_flag::COMMIT_OFFSET))?,
            suspend_timeout_millis: number("suspendTimeoutMillis", has(pull_flag::SUSPEND))?,
            subscription: fields.get("subscription"),
            // What a pull brings itself has no version to compare.
            sub_version: number("subVersion", !has(pull_flag::SUBSCRIPTION))?,
            expression_type: fields.get("expressionType"),
            max_msg_bytes: optional("maxMsgBytes"),
            request_source: optional("requestSource"),
            opaque: header.opaque,
            oneway: header.is_oneway(),
            code: header.code,
            version: header.version,
            serialization,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::encode;

    const NAMES: [&str; FIELDS] = [
        "consumerGroup",
        "topic",
        "queueId",
        "queueOffset",
        "maxMsgNums",
        "sysFlag",
        "commitOffset",
        "suspendTimeoutMillis",
        "subscription",
        "subVersion",
        "expressionType",
        "maxMsgBytes",
        "requestSource",
    ];

    fn agree(fields: &[(&str, &str)], code: i32, serialization: Serialization) -> bool {
        let mut bytes = Vec::new();
        encode::request(&mut bytes, serialization, code, 5, false, fields, b"").expect("fits");
        let frame = Frame::parse(&bytes).expect("a frame");
        let header = Header::decode(&frame).expect("a header");
        let general = PullHeader::from_header(&header, serialization);
        let mut scratch = Vec::new();
        let fast = decode_fast(&frame, &mut scratch);
        if let Some(fast) = fast {
            assert_eq!(general.as_ref(), Ok(&fast));
        }
        fast.is_some()
    }

    #[test]
    fn the_names_are_those_that_the_fast_path_knows() {
        for (place, name) in NAMES.iter().enumerate() {
            assert_eq!(index(name.as_bytes()), Some(place));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn both_paths_agree(
            texts in proptest::collection::vec("[a-z|* \"\\\\\u{1}\u{4e2d}]{1,20}", 4),
            numbers in proptest::collection::vec(any::<i32>(), 9),
            present in proptest::collection::vec(any::<bool>(), 13),
            shuffle in Just((0..13_usize).collect::<Vec<_>>()).prop_shuffle(),
            binary in any::<bool>(),
            lite in any::<bool>(),
        ) {
            let numbers: Vec<String> = numbers.iter().map(i32::to_string).collect();
            let (mut texts, mut numbers) = (texts.iter(), numbers.iter());
            let values: Vec<&str> = (0..FIELDS)
                .map(|index| match index {
                    0 | 1 | 8 | 10 => texts.next().expect("4 texts").as_str(),
                    _ => numbers.next().expect("9 numbers").as_str(),
                })
                .collect();
            let fields: Vec<(&str, &str)> = shuffle
                .iter()
                .filter(|&&at| !matches!(at, 8 | 10 | 11 | 12) || present[at])
                .map(|&at| (NAMES[at], values[at]))
                .collect();
            let serialization =
                if binary { Serialization::RocketMq } else { Serialization::Json };
            let code = if lite { 361 } else { 11 };
            prop_assert!(agree(&fields, code, serialization));
            let cut: Vec<_> = fields.iter().skip(1).copied().collect();
            agree(&cut, code, serialization);
        }
    }
}
