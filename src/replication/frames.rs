//! The replication stream: what members say to each other, byte by byte.
//!
//! Whoever dials says [`PREAMBLE`]. Then frames go both ways, each a header of 16 bytes and a body.
//! Numbers are little-endian. Positions have 48 bits.
//!
//! | at | size | header |
//! |---|---|---|
//! | 0 | 4 | length of the body |
//! | 4 | 1 | kind |
//! | 5 | 1 | 0 |
//! | 6 | 2 | log, 0 to 32,766; 65,535: not about one log |
//! | 8 | 4 | epoch of the sender; 0 before it knows one |
//! | 12 | 4 | crc (CRC32C) of bytes 0..12 |
//!
//! | at | size | body |
//! |---|---|---|
//! | 0 | 4 | crc of the fields, begun with that of the header |
//! | 4 | | fields, one behind the other |
//! | | | payload, which has checksums of its own or none |
//!
//! The payload of DATA and REPAIR are whole records, each guarded by its envelope; that of FORWARD
//! and FORWARDED is a frame of a client as it came.
//!
//! Kinds, who says them (the master M, a follower F), and their fields:
//!
//! ```text
//!  1 HELLO         F   version u16, replica u32, lineage u128, directory u128, instance u128,
//!                      nonce u128, cluster text, broker name text
//!  2 CHALLENGE     M   nonce u128, replica u32, lineage u128, logs u16
//!  3 PROOF         F   proof 32 bytes, joined epoch u32, first u64, end u64, committed u64,
//!                      crc of the last record u32, in doubt u8,
//!                      epochs u16, each: epoch u32, start u64
//!  4 WELCOME       M   proof 32 bytes, answer u8 (0 go on, 1 truncate, 2 seed), position u64,
//!                      crc of the record before it u32, first u64, segment bytes u64, replica u32
//!  5 REFUSED       MF  code u16, sentence text
//!  6 SEGMENT       M   start u64, bytes u64, epoch that made it u32
//!  7 DATA          M   position u64, committed u64; payload: records
//!  8 SET           M   version u64, in it u8
//!  9 ACK           F   written u64, stable u64
//! 10 HEARTBEAT     MF  sent u64, echo u64 (microseconds), metadata entry u64, hash of it u64,
//!                      worst write u32, stall u32 (milliseconds), disk fill u8 (percent),
//!                      flags u8 (1 fenced, 2 seeding, 4 leaving),
//!                      logs u16, each: end u64, committed u64
//! 11 RETIRE        M   first u64
//! 12 SEED          M   lineage u128, created u64 (milliseconds since 1970), logs u16,
//!                      segment bytes u64, first u64
//! 13 FLOORS        M   more follow u8, floors u16, each: topic text, queue u32, offset u64
//! 14 READY         F   end u64
//! 15 REPAIR_REQ    MF  request u32, from u64, to u64, epoch of the record before u32
//! 16 REPAIR        MF  request u32, from u64, replica u32; payload: records
//! 17 META          M   index u64, committed u64, JSON
//! 18 META_ACK      F   written u64, stable u64
//! 19 META_SNAPSHOT M   index u64, epoch u32, offset u64, total u64, bytes
//! 20 FORWARD       F   lane u64, request u64, client 16 bytes (IPv4 mapped), port u16;
//!                      payload: frame
//! 21 FORWARDED     M   lane u64, request u64; payload: frame
//! ```
//!
//! A *text* is its length u16 and UTF-8. What a proof is over is all that was said before it, and
//! its own frame with zeros in its place ([`secret`]). How long each kind may be says [`Kind`];
//! nothing is made room for before a length was compared with that.

mod fields;
pub mod group;
pub mod handshake;
pub mod header;
pub mod refusal;
pub mod secret;
pub mod stream;

use bytes::Bytes;
use ringmq_base::checksum::crc32c_append;

pub use self::{
    fields::POSITION_MAX,
    group::{Floor, Floors, Forward, Forwarded, Meta, MetaAck, MetaSnapshot, Ready, Seed},
    handshake::{Answer, Challenge, Hello, Proof, Refused, Welcome},
    header::{Channel, DATA_BYTES, HEADER_BYTES, Header, Kind, PREAMBLE},
    refusal::Refusal,
    stream::{Ack, Data, Health, Heartbeat, Repair, RepairRequest, Retire, Segment, Set},
};
use crate::ids::Epoch;
use fields::{Reader, Writer};
use secret::NO_PROOF;

