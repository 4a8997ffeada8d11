//! Frames as they were written once: another version of this program may run at the other side.

use super::{decode, one_of_each, whole};

/// A line each: its kind, then its bytes in hexadecimal.
const FRAMES: &str = include_str!("../testdata/frames.txt");

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect()
}

#[test]
fn frames_keep_their_bytes() {
    let frames = one_of_each();
    assert_eq!(FRAMES.lines().count(), frames.len());
    for (line, frame) in FRAMES.lines().zip(frames) {
        let (name, hex) = line.split_once(' ').expect("a kind and bytes");
        assert_eq!(name, frame.kind().name());
        assert_eq!(bytes(hex), whole(&frame), "{name}");
        assert_eq!(decode(&bytes(hex)).expect("a frame").1, frame);
    }
}
