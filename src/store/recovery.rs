//! Finding the end of a log again: every record of every segment is checked, the queues are rebuilt
//! from them, and the place where valid records end is judged by the [`table`].
//!
//! A record counts if its checksum fits its position, its epoch is not smaller than that of its
//! predecessor, and, from the mark's cut on, not smaller than that of the mark. Nothing is changed
//! before the verdict. What was found behind the mark is written again and synced before it is
//! shown to anybody, and the new epoch is noted before anything is appended. A log that follows a
//! leader has no epoch of its own to tell what is appended from what a crash has left behind the
//! end: that is removed.

mod cut;
mod scan;
mod stabilize;
mod window;

use std::{collections::VecDeque, path::PathBuf, rc::Rc, time::Duration};

use ringmq_base::{LogPosition, limits::BLOCK_BYTES};
use ringmq_io::{Disk, DiskError, File, Runtime};

use crate::{
    api::{
        cases::Case,
        errors::OpenError,
        injected_bugs,
        options::{LogOptions, Opening},
        values::SegmentFacts,
    },
    files::{
        block::{BlockError, block_ceiling, block_floor},
        directory::remove_if_there,
        epochs::Epochs,
        mark::{Mark, MarkFile, NEW_NAME},
        salvage,
        segment::{self, FIRST_BYTES, HEADER_BYTES, Header, Segment, log_word, parse_name},
    },
    index::{self, Index, files::IndexFiles, progress::Progress},
    keys::{self, KeyBuffer, KeyFiles},
    log::space::Space,
};
pub use cut::{LogCut, cut_log};
use scan::{End, Limits, scan};
use stabilize::make_stable;
use window::Window;

/// What opening a log found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    pub case: Case,
    /// Messages scanned, those behind the snapshot, and bytes scanned for them.
    pub records: u64,
    pub bytes: u64,
    /// First position of the log and where the next append goes.
    pub first: u64,
    pub end: u64,
    /// Up to where mark and snapshot said that the log was on stable storage.
    pub mark: u64,
    /// Up to where the log may not be cut any more. The end of one that is opened alone; else what
    /// was known before, which may be more than is left of a log under ASYNC_FLUSH.
    pub committed: u64,
    /// What appends carry from now on; in a log that follows, what the last record has.
    pub epoch: u32,
    /// Where epochs begin, as far as is known; also that of an opening that has one of its own.
    pub epochs: Epochs,
    pub duration: Duration,
}

/// A log ready to go on.
pub struct Recovered<R: Runtime> {
    pub report: Recovery,
    pub index: Index,
    pub index_files: IndexFiles<R>,
    pub progress: Progress,
    /// The index was made anew because pages were missing or damaged.
    pub anew: bool,
    pub segments: Vec<Rc<Segment<R>>>,
    /// The segment of the end and those behind it.
    pub spaces: Vec<Space>,
    /// The bytes before the end in its block.
    pub resident: Vec<u8>,
    /// Records before it have not been looked at.
    pub checked_from: u64,
    pub keys: KeyBuffer,
    pub key_files: KeyFiles<R>,
    pub last_timestamp: i64,
    /// Where records of one segment end and those of the next begin, behind where the scan began.
    pub boundaries: VecDeque<(u64, u64)>,
    pub mark: MarkFile<R>,
}

/// A segment file before it is trusted.
struct Candidate<R: Runtime> {
    segment: Segment<R>,
    file_bytes: u64,
}

