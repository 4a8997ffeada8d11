//! A follower's side of a connection: what comes is appended, and what is written is acknowledged,
//! once a turn and not once a record.

use std::convert::Infallible;

use futures_lite::future;
use ringmq_base::LogPosition;
use ringmq_io::{Runtime, Stream};
use ringmq_store::{AppendError, Log, LogEnds, RawError, SegmentFacts, Sink};

use super::{FrameReader, StreamError, write_frame};
use crate::{
    frames::{Ack, Channel, Data, Frame},
    ids::Epoch,
};

/// Takes the records of the leader of `epoch` into a log that follows. Ends only with an error; the
/// connection is of no use then.
pub async fn receive<R: Runtime, S: Sink, C: Stream>(
    runtime: &R,
    log: &Log<R, S>,
    epoch: Epoch,
    (stream, reader): (&C, &mut FrameReader<'_, C>),
) -> Result<Infallible, StreamError> {
    future::or(acknowledge(log, epoch, stream), take(runtime, log, epoch, reader)).await
}

async fn take<R: Runtime, S: Sink, C: Stream>(
    runtime: &R,
    log: &Log<R, S>,
    epoch: Epoch,
    reader: &mut FrameReader<'_, C>,
) -> Result<Infallible, StreamError> {
    loop {
        let (header, frame) = reader.next().await?;
        if header.epoch != epoch {
            return Err(StreamError::Epoch { said: header.epoch, epoch });
        }
        match frame {
            Frame::Segment(named) => log.announce_segment(SegmentFacts {
                start: LogPosition(named.start),
                bytes: named.bytes,
                epoch: named.made_in.0,
            })?,
            Frame::Data(data) => append(log, &data).await?,
            _ => return Err(StreamError::Unexpected { kind: header.kind }),
        }
        runtime.yield_if_needed().await;
    }
}

/// Appends the records, waiting for room, and commits what the leader has committed.
async fn append<R: Runtime, S: Sink>(log: &Log<R, S>, data: &Data) -> Result<(), StreamError> {
    let begin = log.ends().end;
    if data.position != begin.0 && !data.records.is_empty() {
        let at = LogPosition(data.position);
        return Err(RawError::Position { at, end: begin }.into());
    }
    let mut taken = 0;
    while let Some(rest) = data.records.get(taken..).filter(|rest| !rest.is_empty()) {
        match log.append_raw(LogPosition(data.position + taken as u64), rest) {
            Ok(()) => break,
            Err(RawError::Append(AppendError::Busy { .. })) => {
                log.room().await;
                // A part may have been taken; it is of one segment, so positions tell how much.
                let end = log.ends().end.0;
                taken = usize::try_from(end - data.position).unwrap_or(usize::MAX);
            }
            Err(error) => return Err(error.into()),
        }
    }
    log.allow(LogPosition(data.committed));
    Ok(())
}

async fn acknowledge<R: Runtime, S: Sink, C: Stream>(
    log: &Log<R, S>,
    epoch: Epoch,
    stream: &C,
) -> Result<Infallible, StreamError> {
    let mut said = None;
    loop {
        if let Some(error) = log.failure() {
            return Err(error.into());
        }
        if !log.is_open() {
            return Err(StreamError::LogClosed);
        }
        let progressed = log.progressed();
        let LogEnds { written, stable, .. } = log.ends();
        if said == Some((written, stable)) {
            progressed.await;
            continue;
        }
        said = Some((written, stable));
        let ack = Ack { written: written.0, stable: stable.0 };
        let channel = Channel::Log(log.id().get());
        write_frame(stream, &Frame::Ack(ack), channel, epoch).await?;
    }
}
