//! One connection: frames in, answers out, in order.

use std::io;

use ringmq_io::{Runtime, Stream};
use ringmq_remoting::{
    codes::response,
    command::{self, Header, HeaderError},
    encode::EncodeError,
    fastjson::BODY_BYTES_MAX,
    field_limits::REQUEST_HEADER_BYTES_MAX,
    frame::{BegunFrame, Frame, FrameBuffer, FrameError},
};

use super::Shared;
use crate::{
    answer::{Answer, Peer, Request},
    handlers::check_body,
};

/// Answers that are gathered before they are written.
const OUTPUT_BYTES: usize = 256 * 1024;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("malformed request: {problem}")]
    Malformed { problem: String },
    #[error("nothing came or went for {seconds} s")]
    Idle { seconds: u64 },
    #[error("{0}")]
    Broken(#[from] io::Error),
    #[error("a request could not even be refused: {0}")]
    Unanswerable(#[from] EncodeError),
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
    stream: &impl Stream,
    peer: Peer,
) -> Result<(), Ended> {
    let mut input = FrameBuffer::default();
    let mut output = Vec::new();
    loop {
        if let Some(bytes) = input.first()? {
            serve_frame(shared, bytes, peer, &mut output).await?;
            input.consume_first();
            if output.len() >= OUTPUT_BYTES {
                flush(shared, stream, &mut output).await?;
            }
            shared.runtime.yield_if_needed().await;
            continue;
        }
        if let Some(begun) = input.begun()?
            && !admit(&begun, &mut output)?
        {
            input.skip_first();
        }
        flush(shared, stream, &mut output).await?;
        let read = stream.read(input.space());
        match within_idle(shared, read).await? {
            0 => return Ok(()),
            count => input.filled(count),
        }
    }
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
fn admit(begun: &BegunFrame<'_>, output: &mut Vec<u8>) -> Result<bool, Ended> {
    check_header_length(begun.header_bytes)?;
    let Some(frame) = begun.bodyless else {
        return Ok(true);
    };
    let peek = command::peek(&frame)?;
    match check_body(peek.code, begun.body_bytes) {
        Err(refusal) if !peek.is_response() => {
            if !peek.is_oneway() {
                refusal.encode(output, frame.serialization, peek.opaque)?;
            }
            Ok(false)
        }
        _ => Ok(true),
    }
}

async fn serve_frame<R: Runtime>(
    shared: &Shared<R>,
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
    let mut answer = match check_body(header.code, frame.body.len()) {
        Ok(()) => shared.server.handle(&request).await,
        Err(refusal) => refusal,
    };
    if answer.code != response::SUCCESS {
        let (code, remark) = (answer.code, answer.remark.as_deref().unwrap_or_default());
        tracing::debug!("request {} of {}: {code} {remark}", header.code, peer.address);
    }
    if header.is_oneway() {
        return Ok(());
    }
    if answer.body.len() > BODY_BYTES_MAX {
        answer = too_large(answer.body.len());
    }
    if let Err(error) = answer.encode(output, frame.serialization, header.opaque) {
        let refusal = Answer::refuse(response::SYSTEM_ERROR, error.to_string());
        refusal.encode(output, frame.serialization, header.opaque)?;
    }
    Ok(())
}

fn too_large(bytes: usize) -> Answer {
    let remark = format!(
        "the answer has {bytes} bytes, but a frame carries {BODY_BYTES_MAX}; ask for less, such \
         as the topics of one cluster"
    );
    Answer::refuse(response::SYSTEM_ERROR, remark)
}

async fn flush<R: Runtime>(
    shared: &Shared<R>,
    stream: &impl Stream,
    output: &mut Vec<u8>,
) -> Result<(), Ended> {
    let mut written = 0;
    while let Some(rest) = output.get(written..).filter(|rest| !rest.is_empty()) {
        match within_idle(shared, stream.write(rest)).await? {
            0 => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
            count => written += count,
        }
    }
    output.clear();
    if output.capacity() > OUTPUT_BYTES {
        output.shrink_to(OUTPUT_BYTES);
    }
    Ok(())
}

/// The result of a read or write, or the end of patience, which 0 makes endless as in Java.
async fn within_idle<R: Runtime>(
    shared: &Shared<R>,
    operation: impl Future<Output = io::Result<usize>>,
) -> Result<usize, Ended> {
    let idle = shared.idle;
    let operation = async { operation.await.map_err(Ended::Broken) };
    if idle.is_zero() {
        return operation.await;
    }
    let timeout = async {
        shared.runtime.sleep(idle).await;
        Err(Ended::Idle { seconds: idle.as_secs() })
    };
    futures_lite::future::or(operation, timeout).await
}
