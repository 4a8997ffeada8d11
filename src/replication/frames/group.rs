//! What is not about one log: a store that is made anew, metadata, requests of clients that are
//! passed on.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use bytes::Bytes;

use crate::{
    frames::{
        fields::{Reader, Writer, fixed},
        refusal::Refusal,
    },
    ids::Epoch,
};

/// Longest topic, in bytes.
const TOPIC_BYTES_MAX: usize = 255;

fixed! {
    /// The facts of a store that an empty follower makes its own of, and where a log begins.
    Seed {
        lineage: u128 as u128,
        /// Milliseconds since 1970.
        created: u64 as u64,
        logs: u16 as u16,
        segment_bytes: u64 as u64,
        first: u64 as position,
    }
}

/// A queue of a log, and the offset of its first message at or behind the beginning of the log; its
/// next offset if there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floor {
    pub topic: String,
    pub queue: u32,
    pub offset: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floors {
    /// Further ones follow.
    pub is_more: bool,
    pub floors: Vec<Floor>,
}

impl Floors {
    pub(super) fn write(&self, out: &mut Writer) -> Result<(), Refusal> {
        out.bool(self.is_more);
        let count = out.count("floors", self.floors.len(), usize::from(u16::MAX))?;
        out.u16(count);
        for floor in &self.floors {
            out.text("topic", &floor.topic, TOPIC_BYTES_MAX)?;
            out.u32(floor.queue);
            out.u64(floor.offset);
        }
        Ok(())
    }

    pub(super) fn read(fields: &mut Reader) -> Result<Floors, Refusal> {
        let is_more = fields.bool("is_more")?;
        let count = fields.rows("floors", 14)?;
        let mut floors = Vec::with_capacity(count);
        for _ in 0..count {
            floors.push(Floor {
                topic: fields.text("topic", TOPIC_BYTES_MAX)?,
                queue: fields.u32("queue")?,
                offset: fields.u64("offset")?,
            });
        }
        Ok(Floors { is_more, floors })
    }
}

fixed! {
    /// The follower has made its log, and takes records from there.
    Ready {
        end: u64 as position,
    }
}

/// A change of metadata. Applied when it is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    pub index: u64,
    /// Up to which entry the metadata is committed.
    pub committed: u64,
    /// JSON.
    pub change: Bytes,
}

impl Meta {
    pub(super) fn write(&self, out: &mut Writer) {
        out.u64(self.index);
        out.u64(self.committed);
        out.bytes(&self.change);
    }

    pub(super) fn read(fields: &mut Reader) -> Result<Meta, Refusal> {
        let [index, committed] = [fields.u64("index")?, fields.u64("committed")?];
        Ok(Meta { index, committed, change: fields.rest() })
    }
}

fixed! {
    /// Entries of metadata that the follower has.
    MetaAck {
        written: u64 as u64,
        stable: u64 as u64,
    }
}

/// A piece of the whole metadata, as it was at an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaSnapshot {
    pub index: u64,
    /// That wrote the entry.
    pub written_in: Epoch,
    /// Of the piece in the whole.
    pub offset: u64,
    /// Bytes of the whole.
    pub total: u64,
    pub piece: Bytes,
}

impl MetaSnapshot {
    pub(super) fn write(&self, out: &mut Writer) {
        out.u64(self.index);
        out.epoch(self.written_in);
        out.u64(self.offset);
        out.u64(self.total);
        out.bytes(&self.piece);
    }

    pub(super) fn read(fields: &mut Reader) -> Result<MetaSnapshot, Refusal> {
        let index = fields.u64("index")?;
        let written_in = fields.epoch("written_in")?;
        let [offset, total] = [fields.u64("offset")?, fields.u64("total")?];
        let piece = fields.rest();
        let end = offset.saturating_add(piece.len() as u64);
        fields.at_most("the end of the piece", end, total)?;
        Ok(MetaSnapshot { index, written_in, offset, total, piece })
    }
}

/// A frame of a client of this member, for the master. What has come in one is never passed on
/// again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The client's connection: its requests keep their order.
    pub lane: u64,
    /// Counts the requests of the lane.
    pub request: u64,
    pub client: SocketAddr,
    pub frame: Bytes,
}

impl Forward {
    pub(super) fn write(&self, out: &mut Writer) {
        out.u64(self.lane);
        out.u64(self.request);
        let address = match self.client.ip() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        out.bytes(&address.octets());
        out.u16(self.client.port());
    }

    pub(super) fn read(fields: &mut Reader, frame: Bytes) -> Result<Forward, Refusal> {
        let [lane, request] = [fields.u64("lane")?, fields.u64("request")?];
        let address = Ipv6Addr::from(fields.array::<16>("client")?);
        let client = SocketAddr::new(address.to_canonical(), fields.u16("port")?);
        Ok(Forward { lane, request, client, frame })
    }
}

/// The master's answer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    pub lane: u64,
    pub request: u64,
    pub frame: Bytes,
}

impl Forwarded {
    pub(super) fn write(&self, out: &mut Writer) {
        out.u64(self.lane);
        out.u64(self.request);
    }

    pub(super) fn read(fields: &mut Reader, frame: Bytes) -> Result<Forwarded, Refusal> {
        Ok(Forwarded { lane: fields.u64("lane")?, request: fields.u64("request")?, frame })
    }
}
