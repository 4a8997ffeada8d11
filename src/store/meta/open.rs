//! Finding the records of a metadata log again.

use std::path::Path;

use ringmq_io::{BlockBuffer as _, Disk as _, File as _, OpenMode, Runtime};

use super::{
    file::MetaFile,
    format::{HEADER_BYTES, MetaHeader, NEW_NAME, empty, file_name, parse_name},
};
use crate::{
    api::{
        cases::{Case, Ending, Found, Verdict},
        errors::OpenError,
    },
    files::{
        block::{BlockError, block_ceiling, block_floor},
        directory::{create_durably, remove_if_there},
        envelope::{self, Envelope, Kind, Reject},
        mark::{self, Mark, MarkFile},
        segment::FileOf,
    },
};

type Opened<R> = (MetaFile<R>, MarkFile<R>, Vec<Vec<u8>>);

pub async fn open<R: Runtime>(runtime: &R, directory: &Path) -> Result<Opened<R>, OpenError> {
    let disk = runtime.disk();
    let mark = load(runtime, directory).await?;
    let generations = generations(runtime, directory).await?;
    // What is newer than the mark says was never begun. Only of a log that was never opened the
    // mark names none.
    let newest = *generations.last().expect("load has created the first one");
    let generation = if generations.contains(&mark.first) { mark.first } else { newest };
    let path = directory.join(file_name(generation));
    let refuse = |case, from: u64, to: u64, found: String| OpenError::Refused {
        case,
        path: path.clone(),
        from,
        to,
        found,
    };
    if generation < mark.first {
        let found = format!("no generation {}", mark.first);
        return Err(refuse(Case::MissingSegment, 0, 0, found));
    }
    let file = disk.open(&path, OpenMode::WriteDurable).await?;
    let bytes = read_all(&file).await?;
    let header = read_header(&bytes, generation)
        .map_err(|(case, found)| refuse(case, 0, HEADER_BYTES, found))?;
    let marked = if mark.first == generation { mark.position } else { 0 };
    let (durable, clean) = (header.complete.max(marked), mark.clean.then_some(marked));
    let bounds = Bounds { durable, clean, mark: &mark };
    let scan = scan(&bytes, &bounds);
    if let Some((case, to, found)) = scan.refused {
        return Err(refuse(case, scan.position, to, found));
    }
    // A sync alone would not do, see recovery::stabilize.
    let floor = block_floor(scan.position) as usize;
    if scan.position > bounds.durable {
        write_again::<R>(disk, &file, &bytes, bounds.durable, scan.position).await?;
    }
    file.sync().await?;
    disk.sync_directory(directory).await?;
    let epoch = mark.seen.max(scan.last_epoch) + 1;
    let (position, first) = (scan.position, generation);
    let (committed, cut, seen) = (position, position, epoch);
    let clean = false;
    let next = Mark { position, committed, cut, seen, first, epoch, clean, ..mark };
    let mark = MarkFile::begin(disk, directory, next).await?;
    remove_others(runtime, directory, generation).await?;
    let file = MetaFile {
        runtime: runtime.clone(),
        file,
        path,
        generation,
        epoch,
        position: scan.position,
        allocated: block_floor(bytes.len() as u64),
        grow_bytes: super::META_GROW_BYTES,
        partial: bytes.get(floor..scan.position as usize).unwrap_or_default().to_vec(),
        marked_at: runtime.monotonic(),
    };
    Ok((file, mark, scan.records))
}

/// Writes the blocks of a range of the file's bytes as they were read.
async fn write_again<R: Runtime>(
    disk: &R::Disk,
    file: &FileOf<R>,
    bytes: &[u8],
    from: u64,
    to: u64,
) -> Result<(), OpenError> {
    let (from, to) = (block_floor(from), block_ceiling(to));
    let found = bytes.get(from as usize..bytes.len().min(to as usize)).unwrap_or_default();
    let mut buffer = disk.buffer((to - from) as usize);
    let (same, rest) = buffer.bytes_mut().split_at_mut(found.len());
    same.copy_from_slice(found);
    rest.fill(0);
    Ok(file.write(&buffer, from).await?)
}

fn read_header(bytes: &[u8], generation: u64) -> Result<MetaHeader, (Case, String)> {
    match MetaHeader::read(bytes.get(..HEADER_BYTES as usize).unwrap_or(bytes)) {
        Ok(header) if header.generation == generation => Ok(header),
        Ok(header) => Err((Case::ForeignSegment, format!("generation {}", header.generation))),
        Err(error @ BlockError::Newer(_)) => Err((Case::NewerFormat, error.to_string())),
        Err(error) => Err((Case::DamagedHeader, error.to_string())),
    }
}

