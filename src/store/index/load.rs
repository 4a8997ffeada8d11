//! The index of a log that is opened: the newest intact snapshot, and the directory of the pages
//! before it.

use std::{
    path::{Path, PathBuf},
    rc::Rc,
};

use ringmq_base::limits::BLOCK_BYTES;
use ringmq_io::{Disk, DiskError, File, OpenMode, Runtime};

use super::{
    Index,
    files::{self, IndexFiles, IndexSegment},
    page::{PageEntry, read_footer},
    queue::PageRef,
    snapshot::{self, Header, Numbers, SECTION_BYTES, SECTION_PAGES, SECTION_QUEUES, SavedQueue},
};
use crate::{
    api::{cases::Case, errors::OpenError, options::LogOptions, values::QueueHandle},
    files::{
        block::BlockError,
        directory::remove_if_there,
        mark::Mark,
        segment::{HEADER_BYTES, log_word},
    },
    index::{progress::Progress, snapshot::SECTION_KEYS},
};

const READ_BYTES: usize = 1 << 20;
/// No section is larger.
const SECTION_BYTES_MAX: u64 = 256 << 20;

/// What is known before the scan.
pub struct Loaded<R: Runtime> {
    pub index: Index,
    pub files: IndexFiles<R>,
    pub progress: Progress,
    /// Where the scan begins; everything before is known.
    pub position: u64,
    /// Everything before it is on stable storage.
    pub stable: u64,
    pub epoch: u32,
    pub last_timestamp: i64,
    /// Next offsets of queues, for an index that is made anew: none before is ever given again.
    pub floors: Vec<(String, i32, i64)>,
    /// The key index's part of the snapshot.
    pub keys: Option<Vec<u8>>,
}

impl<R: Runtime> Loaded<R> {
    /// After the scan: queues of which no message is left go on where they were.
    pub fn apply_floors(&mut self) {
        for (topic, queue_id, next) in &self.floors {
            self.index.find_or_create(topic, *queue_id, *next);
        }
    }

    fn nothing(mark: &Mark, sequence: u64) -> Loaded<R> {
        let progress = Progress { sequence, first: mark.first, ..Progress::default() };
        Loaded {
            index: Index::default(),
            files: IndexFiles::empty(0),
            progress,
            position: mark.first + HEADER_BYTES,
            stable: 0,
            epoch: 0,
            last_timestamp: 0,
            floors: Vec::new(),
            keys: None,
        }
    }
}

/// Why a snapshot or the pages that it counts on do not serve.
enum Unfit {
    Disk(DiskError),
    Refused(Case, String),
    Damaged(String),
    /// Not all pages are there; the queues are known, and how far the log was stable.
    Pages(String, Vec<(String, i32, i64)>, u64),
}

impl From<DiskError> for Unfit {
    fn from(error: DiskError) -> Unfit {
        Unfit::Disk(error)
    }
}

/// Loads what there is; changes nothing.
pub async fn load<R: Runtime>(
    disk: &R::Disk,
    options: &LogOptions,
    mark: &Mark,
) -> Result<Loaded<R>, OpenError> {
    let files = disk.list(&options.directory).await?;
    let mut sequences: Vec<u64> =
        files.iter().filter_map(|(name, _)| snapshot::parse_name(name)).collect();
    sequences.sort_unstable();
    let last = sequences.last().copied().unwrap_or(0);
    let refuse = |case, path: PathBuf, found: String| {
        Err(OpenError::Refused { case, path, from: 0, to: 0, found })
    };
    let (mut floors, mut stable) = (Vec::new(), 0);
    for sequence in sequences.iter().rev() {
        let path = options.directory.join(snapshot::file_name(*sequence));
        match load_one::<R>(disk, options, mark, &path, *sequence).await {
            Ok(mut loaded) => {
                loaded.progress.sequence = last;
                return Ok(loaded);
            }
            Err(Unfit::Disk(error)) => return Err(error.into()),
            Err(Unfit::Refused(case, found)) => return refuse(case, path, found),
            Err(Unfit::Damaged(found)) => {
                tracing::warn!(path = %path.display(), found, "snapshot passed over");
            }
            Err(Unfit::Pages(found, queues, known)) => {
                tracing::warn!(log = %options.log, found, "the index is made anew from the log");
                (floors, stable) = (queues, known);
                break;
            }
        }
    }
    if mark.first > 0 && floors.is_empty() {
        // Queues whose messages are all deleted would begin at 0 again.
        let found = "no intact snapshot, and the log does not begin at 0".to_string();
        return refuse(Case::DamagedSnapshot, options.directory.clone(), found);
    }
    Ok(Loaded { floors, stable, ..Loaded::nothing(mark, last) })
}

