//! What tests order the disk to do wrong, and what they read back of what it did.

use std::{
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

/// What an operation was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperationKind {
    Open,
    Create,
    CreateDirectory,
    List,
    SyncDirectory,
    Rename,
    Remove,
    Space,
    Length,
    Read,
    Write,
    Sync,
    Allocate,
    SetLength,
    Close,
}

impl OperationKind {
    /// Whether a crash before it and a crash after it may leave different disks.
    pub fn changes_disk(self) -> bool {
        use OperationKind::*;
        !matches!(self, Open | List | Space | Length | Read | Close)
    }
}

/// One line of the disk's log: an operation as it was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// From 1 up, in the order of issue.
    pub number: u64,
    pub kind: OperationKind,
    /// Renames carry the new name.
    pub path: Rc<Path>,
    /// In bytes; 0 where it means nothing.
    pub position: u64,
    pub bytes: u64,
}

/// What a watcher is told of an operation; see [`SimDisk::watch`](super::SimDisk::watch).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It is under way now, and nobody knows yet what of it will happen.
    Issued,
    /// The device is done with it; who asked has not been told yet.
    Completed { well: bool },
}

/// What goes wrong with an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// EIO. Of a write any sectors may have been written; a rename may have happened, not durably;
    /// a sync has made nothing stable, and later ones will not make stable what this one covered.
    InputOutput,
    /// ENOSPC. Of a write a part at the front may have been written.
    NoSpace,
    /// A write of which only so many bytes at the front (rounded down to sectors) are written, and
    /// which fails. EIO for operations that are not writes.
    Short(usize),
    /// EMFILE: the process has no descriptor left. Nothing happens, but a rename may have happened,
    /// not durably: the descriptor was for the directory.
    NoDescriptor,
    /// EACCES. Nothing happens.
    NotAllowed,
    /// The operation takes this much longer and then does what it should.
    Stall(Duration),
}

#[derive(Clone, Debug)]
enum Match {
    Number(u64),
    Like { kind: Option<OperationKind>, path: Option<PathBuf>, part_of_path: Option<String> },
}

/// Which operations fail, and how. Conditions that are not set match everything.
#[derive(Clone, Debug)]
pub struct FaultRule {
    matches: Match,
    fault: Fault,
    skip: u64,
    times: u64,
}

impl FaultRule {
    /// The operation with this number (from 1 up), once.
    pub fn at(number: u64, fault: Fault) -> Self {
        FaultRule { matches: Match::Number(number), fault, skip: 0, times: 1 }
    }

    /// Every operation of the kind, or of any kind, until limited.
    pub fn every(kind: Option<OperationKind>, fault: Fault) -> Self {
        let matches = Match::Like { kind, path: None, part_of_path: None };
        FaultRule { matches, fault, skip: 0, times: u64::MAX }
    }

    /// Only on this file or directory.
    pub fn on(mut self, wanted: impl Into<PathBuf>) -> Self {
        if let Match::Like { path, .. } = &mut self.matches {
            *path = Some(wanted.into());
        }
        self
    }

    /// Only where the path contains the text.
    pub fn where_path_contains(mut self, text: &str) -> Self {
        if let Match::Like { part_of_path, .. } = &mut self.matches {
            *part_of_path = Some(text.to_owned());
        }
        self
    }

    /// Spares the first `matches` operations that match.
    pub fn after(mut self, matches: u64) -> Self {
        self.skip = matches;
        self
    }

    /// Ends after this many failures.
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// The fault for the operation, if this rule has one; counts.
    pub(super) fn apply(&mut self, operation: &Operation) -> Option<Fault> {
        let hit = match &self.matches {
            Match::Number(number) => *number == operation.number,
            Match::Like { kind, path, part_of_path } => {
                kind.is_none_or(|kind| kind == operation.kind)
                    && path.as_ref().is_none_or(|path| path.as_path() == &*operation.path)
                    && part_of_path
                        .as_ref()
                        .is_none_or(|part| operation.path.to_string_lossy().contains(part))
            }
        };
        if !hit || self.times == 0 {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.times = self.times.saturating_sub(1);
        Some(self.fault)
    }
}
