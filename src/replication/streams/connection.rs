//! Frames over a connection.

use std::{net::SocketAddr, time::Duration};

use bytes::BytesMut;
use futures_lite::future;
use ringmq_io::{Net, Runtime, Stream};

use super::StreamError;
use crate::{
    frames::{Channel, Frame, HEADER_BYTES, Header, PREAMBLE},
    ids::Epoch,
};

/// After that a peer that does not answer is tried anew.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// Bytes read at a time: what a frame takes grows with what has arrived of it.
const READ_BYTES: usize = 64 << 10;
/// Payloads up to here are copied behind their head: one write instead of two.
const JOINED_BYTES: usize = 16 << 10;

/// Connects to a member.
///
/// # Errors
/// If nobody listens there, or the machine does not answer within a second.
pub async fn connect<R: Runtime>(
    runtime: &R,
    address: SocketAddr,
) -> Result<<R::Net as Net>::Stream, StreamError> {
    let late = async {
        runtime.sleep(CONNECT_WITHIN).await;
        Err(StreamError::Silent { within: CONNECT_WITHIN })
    };
    let connected = async { Ok(runtime.net().connect(address).await?) };
    future::or(connected, late).await
}

/// Takes frames from a stream, one after the other. Keeps at most one and what came with it.
pub struct FrameReader<'a, C> {
    stream: &'a C,
    buffer: BytesMut,
}

impl<'a, C: Stream> FrameReader<'a, C> {
    pub fn new(stream: &'a C) -> Self {
        FrameReader { stream, buffer: BytesMut::new() }
    }

    /// What a connection begins with, before any frame.
    ///
    /// # Errors
    /// If the stream ends or fails before.
    pub async fn preamble(&mut self) -> Result<[u8; PREAMBLE.len()], StreamError> {
        self.fill(PREAMBLE.len()).await?;
        let preamble = *self.buffer.first_chunk().ok_or(StreamError::Closed)?;
        let _ = self.buffer.split_to(PREAMBLE.len());
        Ok(preamble)
    }

    /// Resolves with the next frame. Safe to cancel: what has arrived stays.
    ///
    /// # Errors
    /// If the stream ends or fails, or what comes is no frame.
    pub async fn next(&mut self) -> Result<(Header, Frame), StreamError> {
        self.fill(HEADER_BYTES).await?;
        let head = self.buffer.first_chunk().ok_or(StreamError::Closed)?;
        let header = Header::decode(head)?;
        self.fill(HEADER_BYTES + header.length).await?;
        let _ = self.buffer.split_to(HEADER_BYTES);
        let body = self.buffer.split_to(header.length).freeze();
        Ok((header, Frame::decode(&header, &body)?))
    }

    /// Reads until there are so many bytes.
    async fn fill(&mut self, bytes: usize) -> Result<(), StreamError> {
        while self.buffer.len() < bytes {
            let before = self.buffer.len();
            self.buffer.resize(before + READ_BYTES, 0);
            let read = {
                // Cut back however the read ends, dropped half-way too.
                let mut buffer = Cut { buffer: &mut self.buffer, length: before };
                let room = buffer.buffer.get_mut(before..).unwrap_or_default();
                let read = self.stream.read(room).await?;
                buffer.length = before + read;
                read
            };
            if read == 0 {
                return Err(StreamError::Closed);
            }
        }
        Ok(())
    }
}

struct Cut<'a> {
    buffer: &'a mut BytesMut,
    length: usize,
}

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        self.buffer.truncate(self.length);
    }
}

/// Writes a whole frame. Not safe to cancel: the stream is of no use after half a frame.
///
/// # Errors
/// If the stream fails, or the frame is longer than its kind may be.
pub async fn write_frame<C: Stream>(
    stream: &C,
    frame: &Frame,
    channel: Channel,
    epoch: Epoch,
) -> Result<(), StreamError> {
    let mut encoded = frame.encode(channel, epoch)?;
    if encoded.payload.len() <= JOINED_BYTES {
        encoded.head.extend_from_slice(&encoded.payload);
        return write_all(stream, &encoded.head).await;
    }
    write_all(stream, &encoded.head).await?;
    write_all(stream, &encoded.payload).await
}

pub(super) async fn write_all<C: Stream>(stream: &C, mut bytes: &[u8]) -> Result<(), StreamError> {
    while !bytes.is_empty() {
        let written = stream.write(bytes).await?;
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}
