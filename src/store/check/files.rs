//! The files of a commit log and of a metadata log: marks, headers, succession.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use ringmq_base::{LogId, limits::BLOCK_BYTES};
use ringmq_io::{Disk, File as _, OpenMode, Runtime};

use crate::{
    api::cases::{Case, Verdict},
    check::{
        StoreIdentity,
        index::check_index,
        keys::check_keys,
        report::FileReport,
        walk::{Bounds, Part, Walk, Walked},
    },
    files::{
        block::BlockError,
        directory::log_directory,
        envelope::Kind,
        mark::{self, Mark},
        pair::{self, Side as _},
        salvage,
        segment::{self, HEADER_BYTES, Header},
    },
    index::{files as index_files, snapshot},
    keys,
    meta::files as meta_files,
};

type DiskResult<T> = ringmq_io::disk::Result<T>;

/// What the check of a directory of files brings.
pub struct Checked {
    pub files: Vec<FileReport>,
    pub records: u64,
    pub missing: u64,
}

/// Checks log `log` of a store; `None` if there is no such directory.
pub async fn check_log<R: Runtime>(
    runtime: &R,
    root: &Path,
    log: LogId,
    identity: &StoreIdentity,
) -> DiskResult<Option<Checked>> {
    let directory = log_directory(root, log);
    let Some(listed) = list(runtime.disk(), &directory).await? else {
        return Ok(None);
    };
    let mut starts: Vec<u64> =
        listed.iter().filter_map(|(name, _)| segment::parse_name(name)).collect();
    starts.sort_unstable();
    let (mut mark_report, mark) = check_mark(runtime, &directory, starts.is_empty()).await?;
    if let Some(mark) = &mark {
        let store_fits = identity.store_id.is_none_or(|id| id == mark.store_id);
        if !store_fits || mark.log != segment::log_word(log) {
            let found = format!("the mark of log {} of store {:032x}", mark.log, mark.store_id);
            mark_report = mark_report.damaged(Case::ForeignSegment, (0, 0), found);
        }
    }
    let mut files = vec![mark_report];
    let (first, end_max) = match &mark {
        Some(mark) => (mark.first, mark.end_max()),
        None => (starts.first().copied().unwrap_or(0), None),
    };
    let given_up: Vec<u64> = starts.extract_if(.., |start| *start < first).collect();
    let is_cut = |start: &mut u64| end_max.is_some_and(|end| *start >= end);
    let cut_away: Vec<u64> = starts.extract_if(.., is_cut).collect();
    let index = check_index(runtime, &directory, (log, identity), &listed, first).await?;
    let stable = index.snapshot.map_or(0, |snapshot| snapshot.stable);
    let (parts, mut aside) = open_parts(runtime, &directory, log, identity, &starts, &mark).await?;
    let gaps = !aside.is_empty();
    let bounds = bounds_of(mark, stable);
    let (from_zero, durable) = (first == 0, bounds.durable);
    let mut walk = Walk::new(runtime, &parts, bounds, Kind::Message, from_zero);
    if gaps {
        walk.expect_gaps();
    }
    let walked = walk.run().await;
    let last = parts.last().map(|part| part.end);
    let wanted = walked.missing_file.or_else(|| last.filter(|end| durable > *end));
    if let Some(start) = wanted {
        aside.push(missing_segment(&directory, start));
    }
    let checked = Checked {
        records: walked.records.iter().sum(),
        missing: walked.missing_messages,
        files: Vec::new(),
    };
    aside.extend(part_reports(parts, walked, "messages"));
    aside.extend(not_read(&directory, given_up, "given up by retention"));
    aside.extend(not_read(&directory, cut_away, "behind where the log was cut"));
    aside.sort_by(|one, other| one.path.cmp(&other.path));
    files.append(&mut aside);
    files.extend(index.files);
    files.extend(check_keys(runtime, &directory, (log, identity), &listed).await?);
    for (name, _) in listed {
        let known = segment::parse_name(&name)
            .or_else(|| snapshot::parse_name(&name))
            .or_else(|| index_files::parse_name(&name))
            .or_else(|| keys::files::parse_name(&name));
        if let Some(note) = note_of_other(&name, known.is_some()) {
            files.push(FileReport::new(directory.join(name), note));
        }
    }
    Ok(Some(Checked { files, ..checked }))
}

