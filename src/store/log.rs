//! One commit log with its queues: the public face.

pub mod inner;
mod queue_start;
pub mod state;
pub mod tail;

use std::{collections::VecDeque, rc::Rc};

use ringmq_base::{LogPosition, PhysicalOffset, record::NewRecord};
use ringmq_io::{Disk as _, Runtime};

use crate::{
    api::{
        counters::Counters,
        errors::{AppendError, LogError, OpenError, ReadError},
        options::{LogOptions, Sink},
        read_plan::{Appended, IndexMemory},
    },
    cache::{Cache, pacing::Pacing},
    files::segment::HEADER_BYTES,
    index::{QueueHandle, read::PageCache},
    log::{
        inner::Shared,
        state::{Phase, Space, State},
        tail::{Tail, block_ceiling, block_floor},
    },
    recovery::{Recovered, Recovery, recover},
    retire::queues,
    tasks::{
        self, index_writes,
        prezero::{self, Zeroing},
    },
};

/// Unit of the memory of the hot tail, unless batches are smaller.
const CHUNK_BYTES: usize = 1 << 20;

/// A commit log. Clones are the same log.
pub struct Log<R: Runtime, S: Sink> {
    pub(crate) shared: Rc<Shared<R, S>>,
}

impl<R: Runtime, S: Sink> Clone for Log<R, S> {
    fn clone(&self) -> Self {
        Log { shared: self.shared.clone() }
    }
}

impl<R: Runtime, S: Sink> Log<R, S> {
    /// Opens or creates the log: scans the segments, makes durable that this opening has begun,
    /// spawns the tasks that write. When it resolves, everything found is on stable storage and
    /// visible, and appends are taken. After an error nothing has been changed, unless it came
    /// from the disk.
    pub async fn open(
        runtime: R,
        options: LogOptions,
        sink: S,
    ) -> Result<(Self, Recovery), OpenError> {
        options.check()?;
        runtime.disk().create_directory(&options.directory).await?;
        let recovered = recover(&runtime, &options).await?;
        let report = recovered.report.clone();
        let cut = recovered.progress.good > 0 && recovered.progress.first < report.first;
        let log = Log { shared: Rc::new(assemble(runtime, options, sink, recovered)) };
        if cut {
            // Retention went on after the last snapshot.
            let trimmed = queues::trim(&log.shared, report.first).await;
            trimmed.map_err(|error| OpenError::Index { found: error.to_string() })?;
        }
        log.shared.key_files.trim(report.first).await?;
        tasks::spawn(&log.shared);
        Ok((log, report))
    }

    /// What the log reports to.
    pub fn sink(&self) -> &S {
        &self.shared.sink
    }

    /// The queue, created empty if there is none. A queue without messages is not remembered over
    /// a restart.
    pub fn queue(&self, topic: &str, queue_id: i32) -> QueueHandle {
        self.shared.state.borrow_mut().index.find_or_create(topic, queue_id, 0)
    }

    pub fn find_queue(&self, topic: &str, queue_id: i32) -> Option<QueueHandle> {
        self.shared.state.borrow().index.find(topic, queue_id)
    }

    /// Asks for the memory that an append to a queue will touch first. Changes nothing.
    #[inline]
    pub fn prefetch(&self, queue: QueueHandle) {
        self.shared.state.borrow().index.prefetch(queue);
    }

    /// Encodes the record into the tail. Neither durable nor visible yet: the ticket comes back
    /// through the [`Sink`] when it is. `ticket` is called once, after the append, and must not
    /// append; `None` for messages that nobody waits for.
    ///
    /// # Panics
    /// If `record` is not for the queue's topic and queue id.
    pub fn append(
        &self,
        queue: QueueHandle,
        record: &NewRecord<'_>,
        tags_code: i64,
        ticket: impl FnOnce(&Appended) -> Option<S::Ticket>,
    ) -> Result<Appended, AppendError> {
        self.append_at(self.shared.runtime.now_ms(), queue, record, tags_code, ticket)
    }

    /// [`Log::append`] for the next of several messages that were received at `now_ms`.
    pub fn append_at(
        &self,
        now_ms: i64,
        queue: QueueHandle,
        record: &NewRecord<'_>,
        tags_code: i64,
        ticket: impl FnOnce(&Appended) -> Option<S::Ticket>,
    ) -> Result<Appended, AppendError> {
        let shared = &self.shared;
        let (appended, end) = {
            let mut state = shared.state.borrow_mut();
            match state.append(queue, record, tags_code, now_ms) {
                Ok(appended) => (appended, state.position),
                Err(error) => {
                    let wants_space = state.wants_space;
                    drop(state);
                    if wants_space {
                        shared.space.notify();
                    }
                    return Err(error);
                }
            }
        };
        if let Some(ticket) = ticket(&appended) {
            let mut state = shared.state.borrow_mut();
            assert!(state.position == end, "the ticket function appended");
            state.tickets.push_back((end, ticket));
        }
        shared.appended.notify();
        Ok(appended)
    }

    /// Bytes appended and not yet written.
    pub fn backlog_bytes(&self) -> usize {
        self.shared.state.borrow().backlog
    }

    /// Resolves when the backlog is under half of its limit and the next append has a place to go
    /// or will be told why not; or when the log is fenced or closing. Safe to cancel.
    pub async fn room(&self) {
        loop {
            {
                let state = self.shared.state.borrow();
                let waits = state.backlog * 2 > state.backlog_max || state.wants_space;
                if !waits || !state.is_open() {
                    return;
                }
            }
            self.shared.room.wait().await;
        }
    }

    /// [`Sink::arrived`] once, when a message that is not visible now becomes visible. Calling it
    /// again before that changes nothing.
    pub fn watch(&self, queue: QueueHandle) {
        self.shared.state.borrow_mut().watch(queue);
    }