async fn load_one<R: Runtime>(
    disk: &R::Disk,
    options: &LogOptions,
    mark: &Mark,
    path: &Path,
    sequence: u64,
) -> Result<Loaded<R>, Unfit> {
    let file = disk.open(path, OpenMode::Read).await?;
    let block = file.read(0, BLOCK_BYTES).await?;
    let header = match Header::read(block.bytes()) {
        Ok(header) => header,
        Err(error @ BlockError::Newer(_)) => {
            return Err(Unfit::Refused(Case::NewerFormat, error.to_string()));
        }
        Err(error) => return Err(Unfit::Damaged(error.to_string())),
    };
    if header.log != log_word(options.log) || header.store_id != options.store_id {
        let Header { log, store_id, .. } = header;
        let found = format!("a snapshot of log {log} of store {store_id:032x}");
        return Err(Unfit::Refused(Case::ForeignSegment, found));
    }
    if header.sequence != sequence {
        return Err(Unfit::Damaged(format!("snapshot {}", header.sequence)));
    }
    if header.position < mark.first + HEADER_BYTES {
        return Err(Unfit::Damaged(format!("position {} is not kept", header.position)));
    }
    let mut index = Index::default();
    let mut unfinished = Vec::new();
    let mut keys = None;
    let parts = (&mut index, &mut unfinished, &mut keys);
    let loaded = read_sections(&file, &header, parts).await;
    file.close().await?;
    loaded?;
    if index.len() != header.queues as usize {
        return Err(Unfit::Damaged(format!("{} queues of {}", index.len(), header.queues)));
    }
    let files =
        match open_files::<R>(disk, options, (&header, mark.first), &mut index, unfinished).await {
            Ok(files) => files,
            Err(Unfit::Damaged(found)) => {
                return Err(Unfit::Pages(found, floors_of(&index), header.stable));
            }
            Err(error) => return Err(error),
        };
    let bytes = snapshot::file_bytes(header.bytes);
    let Header { position, stable, epoch, last_timestamp, first, .. } = header;
    let progress = Progress { sequence, good: sequence, position, previous: None, bytes, first };
    let floors = Vec::new();
    Ok(Loaded { index, files, progress, position, stable, epoch, last_timestamp, floors, keys })
}

fn floors_of(index: &Index) -> Vec<(String, i32, i64)> {
    index.all().map(|(_, queue)| (queue.topic.to_string(), queue.queue_id, queue.next())).collect()
}

async fn read_sections<F: File>(
    file: &F,
    header: &Header,
    (index, unfinished, keys): (&mut Index, &mut Vec<PageEntry>, &mut Option<Vec<u8>>),
) -> Result<(), Unfit> {
    let mut bytes: Vec<u8> = Vec::new();
    let (mut left, mut at) = (header.bytes, BLOCK_BYTES as u64);
    let mut ended = false;
    while left > 0 {
        let length = bytes.get(8..SECTION_BYTES).and_then(|length| length.first_chunk());
        let need = match length {
            Some(length) => u64::from_le_bytes(*length).saturating_add(SECTION_BYTES as u64),
            None => SECTION_BYTES as u64,
        };
        if need > left || need > SECTION_BYTES_MAX {
            return Err(Unfit::Damaged(format!("a section of {need} bytes, {left} are left")));
        }
        if (bytes.len() as u64) < need {
            if ended {
                return Err(Unfit::Damaged("the end of the file".into()));
            }
            let read = file.read(at, READ_BYTES).await?;
            at += READ_BYTES as u64;
            ended = read.bytes().len() < READ_BYTES;
            bytes.extend_from_slice(read.bytes());
            continue;
        }
        let section = snapshot::next_section(&bytes, header.sequence);
        let Some((kind, payload, _)) = section else {
            return Err(Unfit::Damaged(format!("a wrong checksum {left} bytes before the end")));
        };
        let sound = match kind {
            SECTION_QUEUES => restore_queues(index, payload).is_some(),
            SECTION_PAGES => {
                unfinished.extend(snapshot::read_pages(payload));
                true
            }
            SECTION_KEYS => {
                *keys = Some(payload.to_vec());
                true
            }
            _ => false,
        };
        if !sound {
            return Err(Unfit::Damaged(format!("a malformed section of kind {kind}")));
        }
        left -= need;
        bytes.drain(..need as usize);
    }
    Ok(())
}

