//! Few connections over HTTP/1.1 that ask for metrics, or how the broker is. Whoever is slow, or
//! asks for what there is not, is closed: nobody who reads metrics may hold anything up.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::Future,
    io,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use futures_lite::future::{or, zip};
use ringmq_io::{Accepted, Net, Runtime, Shares, Stream};

use super::{
    request::{Asked, Broken, REQUEST_BYTES_MAX, parse},
    text::{Page, Style},
};

/// Connections at a time. Beyond, the one that is silent for longest goes, or the new one if none
/// is.
const CONNECTIONS_MAX: usize = 16;
/// How long the rest of a request may take that has begun.
const REQUEST_TIME: Duration = Duration::from_secs(5);
/// How long a connection may be silent; Prometheus comes each minute at least.
const IDLE_TIME: Duration = Duration::from_secs(120);
/// How long a client may take nothing of an answer, and how long an answer may take in all.
const STALL_TIME: Duration = Duration::from_secs(5);
pub const ANSWER_TIME: Duration = Duration::from_secs(30);
/// What is handed to a socket at once, in bytes.
const WRITE_BYTES: usize = 64 * 1024;

/// The client has not taken its answer.
#[derive(Debug)]
pub struct Gone;

/// What answers requests.
#[allow(async_fn_in_trait)]
pub trait Site<R: Runtime>: 'static {
    /// Writes the answer to a request.
    async fn answer<S: Stream>(&self, asked: &Asked, out: &mut Out<'_, R, S>) -> Result<(), Gone>;
}

/// Where an answer goes.
pub struct Out<'a, R: Runtime, S: Stream> {
    runtime: &'a R,
    stream: &'a S,
    asked: Asked,
    /// The body comes in chunks, or ends with the connection.
    is_open: bool,
    /// The part that is written down and not sent: it goes while the next one is written down.
    ready: Vec<u8>,
}

impl<R: Runtime, S: Stream> Out<'_, R, S> {
    /// A whole answer.
    pub async fn whole(&mut self, status: &str, kind: &str, body: &str) -> Result<(), Gone> {
        let connection = if self.asked.keeps { "keep-alive" } else { "close" };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nConnection: {connection}\r\n\r\n",
            body.len()
        );
        let body = if self.asked.head_only { "" } else { body };
        self.write([head.as_str(), body].concat().as_bytes()).await
    }

    /// Begins an answer whose length is not known.
    pub async fn begin(&mut self, kind: &str) -> Result<(), Gone> {
        self.is_open = true;
        let is_chunked = self.asked.is_new;
        let length = if is_chunked { "Transfer-Encoding: chunked\r\n" } else { "" };
        let keeps = is_chunked && self.asked.keeps;
        let connection = if keeps { "keep-alive" } else { "close" };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{length}\
             Cache-Control: no-store\r\nConnection: {connection}\r\n\r\n"
        );
        self.write(head.as_bytes()).await
    }

    /// A part of it, written down beside the shard.
    pub async fn part(
        &mut self,
        style: &Arc<Style>,
        write: impl FnOnce(&mut Page) + Send + 'static,
    ) -> Result<(), Gone> {
        if self.asked.head_only {
            return Ok(());
        }
        let (style, is_chunked) = (style.clone(), self.asked.is_new);
        let make = move || {
            let mut page = Page::new(&style);
            write(&mut page);
            let body = page.into_bytes();
            if !is_chunked || body.is_empty() {
                return body;
            }
            let head = format!("{:x}\r\n", body.len());
            let mut chunk = Vec::with_capacity(head.len() + body.len() + 2);
            chunk.extend_from_slice(head.as_bytes());
            chunk.extend_from_slice(&body);
            chunk.extend_from_slice(b"\r\n");
            chunk
        };
        let before = std::mem::take(&mut self.ready);
        let both = zip(self.runtime.aside(make), self.write(&before)).await;
        self.ready = both.0;
        both.1
    }

    /// Ends it.
    pub async fn end(&mut self) -> Result<(), Gone> {
        self.is_open = false;
        let last = std::mem::take(&mut self.ready);
        self.write(&last).await?;
        if self.asked.is_new && !self.asked.head_only {
            return self.write(b"0\r\n\r\n").await;
        }
        Ok(())
    }

    async fn write(&self, bytes: &[u8]) -> Result<(), Gone> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let piece = rest.get(..WRITE_BYTES).unwrap_or(rest);
            let written = within(self.runtime, STALL_TIME, self.stream.write(piece)).await;
            let Some(Ok(count @ 1..)) = written else {
                return Err(Gone);
            };
            rest = rest.get(count..).unwrap_or_default();
            self.runtime.yield_if_needed().await;
        }
        Ok(())
    }
}

/// What the work gives, if it is done in time.
pub async fn within<R: Runtime, T>(
    runtime: &R,
    time: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    or(async { Some(work.await) }, async {
        runtime.sleep(time).await;
        None
    })
    .await
}