/// The mark; creates mark and first generation if there is nothing yet.
async fn load<R: Runtime>(runtime: &R, directory: &Path) -> Result<Mark, OpenError> {
    let disk = runtime.disk();
    let path = directory.join(mark::FILE_NAME);
    let refuse = |case, found: String| OpenError::Refused {
        case,
        path: path.clone(),
        from: 0,
        to: 0,
        found,
    };
    let is_new = generations(runtime, directory).await?.is_empty();
    let mark = match mark::load(disk, directory).await? {
        None if is_new => {
            let mark = Mark::default();
            mark::create(disk, directory, &mark).await?;
            mark
        }
        None => return Err(refuse(Case::MissingMark, "no mark beside the log".into())),
        Some(Err(error @ BlockError::Newer(_))) => {
            return Err(refuse(Case::NewerFormat, error.to_string()));
        }
        Some(Err(error)) => return Err(refuse(Case::DamagedMark, error.to_string())),
        Some(Ok(mark)) => mark,
    };
    if is_new {
        if mark.seen > 0 {
            let found = format!("no file {}", file_name(mark.first));
            return Err(refuse(Case::MissingSegment, found));
        }
        let bytes = empty();
        let (new, path) = (directory.join(NEW_NAME), directory.join(file_name(1)));
        create_durably(disk, &new, &path, &bytes, bytes.len() as u64).await?;
    }
    Ok(mark)
}

async fn generations<R: Runtime>(runtime: &R, directory: &Path) -> Result<Vec<u64>, OpenError> {
    let files = runtime.disk().list(directory).await?;
    let mut found: Vec<u64> = files.iter().filter_map(|(name, _)| parse_name(name)).collect();
    found.sort_unstable();
    Ok(found)
}

async fn remove_others<R: Runtime>(
    runtime: &R,
    directory: &Path,
    generation: u64,
) -> Result<(), OpenError> {
    let disk = runtime.disk();
    for (name, _) in disk.list(directory).await? {
        let old = parse_name(&name).is_some_and(|other| other != generation);
        if old || name == NEW_NAME || name == mark::NEW_NAME {
            remove_if_there(disk, &directory.join(name)).await?;
        }
    }
    Ok(disk.sync_directory(directory).await?)
}

async fn read_all<F: ringmq_io::File>(file: &F) -> Result<Vec<u8>, OpenError> {
    const READ_BYTES: usize = 1 << 20;
    let mut bytes = Vec::new();
    loop {
        let read = file.read(bytes.len() as u64, READ_BYTES).await?;
        bytes.extend_from_slice(read.bytes());
        if read.bytes().len() < READ_BYTES {
            return Ok(bytes);
        }
    }
}

/// What is known of the end before the scan.
struct Bounds<'a> {
    /// Everything before it was on stable storage.
    durable: u64,
    /// Where the log ends, if it was closed in order.
    clean: Option<u64>,
    mark: &'a Mark,
}

struct Scanned {
    records: Vec<Vec<u8>>,
    position: u64,
    last_epoch: u32,
    /// Case, end of the damaged range, what was found.
    refused: Option<(Case, u64, String)>,
}

fn scan(bytes: &[u8], bounds: &Bounds<'_>) -> Scanned {
    let mut scanned =
        Scanned { records: Vec::new(), position: HEADER_BYTES, last_epoch: 0, refused: None };
    let (found, what) = loop {
        let position = scanned.position;
        let rest = bytes.get(position as usize..).unwrap_or_default();
        let least = bounds.mark.least_epoch(position, scanned.last_epoch);
        match Envelope::open(rest, position) {
            Ok(envelope) if envelope.epoch < least => {
                break (Found::StaleEpoch, format!("a record of epoch {}", envelope.epoch));
            }
            Ok(envelope) if envelope.kind == Kind::Metadata => {
                let end = envelope::BYTES + envelope.length as usize;
                let payload = rest.get(envelope::BYTES..end).unwrap_or_default();
                scanned.records.push(payload.to_vec());
                scanned.last_epoch = envelope.epoch;
                scanned.position += envelope.stride() as u64;
            }
            Ok(_) => {
                scanned.refused = Some((Case::ForeignSegment, position, "a message".into()));
                return scanned;
            }
            Err(error @ Reject::Newer(_)) => {
                scanned.refused = Some((Case::NewerFormat, position, error.to_string()));
                return scanned;
            }
            Err(Reject::Nothing) if rest.is_empty() => break (Found::EndOfFile, "the end".into()),
            Err(Reject::Nothing) => break (Found::Zeros, "zeros".into()),
            Err(error) => break (Found::Garbage, error.to_string()),
        }
    };
    let position = scanned.position;
    let before_mark = position < bounds.durable;
    let clean = bounds.clean == Some(position);
    let proof = if before_mark || clean { None } else { find_proof(bytes, position) };
    let case = Ending { found, before_mark, proven: proof.is_some(), clean }.case();
    if case.verdict() == Verdict::Refused {
        scanned.refused = Some((case, proof.unwrap_or(bounds.durable), what));
    }
    scanned
}

/// A record behind `position` that was appended when `position` was on stable storage.
fn find_proof(bytes: &[u8], position: u64) -> Option<u64> {
    (position + envelope::ALIGNMENT as u64..bytes.len() as u64).step_by(envelope::ALIGNMENT).find(
        |at| {
            let rest = bytes.get(*at as usize..).unwrap_or_default();
            Envelope::open(rest, *at).is_ok_and(|found| found.stable_before(*at) > position)
        },
    )
}
