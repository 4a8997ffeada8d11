//! One connection: frames in, answers out, in order.

use std::{cell::Cell, io, net::SocketAddr, rc::Rc, time::Duration};

use ringmq_io::{Net, Runtime, Stream};
use ringmq_net::input_budget::{self, Closable, Input, Reading};
use ringmq_remoting::{
    codes::response,
    command::{self, Header, HeaderError},
    encode::EncodeError,
    field_limits::REQUEST_HEADER_BYTES_MAX,
    frame::{BegunFrame, Frame, FrameBuffer, FrameError},
};
use ringmq_tls::{Came, TlsStream};

use super::{
    Shared,
    output_budget::{self, Answered, FREE_BYTES},
    worker::Worker,
};
use crate::{
    answer::{Answer, Body, Peer, Request},
    handlers::check_body,
};

/// Answers that are gathered before they are written.
const OUTPUT_BYTES: usize = 64 * 1024;

pub(super) type ConnectionOf<R> = Connection<<<R as Runtime>::Net as Net>::Stream>;

/// What others see of a connection.
pub(super) struct Connection<S> {
    pub stream: TlsStream<S>,
    peer: SocketAddr,
    input: input_budget::Share,
    output: output_budget::Share,
    closed: Cell<bool>,
    /// It has requests that came and are not answered.
    busy: Cell<bool>,
}

impl<S: Stream> Connection<S> {
    pub fn new(stream: TlsStream<S>, peer: SocketAddr) -> Connection<S> {
        let (input, output) = Default::default();
        Connection { stream, peer, input, output, closed: Cell::new(false), busy: Cell::new(false) }
    }

    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    pub fn is_busy(&self) -> bool {
        self.busy.get()
    }

    /// Ends it; its task notices.
    pub fn close(&self) {
        self.closed.set(true);
        self.stream.shutdown();
    }
}

impl<S: Stream> Reading for Connection<S> {
    fn share(&self) -> &input_budget::Share {
        &self.input
    }
}

impl<S: Stream> Answered for Connection<S> {
    fn output(&self) -> &output_budget::Share {
        &self.output
    }
}

impl<S: Stream> Closable for Connection<S> {
    fn peer(&self) -> SocketAddr {
        self.peer
    }

    fn is_closed(&self) -> bool {
        Connection::is_closed(self)
    }

