//! The header of a message to be stored: SEND_MESSAGE (10), SEND_MESSAGE_V2 (310),
//! SEND_BATCH_MESSAGE (320) and the replies SEND_REPLY_MESSAGE (324) and its V2 (325).

#[cfg(test)]
mod tests;

use crate::codes::request;
use crate::command::{FLAG_ONEWAY, Header};
use crate::fast::{self, Piece};
use crate::frame::{Frame, Serialization};
use crate::headers::{HeaderFieldError, required};

/// A send header of either form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendHeader<'a> {
    pub producer_group: &'a str,
    pub topic: &'a str,
    /// The topic whose settings a topic that does not exist takes over.
    pub default_topic: &'a str,
    pub default_topic_queues: i32,
    /// Below 0 the broker chooses.
    pub queue_id: i32,
    pub sys_flag: i32,
    /// Milliseconds since 1970, by the producer's clock.
    pub born_timestamp: i64,
    pub flag: i32,
    /// Not checked; UTF-8 as far as the header was.
    pub properties: &'a [u8],
    pub reconsume_times: i32,
    pub unit_mode: bool,
    pub max_reconsume_times: Option<i32>,
    /// The body is a batch.
    pub batch: bool,
    pub opaque: i32,
    pub oneway: bool,
    pub code: i32,
    pub version: i32,
    pub serialization: Serialization,
}

/// The fields in the order of their V2 letters, `a` to `m`.
const FIELDS: usize = 13;
const NAMES: [&str; FIELDS] = [
    "producerGroup",
    "topic",
    "defaultTopic",
    "defaultTopicQueueNums",
    "queueId",
    "sysFlag",
    "bornTimestamp",
    "flag",
    "properties",
    "reconsumeTimes",
    "unitMode",
    "maxReconsumeTimes",
    "batch",
];
const LETTERS: [&str; FIELDS] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"];

/// Whether the fields of a request have their long names; None when it is no send.
fn long_names(code: i32) -> Option<bool> {
    match code {
        request::SEND_MESSAGE | request::SEND_REPLY_MESSAGE => Some(true),
        request::SEND_MESSAGE_V2 | request::SEND_BATCH_MESSAGE | request::SEND_REPLY_MESSAGE_V2 => {
            Some(false)
        }
        _ => None,
    }
}

/// Decodes the header of a send as clients write it, without allocation besides growth of
/// `scratch`, which holds what had escapes. None means: decode the [`Header`] and ask
/// [`SendHeader::from_header`].
pub fn decode_fast<'a>(frame: &Frame<'a>, scratch: &'a mut Vec<u8>) -> Option<SendHeader<'a>> {
    let mut pieces = [Piece::Absent; FIELDS];
    let (mut long, mut short) = (false, false);
    let top = fast::scan(frame, scratch, |name, value| {
        let index = if let [letter] = name {
            short = true;
            Some(usize::from(letter.wrapping_sub(b'a')))
        } else {
            long_index(name).inspect(|_| long = true)
        };
        if let Some(place) = index.and_then(|index| pieces.get_mut(index)) {
            *place = value;
        }
    })?;
    // Names of the other form mean nothing; none is known to mix them.
    if if long_names(top.code)? { short } else { long } {
        return None;
    }
    let scratch: &'a [u8] = scratch;
    let [a, b, c, d, e, f, g, h, i, j, k, l, m] = pieces;
    Some(SendHeader {
        producer_group: a.text(scratch)?,
        topic: b.text(scratch)?,
        default_topic: c.text(scratch)?,
        default_topic_queues: d.number(scratch)??,
        queue_id: e.number(scratch)??,
        sys_flag: f.number(scratch)??,
        born_timestamp: g.number(scratch)??,
        flag: h.number(scratch)??,
        properties: match i {
            Piece::Absent => b"",
            properties => properties.text(scratch)?.as_bytes(),
        },
        reconsume_times: j.number(scratch)?.unwrap_or(0),
        unit_mode: k.truth(scratch)?,
        max_reconsume_times: l.number(scratch)?,
        batch: m.truth(scratch)?,
        opaque: top.opaque,
        oneway: top.flag & FLAG_ONEWAY != 0,
        code: top.code,
        version: top.version,
        serialization: frame.serialization,
    })
}

fn long_index(name: &[u8]) -> Option<usize> {
    Some(match name {
        b"producerGroup" => 0,
        b"topic" => 1,
        b"defaultTopic" => 2,
        b"defaultTopicQueueNums" => 3,
        b"queueId" => 4,
        b"sysFlag" => 5,
        b"bornTimestamp" => 6,
        b"flag" => 7,
        b"properties" => 8,
        b"reconsumeTimes" => 9,
        b"unitMode" => 10,
        b"maxReconsumeTimes" => 11,
        b"batch" => 12,
        _ => return None,
    })
}

impl<'a> SendHeader<'a> {
    /// Takes a send header out of a decoded one. As in Java, a producer group is not needed, and a
    /// template of the topic only to make it; a field of the long form that is there but no number
    /// counts as missing.
    ///
    /// # Errors
    /// If a field is missing without which a message cannot be stored.
    pub fn from_header(
        header: &'a Header<'_>,
        serialization: Serialization,
    ) -> Result<SendHeader<'a>, HeaderFieldError> {
        const HEADER: &str = "SendMessageRequestHeader";
        let long = long_names(header.code) == Some(true);
        let [a, b, c, d, e, f, g, h, i, j, k, l, m] = if long { NAMES } else { LETTERS };
        let fields = &header.fields;
        let truth = |name| fields.get(name).is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let number = |name| match fields.get(name) {
            Some(_) if !long => required::<i32>(HEADER, fields, name).map(Some),
            value => Ok(value.and_then(|value: &str| value.parse::<i32>().ok())),
        };
        Ok(SendHeader {
            producer_group: fields.get(a).unwrap_or_default(),
            topic: required(HEADER, fields, b)?,
            default_topic: fields.get(c).unwrap_or_default(),
            default_topic_queues: number(d)?.unwrap_or(0),
            queue_id: required(HEADER, fields, e)?,
            sys_flag: required(HEADER, fields, f)?,
            born_timestamp: required(HEADER, fields, g)?,
            flag: required(HEADER, fields, h)?,
            properties: fields.get(i).unwrap_or_default().as_bytes(),
            reconsume_times: number(j)?.unwrap_or(0),
            unit_mode: truth(k),
            max_reconsume_times: number(l)?,
            batch: truth(m),
            opaque: header.opaque,
            oneway: header.is_oneway(),
            code: header.code,
            version: header.version,
            serialization,
        })
    }
}
