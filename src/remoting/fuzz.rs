//! Every decoder against bytes that nobody wrote on purpose: nothing may panic, and what is read
//! never depends on more than the bytes.

use proptest::prelude::*;

use crate::command::{Header, peek};
use crate::frame::{Frame, PREFIX_BYTES, Scan, Serialization, scan};
use crate::{encode, pull, send};

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..max)
}

fn serializations() -> impl Strategy<Value = Serialization> {
    proptest::sample::select(vec![Serialization::Json, Serialization::RocketMq])
}

/// Everything that may be done with a frame of a client.
fn decode_all(frame: &Frame<'_>) {
    let peeked = peek(frame);
    let header = Header::decode(frame);
    let mut scratch = Vec::new();
    let _ = send::decode_fast(frame, &mut scratch);
    let _ = pull::decode_fast(frame, &mut scratch);
    if let Ok(header) = header {
        let peeked = peeked.expect("whoever decodes the whole can peek");
        assert_eq!((peeked.code, peeked.opaque), (header.code, header.opaque));
        assert_eq!(peeked.flag, header.flag);
        let _ = send::SendHeader::from_header(&header, frame.serialization);
        let _ = pull::PullHeader::from_header(&header, frame.serialization);
    }
}

/// A request of either serialization.
fn request(serialization: Serialization, code: i32, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    encode::request(&mut out, serialization, code, 1, false, fields, b"body").expect("fits");
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_frame_is_survived(bytes in bytes(64)) {
        match (scan(&bytes), Frame::parse(&bytes)) {
            (Ok(Scan::Complete { length }), frame) => {
                prop_assert!(length <= bytes.len());
                let frame = frame.expect("complete");
                prop_assert_eq!(frame.header.len() + frame.body.len() + PREFIX_BYTES, length);
                decode_all(&frame);
            }
            (_, frame) => prop_assert!(frame.is_err()),
        }
    }

    #[test]
    fn any_header_is_survived(header in bytes(200), serialization in serializations()) {
        decode_all(&Frame { serialization, header: &header, body: b"" });
    }

    #[test]
    fn any_text_like_a_header_is_survived(header in "[{}:,'\"\\\\u01acodextFields\\[\\] ]{0,80}") {
        let serialization = Serialization::Json;
        decode_all(&Frame { serialization, header: header.as_bytes(), body: b"" });
    }

    #[test]
    fn damaged_requests_are_survived(
        serialization in serializations(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        code in proptest::sample::select(vec![10, 11, 310, 320, 361, 200_050]),
    ) {
        let fields = [("a", "g"), ("topic", "t"), ("b", "\u{1}\u{4e2d}"), ("queueId", "5")];
        let mut bytes = request(serialization, code, &fields);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(frame) = Frame::parse(&bytes) {
            decode_all(&frame);
        }
    }

    #[test]
    fn what_is_encoded_is_decoded(
        serialization in serializations(),
        code in 0..3000_i32,
        fields in proptest::collection::vec(("[a-zA-Z]{1,9}", "\\PC{1,30}"), 0..9),
    ) {
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let bytes = request(serialization, code, &fields);
        let frame = Frame::parse(&bytes).expect("a frame");
        let header = Header::decode(&frame).expect("a header");
        prop_assert_eq!(header.fields.iter().collect::<Vec<_>>(), fields);
        prop_assert_eq!((header.code, frame.body), (code, b"body".as_slice()));
    }
}

#[test]
fn every_truncation_of_a_request_is_incomplete() {
    for serialization in [Serialization::Json, Serialization::RocketMq] {
        let bytes = request(serialization, 310, &[("a", "g"), ("b", "t")]);
        for cut in 0..bytes.len() {
            let part = &bytes[..cut];
            assert!(matches!(scan(part), Ok(Scan::Incomplete { need }) if need > cut));
            assert!(Frame::parse(part).is_err());
        }
    }
}