pub async fn recover<R: Runtime>(
    runtime: &R,
    options: &LogOptions,
) -> Result<Recovered<R>, OpenError> {
    let began = runtime.monotonic();
    let disk = runtime.disk();
    let (mark, new) = match load(disk, options).await? {
        Some(mark) => (mark, false),
        None => (create(disk, options).await?, true),
    };
    let candidates = open_segments::<R>(disk, options, &mark).await?;
    let loaded = index::load::load::<R>(disk, options, &mark).await?;
    let (section, from) = (loaded.keys.as_deref(), loaded.position);
    let (key_files, keys) = keys::open(runtime, options, mark.first, section, from).await?;
    let limits = Limits { end_max: mark.end_max() };
    let mut end = scan(runtime, &candidates, (&mark, limits), loaded, keys).await?;
    let next = next_mark(options, &mark, &end)?;
    end.loaded.apply_floors();
    keys::settle(&key_files, &mut end.keys, mark.first, end.position);
    if new {
        end.case = Case::New;
    }
    let mut recovered = accept(disk, options, candidates, (end, key_files), (&mark, next)).await?;
    recovered.report.duration = runtime.monotonic().saturating_sub(began);
    let Recovery { case, records, bytes, end, epoch, duration, .. } = &recovered.report;
    tracing::info!(
        log = %options.log, case = case.label(), records, bytes, end, mark = mark.position, epoch,
        milliseconds = duration.as_millis(), "log opened"
    );
    Ok(recovered)
}

/// What the mark says when the log is open, with what is known now. Nothing is changed yet.
fn next_mark<R: Runtime>(
    options: &LogOptions,
    mark: &Mark,
    end: &End<R>,
) -> Result<Mark, OpenError> {
    let position = end.position;
    let seen = mark.seen.max(end.last_epoch);
    // What the index has got was committed before.
    // A start reads from behind it, where a segment may begin.
    let indexed = end.loaded.stable.max(end.loaded.position);
    let committed = mark.committed.max(indexed);
    let stable = mark.position.max(committed.min(position));
    let next = Mark {
        position: stable,
        clean: false,
        claims: true,
        committed,
        cut: position,
        seen,
        cutting: false,
        epochs: end.epochs.clone(),
        ..mark.clone()
    };
    let mut next = match options.opening {
        Opening::Alone => Mark { position, committed: position, epoch: seen + 1, ..next },
        Opening::Leads { epoch } if epoch > seen => Mark { epoch, ..next },
        Opening::Leads { epoch: given } => {
            let path = options.directory.clone();
            return Err(OpenError::EpochSeen { path, given, seen });
        }
        Opening::Follows => {
            let claims = injected_bugs::claims(false);
            return Ok(Mark { epoch: end.last_epoch, claims, ..next });
        }
    };
    next.seen = next.epoch;
    next.epochs.began(next.epoch, position);
    Ok(next)
}

/// From here on the log is changed: what was found becomes stable, then the epoch counts.
async fn accept<R: Runtime>(
    disk: &R::Disk,
    options: &LogOptions,
    mut candidates: Vec<Candidate<R>>,
    (mut end, key_files): (End<R>, KeyFiles<R>),
    (mark, next): (&Mark, Mark),
) -> Result<Recovered<R>, OpenError> {
    let position = end.position;
    let unproven = mark.position.max(end.loaded.stable)..position;
    let before_end = |one: &Candidate<R>| one.segment.start + HEADER_BYTES <= position;
    let tail = candidates.iter().rposition(before_end).expect("the end is in a segment");
    // Where claims did not count, what a torn write has left makes some that are not true.
    let removes = mark.cutting || !mark.claims || options.opening == Opening::Follows;
    if removes {
        candidates.truncate(tail + 1);
    }
    for Candidate { segment, .. } in &candidates {
        if segment.end() > mark.position {
            segment.open_for_writing(disk, options.flush).await?;
            make_stable::<R>(disk, segment, &unproven).await?;
        }
    }
    // A segment may have its name from a rename whose sync failed.
    disk.sync_directory(&options.directory).await?;
    let resident = resident_of(&candidates[tail], position).await?;
    if removes {
        let last = &mut candidates[tail];
        cut::remove_behind::<R>(disk, options, &last.segment, (position, &resident)).await?;
        last.file_bytes = block_ceiling(position) - last.segment.start;
    }
    let (committed, epoch, epochs) = (next.committed, next.epoch, next.epochs.clone());
    let mark_file = MarkFile::begin(disk, &options.directory, next).await?;
    index::load::begin(disk, options, &mut end.loaded).await?;
    key_files.begin().await?;
    remove_leftovers(disk, options, mark.first).await?;
    let spaces = candidates[tail..].iter().map(|one| space_of(one, position)).collect();
    Ok(Recovered {
        report: Recovery {
            case: end.case,
            records: end.records,
            bytes: end.bytes,
            first: mark.first,
            end: position,
            mark: mark.position.max(end.loaded.stable),
            committed,
            epoch,
            epochs,
            duration: Duration::ZERO,
        },
        index: end.loaded.index,
        keys: end.keys,
        key_files,
        index_files: end.loaded.files,
        progress: end.loaded.progress,
        anew: !end.loaded.floors.is_empty(),
        segments: candidates.into_iter().map(|one| Rc::new(one.segment)).collect(),
        spaces,
        resident,
        boundaries: end.boundaries,
        checked_from: end.loaded.position,
        last_timestamp: end.loaded.last_timestamp,
        mark: mark_file,
    })
}

