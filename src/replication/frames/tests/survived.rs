//! Every decoder against bytes that nobody wrote on purpose: nothing may panic, and nothing is
//! taken that was not said.

use proptest::prelude::*;

use super::{decode, one_of_each, sealed, whole};
use crate::{
    frames::{Channel, Frame, HEADER_BYTES, Header, Kind, Refusal},
    ids::Epoch,
};

#[test]
fn every_truncation_is_refused() {
    for frame in one_of_each() {
        let bytes = whole(&frame);
        for end in HEADER_BYTES..bytes.len() {
            let refused = decode(&bytes[..end]).expect_err("a part");
            assert!(matches!(refused, Refusal::Short { .. }), "{frame:?}: {refused}");
        }
    }
}

#[test]
fn every_flipped_bit_is_seen_where_the_frame_guards_it() {
    for frame in one_of_each() {
        let bytes = whole(&frame);
        let guarded = match frame.kind().payload_max() {
            0 => bytes.len(),
            _ => HEADER_BYTES + frame.kind().guarded().0,
        };
        for bit in 0..guarded * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let refused = decode(&damaged).expect_err("a damaged frame");
            assert!(matches!(refused, Refusal::Damaged { .. }), "{frame:?}: {refused}");
        }
    }
}

#[test]
fn no_body_goes_with_another_header() {
    let frames = one_of_each();
    for frame in &frames {
        let bytes = whole(frame);
        let (_, body) = bytes.split_at(HEADER_BYTES);
        for channel in [Channel::Log(6), Channel::Control] {
            let other = frame.encode(channel, Epoch(7)).expect("short").head;
            let mixed = [&other[..HEADER_BYTES], body].concat();
            let refused = decode(&mixed).expect_err("of another log");
            assert!(matches!(refused, Refusal::Damaged { .. }), "{frame:?}: {refused}");
        }
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    proptest::sample::select(Kind::ALL)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_header_is_survived(bytes in any::<[u8; HEADER_BYTES]>()) {
        if let Ok(header) = Header::decode(&bytes) {
            prop_assert!(header.length <= header.kind.body_max());
            prop_assert_eq!(header.encode(), bytes);
        }
    }

    #[test]
    fn any_body_with_a_fitting_checksum_is_survived(
        kind in kinds(),
        mut fields in proptest::collection::vec(any::<u8>(), 0..200),
        zeros in 0..60_usize,
    ) {
        // Zeros get further than what is drawn: small counts and positions.
        fields.iter_mut().skip(7).step_by(2).for_each(|byte| *byte = 0);
        fields.splice(0..0, vec![0; zeros]);
        let (least, most) = kind.guarded();
        fields.resize(fields.len().clamp(least - 4, most - 4), 0);
        let bytes = sealed(kind, &fields);
        if let Ok((_, frame)) = decode(&bytes) {
            let again = frame.encode(Channel::Control, Epoch(1));
            let again = again.expect("what was decoded is short enough");
            let again = [again.head, again.payload.to_vec()].concat();
            // An address of IPv4 has two forms.
            if !matches!(frame, Frame::Forward(_)) {
                prop_assert_eq!(again, bytes);
            }
        }
    }
}
