//! Keeps allocated space ahead of the tail: grows the last segment step by step and creates the
//! next one before it is needed. Appends go only into space that is allocated, so a full disk
//! refuses appends and fails no write. What is only ahead of need never takes the last bytes of a
//! disk.

use std::{path::PathBuf, rc::Rc, time::Duration};

use ringmq_io::{Disk as _, DiskError, File as _, Runtime};

use crate::{
    api::{options::Sink, values::SegmentFacts},
    files::{
        block::block_floor,
        directory::is_full,
        segment::{self, FIRST_BYTES, HEADER_BYTES, Header, Segment},
    },
    log::{
        inner::LogInner,
        space::{Space, Stalled},
        spares,
        state::Phase,
    },
    tasks::index_writes,
};

/// Of the free bytes of a disk that nobody is waiting for, so many are left alone, or 1/64 of the
/// disk if that is less.
const LAST_BYTES_MAX: u64 = 256 << 20;
/// After the log could not grow: earliest next try.
const RETRY: Duration = Duration::from_millis(100);
/// So many times [`RETRY`] if nobody wants space meanwhile: with the try itself within a second.
const IDLE_RETRIES: usize = 9;

enum Step {
    Grow { space: Space, to: u64 },
    Create { facts: SegmentFacts, allocate: u64 },
}

/// A segment that is complete on disk and not open yet.
struct Created {
    path: PathBuf,
    header: Header,
    allocated: u64,
    recycled: bool,
}

/// Nothing that fails here puts in doubt what was written, so nothing fences the log: it is tried
/// again, and appends are refused when the space that the log has is used up.
pub async fn run<R: Runtime, S: Sink>(shared: Rc<LogInner<R, S>>) {
    if let Some(_operation) = shared.begin()
        && let Err(error) = shared.spares.adopt(shared.runtime.disk(), &shared.options).await
    {
        tracing::warn!(%error, "spare segments of an earlier start are not used");
    }
    let mut created = None;
    loop {
        let Some(step) = next_step(&shared) else {
            shared.space.wait().await;
            if !shared.is_open() {
                return;
            }
            continue;
        };
        let Some(operation) = shared.begin() else {
            return;
        };
        let Some(step) = affordable(&shared, step).await else {
            drop(operation);
            wait_to_retry(&shared).await;
            continue;
        };
        let result = match index_behind(&shared, &step) {
            Some(stalled) => Err(stalled),
            None => match take(&shared, &step, &mut created).await {
                Ok(()) => Ok(()),
                Err(error) => Err(stalled_by(&shared, &step, &error).await),
            },
        };
        drop(operation);
        match result {
            Ok(()) => note_grown(&shared),
            Err(stalled) => {
                note_stalled(&shared, stalled);
                wait_to_retry(&shared).await;
            }
        }
        if !shared.is_open() {
            return;
        }
    }
}

/// What was missing comes back without a sign: looks again soon if an append was refused, else now
/// and then, so that the next append finds room.
async fn wait_to_retry<R: Runtime, S: Sink>(shared: &LogInner<R, S>) {
    for _ in 0..IDLE_RETRIES {
        shared.runtime.sleep(RETRY).await;
        if !shared.is_open() || shared.state.borrow().space_wanted > 0 {
            return;
        }
    }
}

fn next_step<R: Runtime, S: Sink>(shared: &LogInner<R, S>) -> Option<Step> {
    let state = shared.state.borrow();
    let ahead = shared.options.zero_ahead_bytes;
    let last = *state.spaces.back()?;
    // What could not be had is tried for until it can: who wants it again is not to be refused for
    // what has been long over.
    let missed = if state.stalled.is_some() { state.space_missed } else { 0 };
    let wanted = state.space_wanted.max(missed);
    // What the master has made, its follower makes as soon as it hears of it.
    let announced = matches!(state.phase, Phase::Following) && !state.announced.is_empty();
    if state.space_ahead() >= ahead.max(wanted) && !announced {
        return None;
    }
    // Of a disk that was found full, less is asked.
    let ahead = if state.stalled.as_ref().is_some_and(Stalled::is_full) {
        ahead.min(FIRST_BYTES)
    } else {
        ahead
    };
    if let Some(space) = state.spaces.iter().copied().find(|space| space.allocated < space.end) {
        return Some(Step::Grow { space, to: space.end.min(space.allocated + ahead) });
    }
    if state.spaces.len() > 1 && state.space_ahead() >= wanted && !announced {
        return None;
    }
    let facts = state.next_segment(shared.options.segment_bytes)?;
    assert_eq!(facts.start.0, last.end, "segments follow each other");
    let allocate = facts.bytes.min(HEADER_BYTES + ahead);
    Some(Step::Create { facts, allocate })
}

/// The step, made smaller when the disk has little left; `None` if nobody waits for it and it would
/// take of the last bytes of the disk, which are for appends.
async fn affordable<R: Runtime, S: Sink>(shared: &LogInner<R, S>, step: Step) -> Option<Step> {
    let reuses = matches!(step, Step::Create { .. }) && shared.spares.any();
    if reuses || shared.state.borrow().stalled.as_ref().is_some_and(Stalled::is_full) {
        return Some(step);
    }
    let asked = step.bytes();
    let space = shared.runtime.disk().space(&shared.options.directory).await;
    // A disk that does not tell is asked for the space itself.
    let Ok((free, total)) = space else {
        return Some(step);
    };
    let spare = free.saturating_sub((total / 64).min(LAST_BYTES_MAX));
    if spare >= asked * 8 {
        return Some(step);
    }
    let bytes = block_floor(spare / 8).max(FIRST_BYTES).min(asked);
    let needed = shared.state.borrow().space_wanted > 0;
    (needed || spare >= bytes).then(|| step.of(bytes))
}

