//! The key index of a log: the headers of its segments and runs, and every page. It can be made
//! again from the log, and the remedy says so.

use std::path::Path;

use ringmq_base::{LogId, limits::BLOCK_BYTES};
use ringmq_io::{Disk as _, File as _, OpenMode, Runtime};

use crate::{
    check::{
        StoreIdentity,
        report::{Damage, FileReport},
        source::{Pace, Source},
    },
    files::{block::BlockError, segment::log_word},
    keys::{
        files::parse_name,
        page::{PAGE_ENTRIES, RunHeader, SegmentHeader, add_page_crc, pages_of, read_page},
    },
};

const BLOCK: u64 = BLOCK_BYTES as u64;
const WHAT: &str = "damaged key index";
const REMEDY: &str =
    "delete the file while the broker is stopped: its messages are indexed by key again";

/// Checks the key segments among the files `listed`.
pub async fn check_keys<R: Runtime>(
    runtime: &R,
    directory: &Path,
    (log, identity): (LogId, &StoreIdentity),
    listed: &[(String, u64)],
) -> ringmq_io::disk::Result<Vec<FileReport>> {
    let mut files = Vec::new();
    for (name, length) in listed {
        let Some(number) = parse_name(name) else {
            continue;
        };
        let mut report = FileReport::new(directory.join(name), "");
        let file = runtime.disk().open(&report.path, OpenMode::Read).await?;
        let end = length.next_multiple_of(BLOCK);
        let mut source = Source::new(runtime, &file, (0, end), 0, Pace::FULL);
        let block = block_at(&mut source, 0).await;
        let header = SegmentHeader::read(block).map_err(|error| error.to_string());
        let ours = |header: &SegmentHeader| {
            header.log == log_word(log)
                && identity.store_id.is_none_or(|id| id == header.store_id)
                && header.number == number
                && header.slots > 0
                && header.slot_blocks > 1
        };
        match header {
            Ok(header) if ours(&header) => check_runs(&mut source, &header, &mut report).await,
            Ok(_) => add(&mut report, 0, BLOCK, "the header of another key segment".into()),
            Err(found) => add(&mut report, 0, BLOCK, found),
        }
        report.bytes = source.read;
        file.close().await?;
        files.push(report);
    }
    Ok(files)
}

async fn block_at<'s, R: Runtime>(source: &'s mut Source<'_, R>, at: u64) -> &'s [u8] {
    let bytes = source.at(at, BLOCK_BYTES).await;
    bytes.get(..BLOCK_BYTES).unwrap_or(bytes)
}

fn add(report: &mut FileReport, from: u64, to: u64, found: String) {
    report.damages.push(Damage { what: WHAT, remedy: REMEDY, from, to, found });
}

/// Checks the runs of a segment. A run is begun when the one before is whole, so only what follows
/// the last whole one may be left by a crash; in a segment of one slot nothing may.
async fn check_runs<R: Runtime>(
    source: &mut Source<'_, R>,
    header: &SegmentHeader,
    report: &mut FileReport,
) {
    let mut runs = 0;
    let mut torn: Vec<(u64, u64, String)> = Vec::new();
    for slot in 0..header.slots {
        let from = (1 + u64::from(slot) * u64::from(header.slot_blocks)) * BLOCK;
        let block = block_at(source, from).await;
        if block.is_empty() {
            break;
        }
        let found = match RunHeader::read(block) {
            Ok(run) if run.is_sound(header, slot) => match check_pages(source, from, &run).await {
                Ok(()) => {
                    runs += 1;
                    report.records += u64::from(run.entries);
                    None
                }
                Err(bad) => Some(bad),
            },
            Ok(_) => Some((from, from + BLOCK, "the header of another run".to_owned())),
            Err(BlockError::Zeros | BlockError::Short(_)) => continue,
            Err(error) => Some((from, from + BLOCK, error.to_string())),
        };
        match found {
            Some(bad) => torn.push(bad),
            None => torn.drain(..).for_each(|(from, to, found)| add(report, from, to, found)),
        }
    }
    let last = if header.slots > 1 { torn.pop() } else { None };
    torn.into_iter().for_each(|(from, to, found)| add(report, from, to, found));
    let tail = if last.is_some() { ", the last one is not whole and not used" } else { "" };
    report.note = format!("{} keys in {runs} runs{tail}", report.records);
}

/// The first damaged place of a run whose header is at `from`.
async fn check_pages<R: Runtime>(
    source: &mut Source<'_, R>,
    from: u64,
    run: &RunHeader,
) -> Result<(), (u64, u64, String)> {
    let mut left = run.entries as usize;
    let mut crc = 0;
    let pages = pages_of(left) as u64;
    for (number, page) in (0_u32..).zip(1..=pages) {
        let at = from + page * BLOCK;
        let entries = left.min(PAGE_ENTRIES);
        left -= entries;
        match read_page(block_at(source, at).await, number, run.from, entries) {
            Ok((_, page_crc)) => crc = add_page_crc(crc, page_crc),
            Err(found) => return Err((at, at + BLOCK, found.to_owned())),
        }
    }
    let end = from + (1 + pages) * BLOCK;
    let found = || (from, end, "a wrong checksum of all pages".to_owned());
    if crc == run.pages_crc { Ok(()) } else { Err(found()) }
}
