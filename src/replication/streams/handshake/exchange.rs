//! The four frames that every connection begins with, whatever it is about, and what both sides
//! find out by them: that they belong together, and that both know the secret.

use std::time::Duration;

use futures_lite::future;
use ringmq_io::{Runtime, Stream};

use super::{Identity, LogFacts, Party};
use crate::{
    frames::{
        Answer, Challenge, Channel, Frame, Hello, PREAMBLE, Proof, Refused, VERSION, Welcome,
        secret::{NO_PROOF, Secret, Side},
    },
    ids::Epoch,
    streams::{FrameReader, StreamError, connection::write_all, write_frame},
};

/// All of it has to be over in this time.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(2);

/// What a follower has heard.
pub struct Asked {
    /// Of the master.
    pub epoch: Epoch,
    pub challenge: Challenge,
    pub welcome: Welcome,
}

/// What a master answers: a WELCOME, without who says it.
pub struct Told {
    pub answer: Answer,
    pub position: u64,
    pub crc_before: u32,
    pub first: u64,
    pub segment_bytes: u64,
}

/// The follower's side: says who it is and how far it has what the channel is about.
pub async fn ask<R: Runtime, C: Stream>(
    runtime: &R,
    channel: Channel,
    facts: &LogFacts,
    party: &Party<'_>,
    with: (&C, &mut FrameReader<'_, C>),
) -> Result<Asked, StreamError> {
    within(runtime, asking(channel, facts, party, with)).await
}

async fn asking<C: Stream>(
    channel: Channel,
    facts: &LogFacts,
    party: &Party<'_>,
    (stream, reader): (&C, &mut FrameReader<'_, C>),
) -> Result<Asked, StreamError> {
    let hello = Frame::Hello(hello_of(party));
    write_all(stream, &PREAMBLE).await?;
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
    let welcome = welcomed(reader, party, &mut said, header.epoch).await?;
    Ok(Asked { epoch: header.epoch, challenge, welcome })
}

fn hello_of(party: &Party<'_>) -> Hello {
    let identity = party.identity;
    Hello {
        version: VERSION,
        replica: identity.replica,
        lineage: identity.lineage,
        directory: identity.directory,
        instance: identity.instance,
        nonce: party.nonce,
        cluster: identity.cluster.clone(),
        group: identity.group.clone(),
    }
}

async fn welcomed<C: Stream>(
    reader: &mut FrameReader<'_, C>,
    party: &Party<'_>,
    said: &mut Said,
    epoch: Epoch,
) -> Result<Welcome, StreamError> {
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
        true => Ok(welcome),
        false => Err(StreamError::Secret),
    }
}

/// The master's side, behind HELLO: `told` says what is answered to a follower that belongs here.
/// Whoever does not is told why, where that helps.
pub async fn meet<R: Runtime, C: Stream>(
    runtime: &R,
    (channel, logs): (Channel, u16),
    party: &Party<'_>,
    (hello, stream, reader): (&Hello, &C, &mut FrameReader<'_, C>),
    told: impl AsyncFnOnce(&Proof) -> Result<Told, StreamError>,
) -> Result<(), StreamError> {
    let with = (hello, stream, reader);
    let met = within(runtime, meeting((channel, logs), party, with, told)).await;
    if let Err(error) = &met
        && error.is_for_the_peer()
    {
        refuse(stream, error, channel, party.epoch).await?;
    }
    met
}

async fn meeting<C: Stream>(
    (channel, logs): (Channel, u16),
    party: &Party<'_>,
    (hello, stream, reader): (&Hello, &C, &mut FrameReader<'_, C>),
    told: impl AsyncFnOnce(&Proof) -> Result<Told, StreamError>,
) -> Result<(), StreamError> {
    let (identity, epoch) = (party.identity, party.epoch);
    check_hello(identity, hello)?;
    let challenge = Frame::Challenge(Challenge {
        nonce: party.nonce,
        replica: identity.replica,
        lineage: identity.lineage,
        logs,
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
    let told = told(&proof).await?;
    let mut welcome = Welcome {
        proof: NO_PROOF,
        answer: told.answer,
        position: told.position,
        crc_before: told.crc_before,
        first: told.first,
        segment_bytes: told.segment_bytes,
        replica: identity.replica,
    };
    said.add(&Frame::Welcome(welcome), channel, epoch)?;
    if let Some(secret) = party.secret {
        welcome.proof = secret.proof(Side::Master, &said.pieces());
    }
    write_frame(stream, &Frame::Welcome(welcome), channel, epoch).await
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
    check_lineage(own.lineage, hello.lineage)?;
    match hello.directory == own.directory {
        true => Err(StreamError::OwnDirectory { directory: own.directory }),
        false => Ok(()),
    }
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

/// Has something be over in the time that a handshake may take.
pub async fn within<R: Runtime, T>(
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
