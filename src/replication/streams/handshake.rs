//! What is said before the first record: who both are, that they belong together, and where the
//! follower's log goes on.

pub(super) mod exchange;

use ringmq_base::LogPosition;
use ringmq_io::{Runtime, Stream};
use ringmq_store::{Log, Sink};

use self::exchange::{Told, ask, meet, within};
use super::{FrameReader, StreamError};
use crate::{
    epochs::EpochTable,
    frames::{Answer, Channel, Frame, Hello, PREAMBLE, Proof, Welcome, secret::Secret},
    ids::{Epoch, ReplicaId},
};

/// A member, and what it has in common with the others of its broker name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub cluster: String,
    /// The broker name.
    pub group: String,
    /// Of the store; 0 while there is none.
    pub lineage: u128,
    pub replica: ReplicaId,
    pub directory: u128,
    /// Drawn at each start of the process.
    pub instance: u128,
}

/// What one side says and asks with.
pub struct Party<'a> {
    pub identity: &'a Identity,
    /// What both sides know; `None`: nobody proves anything.
    pub secret: Option<&'a Secret>,
    /// Drawn for this connection.
    pub nonce: u128,
    /// Of the leader for a master; the one that it has joined for a follower.
    pub epoch: Epoch,
}

/// A log as far as the other side has to know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFacts {
    pub first: u64,
    pub end: u64,
    pub committed: u64,
    /// [`Log::crc_before`] the end.
    pub crc_before_end: u32,
    pub epochs: EpochTable,
    pub is_in_doubt: bool,
}

impl LogFacts {
    /// Of a log as it is now; of one that follows, when everything is written.
    ///
    /// # Errors
    /// If its last bytes cannot be read, or what is appended is not written any more.
    pub async fn of<R: Runtime, S: Sink>(log: &Log<R, S>) -> Result<LogFacts, StreamError> {
        let (ends, first) = (log.ends(), log.position_range().0.position());
        let rows = log.epochs().iter().map(|one| (Epoch(one.epoch), one.start)).collect();
        Ok(LogFacts {
            first: first.0,
            end: ends.end.0,
            committed: ends.committed.0,
            crc_before_end: log.crc_before(ends.end).await?,
            epochs: EpochTable::new(rows).map_err(|why| StreamError::Epochs { why })?,
            is_in_doubt: false,
        })
    }
}

/// Where a follower goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoOn {
    /// At the end of its log: the connection is ready for records.
    AtEnd,
    /// Its log has to be cut off there first, by a new connection.
    Truncate { to: LogPosition },
    /// Its log is of no use to this master.
    Seed,
}

/// What a master finds out about who has dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeted {
    pub replica: ReplicaId,
    pub go_on: GoOn,
    pub end: LogPosition,
}

/// Where a log that is as `theirs` goes on with one that is as `own`; the position is the end of
/// what they have in common.
pub fn decide(own: &LogFacts, theirs: &Proof) -> (GoOn, u64) {
    let begins = own.first + ringmq_base::limits::BLOCK_BYTES as u64;
    if theirs.epochs.rows().is_empty() && theirs.end <= begins && theirs.first == own.first {
        return (GoOn::AtEnd, theirs.end);
    }
    // Tables that go back to the first record and have no epoch in common: nothing is the same.
    let whole = |epochs: &EpochTable| epochs.rows().first().is_some_and(|row| row.1 <= begins);
    let from_the_first = own.first == theirs.first && whole(&own.epochs) && whole(&theirs.epochs);
    let common = own.epochs.common_end(own.end, &theirs.epochs, theirs.end);
    let common = common.or_else(|| from_the_first.then_some(begins));
    match common.filter(|common| *common >= begins && theirs.first <= *common) {
        None => (GoOn::Seed, own.first),
        Some(common) if common == theirs.end => (GoOn::AtEnd, common),
        Some(common) => (GoOn::Truncate { to: LogPosition(common) }, common),
    }
}

/// The follower's side: resolves when the master has said where to go on.
///
/// # Errors
/// If the master refuses, is none of this group, does not answer in time, or has another history
/// where both should be the same.
pub async fn dial<R: Runtime, S: Sink, C: Stream>(
    runtime: &R,
    log: &Log<R, S>,
    facts: &LogFacts,
    party: &Party<'_>,
    with: (&C, &mut FrameReader<'_, C>),
) -> Result<(Epoch, GoOn, Welcome), StreamError> {
    let channel = Channel::Log(log.id().get());
    let asked = ask(runtime, channel, facts, party, with).await?;
    let (epoch, welcome) = (asked.epoch, asked.welcome);
    let at = LogPosition(welcome.position);
    let go_on = match welcome.answer {
        Answer::GoOn => GoOn::AtEnd,
        Answer::Truncate => GoOn::Truncate { to: at },
        Answer::Seed => return Ok((epoch, GoOn::Seed, welcome)),
    };
    let own = log.crc_before(at).await?;
    if own != welcome.crc_before {
        let master = welcome.crc_before;
        return Err(StreamError::Histories { at, own, master });
    }
    Ok((epoch, go_on, welcome))
}

/// The master's side, behind HELLO: resolves when the follower has been told where to go on.
///
/// # Errors
/// If it is none of this group, or says nothing in time. It was told why, where that helps.
pub async fn greet<R: Runtime, S: Sink, C: Stream>(
    runtime: &R,
    log: &Log<R, S>,
    facts: &LogFacts,
    party: &Party<'_>,
    (hello, stream, reader): (&Hello, &C, &mut FrameReader<'_, C>),
) -> Result<Greeted, StreamError> {
    let about = (Channel::Log(log.id().get()), 1);
    let mut greeted = None;
    let decided = async |proof: &Proof| {
        let (go_on, position) = decide(facts, proof);
        let end = LogPosition(proof.end);
        greeted = Some(Greeted { replica: hello.replica, go_on, end });
        told(log, facts, go_on, LogPosition(position)).await
    };
    meet(runtime, about, party, (hello, stream, reader), decided).await?;
    Ok(greeted.expect("the follower was told"))
}

/// What the follower is told: where its log goes on, and what this one has before that.
async fn told<R: Runtime, S: Sink>(
    log: &Log<R, S>,
    facts: &LogFacts,
    go_on: GoOn,
    position: LogPosition,
) -> Result<Told, StreamError> {
    let answer = match go_on {
        GoOn::AtEnd => Answer::GoOn,
        GoOn::Truncate { .. } => Answer::Truncate,
        GoOn::Seed => Answer::Seed,
    };
    let crc_before = match go_on {
        GoOn::Seed => 0,
        _ => log.crc_before(position).await?,
    };
    Ok(Told {
        answer,
        position: position.0,
        crc_before,
        first: facts.first,
        segment_bytes: log.segment_facts(position).first().map_or(0, |one| one.bytes),
    })
}

/// What a connection begins with; of the shard that accepts it, which hands it on by its channel.
///
/// # Errors
/// If it is no member's: a follower of RocketMQ, or anything else.
pub async fn hello<R: Runtime, C: Stream>(
    runtime: &R,
    reader: &mut FrameReader<'_, C>,
) -> Result<(Channel, Hello), StreamError> {
    within(runtime, async {
        let begins = reader.preamble().await?;
        if begins != PREAMBLE {
            return Err(StreamError::Preamble { found: u64::from_be_bytes(begins) });
        }
        match reader.next().await? {
            (header, Frame::Hello(hello)) => Ok((header.channel, hello)),
            (header, _) => Err(StreamError::Unexpected { kind: header.kind }),
        }
    })
    .await
}
