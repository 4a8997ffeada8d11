//! What the file system is asked and what it answers.

use std::{cell::RefCell, io, path::PathBuf, rc::Rc, task::Waker};

use ringmq_base::limits::BLOCK_BYTES;

use super::faults::OperationKind;

/// What is asked of the device. Decided when it completes, not when it is issued.
#[derive(Clone, Debug)]
pub(super) enum Request {
    Open,
    Create,
    CreateDirectory,
    List,
    SyncDirectory { mark: u64 },
    Rename { from: PathBuf },
    Remove,
    Space,
    Length { file: u64 },
    Read { file: u64, position: u64, bytes: usize },
    Write { file: u64, position: u64, data: Rc<[u8]>, durable: bool },
    Sync { file: u64, mark: u64 },
    Allocate { file: u64, position: u64, bytes: u64 },
    SetLength { file: u64, bytes: u64 },
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

    pub(super) fn file(&self) -> Option<u64> {
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
            Request::Read { position, bytes, .. } => (*position, *bytes as u64),
            Request::Write { position, data, .. } => (*position, data.len() as u64),
            Request::Allocate { position, bytes, .. } => (*position, *bytes),
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

/// File, whether it changes bytes, and the blocks that the operation touches.
pub(super) fn blocks(request: &Request) -> Option<(u64, bool, u64, u64)> {
    let block = BLOCK_BYTES as u64;
    match request {
        Request::Read { file, position, bytes } => {
            Some((*file, false, position / block, (position + *bytes as u64).div_ceil(block)))
        }
        Request::Write { file, position, data, .. } => {
            Some((*file, true, position / block, (position + data.len() as u64).div_ceil(block)))
        }
        // A cut reaches everything behind it.
        Request::SetLength { file, bytes } => Some((*file, true, bytes / block, u64::MAX)),
        _ => None,
    }
}
