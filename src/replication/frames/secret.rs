//! Members of a group with a secret prove that they know it, to each other, before anything else
//! that they say counts.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of a proof.
pub const PROOF_BYTES: usize = 32;

/// Without a secret.
pub const NO_PROOF: [u8; PROOF_BYTES] = [0; PROOF_BYTES];

/// Who proves: what one side has said is no proof of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who has dialled.
    Follower,
    Master,
}

/// The secret of a group. It cannot be printed.
#[derive(Clone)]
pub struct Secret(Hmac<Sha256>);

impl Secret {
    pub fn new(secret: &[u8]) -> Secret {
        Secret(Hmac::new_from_slice(secret).expect("keys have any length"))
    }

    /// HMAC-SHA256 over the side and everything that was said, piece by piece: both have put a
    /// number in there that nobody has seen before.
    pub fn proof(&self, side: Side, said: &[&[u8]]) -> [u8; PROOF_BYTES] {
        self.over(side, said).finalize().into_bytes().into()
    }

    /// Takes as long for any proof.
    pub fn is_proven(&self, side: Side, said: &[&[u8]], proof: &[u8; PROOF_BYTES]) -> bool {
        self.over(side, said).verify_slice(proof).is_ok()
    }

    fn over(&self, side: Side, said: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(match side {
            Side::Follower => b"follower",
            Side::Master => b"master..",
        });
        for piece in said {
            mac.update(&(piece.len() as u64).to_le_bytes());
            mac.update(piece);
        }
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_of_one_side_one_secret_and_all_that_was_said() {
        let secret = Secret::new(b"of the group");
        let said: [&[u8]; 2] = [b"hello", b"challenge"];
        let proof = secret.proof(Side::Follower, &said);
        assert!(secret.is_proven(Side::Follower, &said, &proof));
        assert!(!secret.is_proven(Side::Master, &said, &proof));
        assert!(!Secret::new(b"another").is_proven(Side::Follower, &said, &proof));
        let moved: [&[u8]; 2] = [b"hellochal", b"lenge"];
        assert!(!secret.is_proven(Side::Follower, &moved, &proof), "pieces end where they did");
        assert!(!secret.is_proven(Side::Follower, &said, &NO_PROOF));
        let mut other = proof;
        other[31] ^= 1;
        assert!(!secret.is_proven(Side::Follower, &said, &other));
    }

    /// Computed by another program.
    #[test]
    fn the_bytes_of_a_proof() {
        let proof = Secret::new(b"Jefe").proof(Side::Follower, &[b"what do ya want"]);
        let hex: String = proof.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "6ed2a879d4ba6f72b5f92c2a3ab6a156e2b0b62528daeffa548eafe7daf99da0");
    }
}
