//! Names and directories of the simulated file system, current and stable.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

use super::{disk_state::DiskState, file_state::FileState, request::Reply};

/// Names that change together, atomically.
#[derive(Clone, Debug)]
pub(super) struct NameChange {
    pub(super) sequence: u64,
    pub(super) lost: bool,
    /// The file goes from wherever it was named to `name`; or the name goes.
    pub(super) name: PathBuf,
    pub(super) file: Option<u64>,
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
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

impl DiskState {
    pub(super) fn open(&mut self, path: &Path) -> io::Result<Reply> {
        let file = *self.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        self.file(file).handles += 1;
        Ok(Reply::File(file))
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<Reply> {
        self.check_directory(parent(path))?;
        if self.names.contains_key(path) || self.directories.contains(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = self.add_file(FileState::default());
        self.file(file).handles = 1;
        self.change_name(path.to_path_buf(), Some(file));
        Ok(Reply::File(file))
    }

    /// Puts a file in place as if it had always been there.
    pub(super) fn plant(&mut self, path: &Path, bytes: &[u8]) {
        if let Some(directory) = path.parent() {
            self.directories.extend(directory.ancestors().map(Path::to_path_buf));
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

    pub(super) fn list(&mut self, directory: &Path) -> io::Result<Reply> {
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

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        assert_eq!(parent(from), parent(to), "a durable rename stays in its directory");
        let file = *self.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        self.change_name(to.to_path_buf(), Some(file));
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<Reply> {
        if !self.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change_name(path.to_path_buf(), None);
        Ok(Reply::Done)
    }

    fn change_name(&mut self, name: PathBuf, file: Option<u64>) {
        let change = NameChange { sequence: self.sequence, lost: false, name, file };
        change.apply(&mut self.names);
        self.name_changes.push(change);
        self.collect_nameless();
    }

    pub(super) fn promote_names(&mut self, directory: &Path, mark: u64) {
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
            .chain(self.under_way.values().filter_map(|operation| operation.request.file()))
            .collect();
        self.files.retain(|file, state| state.handles > 0 || reachable.contains(file));
    }
}

/// The directory that holds the name.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new(""))
}
