//! Between a master and a follower that is there: records, and how far they are held.

use bytes::Bytes;

use crate::{
    frames::{
        fields::{POSITION_MAX, Reader, Writer, fixed},
        refusal::Refusal,
    },
    ids::{Epoch, ReplicaId},
};

fixed! {
    /// The segment that the next records are of.
    Segment {
        start: u64 as position,
        bytes: u64 as u64,
        /// As in its header: which epoch has made it.
        made_in: Epoch as epoch,
    }
}

/// Whole records, byte by byte as they are in the master's log: each is guarded by its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    pub position: u64,
    /// How far the log is committed.
    pub committed: u64,
    pub records: Bytes,
}

impl Data {
    pub(super) fn write(&self, out: &mut Writer) {
        out.position(self.position);
        out.position(self.committed);
    }

    pub(super) fn read(fields: &mut Reader, records: Bytes) -> Result<Data, Refusal> {
        let position = fields.position("position")?;
        let committed = fields.position("committed")?;
        let end = position.saturating_add(records.len() as u64);
        fields.at_most("the end of its records", end, POSITION_MAX)?;
        Ok(Data { position, committed, records })
    }
}

fixed! {
    /// From here on the follower counts, or does not.
    Set {
        version: u64 as u64,
        is_in: bool as bool,
    }
}

fixed! {
    /// How far the follower has the log.
    Ack {
        written: u64 as position,
        stable: u64 as position,
    }
}

fixed! {
    /// The log begins there from now on.
    Retire {
        first: u64 as position,
    }
}

/// How well a member does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The longest write of the last second, in milliseconds.
    pub worst_write_ms: u32,
    /// By how much the member's own timers were late in the last second, in milliseconds.
    pub stall_ms: u32,
    /// Of the fullest disk, 0 to 100.
    pub disk_fill_percent: u8,
    /// A log takes no appends any more.
    pub is_fenced: bool,
    /// Its store is being made from another one.
    pub is_seeding: bool,
    /// It will be gone soon, as was asked for.
    pub is_leaving: bool,
}

/// Logs of a store at most.
const LOGS_MAX: usize = 32_767;

/// Each 100 ms, both ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Of the sender's monotonic clock, in microseconds.
    pub sent: u64,
    /// The newest `sent` that has come from the other side: its lease counts from then.
    pub echo: u64,
    /// Up to which entry the metadata is committed and applied.
    pub metadata: u64,
    /// Of the state at that entry.
    pub metadata_hash: u64,
    pub health: Health,
    /// By log: its end, and how far it is committed.
    pub logs: Vec<(u64, u64)>,
}

impl Heartbeat {
    pub(super) fn write(&self, out: &mut Writer) -> Result<(), Refusal> {
        for value in [self.sent, self.echo, self.metadata, self.metadata_hash] {
            out.u64(value);
        }
        let health = &self.health;
        out.u32(health.worst_write_ms);
        out.u32(health.stall_ms);
        out.u8(health.disk_fill_percent);
        let flags = [health.is_fenced, health.is_seeding, health.is_leaving];
        out.u8((0..).zip(flags).map(|(bit, flag)| u8::from(flag) << bit).sum());
        let count = out.count("logs", self.logs.len(), LOGS_MAX)?;
        out.u16(count);
        for (end, committed) in &self.logs {
            out.position(*end);
            out.position(*committed);
        }
        Ok(())
    }

    pub(super) fn read(fields: &mut Reader) -> Result<Heartbeat, Refusal> {
        let [sent, echo] = [fields.u64("sent")?, fields.u64("echo")?];
        let [metadata, metadata_hash] = [fields.u64("metadata")?, fields.u64("metadata_hash")?];
        let worst_write_ms = fields.u32("worst_write_ms")?;
        let stall_ms = fields.u32("stall_ms")?;
        let disk_fill_percent = fields.u8("disk_fill_percent")?;
        fields.at_most("disk_fill_percent", u64::from(disk_fill_percent), 100)?;
        let flags = fields.u8("flags")?;
        fields.at_most("flags", u64::from(flags), 7)?;
        let count = fields.rows("logs", 16)?;
        let mut logs = Vec::with_capacity(count);
        for _ in 0..count {
            logs.push((fields.position("end")?, fields.position("committed")?));
        }
        let health = Health {
            worst_write_ms,
            stall_ms,
            disk_fill_percent,
            is_fenced: flags & 1 != 0,
            is_seeding: flags & 2 != 0,
            is_leaving: flags & 4 != 0,
        };
        Ok(Heartbeat { sent, echo, metadata, metadata_hash, health, logs })
    }
}

fixed! {
    /// Whoever lacks records between these positions, or has damaged ones, asks for them.
    RepairRequest {
        request: u32 as u32,
        from: u64 as position,
        to: u64 as position,
        /// Of the last intact record before them.
        after: Epoch as epoch,
    }
}

/// Whole records from a position on; none: they are not there, or damaged as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    pub request: u32,
    pub from: u64,
    /// Who has read and checked them.
    pub replica: ReplicaId,
    pub records: Bytes,
}

impl Repair {
    pub(super) fn write(&self, out: &mut Writer) {
        out.u32(self.request);
        out.position(self.from);
        out.replica(self.replica);
    }

    pub(super) fn read(fields: &mut Reader, records: Bytes) -> Result<Repair, Refusal> {
        let request = fields.u32("request")?;
        let from = fields.position("from")?;
        Ok(Repair { request, from, replica: fields.replica("replica")?, records })
    }
}
