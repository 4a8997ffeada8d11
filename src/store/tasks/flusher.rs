//! Writes the tail. One write is under way at a time; everything appended meanwhile goes out with
//! the next. No timer: a write begins as soon as there is something and the last one has ended.

use std::rc::Rc;

use ringmq_base::limits::BLOCK_BYTES;
use ringmq_io::{BlockBuffer, Disk, DiskError, File, Runtime};

use crate::{
    api::options::{FlushMode, Sink},
    files::{
        block::{block_ceiling, block_floor},
        segment::{BufferOf, Segment},
    },
    log::{
        inner::{LogInner, Operation},
        state::Phase,
        tail::Batch,
    },
    tasks::commit,
};

/// Memory kept for further writes: so many of the largest.
const POOL_WRITES: usize = 2;

/// Runs until the log is fenced, or closing with nothing left to write. The caller has counted it
/// among the operations of the log.
pub async fn run<R: Runtime, S: Sink>(shared: Rc<LogInner<R, S>>) {
    let _operation = Operation::adopt(&shared);
    let batch_max = shared.options.batch_bytes_max;
    let mut pool = Pool::<R> { buffers: Vec::new(), bytes: 0, most: POOL_WRITES * batch_max };
    loop {
        let (batch, phase) = {
            let state = shared.state.borrow();
            (state.next_batch(batch_max), state.phase.clone())
        };
        match (batch, phase) {
            (_, Phase::Fenced(_)) | (None, Phase::Closing) => break,
            (None, _) => shared.appended.wait().await,
            (Some(batch), _) => match write(&shared, &mut pool, batch).await {
                Ok(()) => note_written(&shared, batch),
                Err(error) => shared.fence(&error),
            },
        }
    }
}

/// Called when `batch` is durable at the log's level.
fn note_written<R: Runtime, S: Sink>(shared: &LogInner<R, S>, batch: Batch) {
    let durable = shared.options.flush == FlushMode::Sync;
    let (room, space) = {
        let mut state = shared.state.borrow_mut();
        if state.is_fenced() {
            // Another operation failed meanwhile; its tickets have been told so.
            return;
        }
        state.wrote(batch, durable);
        assert!(!durable || state.written <= state.stable, "acknowledged beyond the durable end");
        shared.prezero.advance(state.written);
        let space = state.space_ahead() < shared.options.zero_ahead_bytes;
        (state.backlog * 2 <= state.backlog_max, space)
    };
    commit::acknowledge(shared);
    if space {
        shared.space.notify();
    }
    if room {
        shared.room.notify();
    }
}

/// Writes the blocks of the batch. The block that the batch begins in is written again with the
/// same bytes in front, the rest of the last one is zeros.
async fn write<R: Runtime, S: Sink>(
    shared: &LogInner<R, S>,
    pool: &mut Pool<R>,
    batch: Batch,
) -> Result<(), DiskError> {
    let segment = shared.segment_at(batch.from).expect("appends go into open segments");
    let from = block_floor(batch.from);
    assert!(from > segment.start && batch.end <= segment.end());
    let need = (block_ceiling(batch.end) - from) as usize;
    let room = allocated_end(shared, &segment, batch.end) - from;
    let mut buffer = pool.take(shared.runtime.disk(), need, room);
    let used = (batch.end - from) as usize;
    let bytes = buffer.bytes_mut();
    let resident = shared.state.borrow().tail.copy(from, &mut bytes[..used]);
    assert!(resident, "what is not written yet is never evicted");
    bytes[used..].fill(0);
    let written = bytes.len();

    if shared.prezero.claim(from, from + written as u64).await {
        shared.state.borrow_mut().counters.zero_waits += 1;
    }
    let writer = segment.writer.borrow().clone().expect("the segment is open for writing");
    let began = shared.runtime.monotonic();
    shared.pacing.write_began();
    let result = writer.write(&buffer, from - segment.start).await;
    let ended = shared.runtime.monotonic();
    shared.pacing.write_ended(ended);
    pool.put(buffer);
    result?;
    segment.dirty.set(shared.options.flush == FlushMode::Async);
    shared.state.borrow_mut().note_write(written, ended.saturating_sub(began));
    Ok(())
}

/// Up to where the file of the segment surely has space, as a log position.
fn allocated_end<R: Runtime, S: Sink>(
    shared: &LogInner<R, S>,
    segment: &Segment<R>,
    end: u64,
) -> u64 {
    let state = shared.state.borrow();
    let space = state.spaces.iter().find(|space| space.start == segment.start);
    // Of a segment that appends have left it is only known that they had space.
    space.map_or_else(|| block_ceiling(end), |space| space.allocated)
}

/// Buffers for reuse. A write takes a whole buffer, so sizes are rounded to an eighth.
struct Pool<R: Runtime> {
    buffers: Vec<BufferOf<R>>,
    bytes: usize,
    /// Of all of them.
    most: usize,
}

impl<R: Runtime> Pool<R> {
    /// A buffer of at least `need` bytes and at most an eighth more or `room`, with any content.
    fn take(&mut self, disk: &R::Disk, need: usize, room: u64) -> BufferOf<R> {
        let rounded = need.next_multiple_of((need.next_power_of_two() / 16).max(BLOCK_BYTES));
        let bytes = if rounded as u64 <= room { rounded } else { need };
        match self.buffers.iter().position(|buffer| buffer.bytes().len() == bytes) {
            Some(at) => {
                self.bytes -= bytes;
                self.buffers.swap_remove(at)
            }
            None => disk.buffer(bytes),
        }
    }

    fn put(&mut self, buffer: BufferOf<R>) {
        let bytes = buffer.bytes().len();
        if bytes > self.most {
            return;
        }
        while self.bytes + bytes > self.most {
            self.bytes -= self.buffers.remove(0).bytes().len();
        }
        self.bytes += bytes;
        self.buffers.push(buffer);
    }
}
