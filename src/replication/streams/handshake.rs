//! What is said before the first record: who both are, that they belong together, and where the
//! follower's log goes on.

use std::time::Duration;

use futures_lite::future;
use ringmq_base::LogPosition;
use ringmq_io::{Runtime, Stream};
use ringmq_store::{Log, Sink};

use super::{FrameReader, StreamError, write_frame};
use crate::{
    epochs::EpochTable,
    frames::{
        Answer, Challenge, Channel, Frame, Hello, PREAMBLE, Proof, Refused, VERSION, Welcome,
        secret::{NO_PROOF, Secret, Side},
    },
    ids::{Epoch, ReplicaId},
};

/// All of it has to be over in this time.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(2);

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
    (stream, reader): (&C, &mut FrameReader<'_, C>),
) -> Result<(Epoch, GoOn, Welcome), StreamError> {
    let said = async {
        let channel = Channel::Log(log.id().get());
        let hello = Frame::Hello(Hello {
            version: VERSION,
            replica: party.identity.replica,
            lineage: party.identity.lineage,
            directory: party.identity.directory,
            instance: party.identity.instance,
            nonce: party.nonce,
            cluster: party.identity.cluster.clone(),
            group: party.identity.group.clone(),
        });
        super::connection::write_all(stream, &PREAMBLE).await?;
        write_frame(stream, &hello, channel, party.epoch).await?;
        let (header, answer) = answer(reader).await?;
        let Frame::Challenge(challenge) = answer else {
            return Err(StreamError::Unexpected { kind: header.kind });
        };
        check_lineage(party.identity.lineage, challenge.lineage)?;
        let mut proof = Proof {
            proof: NO_PROOF,
            joined: party.epoch,
            first: facts.first,
            end: facts.end,
            committed: facts.committed,
            last_crc: facts.crc_before_end,
            is_in_doubt: facts.is_in_doubt,
            epochs: facts.epochs.clone(),
        };
        let mut said = Said::default();
        said.add(&hello, channel, party.epoch)?;
        said.add(&Frame::Challenge(challenge), header.channel, header.epoch)?;
        said.add(&Frame::Proof(proof.clone()), channel, party.epoch)?;
        if let Some(secret) = party.secret {
            proof.proof = secret.proof(Side::Follower, &said.pieces());
        }
        write_frame(stream, &Frame::Proof(proof), channel, party.epoch).await?;
        welcomed(reader, party, &mut said, header.epoch).await
    };
    let (epoch, welcome) = within(runtime, said).await?;
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

async fn welcomed<C: Stream>(
    reader: &mut FrameReader<'_, C>,
    party: &Party<'_>,
    said: &mut Said,
    epoch: Epoch,
) -> Result<(Epoch, Welcome), StreamError> {
    let (header, answer) = answer(reader).await?;
    let Frame::Welcome(welcome) = answer else {
        return Err(StreamError::Unexpected { kind: header.kind });
    };
    if header.epoch != epoch {
        return Err(StreamError::Epoch { said: header.epoch, epoch });
    }
    let unproven = Frame::Welcome(Welcome { proof: NO_PROOF, ..welcome });
    said.add(&unproven, header.channel, header.epoch)?;
    let proven = |secret: &Secret| secret.is_proven(Side::Master, &said.pieces(), &welcome.proof);
    match party.secret.is_none_or(proven) {
        true => Ok((epoch, welcome)),
        false => Err(StreamError::Secret),
    }
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
    let greeted = within(runtime, greeting(log, facts, party, (hello, stream, reader))).await;
    if let Err(error) = &greeted
        && error.is_for_the_peer()
    {
        refuse(stream, error, Channel::Log(log.id().get()), party.epoch).await?;
    }
    greeted
}

async fn greeting<R: Runtime, S: Sink, C: Stream>(
    log: &Log<R, S>,
    facts: &LogFacts,
    party: &Party<'_>,
    (hello, stream, reader): (&Hello, &C, &mut FrameReader<'_, C>),
) -> Result<Greeted, StreamError> {
    let (identity, epoch) = (party.identity, party.epoch);
    let channel = Channel::Log(log.id().get());
    check_hello(identity, hello)?;
    let challenge = Frame::Challenge(Challenge {
        nonce: party.nonce,
        replica: identity.replica,
        lineage: identity.lineage,
        logs: 1,
    });
    write_frame(stream, &challenge, channel, epoch).await?;
    let (header, answer) = answer(reader).await?;
    let Frame::Proof(proof) = answer else {
        return Err(StreamError::Unexpected { kind: header.kind });
    };
    let mut said = Said::default();
    said.add(&Frame::Hello(hello.clone()), header.channel, header.epoch)?;
    said.add(&challenge, channel, epoch)?;
    let unproven = Frame::Proof(Proof { proof: NO_PROOF, ..proof.clone() });
    said.add(&unproven, header.channel, header.epoch)?;
    let proven = |secret: &Secret| secret.is_proven(Side::Follower, &said.pieces(), &proof.proof);
    if !party.secret.is_none_or(proven) {
        return Err(StreamError::Secret);
    }
    if proof.joined > epoch {
        return Err(StreamError::Over { joined: proof.joined, epoch });
    }
    let (go_on, position) = decide(facts, &proof);
    let answer = match go_on {
        GoOn::AtEnd => Answer::GoOn,
        GoOn::Truncate { .. } => Answer::Truncate,
        GoOn::Seed => Answer::Seed,
    };
    let crc_before = match go_on {
        GoOn::Seed => 0,
        _ => log.crc_before(LogPosition(position)).await?,
    };
    let mut welcome = Welcome {
        proof: NO_PROOF,
        answer,
        position,
        crc_before,
        first: facts.first,
        segment_bytes: log.segment_facts(LogPosition(position)).first().map_or(0, |one| one.bytes),
        replica: identity.replica,
    };
    said.add(&Frame::Welcome(welcome), channel, epoch)?;
    if let Some(secret) = party.secret {
        welcome.proof = secret.proof(Side::Master, &said.pieces());
    }
    write_frame(stream, &Frame::Welcome(welcome), channel, epoch).await?;
    Ok(Greeted { replica: hello.replica, go_on, end: LogPosition(proof.end) })
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

fn check_hello(own: &Identity, hello: &Hello) -> Result<(), StreamError> {
    if hello.version != VERSION {
        return Err(StreamError::Version { said: hello.version });
    }
    let names =
        [("cluster", &own.cluster, &hello.cluster), ("broker name", &own.group, &hello.group)];
    if let Some((what, own, said)) = names.into_iter().find(|(_, own, said)| own != said) {
        return Err(StreamError::Name { what, own: own.clone(), said: said.clone() });
    }
    if hello.replica == own.replica {
        return Err(StreamError::OwnId { replica: own.replica });
    }
    check_lineage(own.lineage, hello.lineage)
}

/// 0 has no store yet and takes any.
fn check_lineage(own: u128, said: u128) -> Result<(), StreamError> {
    match own == said || own == 0 || said == 0 {
        true => Ok(()),
        false => Err(StreamError::Lineage { own, said }),
    }
}

async fn answer<C: Stream>(
    reader: &mut FrameReader<'_, C>,
) -> Result<(crate::frames::Header, Frame), StreamError> {
    match reader.next().await? {
        (_, Frame::Refused(Refused { sentence, .. })) => Err(StreamError::Refused { sentence }),
        other => Ok(other),
    }
}

async fn refuse<C: Stream>(
    stream: &C,
    error: &StreamError,
    channel: Channel,
    epoch: Epoch,
) -> Result<(), StreamError> {
    let mut sentence = error.to_string();
    let most = crate::frames::handshake::SENTENCE_BYTES_MAX;
    let end = (0..=most).rev().find(|end| sentence.is_char_boundary(*end));
    sentence.truncate(end.unwrap_or(0));
    write_frame(stream, &Frame::Refused(Refused { code: 1, sentence }), channel, epoch).await
}

async fn within<R: Runtime, T>(
    runtime: &R,
    said: impl Future<Output = Result<T, StreamError>>,
) -> Result<T, StreamError> {
    let late = async {
        runtime.sleep(HANDSHAKE_WITHIN).await;
        Err(StreamError::Silent { within: HANDSHAKE_WITHIN })
    };
    future::or(said, late).await
}

/// All that was said before a proof, byte by byte.
#[derive(Default)]
struct Said(Vec<Vec<u8>>);

impl Said {
    fn add(&mut self, frame: &Frame, channel: Channel, epoch: Epoch) -> Result<(), StreamError> {
        self.0.push(frame.encode(channel, epoch)?.head);
        Ok(())
    }

    fn pieces(&self) -> Vec<&[u8]> {
        self.0.iter().map(Vec::as_slice).collect()
    }
}
