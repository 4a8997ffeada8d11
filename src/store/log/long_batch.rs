//! Appending a batch of very many messages, some at a time, as one: all of them or none.
//!
//! The log is held meanwhile: other appends are told that it is busy, and wait. Nothing of the
//! batch is written before all of it is in the tail, so that what a failure cuts off leaves no
//! more behind than it does of a batch that is appended at once.

use ringmq_base::record::NewRecord;
use ringmq_io::Runtime;

use super::{
    Log,
    state::{Phase, State},
};
use crate::api::{
    errors::AppendError,
    options::Sink,
    values::{Appended, QueueHandle},
};

/// Messages of a long batch that are looked at without a pause: some 30 us.
const LOOK_MESSAGES: usize = 256;
/// Messages that are appended without a pause: some 30 us, or ten times that if the memory that
/// they go to is new.
const SLICE_MESSAGES: usize = 64;
/// Bytes of such messages, as stored, after which there is a pause whatever their number.
const SLICE_BYTES: usize = 64 * 1024;

impl<R: Runtime, S: Sink> Log<R, S> {
    /// As [`Log::append_batch`], for a batch of any number of messages: with pauses, in which
    /// everything goes on but other appends to this log. Those are refused as `Busy`;
    /// [`Log::room`], [`Log::settled`] and [`Log::close`] wait. `note` is called with the messages
    /// of each slice, in order, and whether they are the last; what it gives with the last is the
    /// ticket of the batch. It must not append. Once begun it has to be polled to its end: the log
    /// takes nothing any more if it is dropped.
    ///
    /// # Errors
    /// Those of [`Log::append_batch`]; `Busy` also while another long batch is appended. After any
    /// error nothing of the batch can be read, ever.
    ///
    /// # Panics
    /// If a record is not for the queue's topic and queue id.
    pub async fn append_long_batch<'a>(
        &self,
        now_ms: i64,
        queue: QueueHandle,
        messages: impl Iterator<Item = (NewRecord<'a>, i64)> + Clone,
        note: impl FnMut(&[Appended], bool) -> Option<S::Ticket>,
    ) -> Result<usize, AppendError> {
        let shared = &self.shared;
        shared.state.borrow_mut().hold()?;
        let result = self.append_held(now_ms, queue, messages, note).await;
        shared.state.borrow_mut().release();
        shared.room.notify();
        match result {
            Err(_) => self.ask_for_space(),
            Ok(_) => shared.appended.notify(),
        }
        result
    }

    /// Resolves when no long batch is being appended. Safe to cancel.
    pub async fn settled(&self) {
        while self.shared.state.borrow().is_held() {
            self.shared.room.wait().await;
        }
    }

    async fn append_held<'a>(
        &self,
        now_ms: i64,
        queue: QueueHandle,
        mut messages: impl Iterator<Item = (NewRecord<'a>, i64)> + Clone,
        mut note: impl FnMut(&[Appended], bool) -> Option<S::Ticket>,
    ) -> Result<usize, AppendError> {
        let shared = &self.shared;
        let strides = self.admit_held(queue, messages.clone()).await?;
        let mut appended = Vec::with_capacity(SLICE_MESSAGES);
        let mut rest = strides.as_slice();
        while !rest.is_empty() {
            let (slice, behind) = rest.split_at(slice_of(rest));
            let end = {
                let mut state = shared.state.borrow_mut();
                state.check_held()?;
                let before = state.counters.append_bytes;
                appended.clear();
                for (record, tags_code) in messages.by_ref().take(slice.len()) {
                    appended.push(state.put_member(queue, &record, tags_code, now_ms));
                }
                assert_eq!(appended.len(), slice.len(), "a batch that changed");
                let bytes: usize = slice.iter().sum();
                let put = state.counters.append_bytes - before;
                assert_eq!(put, bytes as u64, "a batch that changed");
                state.position
            };
            rest = behind;
            let ticket = note(&appended, rest.is_empty());
            {
                let mut state = shared.state.borrow_mut();
                assert!(state.position == end, "the note of a slice appended");
                if let Some(ticket) = ticket.filter(|_| rest.is_empty()) {
                    state.tickets.push_back((end, ticket));
                }
            }
            if !rest.is_empty() {
                shared.runtime.yield_if_needed().await;
            }
        }
        Ok(strides.len())
    }

    /// Bytes that each message takes, of a batch that is going to be appended unless the device
    /// fails.
    async fn admit_held<'a>(
        &self,
        queue: QueueHandle,
        mut messages: impl Iterator<Item = (NewRecord<'a>, i64)>,
    ) -> Result<Vec<usize>, AppendError> {
        let shared = &self.shared;
        let (mut strides, mut bytes) = (Vec::new(), 0_usize);
        loop {
            let some = strides.len();
            {
                let mut state = shared.state.borrow_mut();
                for (record, _) in messages.by_ref().take(LOOK_MESSAGES) {
                    let stride = state.admit_member(queue, &record, strides.len() + 1)?;
                    strides.push(stride);
                    bytes = bytes.saturating_add(stride);
                }
            }
            if strides.len() == some {
                break;
            }
            shared.runtime.yield_if_needed().await;
        }
        if !strides.is_empty() {
            let mut state = shared.state.borrow_mut();
            state.check_held()?;
            state.admit_all(strides.len(), bytes, strides.iter().copied())?;
        }
        Ok(strides)
    }
}

/// How many of these messages are appended without a pause; at least one.
fn slice_of(strides: &[usize]) -> usize {
    let mut bytes = 0;
    let some = strides.iter().take(SLICE_MESSAGES).take_while(|stride| {
        let fits = bytes < SLICE_BYTES;
        bytes += **stride;
        fits
    });
    some.count()
}

impl<T> State<T> {
    /// Begins a long batch.
    fn hold(&mut self) -> Result<(), AppendError> {
        self.is_taking()?;
        self.phase = Phase::Batch { start: self.position, messages: self.tail.messages() };
        Ok(())
    }

    /// Ends a long batch; a log that was fenced meanwhile stays so.
    fn release(&mut self) {
        if self.is_held() {
            self.phase = Phase::Open;
        }
    }

    /// Whether a long batch may go on.
    fn check_held(&self) -> Result<(), AppendError> {
        if self.is_held() { Ok(()) } else { self.is_taking() }
    }
}
