//! The message id that a broker gives (`offsetMsgId`): upper-case hexadecimal digits of the store
//! host's address (4 or 16 bytes), its port (4) and the physical offset (8). It is a locator:
//! whoever has it connects to that address and asks for that offset.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Digits of an id with an IPv6 address.
pub const DIGITS_MAX: usize = 56;
/// Digits of an id with an IPv4 address.
const DIGITS_V4: usize = 32;

/// The two digits of every byte: every send answers with 16 of them, so they are looked up.
const HEX: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = [DIGITS[byte >> 4], DIGITS[byte & 0xF]];
        byte += 1;
    }
    table
};

/// A message id as text, on the stack.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MessageId {
    digits: [u8; DIGITS_MAX],
    length: u8,
}

/// The id of the message that `host` stores at `physical_offset`.
pub fn message_id(host: SocketAddr, physical_offset: i64) -> MessageId {
    let mut id = MessageId { digits: [0; DIGITS_MAX], length: 0 };
    match host.ip() {
        IpAddr::V4(ip) => id.push(&ip.octets()),
        IpAddr::V6(ip) => id.push(&ip.octets()),
    }
    id.push(&u32::from(host.port()).to_be_bytes());
    id.push(&physical_offset.to_be_bytes());
    id
}

impl MessageId {
    #[inline]
    fn push<const N: usize>(&mut self, bytes: &[u8; N]) {
        let rest = self.digits.get_mut(usize::from(self.length)..).unwrap_or_default();
        for (place, byte) in rest.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
            *place = HEX[usize::from(*byte)];
        }
        self.length += 2 * N as u8;
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.digits.get(..usize::from(self.length)).expect("at most all digits")
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("hexadecimal digits are ASCII")
    }

    /// Who stores the message and where. None when `text` is not an id of a broker.
    pub fn parse(text: &str) -> Option<(SocketAddr, i64)> {
        let digits = text.as_bytes();
        let (ip, rest): (IpAddr, &[u8]) = match digits.len() {
            DIGITS_V4 => (Ipv4Addr::from(u32::try_from(hex(digits.get(..8)?)?).ok()?).into(), {
                digits.get(8..)?
            }),
            DIGITS_MAX => {
                let (high, low) = (hex(digits.get(..16)?)?, hex(digits.get(16..32)?)?);
                let address = u128::from(high) << 64 | u128::from(low);
                (Ipv6Addr::from(address).into(), digits.get(32..)?)
            }
            _ => return None,
        };
        let port = u16::try_from(hex(rest.get(..8)?)?).ok()?;
        let offset = hex(rest.get(8..)?)?.cast_signed();
        Some((SocketAddr::new(ip, port), offset))
    }
}

/// The number that at most 16 digits of either case stand for.
fn hex(digits: &[u8]) -> Option<u64> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).map(u64::from);
    digits.iter().try_fold(0, |value, byte| Some(value << 4 | digit(byte)?))
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_java_and_are_read_back() {
        let cases = [
            ("10.0.0.1:10911", 4096, "0A00000100002A9F0000000000001000"),
            ("255.255.255.255:1", -1, "FFFFFFFF00000001FFFFFFFFFFFFFFFF"),
            ("[::1]:10911", 1, "0000000000000000000000000000000100002A9F0000000000000001"),
        ];
        for (host, offset, text) in cases {
            let host: SocketAddr = host.parse().expect("an address");
            assert_eq!(message_id(host, offset).as_str(), text);
            assert_eq!(MessageId::parse(text), Some((host, offset)));
            assert_eq!(MessageId::parse(&text.to_lowercase()), Some((host, offset)));
        }
    }

    #[test]
    fn other_texts_are_no_ids() {
        for text in ["", "0A", &"G".repeat(32), &"F".repeat(32), &"F".repeat(57), "\u{e9}"] {
            assert_eq!(MessageId::parse(text), None, "{text}");
        }
    }
}