/// Of the crc of the fields.
const CRC_BYTES: usize = 4;

/// What this version of the stream is called in HELLO.
pub const VERSION: u16 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Hello(Hello),
    Challenge(Challenge),
    Proof(Proof),
    Welcome(Welcome),
    Refused(Refused),
    Segment(Segment),
    Data(Data),
    Set(Set),
    Ack(Ack),
    Heartbeat(Heartbeat),
    Retire(Retire),
    Seed(Seed),
    Floors(Floors),
    Ready(Ready),
    RepairRequest(RepairRequest),
    Repair(Repair),
    Meta(Meta),
    MetaAck(MetaAck),
    MetaSnapshot(MetaSnapshot),
    Forward(Forward),
    Forwarded(Forwarded),
}

/// A frame as it goes out: the payload is not copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    pub head: Vec<u8>,
    pub payload: Bytes,
}

impl Frame {
    pub fn kind(&self) -> Kind {
        match self {
            Frame::Hello(_) => Kind::Hello,
            Frame::Challenge(_) => Kind::Challenge,
            Frame::Proof(_) => Kind::Proof,
            Frame::Welcome(_) => Kind::Welcome,
            Frame::Refused(_) => Kind::Refused,
            Frame::Segment(_) => Kind::Segment,
            Frame::Data(_) => Kind::Data,
            Frame::Set(_) => Kind::Set,
            Frame::Ack(_) => Kind::Ack,
            Frame::Heartbeat(_) => Kind::Heartbeat,
            Frame::Retire(_) => Kind::Retire,
            Frame::Seed(_) => Kind::Seed,
            Frame::Floors(_) => Kind::Floors,
            Frame::Ready(_) => Kind::Ready,
            Frame::RepairRequest(_) => Kind::RepairRequest,
            Frame::Repair(_) => Kind::Repair,
            Frame::Meta(_) => Kind::Meta,
            Frame::MetaAck(_) => Kind::MetaAck,
            Frame::MetaSnapshot(_) => Kind::MetaSnapshot,
            Frame::Forward(_) => Kind::Forward,
            Frame::Forwarded(_) => Kind::Forwarded,
        }
    }

    /// # Errors
    /// If it is longer than its kind may be; the other side would refuse it.
    pub fn encode(&self, channel: Channel, epoch: Epoch) -> Result<Encoded, Refusal> {
        let kind = self.kind();
        let mut out = Writer::new(kind, vec![0; HEADER_BYTES + CRC_BYTES]);
        self.write(&mut out)?;
        let (mut head, payload) = (out.into_inner(), self.payload());
        let guarded = head.len() - HEADER_BYTES;
        for (length, most) in [(guarded, kind.guarded().1), (payload.len(), kind.payload_max())] {
            if length > most {
                return Err(Refusal::Long { kind, length, most });
            }
        }
        let header = Header { kind, channel, epoch, length: guarded + payload.len() };
        let (first, fields) = head.split_at_mut(HEADER_BYTES + CRC_BYTES);
        let crc = crc32c_append(header.crc(), fields);
        first[..HEADER_BYTES].copy_from_slice(&header.encode());
        first[HEADER_BYTES..].copy_from_slice(&crc.to_le_bytes());
        Ok(Encoded { head, payload })
    }

    /// `body`: as long as the header says. The payload stays where it is.
    ///
    /// # Errors
    /// If it is damaged, or none that this version knows.
    pub fn decode(header: &Header, body: &Bytes) -> Result<Frame, Refusal> {
        let kind = header.kind;
        if body.len() != header.length {
            let (length, least) = (body.len(), header.length);
            return Err(Refusal::Short { kind, length, least });
        }
        let guarded = match kind.payload_max() {
            0 => body.len(),
            _ => kind.guarded().0,
        };
        let short = Refusal::Short { kind, length: body.len(), least: guarded.max(CRC_BYTES) };
        let (front, _) = body.split_at_checked(guarded).ok_or_else(|| short.clone())?;
        let (said, fields) = front.split_first_chunk::<CRC_BYTES>().ok_or(short)?;
        let said = u32::from_le_bytes(*said);
        let measured = crc32c_append(header.crc(), fields);
        if said != measured {
            return Err(Refusal::Damaged { what: kind.name(), said, measured });
        }
        let mut fields = Reader::new(kind, body.slice(CRC_BYTES..guarded));
        let frame = Frame::read(kind, &mut fields, body.slice(guarded..))?;
        fields.end()?;
        Ok(frame)
    }

