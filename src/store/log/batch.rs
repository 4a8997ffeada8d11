//! Appending several messages as one: all of them or none.
//!
//! Everything that can refuse one of them is asked before the first byte is appended; from then on
//! nothing can fail. A crash may leave the first of them without those behind: whoever needs more
//! has to see from the last one that is there what is missing.

use ringmq_base::record::NewRecord;
use ringmq_io::Runtime;

use super::{Log, space::Room, state::State};
use crate::{
    api::{
        errors::AppendError,
        options::Sink,
        values::{Appended, QueueHandle},
    },
    files::{envelope, segment::HEADER_BYTES},
};

/// Of the list of what a batch appended, so many stay allocated for the next one.
const APPENDED_KEPT_MAX: usize = 4096;

impl<R: Runtime, S: Sink> Log<R, S> {
    /// Appends the messages of a batch, each with its tags code, behind each other in one queue:
    /// see [`Log::append_unit`].
    ///
    /// # Errors
    /// Those of [`Log::append_unit`].
    ///
    /// # Panics
    /// If a record is not for the queue's topic and queue id.
    pub fn append_batch<'a>(
        &self,
        now_ms: i64,
        queue: QueueHandle,
        messages: impl Iterator<Item = (NewRecord<'a>, i64)> + Clone,
        ticket: impl FnOnce(&[Appended]) -> Option<S::Ticket>,
    ) -> Result<usize, AppendError> {
        let messages = messages.map(|(record, tags_code)| (queue, record, tags_code));
        self.append_unit(now_ms, messages, ticket)
    }

    /// Encodes all messages, each with its queue and tags code, into the tail, behind each other;
    /// or none of them. They are received at `now_ms`. `messages` is gone through twice and
    /// must bring the same both times. `ticket` is called once, after the last append, with where
    /// each message went; it must not append. The ticket comes back through the [`Sink`] when all
    /// are durable, as with [`Log::append`]. Without a message nothing happens, and `ticket` is not
    /// called. Resolves at once; the answer is how many were appended.
    ///
    /// # Errors
    /// After any error nothing of the batch is in the log. `Busy`: try again when [`Log::room`] has
    /// resolved; a batch gets in as soon as no more than half of the backlog's limit waits. `Full`:
    /// no space on disk for now. `TooLarge` names the message, counted from 1, or the batch if all
    /// of it is larger than the backlog may be: it will never be taken.
    ///
    /// # Panics
    /// If a record is not for its queue's topic and queue id.
    pub fn append_unit<'a>(
        &self,
        now_ms: i64,
        messages: impl Iterator<Item = (QueueHandle, NewRecord<'a>, i64)> + Clone,
        ticket: impl FnOnce(&[Appended]) -> Option<S::Ticket>,
    ) -> Result<usize, AppendError> {
        let shared = &self.shared;
        let mut all = shared.batch_appended.take();
        let (result, end) = {
            let mut state = shared.state.borrow_mut();
            let result = state.append_unit(messages, now_ms, &mut all);
            (result, state.position)
        };
        match &result {
            Err(_) => self.ask_for_space(),
            Ok(()) if all.is_empty() => {}
            Ok(()) => {
                if let Some(ticket) = ticket(&all) {
                    let mut state = shared.state.borrow_mut();
                    assert!(state.position == end, "the ticket function appended");
                    state.tickets.push_back((end, ticket));
                }
                shared.appended.notify();
            }
        }
        let count = all.len();
        all.clear();
        all.shrink_to(APPENDED_KEPT_MAX);
        shared.batch_appended.replace(all);
        result.map(|()| count)
    }
}

impl<T> State<T> {
    /// Appends all messages and says in `appended` where they went, or changes nothing.
    fn append_unit<'a>(
        &mut self,
        messages: impl Iterator<Item = (QueueHandle, NewRecord<'a>, i64)> + Clone,
        now_ms: i64,
        appended: &mut Vec<Appended>,
    ) -> Result<(), AppendError> {
        assert!(appended.is_empty());
        let records = messages.clone().map(|(queue, record, _)| (queue, record));
        let (count, bytes) = self.admit_unit(records)?;
        let before = self.counters.append_bytes;
        appended.reserve(count);
        for (queue, record, tags_code) in messages {
            appended.push(self.put_member(queue, &record, tags_code, now_ms));
        }
        assert_eq!(appended.len(), count, "a batch that changed");
        assert_eq!(self.counters.append_bytes - before, bytes as u64, "a batch that changed");
        Ok(())
    }