/// A segment as appends take it, in a log that ends at `position`.
fn space_of<R: Runtime>(one: &Candidate<R>, position: u64) -> Space {
    let (start, end) = (one.segment.start, one.segment.end());
    // A file may have been cut within the block of the last record.
    let used = block_ceiling(position).saturating_sub(start).min(end - start);
    let allocated = start + block_floor(one.file_bytes).clamp(used, end - start);
    Space { start, end, allocated }
}

/// The bytes before `position` in its block.
async fn resident_of<R: Runtime>(
    candidate: &Candidate<R>,
    position: u64,
) -> Result<Vec<u8>, DiskError> {
    let mut window = Window::new(&candidate.segment, block_floor(position));
    let need = (position - block_floor(position)) as usize;
    let found = window.at(block_floor(position), need).await?;
    Ok(found.get(..need).unwrap_or_default().to_vec())
}

/// A refusal that names a whole file.
fn refuse(case: Case, path: PathBuf, found: impl Into<String>) -> OpenError {
    OpenError::Refused { case, path, from: 0, to: 0, found: found.into() }
}

fn refuse_block(damaged: Case, path: PathBuf, error: BlockError) -> OpenError {
    let case = match error {
        BlockError::Newer(_) => Case::NewerFormat,
        _ => damaged,
    };
    refuse(case, path, error.to_string())
}

/// The mark of an existing log; `None` if the log was never completely created.
async fn load<D: Disk>(disk: &D, options: &LogOptions) -> Result<Option<Mark>, OpenError> {
    let path = options.directory.join(crate::files::mark::FILE_NAME);
    let starts = list_segments(disk, options).await?;
    let mark = match crate::files::mark::load(disk, &options.directory).await? {
        None if starts.is_empty() => return Ok(None),
        None => {
            return Err(refuse(Case::MissingMark, path, "no mark beside the segments"));
        }
        Some(Err(error)) => return Err(refuse_block(Case::DamagedMark, path, error)),
        Some(Ok(mark)) => mark,
    };
    if mark.store_id != options.store_id || mark.log != log_word(options.log) {
        let found = format!("the mark of log {} of store {:032x}", mark.log, mark.store_id);
        return Err(refuse(Case::ForeignSegment, path, found));
    }
    if starts.is_empty() && mark.position <= mark.first + HEADER_BYTES {
        return Ok(None);
    }
    Ok(Some(mark))
}

/// Creates what a log begins with; a start that was cut off before is repeated.
async fn create<D: Disk>(disk: &D, options: &LogOptions) -> Result<Mark, OpenError> {
    let mark = match crate::files::mark::load(disk, &options.directory).await? {
        Some(Ok(mark)) => mark,
        _ => {
            let (store_id, log) = (options.store_id, log_word(options.log));
            let mark = Mark { store_id, log, ..Mark::default() };
            crate::files::mark::create(disk, &options.directory, &mark).await?;
            mark
        }
    };
    let allocate = options.segment_bytes.min(HEADER_BYTES + FIRST_BYTES);
    let epoch = match options.opening {
        Opening::Leads { epoch } => epoch,
        Opening::Alone | Opening::Follows => mark.seen + 1,
    };
    let (start, bytes) = (LogPosition(mark.first), options.segment_bytes);
    let own = SegmentFacts { start, bytes, epoch };
    let facts = options.first_segment.filter(|facts| facts.start == start).unwrap_or(own);
    segment::create(disk, options, &facts, allocate).await?;
    Ok(mark)
}

