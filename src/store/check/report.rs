//! What a check of a store found.

use std::{path::PathBuf, time::Duration};

use crate::api::cases::Case;

/// A range of a file that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What kind of damage: the label of a case of the recovery table, or what it is in an index.
    pub what: &'static str,
    pub remedy: &'static str,
    /// Bytes of the file; empty if the whole file is meant.
    pub from: u64,
    pub to: u64,
    pub found: String,
}

impl Damage {
    pub(crate) fn of(case: Case, (from, to): (u64, u64), found: impl Into<String>) -> Damage {
        Damage { what: case.label(), remedy: case.remedy(), from, to, found: found.into() }
    }
}

/// One file, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    pub path: PathBuf,
    /// What it is, or what there is to say of it.
    pub note: String,
    /// Bytes read, and intact records found: messages of a log, records of the metadata log.
    pub bytes: u64,
    pub records: u64,
    pub damages: Vec<Damage>,
}

impl FileReport {
    pub(crate) fn new(path: PathBuf, note: impl Into<String>) -> FileReport {
        FileReport { path, note: note.into(), bytes: 0, records: 0, damages: Vec::new() }
    }

    pub fn is_sound(&self) -> bool {
        self.damages.is_empty()
    }

    pub(crate) fn damaged(
        mut self,
        case: Case,
        range: (u64, u64),
        found: impl Into<String>,
    ) -> FileReport {
        self.damages.push(Damage::of(case, range, found));
        self
    }

    /// Says of damages that came with the remedy of a log what helps an index.
    pub(crate) fn remedied(mut self, remedy: &'static str) -> FileReport {
        self.damages.iter_mut().for_each(|damage| damage.remedy = remedy);
        self
    }
}

/// Sums over all files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreReport {
    pub files: u64,
    pub damaged_files: u64,
    pub damages: u64,
    /// Intact messages of the commit logs.
    pub messages: u64,
    /// Messages that must have stood in damaged ranges, by the gaps in their queues; those at the
    /// end of a queue are not known.
    pub missing_messages: u64,
    pub bytes: u64,
    pub duration: Duration,
}

impl StoreReport {
    pub fn is_sound(&self) -> bool {
        self.damages == 0
    }

    pub(crate) fn add(&mut self, file: &FileReport) {
        self.files += 1;
        self.damaged_files += u64::from(!file.is_sound());
        self.damages += file.damages.len() as u64;
        self.bytes += file.bytes;
    }
}