    /// Appends a message of a batch that was admitted.
    #[inline]
    pub(super) fn put_member(
        &mut self,
        queue: QueueHandle,
        record: &NewRecord<'_>,
        tags_code: i64,
        now_ms: i64,
    ) -> Appended {
        let size = record.size();
        let placed = self.place(envelope::stride(size));
        placed.expect("room for all of the batch was found before its first message");
        let offset = self.index.queue(queue).next();
        let appended = self.put(queue, record, size, tags_code, now_ms);
        assert_eq!(self.index.queue(queue).next(), offset + 1, "a batch with a hole");
        appended
    }

    /// Messages and bytes of a batch that is going to be appended for sure.
    fn admit_unit<'a>(
        &mut self,
        records: impl Iterator<Item = (QueueHandle, NewRecord<'a>)> + Clone,
    ) -> Result<(usize, usize), AppendError> {
        self.is_taking()?;
        let (mut count, mut bytes) = (0, 0_usize);
        for (queue, record) in records.clone() {
            count += 1;
            bytes = bytes.saturating_add(self.admit_member(queue, &record, count)?);
        }
        if count == 0 {
            return Ok((0, 0));
        }
        let strides = records.map(|(_, record)| envelope::stride(record.size()));
        self.admit_all(count, bytes, strides)?;
        Ok((count, bytes))
    }

    /// Bytes that a message of a batch takes, the `number`th, counted from 1.
    #[inline]
    pub(super) fn admit_member(
        &mut self,
        queue: QueueHandle,
        record: &NewRecord<'_>,
        number: usize,
    ) -> Result<usize, AppendError> {
        let entries = self.index.queue(queue);
        assert!(entries.is(record.topic, record.queue_id), "an append to another queue");
        let size = record.size();
        let fits = self.check_size(record, size);
        fits.map_err(|error| error.of(&format!("message {number} of the batch")))?;
        Ok(envelope::stride(size))
    }

    /// Whether there is room for a batch of so many messages and bytes, whose messages take
    /// `strides`.
    pub(super) fn admit_all(
        &mut self,
        count: usize,
        bytes: usize,
        strides: impl Iterator<Item = usize>,
    ) -> Result<(), AppendError> {
        // A single record larger than the limit is let in when nothing else waits.
        if count > 1 && bytes > self.backlog_max {
            let what = format!("the batch of {count} messages, as stored,");
            return Err(AppendError::TooLarge {
                what: what.into(),
                size: bytes,
                limit: self.backlog_max,
            });
        }
        // Not before the limit leaves room for all of it: while others send, that would be never.
        if self.backlog > 0
            && self.backlog + bytes > self.backlog_max
            && self.backlog * 2 > self.backlog_max
        {
            return Err(self.busy());
        }
        match self.missing_for(strides) {
            0 => Ok(()),
            missing => Err(self.no_space(missing)),
        }
    }

    /// Bytes that have to be allocated before records of these strides have a place each; 0 if they
    /// have.
    fn missing_for(&self, strides: impl Iterator<Item = usize>) -> u64 {
        let mut position = self.position;
        let mut spaces = self.spaces.iter();
        let mut space = spaces.next();
        let mut missing = 0;
        for stride in strides {
            let need = (stride + envelope::BYTES) as u64;
            while let Some(here) = space {
                match here.room(position, need) {
                    Room::Here => break,
                    Room::InNext => {
                        space = spaces.next();
                        position = space.map_or(0, |next| next.start + HEADER_BYTES);
                    }
                    Room::Missing => space = None,
                }
            }
            match space {
                Some(_) => position += stride as u64,
                None => missing += need,
            }
        }
        missing
    }
}
