//! A master's side of a connection: what the log has goes out as soon as it is appended, beside the
//! master's own write and not behind it.

use std::{cell::Cell, convert::Infallible};

use bytes::Bytes;
use futures_lite::future;
use ringmq_base::LogPosition;
use ringmq_io::{Runtime, Stream};
use ringmq_store::{CopiedRange, Sink};

use super::{FrameReader, Lead, Member, StreamError, write_frame};
use crate::frames::{Channel, DATA_BYTES, Data, Frame, Segment};

#[derive(Clone, Copy, Debug)]
pub struct SendOptions {
    /// Bytes that may be on their way without an acknowledgement.
    pub window_bytes: u64,
    /// Bytes of one DATA, unless a single record is larger.
    pub frame_bytes: usize,
}

impl Default for SendOptions {
    /// 8 MiB, and 1 MiB.
    fn default() -> Self {
        SendOptions { window_bytes: 8 << 20, frame_bytes: DATA_BYTES }
    }
}

/// Segments that a follower is told of: the one that it writes to and the next.
const SEGMENTS_AHEAD: usize = 2;

/// Sends the log from `from` on, where the follower's ends, and takes its acknowledgements. Ends
/// only with an error; the connection is of no use then. What waits for the follower is in the log
/// and nowhere else: a slow peer takes the memory of one frame.
pub async fn send<R: Runtime, S: Sink, C: Stream>(
    runtime: &R,
    lead: &Lead<R, S>,
    (member, stream, reader): (Member, &C, &mut FrameReader<'_, C>),
    from: LogPosition,
    options: SendOptions,
) -> Result<Infallible, StreamError> {
    let sending = Sending {
        runtime,
        lead,
        member,
        stream,
        options,
        sent: Cell::new(from.0),
        acknowledged: Cell::new(from.0),
        told: Cell::new(0),
        named: Cell::new(0),
    };
    future::or(sending.acknowledgements(reader), sending.records()).await
}

struct Sending<'a, R: Runtime, S: Sink, C> {
    runtime: &'a R,
    lead: &'a Lead<R, S>,
    member: Member,
    stream: &'a C,
    options: SendOptions,
    sent: Cell<u64>,
    acknowledged: Cell<u64>,
    /// The committed position that the follower heard last.
    told: Cell<u64>,
    /// Segments that begin before this were named.
    named: Cell<u64>,
}

impl<R: Runtime, S: Sink, C: Stream> Sending<'_, R, S, C> {
    async fn records(&self) -> Result<Infallible, StreamError> {
        let log = self.lead.log();
        loop {
            if let Some(error) = log.failure() {
                return Err(error.into());
            }
            if !log.is_open() {
                return Err(StreamError::LogClosed);
            }
            if !self.lead.is_current(self.member) {
                return Err(StreamError::Replaced);
            }
            self.name_segments().await?;
            let from = self.sent.get();
            let on_the_way = from.saturating_sub(self.acknowledged.get());
            let (bytes, next) = match on_the_way < self.options.window_bytes {
                true => self.next_records(LogPosition(from)).await?,
                false => (Vec::new(), LogPosition(from)),
            };
            // Taken with no await before the waits below: nothing that happens is missed.
            let (appended, progressed) = (log.appended(), self.lead.progressed.wait());
            let committed = self.lead.committed().0;
            let nothing = bytes.is_empty();
            if nothing && committed <= self.told.get() && self.segment_to_name().is_none() {
                future::or(appended, progressed).await;
                continue;
            }
            self.lead.note_sent(self.member, next);
            self.sent.set(next.0);
            self.told.set(committed);
            let data = Data { position: from, committed, records: Bytes::from(bytes) };
            self.write(&Frame::Data(data)).await?;
            self.runtime.yield_if_needed().await;
        }
    }

    /// Whole records from there on, none if all were sent, and where those behind them begin.
    async fn next_records(&self, from: LogPosition) -> Result<(Vec<u8>, LogPosition), StreamError> {
        let log = self.lead.log();
        let most = self.options.frame_bytes;
        let mut bytes = Vec::new();
        let mut range = log.copy_appended(from, most, &mut bytes);
        if range == CopiedRange::Cold {
            (bytes, range) = log.read_raw(from, most).await?;
        }
        match range {
            CopiedRange::Records { next, .. } => Ok((bytes, next)),
            CopiedRange::End | CopiedRange::Cold => Ok((Vec::new(), from)),
        }
    }

    /// A segment that the follower needs soon and has not heard of.
    fn segment_to_name(&self) -> Option<ringmq_store::SegmentFacts> {
        let segments = self.lead.log().segment_facts(LogPosition(self.sent.get()));
        let soon = segments.into_iter().take(SEGMENTS_AHEAD);
        soon.into_iter().find(|facts| facts.start.0 + 1 > self.named.get())
    }

    async fn name_segments(&self) -> Result<(), StreamError> {
        while let Some(facts) = self.segment_to_name() {
            self.named.set(facts.start.0 + 1);
            let made_in = crate::ids::Epoch(facts.epoch);
            let segment = Segment { start: facts.start.0, bytes: facts.bytes, made_in };
            self.write(&Frame::Segment(segment)).await?;
        }
        Ok(())
    }

    async fn write(&self, frame: &Frame) -> Result<(), StreamError> {
        let channel = Channel::Log(self.lead.log().id().get());
        write_frame(self.stream, frame, channel, self.lead.epoch()).await
    }

    async fn acknowledgements(
        &self,
        reader: &mut FrameReader<'_, C>,
    ) -> Result<Infallible, StreamError> {
        loop {
            let (header, frame) = reader.next().await?;
            let Frame::Ack(ack) = frame else {
                return Err(StreamError::Unexpected { kind: header.kind });
            };
            self.lead.note_ack(self.member, header.epoch, &ack)?;
            self.acknowledged.set(ack.written.max(self.acknowledged.get()));
        }
    }
}
