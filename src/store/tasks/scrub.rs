//! Reads old segments again, slowly, so that damage of the medium comes to light while a copy may
//! still be at hand, and not when a consumer asks.
//!
//! A round goes over all segments that are complete, on stable storage and not written any more,
//! past all caches, and compares the checksum of every record. Damage is told once a round, and
//! remembered: reads of such a range are refused without a try on the disk while the memory is
//! fresh. Nothing is changed. Between two rounds the task sleeps.

use std::{rc::Rc, time::Duration};

use ringmq_base::limits::BLOCK_BYTES;
use ringmq_io::Runtime;

use crate::{
    api::options::Sink,
    check::source::{Pace, Place, Source},
    files::{
        envelope::Kind,
        segment::{HEADER_BYTES, Header, Segment, log_word},
    },
    log::{inner::LogInner, known_damage::DamagedRange},
};

/// The first round begins so long after the start, or after the interval if that is shorter.
const FIRST_AFTER: Duration = Duration::from_secs(600);
const READ_BYTES: usize = 256 << 10;

/// Runs until the log is closed or fenced. Ends at once if scrubbing is off.
pub async fn run<R: Runtime, S: Sink>(shared: Rc<LogInner<R, S>>) {
    let interval = shared.options.scrub_interval;
    if interval.is_zero() || shared.options.scrub_bytes_per_second == 0 {
        return;
    }
    let mut due = shared.runtime.monotonic() + interval.min(FIRST_AFTER);
    loop {
        while shared.is_open() {
            let left = due.saturating_sub(shared.runtime.monotonic());
            if left.is_zero() {
                break;
            }
            let changed = shared.damage.changed.wait();
            futures_lite::future::or(shared.runtime.sleep(left), changed).await;
        }
        if !shared.is_open() {
            return;
        }
        due = shared.runtime.monotonic() + interval;
        round(&shared).await;
    }
}

/// Checks every segment that is complete by the time its turn comes.
async fn round<R: Runtime, S: Sink>(shared: &LogInner<R, S>) {
    let mut position = 0;
    while let Some(segment) = next_complete(shared, position).filter(|_| shared.is_open()) {
        let (from, to) = (segment.start, segment.end());
        let Some(found) = check(shared, &segment).await else {
            return;
        };
        // Retention may have given the file to somebody else meanwhile.
        let still_there = shared.segment_at(from).is_some_and(|other| Rc::ptr_eq(&other, &segment));
        if still_there {
            for DamagedRange { from, to, path, found, .. } in &found {
                tracing::error!(
                    log = %shared.options.log, path = %path.display(), from, to, found,
                    "damage found by scrubbing; restore the file from a copy or a replica"
                );
                shared.cache.forget_log(*from, *to);
            }
            shared.damage.replace(from, to, found);
        }
        position = to;
    }
}

/// The first segment at `position` or behind it, if it is complete, stable and not written to.
fn next_complete<R: Runtime, S: Sink>(
    shared: &LogInner<R, S>,
    position: u64,
) -> Option<Rc<Segment<R>>> {
    let state = shared.state.borrow();
    let active = state.spaces.front().map_or(0, |space| space.start);
    let limit = active.min(state.stable);
    let segments = shared.segments.borrow();
    let found = segments.iter().find(|segment| segment.start >= position)?;
    let zeroed = shared.prezero.under_way_from(found.start..found.end()).is_some();
    (found.end() <= limit && !zeroed).then(|| found.clone())
}

/// The damaged ranges of a segment; `None` if the log was closed meanwhile.
async fn check<R: Runtime, S: Sink>(
    shared: &LogInner<R, S>,
    segment: &Segment<R>,
) -> Option<Vec<DamagedRange>> {
    let bytes_per_second = shared.options.scrub_bytes_per_second;
    let pace = Pace { read_bytes: READ_BYTES, bytes_per_second };
    let whole = (segment.start, segment.end());
    let source = |position| Source::new(&shared.runtime, &*segment.reader, whole, position, pace);
    let mut found: Vec<DamagedRange> = Vec::new();
    let mut damaged = |(from, to): (u64, u64), what: String| {
        let (path, seen) = (segment.path.clone(), shared.runtime.monotonic());
        found.push(DamagedRange { from, to, path, found: what, seen });
    };
    let mut reading = source(segment.start);
    let mut counted = 0;
    let block = reading.at(segment.start, BLOCK_BYTES).await;
    if let Err(what) = check_header(shared, segment, block.get(..BLOCK_BYTES).unwrap_or(block)) {
        damaged((segment.start, segment.start + HEADER_BYTES), what);
    }
    let mut position = segment.start + HEADER_BYTES;
    while shared.is_open() {
        let what = match reading.look(position).await {
            Place::Record(envelope)
                if matches!(envelope.kind, Kind::Message | Kind::EpochStart) =>
            {
                position += envelope.stride() as u64;
                count(shared, &mut counted, reading.read);
                continue;
            }
            Place::Record(envelope) if envelope.kind == Kind::EndOfSegment => {
                count(shared, &mut counted, reading.read);
                return Some(found);
            }
            Place::Record(envelope) => format!("a record of kind {:?}", envelope.kind),
            Place::Other { what, .. } => what,
        };
        // Twice: what a second read does not find was on the way, not on the medium.
        let mut again = source(position);
        if matches!(again.look(position).await, Place::Record(_)) {
            (reading, counted) = (again, 0);
            continue;
        }
        let next = again.next_record(position + 8, u64::MAX).await;
        let to = next.map_or_else(|| segment.end(), |(next, _)| next);
        let why = again.unreadable(position, to).map(|why| format!("cannot be read: {why}"));
        damaged((position, to), why.unwrap_or(what));
        count(shared, &mut counted, reading.read);
        if next.is_none() {
            return Some(found);
        }
        (reading, counted, position) = (source(to), 0, to);
    }
    None
}

fn check_header<R: Runtime, S: Sink>(
    shared: &LogInner<R, S>,
    segment: &Segment<R>,
    block: &[u8],
) -> Result<(), String> {
    let header = Header::read(block).map_err(|error| error.to_string())?;
    let options = &shared.options;
    let ours = header.log == log_word(options.log) && header.store_id == options.store_id;
    let fits = ours && header.start == segment.start && header.bytes == segment.bytes;
    if fits { Ok(()) } else { Err("the header of another segment".to_owned()) }
}

/// Adds to the sum what was read since the last call.
fn count<R: Runtime, S: Sink>(shared: &LogInner<R, S>, counted: &mut u64, read: u64) {
    shared.state.borrow_mut().counters.scrubbed_bytes += read - *counted;
    *counted = read;
}
