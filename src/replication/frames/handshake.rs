//! Who is there, what it proves, and where its log goes on.

use crate::{
    epochs::{EPOCHS_MAX, EpochTable},
    frames::{
        fields::{Reader, Writer, fixed},
        refusal::Refusal,
        secret::PROOF_BYTES,
    },
    ids::{Epoch, ReplicaId},
};

/// Longest name of a cluster or a broker, in bytes.
const NAME_BYTES_MAX: usize = 127;

/// Longest sentence of a refusal, in bytes.
pub const SENTENCE_BYTES_MAX: usize = 1016;

/// Of who dials, first. Enough to hand the connection to the shard that has the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    pub version: u16,
    pub replica: ReplicaId,
    /// The store that all members have the same bytes of; 0: none yet.
    pub lineage: u128,
    /// Drawn when this directory was made: a copy has the same one, with another instance.
    pub directory: u128,
    /// Drawn at each start: which process has the directory.
    pub instance: u128,
    /// Drawn for each connection: what the master's proof is over.
    pub nonce: u128,
    pub cluster: String,
    /// The broker name.
    pub group: String,
}

impl Hello {
    pub(super) fn write(&self, out: &mut Writer) -> Result<(), Refusal> {
        out.u16(self.version);
        out.replica(self.replica);
        out.u128(self.lineage);
        out.u128(self.directory);
        out.u128(self.instance);
        out.u128(self.nonce);
        out.text("cluster", &self.cluster, NAME_BYTES_MAX)?;
        out.text("group", &self.group, NAME_BYTES_MAX)
    }

    pub(super) fn read(fields: &mut Reader) -> Result<Hello, Refusal> {
        Ok(Hello {
            version: fields.u16("version")?,
            replica: fields.replica("replica")?,
            lineage: fields.u128("lineage")?,
            directory: fields.u128("directory")?,
            instance: fields.u128("instance")?,
            nonce: fields.u128("nonce")?,
            cluster: fields.text("cluster", NAME_BYTES_MAX)?,
            group: fields.text("group", NAME_BYTES_MAX)?,
        })
    }
}

fixed! {
    /// Of who was dialled: what the proof of the other side is over.
    Challenge {
        nonce: u128 as u128,
        replica: ReplicaId as replica,
        lineage: u128 as u128,
        logs: u16 as u16,
    }
}

/// Of who dialled: that it knows the secret, and how its log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    pub proof: [u8; PROOF_BYTES],
    /// It follows no smaller one.
    pub joined: Epoch,
    pub first: u64,
    pub end: u64,
    pub committed: u64,
    /// Of the record before the end, as its envelope says; 0: there is none.
    pub last_crc: u32,
    /// It acknowledged what was not synced, and the machine has gone down since.
    pub is_in_doubt: bool,
    pub epochs: EpochTable,
}

impl Proof {
    pub(super) fn write(&self, out: &mut Writer) -> Result<(), Refusal> {
        out.proof(self.proof);
        out.epoch(self.joined);
        out.position(self.first);
        out.position(self.end);
        out.position(self.committed);
        out.u32(self.last_crc);
        out.bool(self.is_in_doubt);
        let rows = self.epochs.rows();
        let count = out.count("epochs", rows.len(), EPOCHS_MAX)?;
        out.u16(count);
        for (epoch, start) in rows {
            out.epoch(*epoch);
            out.position(*start);
        }
        Ok(())
    }

    pub(super) fn read(fields: &mut Reader) -> Result<Proof, Refusal> {
        Ok(Proof {
            proof: fields.proof("proof")?,
            joined: fields.epoch("joined")?,
            first: fields.position("first")?,
            end: fields.position("end")?,
            committed: fields.position("committed")?,
            last_crc: fields.u32("last_crc")?,
            is_in_doubt: fields.bool("is_in_doubt")?,
            epochs: epochs(fields)?,
        })
    }
}

fn epochs(fields: &mut Reader) -> Result<EpochTable, Refusal> {
    let count = fields.rows("epochs", 12)?;
    let mut rows = Vec::with_capacity(count);
    for _ in 0..count {
        rows.push((fields.epoch("epoch")?, fields.position("start")?));
    }
    let kind = fields.kind();
    EpochTable::new(rows).map_err(|why| Refusal::Epochs { kind, why })
}

/// Where a follower's log goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// At its end.
    GoOn,
    /// From the position on, what it has is cut off.
    Truncate,
    /// Nothing of its log is of use: everything is sent anew.
    Seed,
}

/// The master proves that it knows the secret, too, and says where the log goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome {
    pub proof: [u8; PROOF_BYTES],
    pub answer: Answer,
    pub position: u64,
    /// Of the record before the position in the master's log: it has to be that of the follower's.
    pub crc_before: u32,
    pub first: u64,
    /// Of segments that are made from now on.
    pub segment_bytes: u64,
    pub replica: ReplicaId,
}

impl Welcome {
    pub(super) fn write(&self, out: &mut Writer) {
        out.proof(self.proof);
        out.u8(match self.answer {
            Answer::GoOn => 0,
            Answer::Truncate => 1,
            Answer::Seed => 2,
        });
        out.position(self.position);
        out.u32(self.crc_before);
        out.position(self.first);
        out.u64(self.segment_bytes);
        out.replica(self.replica);
    }

    pub(super) fn read(fields: &mut Reader) -> Result<Welcome, Refusal> {
        let proof = fields.proof("proof")?;
        let answer = match fields.u8("answer")? {
            0 => Answer::GoOn,
            1 => Answer::Truncate,
            2 => Answer::Seed,
            other => return Err(Refusal::value(fields.kind(), "answer", u64::from(other), 2)),
        };
        Ok(Welcome {
            proof,
            answer,
            position: fields.position("position")?,
            crc_before: fields.u32("crc_before")?,
            first: fields.position("first")?,
            segment_bytes: fields.u64("segment_bytes")?,
            replica: fields.replica("replica")?,
        })
    }
}

/// Why the other side ends the connection, for the log of this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub code: u16,
    pub sentence: String,
}

impl Refused {
    pub(super) fn write(&self, out: &mut Writer) -> Result<(), Refusal> {
        out.u16(self.code);
        out.text("sentence", &self.sentence, SENTENCE_BYTES_MAX)
    }

    pub(super) fn read(fields: &mut Reader) -> Result<Refused, Refusal> {
        let code = fields.u16("code")?;
        Ok(Refused { code, sentence: fields.text("sentence", SENTENCE_BYTES_MAX)? })
    }
}
