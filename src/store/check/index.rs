//! The index of a log: snapshots and the pages that the newest intact one counts on. A start can do
//! without most of it, since the log is the only truth; the remedies say so.

use std::{collections::BTreeMap, path::Path};

use ringmq_base::{LogId, limits::BLOCK_BYTES};
use ringmq_io::{Disk as _, File as _, OpenMode, Runtime};

use crate::{
    api::cases::Case,
    check::{
        StoreIdentity,
        report::{Damage, FileReport},
        source::{Pace, Source},
    },
    files::{block::BlockError, segment::log_word},
    index::{
        files,
        page::{Page, read_footer},
        snapshot::{self, SECTION_BYTES, file_bytes},
    },
};

type DiskResult<T> = ringmq_io::disk::Result<T>;

const BLOCK: u64 = BLOCK_BYTES as u64;
/// No section is larger.
const SECTION_BYTES_MAX: u64 = 256 << 20;
const PASSED_OVER: &str = "a start passes over it and reads more of the log instead";
const MADE_ANEW: &str =
    "delete the file while the broker is stopped: the next start makes the index anew from the log";

/// What of the index is known to be sound.
#[derive(Default)]
pub struct CheckedIndex {
    pub files: Vec<FileReport>,
    /// Header of the newest intact snapshot.
    pub snapshot: Option<snapshot::Header>,
}

/// Checks the snapshots and the index segments among the files `listed`. `first`: where the log
/// begins.
pub async fn check_index<R: Runtime>(
    runtime: &R,
    directory: &Path,
    (log, identity): (LogId, &StoreIdentity),
    listed: &[(String, u64)],
    first: u64,
) -> DiskResult<CheckedIndex> {
    let mut checked = CheckedIndex::default();
    let fits = |log_found: u32, store_id: u128| {
        log_found == log_word(log) && identity.store_id.is_none_or(|id| id == store_id)
    };
    let mut unfit = Vec::new();
    for (name, length) in listed {
        let Some(sequence) = snapshot::parse_name(name) else {
            continue;
        };
        let report = FileReport::new(directory.join(name), "snapshot of the index");
        let (mut report, header) = check_snapshot(runtime, report, sequence, *length).await?;
        let foreign = header.filter(|header| !fits(header.log, header.store_id));
        if let Some(header) = foreign {
            let found = format!("of log {} of store {:032x}", header.log, header.store_id);
            report = report.damaged(Case::ForeignSegment, (0, BLOCK), found);
        }
        if !report.is_sound() {
            unfit.push(checked.files.len());
        } else if checked.snapshot.is_none_or(|other| other.sequence < sequence) {
            checked.snapshot = header;
        }
        checked.files.push(report);
    }
    if checked.snapshot.is_some() || first == 0 {
        for at in unfit {
            let damages = checked.files.get_mut(at).map(|file| file.damages.as_mut_slice());
            for damage in damages.unwrap_or_default() {
                if damage.what == Case::DamagedSnapshot.label() {
                    damage.remedy = PASSED_OVER;
                }
            }
        }
    }
    let starts: BTreeMap<u64, u64> = listed
        .iter()
        .filter_map(|(name, length)| Some((files::parse_name(name)?, *length)))
        .collect();
    let mut expected = None;
    for (start, length) in starts {
        let path = directory.join(files::file_name(start));
        let report = FileReport::new(path, "");
        let report = match checked.snapshot {
            Some(snapshot) if counts(&snapshot) && start <= snapshot.index_segment => {
                if let Some(missing) = expected.filter(|expected| *expected < start) {
                    checked.files.push(missing_file(directory, missing));
                }
                let (report, end) =
                    check_pages(runtime, report, (start, length), &snapshot, &fits).await?;
                expected = Some(end);
                report
            }
            _ => FileReport { note: "behind what a snapshot counts".into(), ..report },
        };
        checked.files.push(report);
    }
    if let Some(snapshot) = checked.snapshot
        && counts(&snapshot)
        && expected.is_none_or(|end| end <= snapshot.index_segment)
    {
        checked.files.push(missing_file(directory, snapshot.index_segment));
    }
    Ok(checked)
}

/// Whether there is a page that the snapshot counts on.
fn counts(snapshot: &snapshot::Header) -> bool {
    snapshot.index_end > snapshot.index_segment
}

fn missing_file(directory: &Path, start: u64) -> FileReport {
    let path = directory.join(files::file_name(start));
    FileReport::new(path, "missing")
        .damaged(Case::MissingSegment, (0, 0), "no such file")
        .remedied("none needed: the next start makes the index anew from the log")
}

fn block_case(damaged: Case, error: &BlockError) -> Case {
    match error {
        BlockError::Newer(_) => Case::NewerFormat,
        _ => damaged,
    }
}