    /// All queues: topic, queue id, handle.
    pub fn queues(&self) -> Vec<(String, i32, QueueHandle)> {
        let state = self.shared.state.borrow();
        let queues = state.index.all();
        queues.map(|(handle, queue)| (queue.topic.to_string(), queue.queue_id, handle)).collect()
    }

    /// Positions of the first byte kept and of the end of what is visible, as physical offsets.
    pub fn position_range(&self) -> (PhysicalOffset, PhysicalOffset) {
        let state = self.shared.state.borrow();
        let offset = |position| PhysicalOffset::new(state.log, LogPosition(position));
        (offset(state.first), offset(state.written))
    }

    /// Looks at every queue.
    pub fn index_memory(&self) -> IndexMemory {
        let mut memory = IndexMemory::default();
        for (_, queue) in self.shared.state.borrow().index.all() {
            let (entries, directory) = queue.memory();
            memory.entries += entries;
            memory.directory += directory;
        }
        memory
    }

    /// Resolves when the index needs nothing of the log before `first` at the next start, or the
    /// log is fenced or closing. The first step of removing old segments.
    pub async fn prepare_cut(&self, first: LogPosition) {
        queues::prepare(&self.shared, first.0).await;
    }

    /// Raises the first offset of every queue past the messages before `first`, which must be where
    /// the log begins by now, on stable storage. Messages behind stay, to the last one.
    pub async fn cut_queues(&self, first: LogPosition) -> Result<(), ReadError> {
        queues::trim(&self.shared, first.0).await?;
        Ok(self.shared.key_files.trim(first.0).await?)
    }

    pub fn counters(&self) -> Counters {
        let state = self.shared.state.borrow();
        let fenced = match &state.phase {
            Phase::Fenced(reason) => Some(reason.to_string()),
            _ => None,
        };
        let cache = self.shared.cache.counters();
        Counters {
            fenced,
            full: state.full.is_some(),
            queued: state.queued(),
            cache_hits: cache.hits,
            cache_misses: cache.misses,
            cache_evictions: cache.evictions,
            damaged_ranges: self.shared.scrub.known(),
            ..state.counters.clone()
        }
    }

    /// Writes and syncs everything appended, then the clean mark. Appends are refused from now on.
    /// When it resolves, no operation of this log is under way; fails if the log is fenced.
    pub async fn close(self) -> Result<(), LogError> {
        let shared = &self.shared;
        {
            let mut state = shared.state.borrow_mut();
            if state.is_open() {
                state.phase = Phase::Closing;
            }
        }
        shared.phase_changed();
        while shared.operations.get() > 0 {
            shared.idle.wait().await;
        }
        if let Some(error) = shared.fenced() {
            return Err(error);
        }
        let mut result = shared.sync().await;
        let grown = shared.state.borrow_mut().replay_position() > shared.progress.get().position;
        if result.is_ok() && grown {
            result = match index_writes::write_snapshot(shared).await {
                // The next start replays more, no more than that.
                Err(error) if prezero::is_full(&error) => Ok(()),
                other => other,
            };
        }
        if result.is_ok() {
            result = shared.write_mark(true).await;
        }
        if let Err(error) = shared.key_files.close().await {
            tracing::warn!(log = %shared.options.log, %error, "key segments were not closed");
        }
        result.map_err(|error| {
            shared.fence(&error);
            shared.fenced().expect("the log was just fenced")
        })
    }
}

fn assemble<R: Runtime, S: Sink>(
    runtime: R,
    options: LogOptions,
    sink: S,
    recovered: Recovered<R>,
) -> Shared<R, S> {
    let end = recovered.report.end;
    let chunk_bytes = CHUNK_BYTES.min(options.batch_bytes_max);
    let tail = Tail::new(
        chunk_bytes,
        options.hot_tail_bytes,
        (block_floor(end), &recovered.resident),
        recovered.checked_from,
    );
    let spaces: VecDeque<Space> = recovered.spaces.into();
    assert!(spaces.front().is_some_and(|space| {
        space.start + HEADER_BYTES <= end && end <= space.allocated && space.allocated <= space.end
    }));
    let state = State {
        log: options.log,
        epoch: recovered.report.epoch,
        phase: Phase::Open,
        tail,
        index: recovered.index,
        keys: recovered.keys,
        tickets: VecDeque::new(),
        arriving: Vec::new(),
        spaces,
        turns: VecDeque::new(),
        full: None,
        wants_space: false,
        first: recovered.report.first,
        stable: end,
        written: end,
        position: end,
        backlog: 0,
        backlog_max: options.backlog_bytes_max,
        record_max: options.record_bytes_max(),
        last_timestamp: recovered.last_timestamp,
        written_messages: 0,
        counters: Counters::default(),
    };
    assert_eq!(recovered.mark.last().position, end);
    Shared {
        key_work: state.keys.changed.clone(),
        key_files: recovered.key_files,
        runtime,
        cache: Rc::new(Cache::new(options.block_cache_bytes)),
        pacing: Pacing::default(),
        zeroing: Zeroing::new(block_ceiling(end), options.zero_ahead_bytes),
        pages: PageCache::new(options.index_cache_pages),
        options,
        sink,
        state: state.into(),
        segments: recovered.segments.into(),
        index_files: recovered.index_files.into(),
        progress: recovered.progress.into(),
        snapshot_wanted: recovered.anew.into(),
        index_work: Default::default(),
        mark: recovered.mark,
        scrub: Default::default(),
        spares: Default::default(),
        appended: Default::default(),
        published: Default::default(),
        space: Default::default(),
        room: Default::default(),
        idle: Default::default(),
        operations: Default::default(),
    }
}
