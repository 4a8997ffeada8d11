//! The device and its file system: what is under way, what completes, and how it fails.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use super::{
    faults::{Fault, FaultRule, Operation, OperationKind},
    file_state::{FileState, SECTOR_BYTES},
    names::{NameChange, parent},
    random::Random,
    request::{Reply, Request, blocks},
};

#[derive(Clone, Debug)]
pub(super) struct UnderWay {
    pub(super) request: Request,
    pub(super) path: Rc<Path>,
    pub(super) fault: Option<Fault>,
    pub(super) task: &'static str,
    /// The process that asked is dead: nothing will complete it.
    pub(super) abandoned: bool,
}

#[derive(Clone, Debug)]
pub(super) struct DiskState {
    pub(super) random: Random,
    pub(super) files: BTreeMap<u64, FileState>,
    pub(super) names: BTreeMap<PathBuf, u64>,
    pub(super) stable_names: BTreeMap<PathBuf, u64>,
    pub(super) name_changes: Vec<NameChange>,
    pub(super) directories: BTreeSet<PathBuf>,
    next_file: u64,
    /// Orders everything that has reached the device.
    pub(super) sequence: u64,
    pub(super) under_way: BTreeMap<u64, UnderWay>,
    pub(super) issued: u64,
    pub(super) log: Vec<Operation>,
    pub(super) rules: Vec<FaultRule>,
    pub(super) crash_after: Option<u64>,
    pub(super) crashed: bool,
    pub(super) capacity: u64,
    /// Of the machine that the disk is in: how often its power was cut.
    pub(super) power_cuts: u64,
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
            power_cuts: 0,
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
        if let Request::Rename { from } = &request {
            self.assert_synced(from, path, task);
        }
        self.issued += 1;
        let number = self.issued;
        let (position, bytes) = request.range();
        let operation =
            Operation { number, kind: request.kind(), path: path.clone(), position, bytes };
        let fault = self.rules.iter_mut().find_map(|rule| rule.apply(&operation));
        self.log.push(operation);
        let mut takes = self.latency(&request);
        if let Some(Fault::Stall(extra)) = fault {
            takes += extra;
        }
        let path = path.clone();
        self.under_way.insert(number, UnderWay { request, path, fault, task, abandoned: false });
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

    fn assert_synced(&self, from: &Path, to: &Path, task: &'static str) {
        let synced = self.names.get(from).is_none_or(|file| {
            let state = self.files.get(file).expect("named files exist");
            let busy = |operation: &UnderWay| {
                operation.request.kind().changes_disk() && operation.request.file() == Some(*file)
            };
            state.is_synced() && !self.under_way.values().any(busy)
        });
        assert!(
            synced,
            "task {task}: {} must be synced before it replaces {}",
            from.display(),
            to.display()
        );
    }

    /// The device is done with the operation.
    pub(super) fn complete(&mut self, number: u64) -> io::Result<Reply> {
        let operation = self.under_way.remove(&number).expect("operations complete once");
        self.sequence += 1;
        let UnderWay { request, path, fault, .. } = operation;
        match fault {
            None | Some(Fault::Stall(_)) => self.apply(request, &path),
            Some(fault) => Err(self.fail(request, &path, fault)),
        }
    }

    pub(super) fn apply(&mut self, request: Request, path: &Path) -> io::Result<Reply> {
        let sequence = self.sequence;
        match request {
            Request::Open => self.open(path),
            Request::Create => self.create(path),
            Request::CreateDirectory => {
                self.directories.extend(path.ancestors().map(Path::to_path_buf));
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
                Ok(Reply::Space(self.capacity.saturating_sub(used), self.capacity))
            }
            Request::Length { file } => Ok(Reply::Number(self.file(file).current.length())),
            Request::Read { file, position, bytes } => {
                let mut buffer = vec![0; bytes];
                let count = self.file(file).current.read(position, &mut buffer);
                Ok(Reply::Bytes(buffer, count))
            }
            Request::Write { file, position, data, durable } => {
                self.write(file, position, &data, durable)
            }
            Request::Sync { file, mark } => {
                self.file(file).promote(mark);
                Ok(Reply::Done)
            }
            Request::Allocate { file, position, bytes } => {
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

    pub(super) fn add_file(&mut self, state: FileState) -> u64 {
        self.next_file += 1;
        self.files.insert(self.next_file, state);
        self.next_file
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
        self.file(file).write_some(sequence, position, data, |sector| sector < sectors);
    }

    pub(super) fn write_any(&mut self, file: u64, position: u64, data: &Rc<[u8]>) {
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
            if named.contains(file) || state.handles > 0 { state.allocated_end } else { 0 }
        };
        self.files.iter().map(takes_room).sum()
    }

    pub(super) fn file(&mut self, file: u64) -> &mut FileState {
        self.files.get_mut(&file).expect("a file with a handle or a name exists")
    }

    fn fail(&mut self, request: Request, path: &Path, fault: Fault) -> io::Error {
        let coin = self.random.chance(1, 2);
        match (request, fault) {
            (_, Fault::NotAllowed) => {}
            (Request::Write { file, position, data, .. }, Fault::Short(bytes)) => {
                self.write_front(file, position, &data, bytes.min(data.len()));
                return io::Error::new(
                    io::ErrorKind::WriteZero,
                    format!("only {bytes} of {} bytes were written", data.len()),
                );
            }
            (Request::Write { file, position, data, .. }, Fault::NoSpace) => {
                let front = self.random.index(data.len());
                self.write_front(file, position, &data, front);
            }
            (Request::Write { file, position, data, durable }, _) => {
                self.write_any(file, position, &data);
                if durable {
                    let sequence = self.sequence;
                    self.file(file).lose_write(sequence);
                }
            }
            (Request::Sync { .. } | Request::SyncDirectory { .. }, Fault::NoDescriptor) => {}
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
            Fault::NoDescriptor => io::Error::from_raw_os_error(libc::EMFILE),
            Fault::NotAllowed => io::Error::from_raw_os_error(libc::EACCES),
            _ => io::Error::from_raw_os_error(libc::EIO),
        }
    }
}

fn no_space() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOSPC)
}