    fn close(&self) {
        Connection::close(self);
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("connection closed: malformed request: {problem}")]
    Malformed { problem: String },
    #[error("connection closed: nothing came for {time:?}, serverChannelMaxIdleTimeSeconds")]
    Idle { time: Duration },
    #[error(
        "connection closed: its client takes none of the answers that wait for it, for {time:?}, \
         outputStallTimeMs"
    )]
    Stalled { time: Duration },
    #[error("connection closed: {0}")]
    Broken(#[from] io::Error),
    #[error("connection closed: a request could not even be refused: {0}")]
    Unanswerable(#[from] EncodeError),
    #[error("connection closed before")]
    Before,
}

impl From<FrameError> for Ended {
    fn from(error: FrameError) -> Self {
        Ended::Malformed { problem: error.to_string() }
    }
}

impl From<HeaderError> for Ended {
    fn from(error: HeaderError) -> Self {
        Ended::Malformed { problem: error.to_string() }
    }
}

/// Serves a connection until the peer ends it.
pub(super) async fn converse<R: Runtime>(
    shared: &Shared<R>,
    connection: &Rc<ConnectionOf<R>>,
    peer: Peer,
) -> Result<(), Ended> {
    let mut input = FrameBuffer::default();
    let mut output = Vec::new();
    let mut complete = false;
    loop {
        if let Some(bytes) = input.first()? {
            serve_frame(shared, connection, bytes, peer, &mut output).await?;
            input.consume_first();
            complete = true;
            if connection.is_closed() {
                return Err(Ended::Before);
            }
            shared.runtime.yield_if_needed().await;
            continue;
        }
        if let Some(begun) = input.begun()?
            && !admit(shared, &begun, &mut output)?
        {
            input.skip_first();
        }
        flush(shared, connection, &mut output, 0).await?;
        connection.busy.set(false);
        if shared.closing.is_set() {
            return Err(Ended::Before);
        }
        if shared.input.is_scarce() {
            input.give_back();
        }
        // What was handled is done with; what has begun is on its way since it came.
        note(shared, connection, &input, input.is_partial(), std::mem::take(&mut complete));
        loop {
            let read = connection.stream.read(&shared.runtime, input.space());
            match shared.within(shared.idle, read, |time| Ended::Idle { time }).await? {
                Came::Bytes(0) | Came::Opened(0) => return Ok(()),
                Came::Bytes(count) | Came::Opened(count) => break input.filled(count),
                Came::Nothing => note(shared, connection, &input, input.is_partial(), false),
            }
            if connection.is_closed() {
                return Err(Ended::Before);
            }
            shared.runtime.yield_if_needed().await;
        }
        connection.busy.set(true);
        // A request counts as on its way until it is handled: that may take its time, too.
        note(shared, connection, &input, true, false);
        if connection.is_closed() {
            return Err(Ended::Before);
        }
    }
}

fn note<R: Runtime>(
    shared: &Shared<R>,
    connection: &ConnectionOf<R>,
    input: &FrameBuffer,
    partial: bool,
    new: bool,
) {
    let now = shared.runtime.monotonic();
    let (tls_bytes, tls_partial) = connection.stream.input();
    let bytes = input.capacity() + tls_bytes;
    let partial = partial || tls_partial;
    shared.note_input(connection, &Input { bytes, partial, new, now });
}

fn check_header_length(bytes: usize) -> Result<(), Ended> {
    let limit = REQUEST_HEADER_BYTES_MAX;
    if bytes <= limit {
        return Ok(());
    }
    let problem = format!("its header has {bytes} bytes, the limit is {limit}");
    Err(Ended::Malformed { problem })
}

/// Whether the rest of a frame is to be read; if not, its request is answered.
fn admit<R: Runtime>(
    shared: &Shared<R>,
    begun: &BegunFrame<'_>,
    output: &mut Vec<u8>,
) -> Result<bool, Ended> {
    check_header_length(begun.header_bytes)?;
    let Some(frame) = begun.bodyless else {
        return Ok(true);
    };
    let peek = command::peek(&frame)?;
    match check_body(peek.code, begun.body_bytes, shared.registration_bytes_max) {
        Err(refusal) if !peek.is_response() => {
            if !peek.is_oneway() {
                refusal.encode_head(output, frame.serialization, peek.opaque)?;
            }
            Ok(false)
        }
        _ => Ok(true),
    }
}

async fn serve_frame<R: Runtime>(
    shared: &Shared<R>,
    connection: &Rc<ConnectionOf<R>>,
    bytes: &[u8],
    peer: Peer,
    output: &mut Vec<u8>,
) -> Result<(), Ended> {
    let frame = Frame::parse(bytes)?;
    check_header_length(frame.header.len())?;
    let header = Header::decode(&frame)?;
    if header.is_response() {
        // A name server asks nobody anything.
        return Ok(());
    }
    let request = Request { header: &header, body: frame.body, peer, now_ms: shared.now_ms() };
    let answer = match check_body(header.code, frame.body.len(), shared.registration_bytes_max) {
        Ok(()) => shared.server.handle(&request, &Worker::new(shared, connection)).await,
        Err(refusal) => refusal,
    };
    if answer.code != response::SUCCESS {
        let (code, remark) = (answer.code, answer.remark.as_deref().unwrap_or_default());
        tracing::debug!("request {} of {}: {code} {remark}", header.code, peer.address);
    }
    let mut body = Body::default();
    if !header.is_oneway() {
        match answer.encode_head(output, frame.serialization, header.opaque) {
            Ok(()) => body = answer.body,
            Err(error) => {
                let refusal = Answer::refuse(response::SYSTEM_ERROR, error.to_string());
                refusal.encode_head(output, frame.serialization, header.opaque)?;
            }
        }
    }
    append(shared, connection, output, body).await
}

/// Appends a body to the output, which is sent when it is long.
async fn append<R: Runtime>(
    shared: &Shared<R>,
    connection: &Rc<ConnectionOf<R>>,
    output: &mut Vec<u8>,
    body: Body,
) -> Result<(), Ended> {
    let mut left = body.len();
    for piece in body.into_pieces() {
        output.extend_from_slice(&piece);
        left -= piece.len();
        drop(piece);
        if output.len() >= OUTPUT_BYTES {
            flush(shared, connection, output, left).await?;
            shared.runtime.yield_if_needed().await;
        }
    }
    if output.len() >= OUTPUT_BYTES {
        return flush(shared, connection, output, 0).await;
    }
    shared.outputs.set(&**connection, output.capacity(), shared.runtime.monotonic());
    Ok(())
}

/// Sends the output; `left`: bytes that are to follow.
async fn flush<R: Runtime>(
    shared: &Shared<R>,
    connection: &Rc<ConnectionOf<R>>,
    output: &mut Vec<u8>,
    left: usize,
) -> Result<(), Ended> {
    let now = shared.runtime.monotonic();
    let sealed = connection.stream.sealed_bytes(output.len());
    shared.outputs.set(&**connection, left + output.capacity() + sealed, now);
    let mut written = 0;
    while let Some(rest) = output.get(written..).filter(|rest| !rest.is_empty()) {
        let write = connection.stream.write(rest);
        match shared.within(shared.stall, write, |time| Ended::Stalled { time }).await? {
            0 => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
            count => written += count,
        }
    }
    output.clear();
    output.shrink_to(FREE_BYTES);
    shared.outputs.set(&**connection, left + output.capacity(), now);
    Ok(())
}
