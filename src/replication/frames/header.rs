//! The 16 bytes before each frame, and how long frames may be.

use ringmq_base::{checksum::crc32c, limits::FRAME_BYTES_MAX};

use crate::{frames::refusal::Refusal, ids::Epoch};

/// Before each frame: length of the body u32, kind u8, zero u8, channel u16, epoch u32, crc of
/// these 12 bytes u32.
pub const HEADER_BYTES: usize = 16;

/// What comes first on a connection, before any frame, from whoever dials: a follower of RocketMQ
/// would say an offset there, which cannot be as great.
pub const PREAMBLE: [u8; 8] = *b"RingMQr\x01";

/// Bytes of records that one DATA gathers.
pub const DATA_BYTES: usize = 1024 * 1024;

/// One record with its envelope, which may be longer than what is gathered.
const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024 + 40;

/// What a frame is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    Log(u16),
    /// All that is not about one log: heartbeats, metadata, the set.
    Control,
}

const CONTROL: u16 = u16::MAX;

macro_rules! kinds {
    ($($code:literal $kind:ident $name:literal $least:literal ..= $most:expr, $payload:expr;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Kind {
            $($kind = $code,)*
        }

        impl Kind {
            pub const ALL: &[Kind] = &[$(Kind::$kind,)*];

            pub fn from_code(code: u8) -> Option<Kind> {
                match code {
                    $($code => Some(Kind::$kind),)*
                    _ => None,
                }
            }

            pub fn name(self) -> &'static str {
                match self {
                    $(Kind::$kind => $name,)*
                }
            }

            /// Bytes of the body without a payload: at least, and at most.
            pub fn guarded(self) -> (usize, usize) {
                match self {
                    $(Kind::$kind => ($least, $most),)*
                }
            }

            /// Bytes of a payload at most, which no checksum of the frame covers. What is before it
            /// has always the same length.
            pub fn payload_max(self) -> usize {
                match self {
                    $(Kind::$kind => $payload,)*
                }
            }
        }
    };
}

// Code, kind, name, bytes of the body without a payload (its crc included), bytes of a payload.
kinds! {
    1 Hello "HELLO" 78..=332, 0;
    2 Challenge "CHALLENGE" 42..=42, 0;
    3 Proof "PROOF" 71..=71 + 12 * 256, 0;
    4 Welcome "WELCOME" 69..=69, 0;
    5 Refused "REFUSED" 8..=1024, 0;
    6 Segment "SEGMENT" 24..=24, 0;
    7 Data "DATA" 20..=20, RECORD_BYTES_MAX;
    8 Set "SET" 13..=13, 0;
    9 Ack "ACK" 20..=20, 0;
    10 Heartbeat "HEARTBEAT" 48..=48 + 16 * 32_767, 0;
    11 Retire "RETIRE" 12..=12, 0;
    12 Seed "SEED" 46..=46, 0;
    13 Floors "FLOORS" 7..=1024 * 1024, 0;
    14 Ready "READY" 12..=12, 0;
    15 RepairRequest "REPAIR_REQ" 28..=28, 0;
    16 Repair "REPAIR" 20..=20, RECORD_BYTES_MAX;
    17 Meta "META" 20..=RECORD_BYTES_MAX, 0;
    18 MetaAck "META_ACK" 20..=20, 0;
    19 MetaSnapshot "META_SNAPSHOT" 32..=1024 * 1024, 0;
    20 Forward "FORWARD" 38..=38, FRAME_BYTES_MAX;
    21 Forwarded "FORWARDED" 20..=20, FRAME_BYTES_MAX;
}

impl Kind {
    pub fn body_max(self) -> usize {
        self.guarded().1 + self.payload_max()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub kind: Kind,
    pub channel: Channel,
    pub epoch: Epoch,
    /// Bytes behind the header, never more than the kind may have.
    pub length: usize,
}

impl Header {
    /// # Errors
    /// If bytes were damaged, the kind is unknown, or its body cannot be as long. Nothing has to be
    /// made room for before this says that it may.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Header, Refusal> {
        let [a, b, c, d, kind, zero, e, f, g, h, i, j, k, l, m, n] = *bytes;
        let said = u32::from_le_bytes([k, l, m, n]);
        let measured = header_crc(bytes);
        if said != measured {
            return Err(Refusal::Damaged { what: "a header", said, measured });
        }
        let length = u32::from_le_bytes([a, b, c, d]);
        let kind = Kind::from_code(kind).ok_or(Refusal::Kind { code: kind })?;
        if zero != 0 {
            return Err(Refusal::value(kind, "the byte behind the kind", u64::from(zero), 0));
        }
        let channel = match u16::from_le_bytes([e, f]) {
            CONTROL => Channel::Control,
            log @ 0..=32_766 => Channel::Log(log),
            log => return Err(Refusal::value(kind, "log", u64::from(log), 32_766)),
        };
        let epoch = Epoch(u32::from_le_bytes([g, h, i, j]));
        let (least, most) = (kind.guarded().0, kind.body_max());
        match usize::try_from(length) {
            Ok(length) if length > most => Err(Refusal::Long { kind, length, most }),
            Ok(length) if length < least => Err(Refusal::Short { kind, length, least }),
            Ok(length) => Ok(Header { kind, channel, epoch, length }),
            Err(_) => Err(Refusal::Long { kind, length: usize::MAX, most }),
        }
    }

    /// As it is where only some kinds may come: before a peer has proven who it is, nothing is made
    /// room for but what it proves that with.
    ///
    /// # Errors
    /// As [`Header::decode`], and if another kind comes.
    pub fn decode_one_of(
        bytes: &[u8; HEADER_BYTES],
        expected: &'static [Kind],
    ) -> Result<Header, Refusal> {
        let header = Header::decode(bytes)?;
        match expected.contains(&header.kind) {
            true => Ok(header),
            false => Err(Refusal::Unexpected { kind: header.kind, expected }),
        }
    }

    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let length = u32::try_from(self.length).expect("no kind has as much").to_le_bytes();
        let channel = match self.channel {
            Channel::Log(log) => log,
            Channel::Control => CONTROL,
        };
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&length);
        bytes[4] = self.kind as u8;
        bytes[6..8].copy_from_slice(&channel.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.epoch.0.to_le_bytes());
        let crc = header_crc(&bytes).to_le_bytes();
        bytes[12..].copy_from_slice(&crc);
        bytes
    }

    /// What guards the body goes on from there, so that no body goes with another header.
    pub(super) fn crc(&self) -> u32 {
        header_crc(&self.encode())
    }
}

fn header_crc(bytes: &[u8; HEADER_BYTES]) -> u32 {
    let (guarded, _) = bytes.split_at(HEADER_BYTES - 4);
    crc32c(guarded)
}