async fn check_snapshot<R: Runtime>(
    runtime: &R,
    report: FileReport,
    sequence: u64,
    length: u64,
) -> DiskResult<(FileReport, Option<snapshot::Header>)> {
    let file = runtime.disk().open(&report.path, OpenMode::Read).await?;
    let end = length.next_multiple_of(BLOCK);
    let mut source = Source::new(runtime, &file, (0, end), 0, Pace::FULL);
    let block = source.at(0, BLOCK_BYTES).await;
    let header = snapshot::Header::read(block.get(..BLOCK_BYTES).unwrap_or(block));
    let result = match header {
        Ok(header) if header.sequence != sequence => {
            let found = format!("snapshot {}", header.sequence);
            (report.damaged(Case::DamagedSnapshot, (0, BLOCK), found), None)
        }
        Ok(header) => match check_sections(&mut source, &header).await {
            Ok(()) => {
                let snapshot::Header { position, queues, .. } = header;
                let note = format!("{queues} queues as of {position}");
                (FileReport { note, ..report }, Some(header))
            }
            Err((range, found)) => (report.damaged(Case::DamagedSnapshot, range, found), None),
        },
        Err(error) => {
            let case = block_case(Case::DamagedSnapshot, &error);
            (report.damaged(case, (0, BLOCK), error.to_string()), None)
        }
    };
    let bytes = source.read;
    file.close().await?;
    let (report, header) = result;
    Ok((FileReport { bytes, ..report }, header))
}

/// The first damaged section, with its range.
async fn check_sections<R: Runtime>(
    source: &mut Source<'_, R>,
    header: &snapshot::Header,
) -> Result<(), ((u64, u64), String)> {
    let end = file_bytes(header.bytes).min(BLOCK.saturating_add(header.bytes));
    let mut at = BLOCK;
    while at < end {
        let head = source.at(at, SECTION_BYTES).await;
        let length = head.get(8..SECTION_BYTES).and_then(|length| length.first_chunk());
        let Some(length) = length.map(|length| u64::from_le_bytes(*length)) else {
            return Err(((at, end), "the end of the file".into()));
        };
        let need = length.saturating_add(SECTION_BYTES as u64);
        if need > end - at || need > SECTION_BYTES_MAX {
            return Err(((at, end), format!("a section of {need} bytes, {} are left", end - at)));
        }
        let bytes = source.at(at, need as usize).await;
        if snapshot::next_section(bytes, header.sequence).is_none() {
            let why = source.unreadable(at, at + need);
            let found = why.map_or_else(
                || "a wrong checksum".to_owned(),
                |why| format!("cannot be read: {why}"),
            );
            return Err(((at, at + need), found));
        }
        at += need;
    }
    Ok(())
}

/// Checks what `snapshot` counts on of the index segment; answers also where the next one begins.
async fn check_pages<R: Runtime>(
    runtime: &R,
    mut report: FileReport,
    (start, length): (u64, u64),
    snapshot: &snapshot::Header,
    fits: impl Fn(u32, u128) -> bool,
) -> DiskResult<(FileReport, u64)> {
    let file = runtime.disk().open(&report.path, OpenMode::Read).await?;
    let end = length.next_multiple_of(BLOCK);
    let mut source = Source::new(runtime, &file, (0, end), 0, Pace::FULL);
    let block = source.at(0, BLOCK_BYTES).await;
    let header = files::Header::read(block.get(..BLOCK_BYTES).unwrap_or(block));
    let header = match header {
        Ok(header) => {
            let sound = header.start == start && (3..1 << 32).contains(&header.blocks);
            let fits = sound && fits(header.log, header.store_id);
            let found = "the header of another index segment".to_owned();
            if fits { Ok(header) } else { Err((Case::ForeignSegment, found)) }
        }
        Err(error) => Err((block_case(Case::DamagedHeader, &error), error.to_string())),
    };
    let mut next = start + end / BLOCK;
    match header {
        Err((case, found)) => {
            report = report.damaged(case, (0, BLOCK), found);
            if case != Case::NewerFormat {
                report = report.remedied(MADE_ANEW);
            }
        }
        Ok(header) => {
            next = start + header.blocks;
            let pages_end = next - files::footer_blocks(header.blocks);
            let complete = start < snapshot.index_segment;
            let last = if complete { next } else { snapshot.index_end.min(pages_end) };
            let mut damages: Vec<Damage> = Vec::new();
            for number in start + 1..last {
                let at = (number - start) * BLOCK;
                let block = source.at(at, BLOCK_BYTES).await;
                let block = block.get(..BLOCK_BYTES).unwrap_or(block);
                let opened = if number < pages_end {
                    Page::open(block, number).map(|page| page.len() as u64)
                } else {
                    read_footer(block, number).map(|_| 0)
                };
                match opened {
                    Ok(entries) => report.records += entries,
                    Err(error) => add(&mut damages, (at, at + BLOCK), error.to_string()),
                }
            }
            report.damages.extend(damages);
            report.note =
                format!("{} entries in {} pages", report.records, last.saturating_sub(start + 1));
        }
    }
    report.bytes = source.read;
    file.close().await?;
    Ok((report, next))
}

/// Adds a damaged page to the list, or to the range that ends where it begins.
fn add(damages: &mut Vec<Damage>, (from, to): (u64, u64), found: String) {
    match damages.last_mut() {
        Some(last) if last.to == from && last.found == found => last.to = to,
        _ => {
            let what = "damaged index page";
            damages.push(Damage { what, remedy: MADE_ANEW, from, to, found });
        }
    }
}