/// What the end of a log is judged by, with a snapshot that knows that so much is stable.
fn bounds_of(mark: Option<Mark>, stable: u64) -> Bounds {
    mark.map_or_else(Bounds::default, |mark| Bounds {
        durable: mark.position.max(stable),
        clean: mark.clean.then_some(mark.position),
        mark,
    })
}

/// Segments that the next start removes.
fn not_read(directory: &Path, starts: Vec<u64>, why: &str) -> impl Iterator<Item = FileReport> {
    starts.into_iter().map(move |start| {
        let path = directory.join(segment::file_name(start));
        FileReport::new(path, format!("{why}; removed at the next start"))
    })
}

/// Files that are no part of the log or its index.
fn note_of_other(name: &str, known: bool) -> Option<&'static str> {
    if known || name == mark::FILE_NAME {
        return None;
    }
    if name.ends_with(".new") {
        return Some("left by a start or a change that was cut off; removed at the next start");
    }
    if name.ends_with(segment::SPARE_SUFFIX) {
        return Some("kept to become a new segment; holds no messages");
    }
    if salvage::parse_name(name).is_some() {
        return Some("cut from the end of the log, kept for people; holds no messages of the log");
    }
    Some("not checked: not known to this version")
}

fn missing_segment(directory: &Path, start: u64) -> FileReport {
    let path = directory.join(segment::file_name(start));
    FileReport::new(path, "missing").damaged(Case::MissingSegment, (0, 0), "no such file")
}

