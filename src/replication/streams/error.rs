//! Why a connection of a stream ended.

use std::{io, time::Duration};

use ringmq_base::LogPosition;
use ringmq_store::{LogError, RawError, ReadError};

use crate::{
    epochs::NoTable,
    frames::{Kind, Refusal, VERSION},
    ids::{Epoch, ReplicaId},
    progress::NotCounted,
};

#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    #[error("the connection of the replication stream failed: {0}")]
    Io(#[from] io::Error),
    #[error("the peer has closed the replication stream")]
    Closed,
    #[error(transparent)]
    Refusal(#[from] Refusal),
    #[error("{name} has no place in the replication stream here", name = .kind.name())]
    Unexpected { kind: Kind },
    #[error("a frame of epoch {said} in the replication stream of epoch {epoch}")]
    Epoch { said: Epoch, epoch: Epoch },
    /// Of what a follower said.
    #[error("an acknowledgement that does not count: {0}")]
    NotCounted(#[from] NotCounted),
    /// Of what a master sent.
    #[error(transparent)]
    Records(#[from] RawError),
    /// Of the own log, for a follower that is far behind.
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("a later connection of the same member has replaced this one")]
    Replaced,
    #[error("the epochs of the own log: {why}; look at the store with `ringmq doctor`")]
    Epochs { why: NoTable },
    #[error("the log was closed")]
    LogClosed,
    #[error("the peer said nothing for {} ms; look at its log", within.as_millis())]
    Silent { within: Duration },
    /// Of the peer.
    #[error("the peer refuses this member: {sentence}")]
    Refused { sentence: String },
    #[error(
        "the connection begins with {found:#018x} and not as those of members do: followers of \
         RocketMQ itself cannot follow RingMQ; start RingMQ there, too"
    )]
    Preamble { found: u64 },
    #[error(
        "the peer speaks version {said} of the replication stream, this one {VERSION}; let both \
         run the same"
    )]
    Version { said: u16 },
    #[error(
        "the peer is of {what} {said:?} and this one of {own:?}; look at haMasterAddress and the \
         names in both configurations"
    )]
    Name { what: &'static str, own: String, said: String },
    #[error("the peer has the id {replica} of this member; give each member its own brokerId")]
    OwnId { replica: ReplicaId },
    #[error(
        "the peer's store is {said:032x} and this one's {own:032x}; a member begins with an \
         empty store or with one of its group"
    )]
    Lineage { own: u128, said: u128 },
    #[error("the peer does not know this group's replicationSecret; give all members the same")]
    Secret,
    #[error(
        "the peer has joined epoch {joined}, and this one is of epoch {epoch}: it leads no more"
    )]
    Over { joined: Epoch, epoch: Epoch },
    #[error(
        "before position {at} this log has other bytes than its master's (checksum {own:#010x}, \
         the master's {master:#010x}): two masters wrote the same epoch; keep one store and empty \
         the other"
    )]
    Histories { at: LogPosition, own: u32, master: u32 },
}

impl StreamError {
    /// Whether the peer should be told before the connection is closed: it has to be changed there.
    pub fn is_for_the_peer(&self) -> bool {
        use StreamError as E;
        matches!(
            self,
            E::Version { .. }
                | E::Name { .. }
                | E::OwnId { .. }
                | E::Lineage { .. }
                | E::Secret
                | E::Over { .. }
        )
    }
}
