//! A handshake of two that know the secret of a group, and what others make of it.

use super::{one_of_each, whole};
use crate::{
    frames::{
        Challenge, Frame, Hello, Kind, PREAMBLE, Proof,
        secret::{Secret, Side},
    },
    ids::Epoch,
};

fn one(kind: Kind) -> Frame {
    one_of_each().into_iter().find(|frame| frame.kind() == kind).expect("one of each")
}

/// What is proven by the last of these frames.
fn over(frames: &[&Frame]) -> Vec<Vec<u8>> {
    let said = frames.iter().map(|frame| whole(&frame.unproven()));
    [PREAMBLE.to_vec()].into_iter().chain(said).collect()
}

fn pieces(said: &[Vec<u8>]) -> Vec<&[u8]> {
    said.iter().map(Vec::as_slice).collect()
}

#[test]
fn both_sides_prove_what_both_have_said() {
    let secret = Secret::new(b"of the group");
    let (hello, challenge) = (one(Kind::Hello), one(Kind::Challenge));
    let (Frame::Proof(proof), Frame::Welcome(welcome)) = (one(Kind::Proof), one(Kind::Welcome))
    else {
        panic!("one of each");
    };
    let unproven = Frame::Proof(proof.clone());
    let said = over(&[&hello, &challenge, &unproven]);
    let bytes = secret.proof(Side::Follower, &pieces(&said));
    let proven = Frame::Proof(Proof { proof: bytes, ..proof.clone() });
    assert_eq!(over(&[&hello, &challenge, &proven]), said, "a proof is not over itself");
    assert!(secret.is_proven(Side::Follower, &pieces(&said), &bytes));
    let with_welcome = over(&[&hello, &challenge, &proven, &Frame::Welcome(welcome)]);
    let answer = secret.proof(Side::Master, &pieces(&with_welcome));
    assert!(secret.is_proven(Side::Master, &pieces(&with_welcome), &answer));

    // Nothing of it is of use for another nonce, another member, or another end.
    let (Frame::Hello(hello_of), Frame::Challenge(challenge_of)) = (&hello, &challenge) else {
        panic!("one of each");
    };
    let nonce = Frame::Challenge(Challenge { nonce: 10, ..*challenge_of });
    let member = Frame::Hello(Hello { replica: crate::ReplicaId(3), ..hello_of.clone() });
    let end = Frame::Proof(Proof { end: 1 << 40, joined: Epoch(7), ..proof });
    for changed in [
        over(&[&hello, &nonce, &proven]),
        over(&[&member, &challenge, &proven]),
        over(&[&hello, &challenge, &end]),
    ] {
        assert!(!secret.is_proven(Side::Follower, &pieces(&changed), &bytes));
    }
}