    /// The same without its proof: what the proof is over, besides all that was said before.
    pub fn unproven(&self) -> Frame {
        let mut frame = self.clone();
        match &mut frame {
            Frame::Proof(frame) => frame.proof = NO_PROOF,
            Frame::Welcome(frame) => frame.proof = NO_PROOF,
            _ => {}
        }
        frame
    }

    fn payload(&self) -> Bytes {
        match self {
            Frame::Data(frame) => frame.records.clone(),
            Frame::Repair(frame) => frame.records.clone(),
            Frame::Forward(frame) => frame.frame.clone(),
            Frame::Forwarded(frame) => frame.frame.clone(),
            _ => Bytes::new(),
        }
    }

    fn write(&self, out: &mut Writer) -> Result<(), Refusal> {
        match self {
            Frame::Hello(frame) => return frame.write(out),
            Frame::Proof(frame) => return frame.write(out),
            Frame::Refused(frame) => return frame.write(out),
            Frame::Heartbeat(frame) => return frame.write(out),
            Frame::Floors(frame) => return frame.write(out),
            Frame::Challenge(frame) => frame.write(out),
            Frame::Welcome(frame) => frame.write(out),
            Frame::Segment(frame) => frame.write(out),
            Frame::Data(frame) => frame.write(out),
            Frame::Set(frame) => frame.write(out),
            Frame::Ack(frame) => frame.write(out),
            Frame::Retire(frame) => frame.write(out),
            Frame::Seed(frame) => frame.write(out),
            Frame::Ready(frame) => frame.write(out),
            Frame::RepairRequest(frame) => frame.write(out),
            Frame::Repair(frame) => frame.write(out),
            Frame::Meta(frame) => frame.write(out),
            Frame::MetaAck(frame) => frame.write(out),
            Frame::MetaSnapshot(frame) => frame.write(out),
            Frame::Forward(frame) => frame.write(out),
            Frame::Forwarded(frame) => frame.write(out),
        }
        Ok(())
    }

    fn read(kind: Kind, fields: &mut Reader, payload: Bytes) -> Result<Frame, Refusal> {
        Ok(match kind {
            Kind::Hello => Frame::Hello(Hello::read(fields)?),
            Kind::Challenge => Frame::Challenge(Challenge::read(fields)?),
            Kind::Proof => Frame::Proof(Proof::read(fields)?),
            Kind::Welcome => Frame::Welcome(Welcome::read(fields)?),
            Kind::Refused => Frame::Refused(Refused::read(fields)?),
            Kind::Segment => Frame::Segment(Segment::read(fields)?),
            Kind::Data => Frame::Data(Data::read(fields, payload)?),
            Kind::Set => Frame::Set(Set::read(fields)?),
            Kind::Ack => Frame::Ack(Ack::read(fields)?),
            Kind::Heartbeat => Frame::Heartbeat(Heartbeat::read(fields)?),
            Kind::Retire => Frame::Retire(Retire::read(fields)?),
            Kind::Seed => Frame::Seed(Seed::read(fields)?),
            Kind::Floors => Frame::Floors(Floors::read(fields)?),
            Kind::Ready => Frame::Ready(Ready::read(fields)?),
            Kind::RepairRequest => Frame::RepairRequest(RepairRequest::read(fields)?),
            Kind::Repair => Frame::Repair(Repair::read(fields, payload)?),
            Kind::Meta => Frame::Meta(Meta::read(fields)?),
            Kind::MetaAck => Frame::MetaAck(MetaAck::read(fields)?),
            Kind::MetaSnapshot => Frame::MetaSnapshot(MetaSnapshot::read(fields)?),
            Kind::Forward => Frame::Forward(Forward::read(fields, payload)?),
            Kind::Forwarded => Frame::Forwarded(Forwarded::read(fields, payload)?),
        })
    }
}

impl Encoded {
    /// Bytes of the whole.
    pub fn length(&self) -> usize {
        self.head.len() + self.payload.len()
    }
}

#[cfg(test)]
mod tests;