impl Step {
    fn bytes(&self) -> u64 {
        match *self {
            Step::Grow { space, to } => to - space.allocated,
            Step::Create { allocate, .. } => allocate,
        }
    }

    fn of(self, bytes: u64) -> Step {
        match self {
            Step::Grow { space, to } => Step::Grow { space, to: to.min(space.allocated + bytes) },
            Step::Create { facts, allocate } => {
                Step::Create { facts, allocate: allocate.min(bytes) }
            }
        }
    }
}

/// The next segment, made of a spare if there is one.
async fn next_segment<R: Runtime, S: Sink>(
    shared: &LogInner<R, S>,
    facts: &SegmentFacts,
    allocate: u64,
) -> Result<Created, DiskError> {
    let (disk, options) = (shared.runtime.disk(), &shared.options);
    // Spares are as long as the segments that this log makes by itself.
    let spare = if facts.bytes == options.segment_bytes { shared.spares.take() } else { None };
    if let Some(spare) = spare {
        match segment::recycle(disk, options, facts, &spare).await {
            Ok((path, header)) => {
                return Ok(Created { path, header, allocated: header.bytes, recycled: true });
            }
            Err(error) => {
                tracing::warn!(%error, "a spare segment cannot be used");
                spares::discard(disk, &spare).await;
            }
        }
    }
    let (path, header) = segment::create(disk, options, facts, allocate).await?;
    Ok(Created { path, header, allocated: allocate, recycled: false })
}

/// `created` is a segment that an earlier try has made and could not open.
async fn take<R: Runtime, S: Sink>(
    shared: &LogInner<R, S>,
    step: &Step,
    created: &mut Option<Created>,
) -> Result<(), DiskError> {
    match *step {
        Step::Grow { space, to } => {
            let segment = shared.segment_at(space.start).expect("spaces are open segments");
            let filler = segment.filler.borrow().clone();
            let file = filler.expect("segments that appends may go to are open for writing");
            file.allocate(space.allocated - space.start, to - space.allocated).await?;
            let mut state = shared.state.borrow_mut();
            let grown = state.spaces.iter_mut().find(|other| other.start == space.start);
            // Appends may have left the segment meanwhile.
            if let Some(grown) = grown {
                grown.allocated = to;
            }
        }
        Step::Create { facts, allocate } => {
            let start = facts.start.0;
            if created.is_none() {
                *created = Some(next_segment(shared, &facts, allocate).await?);
            }
            let next = created.as_ref().expect("it was made when there was none");
            assert_eq!(next.header.start, start, "segments follow each other");
            let (disk, options) = (shared.runtime.disk(), &shared.options);
            let segment = Segment::open(disk, next.path.clone(), &next.header).await?;
            segment.open_for_writing(disk, options.flush).await?;
            let space = Space { start, end: segment.end(), allocated: start + next.allocated };
            if next.recycled {
                shared.prezero.skip_segment(start);
                shared.state.borrow_mut().counters.recycled_segments += 1;
            }
            *created = None;
            shared.segments.borrow_mut().push(Rc::new(segment));
            shared.state.borrow_mut().add_segment(space);
        }
    }
    Ok(())
}

fn note_grown<R: Runtime, S: Sink>(shared: &LogInner<R, S>) {
    let mut state = shared.state.borrow_mut();
    if state.stalled.take().is_some() {
        tracing::info!(log = %state.log, "the log can grow again");
    }
    state.space_wanted = 0;
    drop(state);
    shared.room.notify();
    shared.prezero.wake.notify();
}

/// The log must not grow into a further segment while too much of its index waits in memory.
fn index_behind<R: Runtime, S: Sink>(shared: &LogInner<R, S>, step: &Step) -> Option<Stalled> {
    let cause = index_writes::is_behind(shared)?;
    let cause = format!("its index cannot be written: {cause}").into();
    matches!(step, Step::Create { .. }).then_some(Stalled::Failed { cause })
}

async fn stalled_by<R: Runtime, S: Sink>(
    shared: &LogInner<R, S>,
    step: &Step,
    error: &DiskError,
) -> Stalled {
    if !is_full(error) {
        return Stalled::Failed { cause: error.to_string().into() };
    }
    let space = shared.runtime.disk().space(&shared.options.directory).await;
    let free = space.map_or(0, |(free, _)| free);
    Stalled::Full { needed: step.bytes(), free, path: error.path.clone() }
}

fn note_stalled<R: Runtime, S: Sink>(shared: &LogInner<R, S>, stalled: Stalled) {
    let mut state = shared.state.borrow_mut();
    if state.stalled.is_none() {
        tracing::warn!(
            log = %state.log, cause = %stalled.error(),
            "the log cannot grow; appends are refused when its space is used up"
        );
    }
    // Of several sizes the largest, which may still be wanted.
    let missed = if state.stalled.is_some() { state.space_missed } else { 0 };
    state.space_missed = missed.max(state.space_wanted);
    state.stalled = Some(stalled);
    state.space_wanted = 0;
    drop(state);
    shared.room.notify();
}