async fn list_segments<D: Disk>(disk: &D, options: &LogOptions) -> Result<Vec<u64>, DiskError> {
    let files = disk.list(&options.directory).await?;
    let mut starts: Vec<u64> = files.iter().filter_map(|(name, _)| parse_name(name)).collect();
    starts.sort_unstable();
    Ok(starts)
}

/// Opens the segments and checks headers and succession.
async fn open_segments<R: Runtime>(
    disk: &R::Disk,
    options: &LogOptions,
    mark: &Mark,
) -> Result<Vec<Candidate<R>>, OpenError> {
    let mut candidates: Vec<Candidate<R>> = Vec::new();
    let mut expected = mark.first;
    let starts = list_segments(disk, options).await?;
    // What begins before the first segment was given up and not yet removed, and what begins behind
    // a cut likewise.
    let counts =
        |start: &u64| *start >= mark.first && mark.end_max().is_none_or(|end| *start < end);
    for start in starts.into_iter().filter(counts) {
        let path = options.directory.join(segment::file_name(start));
        let header = read_header(disk, options, path.clone(), start).await?;
        if start != expected {
            let found = format!("no segment {}", segment::file_name(expected));
            return Err(refuse(Case::MissingSegment, path, found));
        }
        expected = start + header.bytes;
        let segment = Segment::<R>::open(disk, path, &header).await?;
        let file_bytes = segment.reader.length().await?;
        candidates.push(Candidate { segment, file_bytes });
    }
    if candidates.is_empty() || expected < mark.position {
        let path = options.directory.join(segment::file_name(expected));
        let found = format!("no such file, the mark is at {}", mark.position);
        return Err(refuse(Case::MissingSegment, path, found));
    }
    Ok(candidates)
}

async fn read_header<D: Disk>(
    disk: &D,
    options: &LogOptions,
    path: PathBuf,
    start: u64,
) -> Result<Header, OpenError> {
    let file = disk.open(&path, ringmq_io::OpenMode::Read).await?;
    let block = file.read(0, BLOCK_BYTES).await?;
    let header = Header::read(block.bytes());
    file.close().await?;
    let header = match header {
        Ok(header) => header,
        Err(error) => return Err(refuse_block(Case::DamagedHeader, path, error)),
    };
    if header.log != log_word(options.log)
        || header.store_id != options.store_id
        || header.start != start
    {
        let Header { log, store_id, start, .. } = header;
        let found = format!("segment {start} of log {log} of store {store_id:032x}");
        return Err(refuse(Case::ForeignSegment, path, found));
    }
    let sound = header.bytes.is_multiple_of(BLOCK_BYTES as u64)
        && header.bytes > HEADER_BYTES
        && start.is_multiple_of(BLOCK_BYTES as u64)
        && start.checked_add(header.bytes).is_some_and(|end| end < 1 << 48);
    if !sound {
        let found = format!("a segment of {} bytes at {start}", header.bytes);
        return Err(refuse(Case::DamagedHeader, path, found));
    }
    Ok(header)
}

/// Files whose creation or removal was cut off.
async fn remove_leftovers<D: Disk>(
    disk: &D,
    options: &LogOptions,
    first: u64,
) -> Result<(), OpenError> {
    for (name, _) in disk.list(&options.directory).await? {
        let given_up = parse_name(&name).is_some_and(|start| start < first);
        let unfinished = name == NEW_NAME || name == salvage::NEW_NAME;
        if given_up || unfinished || name.ends_with(segment::NEW_SUFFIX) {
            remove_if_there(disk, &options.directory.join(name)).await?;
        }
    }
    Ok(())
}
