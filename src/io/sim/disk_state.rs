//! The device and its file system: names, files, operations under way, and the images that a crash
//! leaves.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    rc::Rc,
    task::Waker,
    time::Duration,
};

use ringmq_base::limits::BLOCK_BYTES;

use super::{
    faults::{Fault, FaultRule, Operation, OperationKind},
    file_state::{FileState, SECTOR_BYTES},
    random::Random,
};

/// What a power cut may do beyond losing sectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PowerCut {
    /// Sectors may keep new bytes at the front and old ones behind. Devices promise not to.
    pub torn_sectors: bool,
}

/// What is asked of the device. Decided when it completes, not when it is issued.
#[derive(Clone, Debug)]
pub(super) enum Request {
    Open,
    Create,
    CreateDirectory,
    List,
    SyncDirectory {
        mark: u64,
    },
    Rename {
        from: PathBuf,
    },
    Remove,
    Space,
    Length {
        file: u64,
    },
    Read {
        file: u64,
        position: u64,
        bytes: usize,
    },
    Write {
        file: u64,
        position: u64,
        data: Rc<[u8]>,
        durable: bool,
    },
    Sync {
        file: u64,
        mark: u64,
    },
    Allocate {
        file: u64,
        position: u64,
        bytes: u64,
    },
    SetLength {
        file: u64,
        bytes: u64,
    },
    Close,
}

impl Request {
    pub(super) fn kind(&self) -> OperationKind {
        match self {
            Request::Open => OperationKind::Open,
            Request::Create => OperationKind::Create,
            Request::CreateDirectory => OperationKind::CreateDirectory,
            Request::List => OperationKind::List,
            Request::SyncDirectory { .. } => OperationKind::SyncDirectory,
            Request::Rename { .. } => OperationKind::Rename,
            Request::Remove => OperationKind::Remove,
            Request::Space => OperationKind::Space,
            Request::Length { .. } => OperationKind::Length,
            Request::Read { .. } => OperationKind::Read,
            Request::Write { .. } => OperationKind::Write,
            Request::Sync { .. } => OperationKind::Sync,
            Request::Allocate { .. } => OperationKind::Allocate,
            Request::SetLength { .. } => OperationKind::SetLength,
            Request::Close => OperationKind::Close,
        }
    }

    fn file(&self) -> Option<u64> {
        match self {
            Request::Length { file }
            | Request::Read { file, .. }
            | Request::Write { file, .. }
            | Request::Sync { file, .. }
            | Request::Allocate { file, .. }
            | Request::SetLength { file, .. } => Some(*file),
            _ => None,
        }
    }

    /// Position and length in bytes, for the log and for errors.
    pub(super) fn range(&self) -> (u64, u64) {
        match self {
            Request::Read {
                position, bytes, ..
            } => (*position, *bytes as u64),
            Request::Write { position, data, .. } => (*position, data.len() as u64),
            Request::Allocate {
                position, bytes, ..
            } => (*position, *bytes),
            Request::SetLength { bytes, .. } => (0, *bytes),
            _ => (0, 0),
        }
    }
}

#[derive(Debug)]
pub(super) enum Reply {
    Done,
    File(u64),
    Names(Vec<(String, u64)>),
    Bytes(Vec<u8>, usize),
    Number(u64),
    Space(u64, u64),
}

/// Where the reply waits for its task, if that still lives.
#[derive(Default, Debug)]
pub(super) struct Slot {
    pub(super) reply: RefCell<Option<io::Result<Reply>>>,
    pub(super) waker: RefCell<Option<Waker>>,
}

#[derive(Clone, Debug)]
struct UnderWay {
    request: Request,
    path: Rc<Path>,
    fault: Option<Fault>,
    task: &'static str,
    /// The process that asked is dead: nothing will complete it.
    abandoned: bool,
}

