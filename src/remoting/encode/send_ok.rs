//! The response to a message that was stored: the most frequent frame that a broker writes.

use ringmq_base::limits::BATCH_MESSAGES_LIMIT;

use super::{EncodeError, Head, HeaderLimit, Start, binary, json};
use crate::codes::{field, response};
use crate::command::FLAG_RESPONSE;
use crate::frame::{HEADER_BYTES_MAX, Serialization};
use crate::message_id::DIGITS_MAX as ID_DIGITS_MAX;

/// Messages of one batch whose ids fit the header of its answer, with 64 KiB for all else in it. A
/// batch of more must not be stored: nobody could be told where.
const BATCH_MESSAGES_MAX: usize = (HEADER_BYTES_MAX - 64 * 1024) / (ID_DIGITS_MAX + 1);
const _: () = assert!(BATCH_MESSAGES_LIMIT <= BATCH_MESSAGES_MAX as i64);

/// What a producer is told about a stored message.
#[derive(Clone, Copy, Debug)]
pub struct SendOk<'a> {
    /// Hexadecimal digits; for a batch the ids of its messages with `,` between them.
    pub message_id: &'a [u8],
    pub queue_id: i32,
    /// Of the first message of a batch.
    pub queue_offset: i64,
    pub transaction_id: Option<&'a str>,
    /// By which a message that is kept back can be called back.
    pub recall_handle: Option<&'a str>,
    pub region: &'a str,
    pub trace_on: bool,
}

/// Appends the response to a message that was stored. Allocates nothing beyond growth of `out`.
///
/// # Errors
/// As [`super::request`].
pub fn send_ok(
    out: &mut Vec<u8>,
    serialization: Serialization,
    opaque: i32,
    ok: &SendOk<'_>,
) -> Result<(), EncodeError> {
    let start = Start::reserve(out);
    let written = match serialization {
        Serialization::Json => {
            json_header(out, opaque, ok);
            Ok(())
        }
        Serialization::RocketMq => binary_header(out, start.header_limit(), opaque, ok),
    };
    match written.and_then(|()| start.end_header(out, serialization)) {
        Ok(()) => start.finish(out),
        Err(error) => Err(start.give_up(out, error)),
    }
}

fn json_header(out: &mut Vec<u8>, opaque: i32, ok: &SendOk<'_>) {
    out.extend_from_slice(b"{\"code\":0,\"extFields\":{\"queueId\":\"");
    json::integer(out, ok.queue_id);
    out.extend_from_slice(b"\",\"TRACE_ON\":\"");
    out.extend_from_slice(truth(ok.trace_on));
    out.extend_from_slice(b"\",\"MSG_REGION\":\"");
    json::escape(out, ok.region);
    out.extend_from_slice(b"\",\"msgId\":\"");
    out.extend_from_slice(ok.message_id);
    out.extend_from_slice(b"\",\"queueOffset\":\"");
    json::integer(out, ok.queue_offset);
    if let Some(transaction_id) = ok.transaction_id {
        out.extend_from_slice(b"\",\"transactionId\":\"");
        json::escape(out, transaction_id);
    }
    if let Some(recall_handle) = ok.recall_handle {
        out.extend_from_slice(b"\",\"recallHandle\":\"");
        json::escape(out, recall_handle);
    }
    out.extend_from_slice(b"\"},\"flag\":1,\"language\":\"JAVA\",\"opaque\":");
    json::integer(out, opaque);
    out.extend_from_slice(b",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":409}");
}

fn binary_header(
    out: &mut Vec<u8>,
    limit: HeaderLimit,
    opaque: i32,
    ok: &SendOk<'_>,
) -> Result<(), EncodeError> {
    let head = Head { code: response::SUCCESS, opaque, flag: FLAG_RESPONSE, remark: None };
    binary::start(out, &head);
    let fields_at = out.len();
    out.extend_from_slice(&[0; 4]);
    let mut buffer = itoa::Buffer::new();
    binary::field(out, limit, "msgId", ok.message_id)?;
    binary::field(out, limit, "queueId", buffer.format(ok.queue_id).as_bytes())?;
    binary::field(out, limit, "queueOffset", buffer.format(ok.queue_offset).as_bytes())?;
    if let Some(transaction_id) = ok.transaction_id {
        binary::field(out, limit, "transactionId", transaction_id.as_bytes())?;
    }
    if let Some(recall_handle) = ok.recall_handle {
        binary::field(out, limit, "recallHandle", recall_handle.as_bytes())?;
    }
    binary::field(out, limit, field::MSG_REGION, ok.region.as_bytes())?;
    binary::field(out, limit, field::TRACE_ON, truth(ok.trace_on))?;
    binary::end_fields(out, fields_at);
    Ok(())
}

fn truth(value: bool) -> &'static [u8] {
    if value { b"true" } else { b"false" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Header;
    use crate::encode::VERSION;
    use crate::frame::Frame;

    #[test]
    fn ids_that_do_not_fit_are_refused_and_leave_nothing_behind() {
        let ids = vec![b'A'; 17 << 20];
        let ok = SendOk {
            message_id: &ids,
            queue_id: 0,
            queue_offset: 0,
            transaction_id: None,
            recall_handle: None,
            region: "r",
            trace_on: false,
        };
        for serialization in [Serialization::Json, Serialization::RocketMq] {
            let mut out = b"before".to_vec();
            let answered = send_ok(&mut out, serialization, 1, &ok);
            assert!(matches!(answered, Err(EncodeError::Header { .. })), "{answered:?}");
            assert_eq!(out, b"before");
        }
    }

    #[test]
    fn the_answer_to_the_largest_batch_fits() {
        let id = crate::message_id::message_id("[::1]:1".parse().expect("address"), -1);
        let ids = vec![id.as_str(); BATCH_MESSAGES_MAX].join(",");
        let ok = SendOk {
            message_id: ids.as_bytes(),
            queue_id: i32::MIN,
            queue_offset: i64::MIN,
            transaction_id: None,
            recall_handle: None,
            region: "DefaultRegion",
            trace_on: false,
        };
        for serialization in [Serialization::Json, Serialization::RocketMq] {
            let mut out = Vec::new();
            send_ok(&mut out, serialization, i32::MIN, &ok).expect("fits");
        }
    }

    #[test]
    fn both_serializations_tell_the_same() {
        for transaction_id in [None, Some("T\"1")] {
            let ok = SendOk {
                message_id: b"0A00,0B00",
                queue_id: 3,
                queue_offset: i64::MAX,
                transaction_id,
                recall_handle: transaction_id,
                region: "DefaultRegion",
                trace_on: true,
            };
            for serialization in [Serialization::Json, Serialization::RocketMq] {
                let mut out = Vec::new();
                send_ok(&mut out, serialization, -8, &ok).expect("fits");
                let frame = Frame::parse(&out).expect("a frame");
                let header = Header::decode(&frame).expect("a header");
                assert_eq!((header.code, header.opaque, header.flag), (0, -8, 1));
                assert_eq!(header.version, VERSION);
                assert_eq!(header.fields.get("msgId"), Some("0A00,0B00"));
                assert_eq!(header.fields.get("queueId"), Some("3"));
                assert_eq!(header.fields.get("queueOffset"), Some("9223372036854775807"));
                assert_eq!(header.fields.get("transactionId"), transaction_id);
                assert_eq!(header.fields.get("MSG_REGION"), Some("DefaultRegion"));
                assert_eq!(header.fields.get("TRACE_ON"), Some("true"));
                assert_eq!(frame.body, b"");
            }
        }
    }
}
