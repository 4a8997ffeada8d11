//! Many requests under way on one connection.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ringmq_base::limits::FRAME_BYTES_MAX;

use crate::account::Account;
use crate::client::{Answer, Duplex, accept, answer, request};
use crate::error::CallError;

/// Bytes that are read at once.
const READ_BYTES: usize = 256 * 1024;

/// A connection to a server. Answers come in the order in which the server has them.
pub struct Lane {
    address: String,
    stream: Box<dyn Duplex>,
    account: Option<Account>,
    /// How long a server may take to answer.
    patience: Duration,
    opaque: i32,
    input: Vec<u8>,
    /// How much of `input` was read already.
    taken: usize,
    /// When the server was last heard of, or first waited for.
    heard: Instant,
}

impl Lane {
    pub(crate) fn new(
        address: &str,
        stream: Box<dyn Duplex>,
        account: Option<Account>,
        patience: Duration,
    ) -> Lane {
        let (opaque, input, taken, heard) = (0, Vec::new(), 0, Instant::now());
        Lane { address: address.to_owned(), stream, account, patience, opaque, input, taken, heard }
    }

    /// Adds to how long the server may take, for requests that it holds on purpose.
    #[must_use]
    pub fn with_more_patience(mut self, time: Duration) -> Lane {
        self.patience += time;
        self
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// Sends a request; gives the number that its answer will have.
    ///
    /// # Errors
    /// [`CallError::Unreachable`] if the connection takes nothing.
    pub fn send(&mut self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> anyhow::Result<i32> {
        self.opaque = self.opaque.wrapping_add(1);
        let frame = request(self.account.as_ref(), code, self.opaque, fields, body)?;
        self.heard = Instant::now();
        let sent = self.stream.write_all(&frame).and_then(|()| self.stream.flush());
        sent.map_err(|why| {
            CallError::unreachable(&self.address, format!("request {code}: {why}"))
        })?;
        Ok(self.opaque)
    }

    /// The next answer, whatever its code, with the number of its request; `None` if there is none
    /// within `wait`. To be asked only while an answer is due.
    ///
    /// # Errors
    /// [`CallError::Unreachable`] if the connection has ended, or the server was silent for longer
    /// than it may be.
    pub fn receive(&mut self, wait: Duration) -> anyhow::Result<Option<(i32, Answer)>> {
        let result = self.try_receive(wait);
        result.map_err(|why| CallError::unreachable(&self.address, format!("{why:#}")).into())
    }

    /// Asks and waits, as [`crate::Client::ask`] does; nothing else may be under way.
    ///
    /// # Errors
    /// As [`crate::Client::ask`].
    pub fn ask(
        &mut self,
        code: i32,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<Answer> {
        let opaque = self.send(code, fields, body)?;
        loop {
            if let Some((number, answer)) = self.receive(self.patience)?
                && number == opaque
            {
                return accept(&self.address, answer);
            }
        }
    }

    fn try_receive(&mut self, wait: Duration) -> anyhow::Result<Option<(i32, Answer)>> {
        let until = Instant::now() + wait;
        loop {
            if let Some(found) = self.take()? {
                self.heard = Instant::now();
                return Ok(Some(found));
            }
            let rest = until.saturating_duration_since(Instant::now());
            if rest.is_zero() && !wait.is_zero() {
                let silent = self.heard.elapsed();
                ensure!(silent <= self.patience, "no answer within {} s", self.patience.as_secs());
                return Ok(None);
            }
            // a wait of nothing would be one without end
            if !self.read(rest.max(Duration::from_millis(1)))? && wait.is_zero() {
                return Ok(None);
            }
        }
    }

    /// The first whole answer of what was read.
    fn take(&mut self) -> anyhow::Result<Option<(i32, Answer)>> {
        loop {
            let rest = self.input.get(self.taken..).unwrap_or_default();
            let Some(length) = rest.first_chunk::<4>() else { return Ok(None) };
            let length = u32::from_be_bytes(*length) as usize;
            ensure!(length <= FRAME_BYTES_MAX, "a frame of {length} bytes");
            let Some(frame) = rest.get(..4 + length) else { return Ok(None) };
            let found = answer(frame)?;
            self.taken += 4 + length;
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// Whether something came.
    fn read(&mut self, wait: Duration) -> anyhow::Result<bool> {
        self.input.drain(..self.taken);
        self.taken = 0;
        let length = self.input.len();
        self.stream.wait_at_most(wait)?;
        self.input.resize(length + READ_BYTES, 0);
        let read = self.stream.read(self.input.get_mut(length..).unwrap_or_default());
        self.input.truncate(length + read.as_ref().copied().unwrap_or(0));
        match read {
            Ok(0) => Err(std::io::Error::from(ErrorKind::UnexpectedEof)).context("it was closed"),
            Ok(_) => Ok(true),
            Err(why) => match why.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(false),
                _ => Err(why.into()),
            },
        }
    }
}