fn restore_queues(index: &mut Index, payload: &[u8]) -> Option<()> {
    let (first, rest) = payload.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*first) as usize != index.len() {
        return None;
    }
    let mut numbers = Numbers(rest);
    while !numbers.0.is_empty() {
        let mut saved = SavedQueue::read(&mut numbers)?;
        if index.find(saved.topic, saved.queue_id).is_some() {
            return None;
        }
        let handle = index.find_or_create(saved.topic, saved.queue_id, 0);
        index.queue(handle).restore(saved.min, saved.memory_first);
        while let Some(entry) = saved.entry(&mut numbers) {
            index.push(handle, entry.ok()?);
        }
    }
    Some(())
}

/// Opens the index segments that the snapshot counts on and fills the directory.
async fn open_files<R: Runtime>(
    disk: &R::Disk,
    options: &LogOptions,
    (header, first): (&Header, u64),
    index: &mut Index,
    unfinished: Vec<PageEntry>,
) -> Result<IndexFiles<R>, Unfit> {
    let mut files = IndexFiles::empty(header.index_end);
    if header.index_end > header.index_segment {
        for start in list(disk, options).await? {
            if start <= header.index_segment {
                let segment = open_segment::<R>(disk, options, start).await?;
                if files.segments.back().is_some_and(|last| last.end() != start) {
                    return Err(Unfit::Damaged(format!("no segment before {}", path_of(&segment))));
                }
                files.segments.push_back(Rc::new(segment));
            }
        }
        let last = files.segments.back().cloned();
        let Some(last) = last.filter(|last| last.start == header.index_segment) else {
            let name = files::file_name(header.index_segment);
            return Err(Unfit::Damaged(format!("no index segment {name}")));
        };
        if header.index_end > last.pages_end()
            || unfinished.len() as u64 != header.index_end - last.start - 1
        {
            return Err(Unfit::Damaged("another number of pages".into()));
        }
        for segment in files.segments.iter().take(files.segments.len() - 1) {
            let pages = read_footers(segment).await?;
            restore_pages(index, segment, &pages)?;
        }
        restore_pages(index, &last, &unfinished)?;
        let file_blocks = last.file.length().await? / BLOCK_BYTES as u64;
        files.allocated = last.start + file_blocks.min(last.blocks);
    }
    if header.first < first {
        (0..header.queues).for_each(|number| index.queue(QueueHandle(number)).skip_missing_pages());
    }
    if let Some((_, queue)) = index.all().find(|(_, queue)| !queue.is_complete()) {
        let (topic, id) = (&queue.topic, queue.queue_id);
        return Err(Unfit::Damaged(format!("pages of queue {topic}/{id} are missing")));
    }
    files.unfinished = unfinished;
    Ok(files)
}

fn path_of<R: Runtime>(segment: &IndexSegment<R>) -> std::path::Display<'_> {
    segment.path.display()
}

/// The first blocks of all index segments, ascending.
pub async fn list<D: Disk>(disk: &D, options: &LogOptions) -> Result<Vec<u64>, DiskError> {
    let files = disk.list(&options.directory).await?;
    let mut starts: Vec<u64> =
        files.iter().filter_map(|(name, _)| files::parse_name(name)).collect();
    starts.sort_unstable();
    Ok(starts)
}

