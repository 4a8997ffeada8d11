//! A connection to a name server, with one request under way at a time.

use std::{future::Future, time::Duration};

use ringmq_io::{Net, Runtime, signal::Event};
use ringmq_remoting::{
    codes::response,
    command::Header,
    encode::{self, EncodeError},
    frame::{Frame, FrameBuffer, FrameError, Serialization},
};
use ringmq_tls::{Connector, TlsStream};

use super::server::Server;

/// Why a name server does not know what it should.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("it closed the connection")]
    Closed,
    #[error("it did not answer within {0:?}")]
    Timeout(Duration),
    #[error("it answered with code {code}: {remark}")]
    Refused { code: i32, remark: String },
    #[error("its answer is malformed: {0}")]
    Malformed(String),
    #[error("the request cannot be written: {0}")]
    Encode(#[from] EncodeError),
}

/// An answer with SUCCESS.
#[derive(Debug, Default)]
pub struct Answered {
    /// Of QUERY_DATA_VERSION.
    pub changed: Option<bool>,
    pub body: Vec<u8>,
}

pub struct Session<R: Runtime> {
    runtime: R,
    stream: TlsStream<<R::Net as Net>::Stream>,
    buffer: FrameBuffer,
    opaque: i32,
    timeout: Duration,
}

impl<R: Runtime> Session<R> {
    /// Connects. With `tls` the name server has to have a certificate for its host.
    pub async fn connect(
        runtime: &R,
        server: &Server,
        tls: Option<&Connector>,
        timeout: Duration,
    ) -> Result<Self, RegisterError> {
        let connect = async {
            let stream = runtime.net().connect(server.address).await?;
            Ok(TlsStream::connected(stream, tls, &server.host, runtime).await?)
        };
        let stream = limited(runtime, timeout, connect).await?;
        let (runtime, buffer) = (runtime.clone(), FrameBuffer::default());
        Ok(Session { runtime, stream, buffer, opaque: 0, timeout })
    }

    pub async fn call(
        &mut self,
        code: i32,
        fields: &[(&'static str, String)],
        body: &[u8],
    ) -> Result<Answered, RegisterError> {
        self.opaque = self.opaque.wrapping_add(1);
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut out = Vec::new();
        encode::request(&mut out, Serialization::Json, code, self.opaque, false, &fields, body)?;
        let (runtime, timeout) = (self.runtime.clone(), self.timeout);
        limited(&runtime, timeout, self.exchange(&out)).await
    }

    async fn exchange(&mut self, out: &[u8]) -> Result<Answered, RegisterError> {
        let mut rest = out;
        while !rest.is_empty() {
            match self.stream.write(rest).await? {
                0 => return Err(RegisterError::Closed),
                count => rest = rest.get(count..).unwrap_or_default(),
            }
        }
        loop {
            let malformed =
                |error: &dyn std::fmt::Display| RegisterError::Malformed(error.to_string());
            let Some(data) = self.buffer.first().map_err(|error| malformed(&error))? else {
                self.fill().await?;
                continue;
            };
            let frame = Frame::parse(data).map_err(|error| malformed(&error))?;
            let header = Header::decode(&frame).map_err(|error| malformed(&error))?;
            let answer = answer(&header, frame.body, self.opaque);
            self.buffer.consume_first();
            if let Some(answer) = answer {
                return answer;
            }
        }
    }

    /// Throws away complete frames that nobody waits for.
    fn discard(&mut self) -> Result<(), RegisterError> {
        let malformed = |error: FrameError| RegisterError::Malformed(error.to_string());
        while self.buffer.first().map_err(malformed)?.is_some() {
            self.buffer.consume_first();
        }
        Ok(())
    }

    async fn fill(&mut self) -> Result<(), RegisterError> {
        match self.stream.read_data(&self.runtime, self.buffer.space()).await? {
            0 => Err(RegisterError::Closed),
            count => {
                self.buffer.filled(count);
                Ok(())
            }
        }
    }

    /// Waits for the next registration: true after the period (a full one), false when topics
    /// changed. An error when the name server closes the connection meanwhile.
    pub async fn idle(&mut self, period: Duration, wanted: &Event) -> Result<bool, RegisterError> {
        let runtime = self.runtime.clone();
        let due = async {
            runtime.sleep(period).await;
            Ok(true)
        };
        let woken = async {
            wanted.wait_and_clear().await;
            Ok(false)
        };
        let closed = async {
            loop {
                self.discard()?;
                self.fill().await?;
            }
        };
        let first = futures_lite::future::or(due, woken);
        futures_lite::future::or(first, closed).await
    }
}

async fn limited<R: Runtime, T>(
    runtime: &R,
    timeout: Duration,
    work: impl Future<Output = Result<T, RegisterError>>,
) -> Result<T, RegisterError> {
    let limit = async {
        runtime.sleep(timeout).await;
        Err(RegisterError::Timeout(timeout))
    };
    futures_lite::future::or(work, limit).await
}

/// `None` for what answers no request that is under way.
fn answer(
    header: &Header<'_>,
    body: &[u8],
    opaque: i32,
) -> Option<Result<Answered, RegisterError>> {
    if !header.is_response() || header.opaque != opaque {
        return None;
    }
    if header.code != response::SUCCESS {
        let remark = header.remark.as_deref().unwrap_or_default().to_owned();
        return Some(Err(RegisterError::Refused { code: header.code, remark }));
    }
    let changed = header.fields.get("changed").map(|text| text.eq_ignore_ascii_case("true"));
    Some(Ok(Answered { changed, body: body.to_vec() }))
}