/// Names and lengths; `None` if there is no such directory.
async fn list<D: Disk>(disk: &D, directory: &Path) -> DiskResult<Option<Vec<(String, u64)>>> {
    match disk.list(directory).await {
        Err(error) if error.source.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

async fn check_mark<R: Runtime>(
    runtime: &R,
    directory: &Path,
    empty: bool,
) -> DiskResult<(FileReport, Option<Mark>)> {
    let path = directory.join(mark::FILE_NAME);
    let report = FileReport::new(path.clone(), "durable mark");
    let file = match runtime.disk().open(&path, OpenMode::Read).await {
        Ok(file) => file,
        Err(error) if error.source.kind() == ErrorKind::NotFound => {
            let note = "no mark: nothing was ever written here";
            let report = FileReport { note: note.into(), ..report };
            let missing = (0, 0);
            let found = "no mark beside the files of the log";
            let report =
                if empty { report } else { report.damaged(Case::MissingMark, missing, found) };
            return Ok((report, None));
        }
        Err(error) => return Err(error),
    };
    let read = file.read(0, pair::FILE_BYTES).await;
    file.close().await?;
    let read = match read {
        Ok(read) => read,
        Err(error) => {
            let range = (0, pair::FILE_BYTES as u64);
            return Ok((report.damaged(Case::DamagedMark, range, error.to_string()), None));
        }
    };
    let bytes = read.bytes();
    let report = FileReport { bytes: bytes.len() as u64, ..report };
    let mark = match Mark::newest(bytes) {
        Ok(mark) => mark,
        Err(error) => {
            let case = block_case(Case::DamagedMark, &error);
            let range = (0, bytes.len() as u64);
            return Ok((report.damaged(case, range, error.to_string()), None));
        }
    };
    let whole = bytes.chunks(BLOCK_BYTES).filter(|block| Mark::read(block).is_ok()).count();
    let Mark { position, committed, seen, .. } = mark;
    let state = if mark.clean { "closed in order" } else { "open" };
    let half = if whole < 2 { "; one of its two blocks is torn, the other counts" } else { "" };
    let mut note = format!("durable up to {position}, epoch {seen}, {state}");
    if committed > position {
        note.push_str(&format!(", committed up to {committed}"));
    }
    if let Some(end) = mark.end_max() {
        note.push_str(&format!(", cut at {end}"));
    }
    note.push_str(half);
    Ok((FileReport { note, ..report }, Some(mark)))
}

fn block_case(damaged: Case, error: &BlockError) -> Case {
    match error {
        BlockError::Newer(_) => Case::NewerFormat,
        _ => damaged,
    }
}

/// Opens the segments whose headers can be believed; the others, and those that are missing between
/// them, come as reports.
async fn open_parts<R: Runtime>(
    runtime: &R,
    directory: &Path,
    log: LogId,
    identity: &StoreIdentity,
    starts: &[u64],
    mark: &Option<Mark>,
) -> DiskResult<(Vec<Part<R>>, Vec<FileReport>)> {
    let (mut parts, mut aside) = (Vec::new(), Vec::new());
    let first = mark.as_ref().map(|mark| mark.first).or_else(|| starts.first().copied());
    let mut expected = first.unwrap_or_default();
    for (number, start) in starts.iter().copied().enumerate() {
        if start > expected {
            aside.push(missing_segment(directory, expected));
        }
        let path = directory.join(segment::file_name(start));
        let file = runtime.disk().open(&path, OpenMode::Read).await?;
        let length = file.length().await?;
        let next = starts.get(number + 1).copied();
        let report = FileReport::new(path, "");
        let header = match file.read(0, BLOCK_BYTES).await {
            Ok(block) => Header::read(block.bytes())
                .map_err(|error| (block_case(Case::DamagedHeader, &error), error.to_string())),
            Err(error) => Err((Case::DamagedHeader, error.to_string())),
        };
        let header =
            header.and_then(|header| check_header(&header, log, identity, start).map(|()| header));
        let range = (0, HEADER_BYTES);
        let end = match header {
            Ok(header) => {
                parts.push(Part { file, start, end: start + header.bytes, report });
                start + header.bytes
            }
            Err((Case::DamagedHeader, found)) => {
                // The records are looked at all the same, as far as the next segment.
                let end = next.unwrap_or_else(|| start + length.max(HEADER_BYTES));
                let report = report.damaged(Case::DamagedHeader, range, found);
                parts.push(Part { file, start, end, report });
                end
            }
            Err((case, found)) => {
                aside.push(report.damaged(case, range, found));
                next.unwrap_or_else(|| start + length)
            }
        };
        expected = end;
    }
    Ok((parts, aside))
}

fn check_header(
    header: &Header,
    log: LogId,
    identity: &StoreIdentity,
    start: u64,
) -> Result<(), (Case, String)> {
    let Header { store_id, bytes, .. } = *header;
    let store_fits = identity.store_id.is_none_or(|id| id == store_id);
    if header.log != segment::log_word(log) || !store_fits || header.start != start {
        let (log, start) = (header.log, header.start);
        let found = format!("segment {start} of log {log} of store {store_id:032x}");
        return Err((Case::ForeignSegment, found));
    }
    let sound = bytes.is_multiple_of(BLOCK_BYTES as u64)
        && bytes > HEADER_BYTES
        && start.checked_add(bytes).is_some_and(|end| end < 1 << 48);
    let found = || (Case::DamagedHeader, format!("a segment of {bytes} bytes at {start}"));
    if sound { Ok(()) } else { Err(found()) }
}

/// The reports of the parts with what the walk found.
fn part_reports<R: Runtime>(
    parts: Vec<Part<R>>,
    walked: Walked,
    records: &'static str,
) -> impl Iterator<Item = FileReport> {
    let Walked { end, damages, records: counts, bytes, .. } = walked;
    let found = damages.into_iter().zip(counts).zip(bytes);
    parts.into_iter().zip(found).enumerate().map(move |(number, (part, found))| {
        let ((damages, count), bytes) = found;
        let mut report = part.report;
        report.records = count;
        report.bytes = bytes;
        report.damages.extend(damages);
        report.note = match end {
            Some((at, position, case)) if at == number => {
                let verdict = match case.verdict() {
                    Verdict::Opens => format!("ends at {position}: {}", case.label()),
                    Verdict::Refused => format!("nothing intact from {position} on"),
                };
                format!("{count} {records}, {verdict}")
            }
            Some((at, ..)) if at < number => "space for what comes".to_owned(),
            _ => format!("{count} {records}"),
        };
        report
    })
}

/// Checks a metadata log; `None` if there is no such directory.
pub async fn check_meta<R: Runtime>(runtime: &R, directory: &Path) -> DiskResult<Option<Checked>> {
    let disk = runtime.disk();
    let Some(listed) = list(disk, directory).await? else {
        return Ok(None);
    };
    let names = || listed.iter().filter_map(|(name, _)| meta_files::parse_name(name));
    let newest = names().max();
    let (mark_report, mark) = check_mark(runtime, directory, newest.is_none()).await?;
    let marked = mark.as_ref().map(|mark| mark.first);
    let generation = names().find(|number| Some(*number) == marked).or(newest);
    let mut files = vec![mark_report];
    let mut records = 0;
    for (name, length) in listed {
        let path = directory.join(&name);
        match meta_files::parse_name(&name) {
            Some(number) if Some(number) == generation => {
                let report = check_generation(runtime, path, number, length, &mark).await?;
                records = report.records;
                files.push(report);
            }
            Some(_) => {
                files.push(FileReport::new(path, "another generation; removed at the next start"));
            }
            None => {
                let note = note_of_other(&name, false);
                files.extend(note.map(|note| FileReport::new(path, note)));
            }
        }
    }
    if let Some(first) = marked.filter(|first| generation < Some(*first)) {
        // Before the first generation is complete there is a mark without an epoch.
        if mark.is_some_and(|mark| mark.seen > 0) {
            let path = directory.join(meta_files::file_name(first));
            let report = FileReport::new(path, "missing");
            files.push(report.damaged(Case::MissingSegment, (0, 0), "no such file"));
        }
    }
    Ok(Some(Checked { files, records, missing: 0 }))
}

async fn check_generation<R: Runtime>(
    runtime: &R,
    path: PathBuf,
    generation: u64,
    length: u64,
    mark: &Option<Mark>,
) -> DiskResult<FileReport> {
    let file = runtime.disk().open(&path, OpenMode::Read).await?;
    let block = file.read(0, BLOCK_BYTES).await;
    let header = match &block {
        Ok(block) => meta_files::MetaHeader::read(block.bytes())
            .map_err(|error| (block_case(Case::DamagedHeader, &error), error.to_string())),
        Err(error) => Err((Case::DamagedHeader, error.to_string())),
    };
    let mut report = FileReport::new(path, "");
    let range = (0, HEADER_BYTES);
    let mut complete = 0;
    match header {
        Ok(header) if header.generation == generation => complete = header.complete,
        Ok(header) => {
            let found = format!("generation {}", header.generation);
            return Ok(report.damaged(Case::ForeignSegment, range, found));
        }
        Err((Case::DamagedHeader, found)) => {
            report = report.damaged(Case::DamagedHeader, range, found);
        }
        Err((case, found)) => return Ok(report.damaged(case, range, found)),
    }
    let mark = mark.clone().unwrap_or_default();
    let marked = if mark.first == generation { mark.position } else { 0 };
    let bounds =
        Bounds { durable: complete.max(marked), clean: mark.clean.then_some(marked), mark };
    let parts = [Part { file, start: 0, end: length.max(HEADER_BYTES), report }];
    let walked = Walk::new(runtime, &parts, bounds, Kind::Metadata, false).run().await;
    let mut reports = part_reports(parts.into(), walked, "records");
    Ok(reports.next().expect("there is one part"))
}