async fn open_segment<R: Runtime>(
    disk: &R::Disk,
    options: &LogOptions,
    start: u64,
) -> Result<IndexSegment<R>, Unfit> {
    let path = options.directory.join(files::file_name(start));
    let file = disk.open(&path, OpenMode::Read).await?;
    let block = file.read(0, BLOCK_BYTES).await?;
    file.close().await?;
    let damaged = |found: String| Unfit::Damaged(format!("{}: {found}", path.display()));
    let header = match files::Header::read(block.bytes()) {
        Ok(header) => header,
        Err(error @ BlockError::Newer(_)) => {
            return Err(Unfit::Refused(Case::NewerFormat, damaged_text(&path, &error)));
        }
        Err(error) => return Err(damaged(error.to_string())),
    };
    let ours = header.log == log_word(options.log) && header.store_id == options.store_id;
    let sound = header.start == start && (3..1 << 32).contains(&header.blocks);
    if !ours || !sound || start >= 1 << 47 {
        return Err(damaged("the header of another index segment".into()));
    }
    Ok(files::open(disk, path, &header).await?)
}

fn damaged_text(path: &Path, error: &BlockError) -> String {
    format!("{}: {error}", path.display())
}

async fn read_footers<R: Runtime>(segment: &IndexSegment<R>) -> Result<Vec<PageEntry>, Unfit> {
    let (first, end) = (segment.pages_end(), segment.end());
    let count = (end - first) as usize * BLOCK_BYTES;
    let read = segment.file.read(segment.at(first), count).await?;
    let mut pages = Vec::new();
    for (number, block) in (first..end).zip(read.bytes().chunks(BLOCK_BYTES)) {
        let (log_end, listed) = read_footer(block, number).map_err(|error| {
            Unfit::Damaged(format!("{}: footer block {number}: {error}", path_of(segment)))
        })?;
        segment.log_end.set(log_end);
        pages.extend(listed);
    }
    if pages.len() as u64 != first - segment.start - 1 {
        let found = format!("{}: a footer of {} pages", path_of(segment), pages.len());
        return Err(Unfit::Damaged(found));
    }
    Ok(pages)
}

fn restore_pages<R: Runtime>(
    index: &mut Index,
    segment: &IndexSegment<R>,
    pages: &[PageEntry],
) -> Result<(), Unfit> {
    for (block, page) in (segment.start + 1..).zip(pages) {
        let fits = (page.queue as usize) < index.len()
            && index
                .queue(QueueHandle(page.queue))
                .restore_page(page.first, PageRef::new(block, page.position));
        if !fits {
            let found = format!("{}: block {block} is out of turn", path_of(segment));
            return Err(Unfit::Damaged(found));
        }
    }
    Ok(())
}

/// Once a log is accepted: opens the last segment for writing and removes what no snapshot counts
/// on, newer snapshots that do not serve included.
pub async fn begin<R: Runtime>(
    disk: &R::Disk,
    options: &LogOptions,
    loaded: &mut Loaded<R>,
) -> Result<(), OpenError> {
    let used = loaded.files.segments.back().map_or(0, |last| last.end());
    let first = loaded.files.segments.front().map_or(u64::MAX, |segment| segment.start);
    let mut removed = false;
    for (name, _) in disk.list(&options.directory).await? {
        let stray = files::parse_name(&name).is_some_and(|start| start < first || start >= used);
        // Where none serves, all are kept until there is a new one: they know the queues.
        let unfit = snapshot::parse_name(&name)
            .is_some_and(|sequence| loaded.progress.good > 0 && sequence != loaded.progress.good);
        if stray || unfit || name.ends_with(files::NEW_SUFFIX) || name == snapshot::NEW_NAME {
            remove_if_there(disk, &options.directory.join(name)).await?;
            removed = true;
        }
    }
    if removed {
        disk.sync_directory(&options.directory).await?;
    }
    if let Some(last) = loaded.files.segments.back() {
        loaded.files.writer = Some(files::open_writer::<R>(disk, &last.path).await?);
    }
    Ok(())
}
