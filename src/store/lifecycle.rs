//! How a log begins and ends: opened from what recovery found, closed with a clean mark.

use std::{collections::VecDeque, rc::Rc};

use ringmq_io::{Disk as _, Runtime};

use crate::{
    api::{
        counters::Counters,
        errors::{LogError, OpenError},
        options::{LogOptions, Opening, Sink},
    },
    cache::{Cache, pacing::Pacing},
    files::{
        block::{block_ceiling, block_floor},
        segment::{HEADER_BYTES, record_bytes_max},
    },
    index::{Index, page_cache::PageCache},
    keys::KeyBuffer,
    log::{
        Log,
        inner::LogInner,
        prezero::Prezero,
        space::Space,
        state::{Phase, State},
        tail::Tail,
    },
    recovery::{Recovered, Recovery, recover},
    retire::queues,
    tasks::{
        self,
        index_writes::{self, Failure},
    },
};

/// Unit of the memory of the hot tail, unless batches are smaller.
const CHUNK_BYTES: usize = 1 << 20;

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

    /// Writes and syncs everything appended, then the clean mark. Appends are refused from now on.
    /// When it resolves, no operation of this log is under way; fails if the log is fenced. A long
    /// batch that has begun gets in before.
    pub async fn close(self) -> Result<(), LogError> {
        let shared = &self.shared;
        self.settled().await;
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
                Ok(()) => Ok(()),
                // The next start replays more, no more than that.
                Err(Failure::Harmless(error)) => {
                    tracing::warn!(log = %shared.options.log, %error, "no last snapshot");
                    Ok(())
                }
                Err(Failure::OfData(error)) => Err(error),
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
) -> LogInner<R, S> {
    let end = recovered.report.end;
    let tail = Tail::new(
        CHUNK_BYTES.min(options.batch_bytes_max),
        options.hot_tail_bytes,
        (block_floor(end), &recovered.resident),
        recovered.checked_from,
    );
    let spaces: VecDeque<Space> = recovered.spaces.into();
    assert!(spaces.front().is_some_and(|space| {
        space.start + HEADER_BYTES <= end && end <= space.allocated && space.allocated <= space.end
    }));
    let found = (&recovered.report, recovered.last_timestamp);
    let mut state = first_state(&options, found, (recovered.index, recovered.keys), (tail, spaces));
    // What is not settled begins somewhere, for the next snapshot too.
    state.segment_boundaries = recovered.boundaries;
    assert!(recovered.mark.last().position <= end);
    LogInner {
        key_work: state.keys.changed.clone(),
        key_files: recovered.key_files,
        runtime,
        cache: Rc::new(Cache::new(options.block_cache_bytes)),
        pacing: Pacing::default(),
        prezero: Prezero::new(block_ceiling(end), options.zero_ahead_bytes),
        pages: PageCache::new(options.index_cache_pages),
        options,
        sink,
        state: state.into(),
        segments: recovered.segments.into(),
        index_files: recovered.index_files.into(),
        progress: recovered.progress.into(),
        snapshot_wanted: recovered.anew.into(),
        index_error: Default::default(),
        index_work: Default::default(),
        mark: recovered.mark,
        damage: Default::default(),
        spares: Default::default(),
        acknowledged: Default::default(),
        batch_appended: Default::default(),
        appended: Default::default(),
        published: Default::default(),
        space: Default::default(),
        room: Default::default(),
        idle: Default::default(),
        operations: Default::default(),
    }
}

/// What a log knows that has nothing to write.
fn first_state<T>(
    options: &LogOptions,
    (report, last_timestamp): (&Recovery, i64),
    (index, keys): (Index, KeyBuffer),
    (tail, spaces): (Tail, VecDeque<Space>),
) -> State<T> {
    // What was not known to be committed waits for the replicas again.
    let alone = options.opening == Opening::Alone;
    State {
        log: options.log,
        epoch: report.epoch,
        phase: match options.opening {
            Opening::Follows => Phase::Following,
            Opening::Alone | Opening::Leads { .. } => Phase::Open,
        },
        tail,
        index,
        keys,
        tickets: VecDeque::new(),
        arriving: Vec::new(),
        spaces,
        announced: VecDeque::new(),
        segment_boundaries: VecDeque::new(),
        stalled: None,
        space_wanted: 0,
        space_missed: 0,
        first: report.first,
        stable: report.end,
        written: report.end,
        committed: report.committed.min(report.end),
        allowed: if alone { u64::MAX } else { report.committed },
        stable_everywhere: if alone { u64::MAX } else { 0 },
        counts_from: u64::MAX,
        position: report.end,
        backlog: 0,
        backlog_max: options.backlog_bytes_max,
        record_max: record_bytes_max(options.segment_bytes),
        last_timestamp,
        written_messages: 0,
        counters: Counters::default(),
    }
}