/// The connections that there are.
pub struct Visitors<R: Runtime> {
    runtime: R,
    next: Cell<u64>,
    open: RefCell<BTreeMap<u64, Visitor<R>>>,
}

/// A connection, and since when it is silent between two requests.
type Visitor<R> = (Rc<StreamOf<R>>, Option<Duration>);

type StreamOf<R> = <<R as Runtime>::Net as Net>::Stream;

impl<R: Runtime> Visitors<R> {
    pub fn new(runtime: &R) -> Rc<Self> {
        let (next, open) = (Cell::default(), RefCell::default());
        Rc::new(Visitors { runtime: runtime.clone(), next, open })
    }

    /// Serves a connection until it ends.
    pub fn serve(self: &Rc<Self>, accepted: Accepted, site: &Rc<impl Site<R>>) {
        let peer = accepted.peer;
        if !self.has_room() {
            tracing::warn!(
                %peer,
                "a connection that asks for metrics is closed: {CONNECTIONS_MAX} others are busy, \
                 the limit; let fewer programs ask"
            );
            return;
        }
        let Ok(stream) = self.runtime.net().adopt(accepted) else {
            return;
        };
        let (id, stream) = (self.next.get(), Rc::new(stream));
        self.next.set(id + 1);
        let now = self.runtime.monotonic();
        self.open.borrow_mut().insert(id, (stream.clone(), Some(now)));
        let (visitors, site) = (self.clone(), site.clone());
        self.runtime.spawn(Shares::Admin, "metrics", async move {
            visitors.answer_all(id, &stream, &*site).await;
            stream.shutdown();
            visitors.open.borrow_mut().remove(&id);
        });
    }

    /// Ends all of them.
    pub fn close(&self) {
        for (stream, _) in self.open.borrow().values() {
            stream.shutdown();
        }
    }

    /// Makes room for one more, at the cost of one that is silent.
    fn has_room(&self) -> bool {
        let mut open = self.open.borrow_mut();
        if open.len() < CONNECTIONS_MAX {
            return true;
        }
        let silent = open.iter().filter_map(|(id, (_, since))| Some((*id, (*since)?)));
        let Some((id, _)) = silent.min_by_key(|(_, since)| *since) else {
            return false;
        };
        if let Some((stream, _)) = open.remove(&id) {
            stream.shutdown();
        }
        true
    }

    fn set_silent(&self, id: u64, is_silent: bool) {
        let since = is_silent.then(|| self.runtime.monotonic());
        if let Some((_, silent)) = self.open.borrow_mut().get_mut(&id) {
            *silent = since;
        }
    }

    async fn answer_all(&self, id: u64, stream: &StreamOf<R>, site: &impl Site<R>) {
        let mut buffer = Vec::new();
        loop {
            let asked = match self.next_request(id, stream, &mut buffer).await {
                Ok(Some(asked)) => asked,
                Ok(None) => return,
                Err(broken) => return self.refuse(stream, &broken).await,
            };
            buffer.drain(..asked.bytes);
            let mut out =
                Out { runtime: &self.runtime, stream, asked, is_open: false, ready: Vec::new() };
            let answered = within(&self.runtime, ANSWER_TIME, site.answer(&asked, &mut out)).await;
            let ends_well = matches!(answered, Some(Ok(()))) && !out.is_open;
            if !ends_well || !asked.keeps {
                return;
            }
        }
    }

    /// The next request, or `None` at the end of the connection.
    async fn next_request(
        &self,
        id: u64,
        stream: &StreamOf<R>,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Asked>, Broken> {
        let mut until = None;
        loop {
            if let Some(asked) = parse(buffer)? {
                self.set_silent(id, false);
                return Ok(Some(asked));
            }
            // A new connection counts as silent until its first request is complete.
            let now = self.runtime.monotonic();
            let time = if buffer.is_empty() {
                self.set_silent(id, true);
                IDLE_TIME
            } else {
                until.get_or_insert(now + REQUEST_TIME).saturating_sub(now)
            };
            match within(&self.runtime, time, self.read(stream, buffer)).await {
                Some(Ok(1..)) => {}
                None if !buffer.is_empty() => {
                    let why = "the rest of the request did not come within 5 s\n";
                    return Err(Broken { status: "408 Request Timeout", why });
                }
                _ => return Ok(None),
            }
        }
    }

    async fn read(&self, stream: &StreamOf<R>, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let mut piece = [0; 1024];
        let room = REQUEST_BYTES_MAX.saturating_sub(buffer.len()).min(piece.len());
        let count = stream.read(piece.get_mut(..room).unwrap_or_default()).await?;
        buffer.extend_from_slice(piece.get(..count).unwrap_or_default());
        Ok(count)
    }

    async fn refuse(&self, stream: &StreamOf<R>, broken: &Broken) {
        let allow = if broken.status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
        let answer = format!(
            "HTTP/1.1 {}\r\n{allow}Content-Type: text/plain\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{}",
            broken.status,
            broken.why.len(),
            broken.why
        );
        let _ = within(&self.runtime, STALL_TIME, stream.write(answer.as_bytes())).await;
    }
}