/// Names that change together, atomically.
#[derive(Clone, Debug)]
struct NameChange {
    sequence: u64,
    lost: bool,
    /// The file goes from wherever it was named to `name`; or the name goes.
    name: PathBuf,
    file: Option<u64>,
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self.file {
            Some(file) => {
                names.retain(|_, named| *named != file);
                names.insert(self.name.clone(), file);
            }
            None => {
                names.remove(&self.name);
            }
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct DiskState {
    pub(super) random: Random,
    pub(super) files: BTreeMap<u64, FileState>,
    pub(super) names: BTreeMap<PathBuf, u64>,
    stable_names: BTreeMap<PathBuf, u64>,
    name_changes: Vec<NameChange>,
    pub(super) directories: BTreeSet<PathBuf>,
    next_file: u64,
    /// Orders everything that has reached the device.
    sequence: u64,
    under_way: BTreeMap<u64, UnderWay>,
    pub(super) issued: u64,
    pub(super) log: Vec<Operation>,
    pub(super) rules: Vec<FaultRule>,
    pub(super) crash_after: Option<u64>,
    pub(super) crashed: bool,
    pub(super) capacity: u64,
}

impl DiskState {
    pub(super) fn new(seed: u64) -> Self {
        DiskState {
            random: Random::new(seed ^ 0x6469_736b),
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            stable_names: BTreeMap::new(),
            name_changes: Vec::new(),
            directories: BTreeSet::new(),
            next_file: 0,
            sequence: 0,
            under_way: BTreeMap::new(),
            issued: 0,
            log: Vec::new(),
            rules: Vec::new(),
            crash_after: None,
            crashed: false,
            capacity: 1 << 40,
        }
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.under_way.is_empty()
    }

    pub(super) fn drop_handle(&mut self, file: u64) {
        if let Some(state) = self.files.get_mut(&file) {
            state.handles = state.handles.saturating_sub(1);
            if state.handles == 0 {
                self.collect_nameless();
            }
        }
    }

    /// What covers everything that has completed so far, for syncs.
    pub(super) fn mark(&self) -> u64 {
        self.sequence
    }

    /// Takes an operation on. `None` if it will never complete, else its number and how long the
    /// device takes.
    ///
    /// # Panics
    /// If the operation breaks the contract of [`crate::File`].
    pub(super) fn begin(
        &mut self,
        request: Request,
        path: &Rc<Path>,
        task: &'static str,
    ) -> Option<(u64, Duration)> {
        if self.crashed {
            return None;
        }
        self.assert_apart(&request, path, task);
        self.issued += 1;
        let number = self.issued;
        let (position, bytes) = request.range();
        let operation = Operation {
            number,
            kind: request.kind(),
            path: path.clone(),
            position,
            bytes,
        };
        let fault = self
            .rules
            .iter_mut()
            .find_map(|rule| rule.apply(&operation));
        self.log.push(operation);
        let mut takes = self.latency(&request);
        if let Some(Fault::Stall(extra)) = fault {
            takes += extra;
        }
        let path = path.clone();
        self.under_way.insert(
            number,
            UnderWay {
                request,
                path,
                fault,
                task,
                abandoned: false,
            },
        );
        if self.crash_after.is_some_and(|count| number > count) {
            self.crashed = true;
            return None;
        }
        Some((number, takes))
    }

    fn latency(&mut self, request: &Request) -> Duration {
        let (_, bytes) = request.range();
        let (base, spread) = match request.kind() {
            OperationKind::Read | OperationKind::Write => (20 + bytes / 1000, 100),
            OperationKind::Sync | OperationKind::SyncDirectory | OperationKind::Rename => {
                (100, 900)
            }
            OperationKind::Length | OperationKind::Space | OperationKind::Close => (1, 4),
            _ => (10, 90),
        };
        // Now and then a device pauses.
        let pause = if self.random.chance(1, 64) { 5_000 } else { 0 };
        Duration::from_micros(base + pause + self.random.below(spread))
    }

    /// A write under way shares no block with anything else under way on its file.
    fn assert_apart(&self, request: &Request, path: &Path, task: &'static str) {
        let Some((file, writes, first, end)) = blocks(request) else {
            return;
        };
        for (number, other) in &self.under_way {
            let Some((other_file, other_writes, other_first, other_end)) = blocks(&other.request)
            else {
                continue;
            };
            let overlap = first < other_end && other_first < end;
            assert!(
                file != other_file || !(writes || other_writes) || !overlap,
                "task {task}: {kind:?} of {path} blocks {first}..{end} overlaps the {other_kind:?} \
                 of blocks {other_first}..{other_end} under way (operation {number}, task \
                 {other_task}); their order is not defined",
                kind = request.kind(),
                path = path.display(),
                other_kind = other.request.kind(),
                other_task = other.task,
            );
        }
    }

    /// The device is done with the operation.
    pub(super) fn complete(&mut self, number: u64) -> io::Result<Reply> {
        let operation = self
            .under_way
            .remove(&number)
            .expect("operations complete once");
        self.sequence += 1;
        let UnderWay {
            request,
            path,
            fault,
            ..
        } = operation;
        match fault {
            None | Some(Fault::Stall(_)) => self.apply(request, &path),
            Some(fault) => Err(self.fail(request, &path, fault)),
        }
    }

    fn apply(&mut self, request: Request, path: &Path) -> io::Result<Reply> {
        let sequence = self.sequence;
        match request {
            Request::Open => self.open(path),
            Request::Create => self.create(path),
            Request::CreateDirectory => {
                self.directories
                    .extend(path.ancestors().map(Path::to_path_buf));
                Ok(Reply::Done)
            }
            Request::List => self.list(path),
            Request::SyncDirectory { mark } => {
                self.promote_names(path, mark);
                Ok(Reply::Done)
            }
            Request::Rename { from } => {
                self.rename(&from, path)?;
                self.promote_names(parent(path), sequence);
                Ok(Reply::Done)
            }
            Request::Remove => self.remove(path),
            Request::Space => {
                let used = self.used();
                Ok(Reply::Space(
                    self.capacity.saturating_sub(used),
                    self.capacity,
                ))
            }
            Request::Length { file } => Ok(Reply::Number(self.file(file).current.length())),
            Request::Read {
                file,
                position,
                bytes,
            } => {
                let mut buffer = vec![0; bytes];
                let count = self.file(file).current.read(position, &mut buffer);
                Ok(Reply::Bytes(buffer, count))
            }
            Request::Write {
                file,
                position,
                data,
                durable,
            } => self.write(file, position, &data, durable),
            Request::Sync { file, mark } => {
                self.file(file).promote(mark);
                Ok(Reply::Done)
            }
            Request::Allocate {
                file,
                position,
                bytes,
            } => {
                let end = position + bytes;
                if end > self.room_end(file) {
                    return Err(no_space());
                }
                self.file(file).allocate(sequence, end);
                Ok(Reply::Done)
            }
            Request::SetLength { file, bytes } => {
                self.file(file).set_length(sequence, bytes);
                Ok(Reply::Done)
            }
            Request::Close => Ok(Reply::Done),
        }
    }

    fn open(&mut self, path: &Path) -> io::Result<Reply> {
        let file = *self.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        self.file(file).handles += 1;
        Ok(Reply::File(file))
    }

    fn create(&mut self, path: &Path) -> io::Result<Reply> {
        self.check_directory(parent(path))?;
        if self.names.contains_key(path) || self.directories.contains(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = self.add_file(FileState::default());
        self.file(file).handles = 1;
        self.change_name(path.to_path_buf(), Some(file));
        Ok(Reply::File(file))
    }

    pub(super) fn add_file(&mut self, state: FileState) -> u64 {
        self.next_file += 1;
        self.files.insert(self.next_file, state);
        self.next_file
    }

    /// Puts a file in place as if it had always been there.
    pub(super) fn plant(&mut self, path: &Path, bytes: &[u8]) {
        if let Some(directory) = path.parent() {
            self.directories
                .extend(directory.ancestors().map(Path::to_path_buf));
        }
        match self.names.get(path) {
            Some(file) => {
                let file = *file;
                self.file(file).replace(bytes);
                self.stable_names.insert(path.to_path_buf(), file);
            }
            None => {
                let file = self.add_file(FileState::stable_with(bytes));
                self.names.insert(path.to_path_buf(), file);
                self.stable_names.insert(path.to_path_buf(), file);
            }
        }
        self.name_changes.retain(|change| change.name != path);
    }

    /// Takes a name away for good.
    pub(super) fn uproot(&mut self, path: &Path) {
        self.names.remove(path);
        self.stable_names.remove(path);
        self.name_changes.retain(|change| change.name != path);
        self.collect_nameless();
    }

    fn list(&mut self, directory: &Path) -> io::Result<Reply> {
        self.check_directory(directory)?;
        let mut names = Vec::new();
        for (path, file) in &self.names {
            if parent(path) != directory {
                continue;
            }
            let Some(name) = path.file_name() else {
                continue;
            };
            let length = self.files.get(file).map_or(0, |file| file.current.length());
            names.push((name.to_string_lossy().into_owned(), length));
        }
        names.sort();
        Ok(Reply::Names(names))
    }

    fn check_directory(&self, path: &Path) -> io::Result<()> {
        let root = path.as_os_str().is_empty() || path == Path::new("/");
        if root || self.directories.contains(path) {
            return Ok(());
        }
        Err(io::ErrorKind::NotFound.into())
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        assert_eq!(
            parent(from),
            parent(to),
            "a durable rename stays in its directory"
        );
        let file = *self.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        self.change_name(to.to_path_buf(), Some(file));
        Ok(())
    }

    fn remove(&mut self, path: &Path) -> io::Result<Reply> {
        if !self.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change_name(path.to_path_buf(), None);
        Ok(Reply::Done)
    }

    fn change_name(&mut self, name: PathBuf, file: Option<u64>) {
        let change = NameChange {
            sequence: self.sequence,
            lost: false,
            name,
            file,
        };
        change.apply(&mut self.names);
        self.name_changes.push(change);
        self.collect_nameless();
    }

    fn promote_names(&mut self, directory: &Path, mark: u64) {
        for change in std::mem::take(&mut self.name_changes) {
            let covered = parent(&change.name) == directory && change.sequence <= mark;
            if covered && !change.lost {
                change.apply(&mut self.stable_names);
            } else {
                self.name_changes.push(change);
            }
        }
        self.collect_nameless();
    }

    /// Forgets files that no name, handle or possible image can reach.
    pub(super) fn collect_nameless(&mut self) {
        let reachable: BTreeSet<u64> = self
            .names
            .values()
            .chain(self.stable_names.values())
            .copied()
            .chain(self.name_changes.iter().filter_map(|change| change.file))
            .chain(
                self.under_way
                    .values()
                    .filter_map(|operation| operation.request.file()),
            )
            .collect();
        self.files
            .retain(|file, state| state.handles > 0 || reachable.contains(file));
    }

    fn write(
        &mut self,
        file: u64,
        position: u64,
        data: &Rc<[u8]>,
        durable: bool,
    ) -> io::Result<Reply> {
        let sequence = self.sequence;
        let room_end = self.room_end(file);
        if position + data.len() as u64 > room_end {
            let fits = usize::try_from(room_end.saturating_sub(position)).unwrap_or(0);
            self.write_front(file, position, data, fits);
            return Err(no_space());
        }
        self.file(file).write(sequence, position, data, durable);
        Ok(Reply::Done)
    }

    fn write_front(&mut self, file: u64, position: u64, data: &Rc<[u8]>, bytes: usize) {
        let sequence = self.sequence;
        let sectors = bytes / SECTOR_BYTES;
        self.file(file)
            .write_some(sequence, position, data, |sector| sector < sectors);
    }

    fn write_any(&mut self, file: u64, position: u64, data: &Rc<[u8]>) {
        let sequence = self.sequence;
        let mut random = self.random.fork();
        let eighths = random.below(9);
        let Some(file) = self.files.get_mut(&file) else {
            return;
        };
        file.write_some(sequence, position, data, |_| random.chance(eighths, 8));
    }

    /// Where the file's room ends if it takes all that is free.
    fn room_end(&mut self, file: u64) -> u64 {
        let free = self.capacity.saturating_sub(self.used());
        self.file(file).allocated_end.saturating_add(free)
    }

    fn used(&self) -> u64 {
        let named: BTreeSet<u64> = self.names.values().copied().collect();
        let takes_room = |(file, state): (&u64, &FileState)| {
            if named.contains(file) || state.handles > 0 {
                state.allocated_end
            } else {
                0
            }
        };
        self.files.iter().map(takes_room).sum()
    }

    pub(super) fn file(&mut self, file: u64) -> &mut FileState {
        self.files
            .get_mut(&file)
            .expect("a file with a handle or a name exists")
    }

    fn fail(&mut self, request: Request, path: &Path, fault: Fault) -> io::Error {
        let coin = self.random.chance(1, 2);
        match (request, fault) {
            (
                Request::Write {
                    file,
                    position,
                    data,
                    ..
                },
                Fault::Short(bytes),
            ) => {
                self.write_front(file, position, &data, bytes.min(data.len()));
                return io::Error::new(
                    io::ErrorKind::WriteZero,
                    format!("only {bytes} of {} bytes were written", data.len()),
                );
            }
            (
                Request::Write {
                    file,
                    position,
                    data,
                    ..
                },
                Fault::NoSpace,
            ) => {
                let front = self.random.index(data.len());
                self.write_front(file, position, &data, front);
            }
            (
                Request::Write {
                    file,
                    position,
                    data,
                    ..
                },
                _,
            ) => {
                self.write_any(file, position, &data);
            }
            (Request::Sync { file, mark }, _) => self.file(file).lose(mark),
            (Request::SyncDirectory { mark }, _) => {
                for change in &mut self.name_changes {
                    change.lost |= parent(&change.name) == path && change.sequence <= mark;
                }
            }
            (Request::Rename { from }, _) if coin => {
                // It happened and only its sync failed; a missing name fails in either case.
                let _ = self.rename(&from, path);
            }
            _ => {}
        }
        match fault {
            Fault::NoSpace => no_space(),
            _ => io::Error::from_raw_os_error(libc::EIO),
        }
    }

    /// The process is dead: its operations will not complete, images decide them.
    pub(super) fn abandon(&mut self) {
        for operation in self.under_way.values_mut() {
            operation.abandoned = true;
        }
    }

    /// Decides the abandoned operations: writes keep any sectors, others happen or not.
    pub(super) fn settle(&mut self) {
        let all = std::mem::take(&mut self.under_way);
        for (number, operation) in all {
            if !operation.abandoned {
                self.under_way.insert(number, operation);
                continue;
            }
            self.sequence += 1;
            match operation.request {
                Request::Write {
                    file,
                    position,
                    data,
                    ..
                } => {
                    self.write_any(file, position, &data);
                }
                request if request.kind().changes_disk() && self.random.chance(1, 2) => {
                    let gone = request
                        .file()
                        .is_some_and(|file| !self.files.contains_key(&file));
                    // An error has nobody to go to, and neither has the handle of a creation.
                    if !gone && let Ok(Reply::File(file)) = self.apply(request, &operation.path) {
                        self.drop_handle(file);
                    }
                }
                _ => {}
            }
        }
    }

    /// The disk as the next process finds it after this one was killed now.
    pub(super) fn image_after_kill(&self, seed: u64) -> DiskState {
        let mut image = self.clone();
        image.random = Random::new(seed ^ 0x6b69_6c6c);
        image.abandon();
        image.settle();
        for file in image.files.values_mut() {
            file.handles = 0;
        }
        image.collect_nameless();
        image.forget_orders();
        image
    }

    /// The disk as it may come up after the power failed now.
    pub(super) fn image_after_power_cut(&self, seed: u64, cut: &PowerCut) -> DiskState {
        let mut image = self.image_after_kill(seed);
        let mut random = Random::new(seed ^ 0x706f_7765_7200);
        for change in std::mem::take(&mut image.name_changes) {
            if random.chance(1, 2) {
                change.apply(&mut image.stable_names);
            }
        }
        image.names = image.stable_names.clone();
        image.collect_nameless();
        for file in image.files.values_mut() {
            *file = file.after_power_cut(&mut random, cut);
        }
        image
    }

    fn forget_orders(&mut self) {
        self.issued = 0;
        self.log.clear();
        self.rules.clear();
        self.crash_after = None;
        self.crashed = false;
    }
}

/// The directory that holds the name.
fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn no_space() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOSPC)
}

/// File, whether it changes bytes, and the blocks that the operation touches.
fn blocks(request: &Request) -> Option<(u64, bool, u64, u64)> {
    let block = BLOCK_BYTES as u64;
    match request {
        Request::Read {
            file,
            position,
            bytes,
        } => Some((
            *file,
            false,
            position / block,
            (position + *bytes as u64).div_ceil(block),
        )),
        Request::Write {
            file,
            position,
            data,
            ..
        } => Some((
            *file,
            true,
            position / block,
            (position + data.len() as u64).div_ceil(block),
        )),
        // A cut reaches everything behind it.
        Request::SetLength { file, bytes } => Some((*file, true, bytes / block, u64::MAX)),
        _ => None,
    }
}
