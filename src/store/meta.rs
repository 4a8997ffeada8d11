//! The metadata log: small checked records for topics, groups and offsets.
//!
//! One file at a time, `meta-<generation>.log`: a header block, then records with the envelope of
//! the commit log (kind 3), positions counted from the start of the file. [`MetaLog::rewrite`]
//! makes the next generation complete under another name, renames it and removes the old one. A
//! mark as of the commit log, its `first` being the generation, is kept beside it.

mod file;
mod format;
mod generation;
mod open;

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    task::{Poll, Waker},
};

use ringmq_io::{Disk as _, Runtime, Shares, signal::Notify};

use crate::{
    api::errors::{LogError, OpenError},
    files::mark::MarkFile,
};
use file::MetaFile;
pub use format::RECORD_BYTES_MAX;
use generation::Source;

/// How the files are called and begin, for who checks them.
pub(crate) mod files {
    pub use super::format::{MetaHeader, file_name, parse_name};
}

/// Step in which the file grows.
pub const META_GROW_BYTES: u64 = 256 << 10;

/// A log of small records with snapshots. Clones are the same log.
pub struct MetaLog<R: Runtime> {
    shared: Rc<MetaInner<R>>,
}

impl<R: Runtime> Clone for MetaLog<R> {
    fn clone(&self) -> Self {
        MetaLog { shared: self.shared.clone() }
    }
}

pub(crate) struct MetaInner<R: Runtime> {
    runtime: R,
    directory: PathBuf,
    commands: RefCell<VecDeque<Command>>,
    changed: Notify,
    bytes: Cell<u64>,
    fenced: RefCell<Option<Arc<str>>>,
    closing: Cell<bool>,
}

enum Work {
    Append(Vec<Vec<u8>>),
    Rewrite(Source),
    Close,
}

struct Command {
    work: Work,
    answer: Rc<Answer>,
}

/// How a command ended, for the task that waits for it.
#[derive(Default)]
struct Answer {
    result: RefCell<Option<Result<(), LogError>>>,
    waker: RefCell<Option<Waker>>,
}

impl Answer {
    fn set(&self, result: Result<(), LogError>) {
        self.result.replace(Some(result));
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn wait(&self) -> Result<(), LogError> {
        poll_fn(|context| match self.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                self.waker.replace(Some(context.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}

impl<R: Runtime> MetaLog<R> {
    /// Bytes of the largest record.
    pub const RECORD_BYTES_MAX: usize = RECORD_BYTES_MAX;

    /// Opens the log in `directory`, or creates it; brings all records in order. When it resolves,
    /// they are on stable storage. A torn tail is cut, damage is refused.
    pub async fn open(runtime: R, directory: &Path) -> Result<(Self, Vec<Vec<u8>>), OpenError> {
        Self::open_growing(runtime, directory, META_GROW_BYTES).await
    }

    /// The same for a file that grows by `grow_bytes` (at least 1) at a time.
    pub async fn open_growing(
        runtime: R,
        directory: &Path,
        grow_bytes: u64,
    ) -> Result<(Self, Vec<Vec<u8>>), OpenError> {
        runtime.disk().create_directory(directory).await?;
        let (mut file, mark, records) = open::open(&runtime, directory).await?;
        file.grow_bytes = grow_bytes;
        let shared = Rc::new(MetaInner {
            runtime: runtime.clone(),
            directory: directory.into(),
            commands: RefCell::default(),
            changed: Notify::default(),
            bytes: Cell::new(file.end()),
            fenced: RefCell::default(),
            closing: Cell::new(false),
        });
        runtime.spawn(Shares::Foreground, "metadata log", run(shared.clone(), file, mark));
        Ok((MetaLog { shared }, records))
    }

    /// Durable, all of them and in this order, when resolved. After `Full`, `Failed` or `TooLarge`
    /// none of them is there, and later calls may succeed; after `Fenced` they may or may not be
    /// there after the next start. A record of more than [`MetaLog::RECORD_BYTES_MAX`] is refused
    /// before anything is written, with all of its call and nothing of others. Calls under way at
    /// the same time share a write. Goes on if the future is dropped.
    pub async fn append(&self, records: &[&[u8]]) -> Result<(), LogError> {
        let is_large = |record: &&[u8]| record.len() > RECORD_BYTES_MAX;
        if let Some(record) = records.iter().position(is_large) {
            let size = records.get(record).map_or(0, |record| record.len());
            return Err(LogError::TooLarge { record, size, limit: RECORD_BYTES_MAX });
        }
        self.command(Work::Append(records.iter().map(|record| record.to_vec()).collect())).await
    }

    /// Replaces all records appended before this call by those of `source`, which is asked for the
    /// next ones until it has none, each time for what takes well under a millisecond; atomic and
    /// durable when resolved. After `Full`, `Failed` or `TooLarge` the records are those from
    /// before, and the log goes on. Goes on if the future is dropped.
    pub async fn rewrite(
        &self,
        source: impl FnMut() -> Vec<Vec<u8>> + 'static,
    ) -> Result<(), LogError> {
        self.command(Work::Rewrite(Box::new(source))).await
    }

    /// Bytes of the current file, for deciding when to rewrite.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.get()
    }

    /// Writes what was appended, then the clean mark. Nothing may be appended afterwards.
    pub async fn close(self) -> Result<(), LogError> {
        self.command(Work::Close).await
    }

    /// Why nothing is taken any more before the next opening: a write has failed, and what was on
    /// its way then may or may not be there after it.
    pub fn fenced(&self) -> Option<LogError> {
        let reason = self.shared.fenced.borrow().clone();
        reason.map(|reason| LogError::Fenced { reason })
    }

    async fn command(&self, work: Work) -> Result<(), LogError> {
        let shared = &self.shared;
        if let Some(fenced) = self.fenced() {
            return Err(fenced);
        }
        if shared.closing.get() {
            return Err(LogError::ShuttingDown);
        }
        shared.closing.set(matches!(work, Work::Close));
        let answer = Rc::new(Answer::default());
        shared.commands.borrow_mut().push_back(Command { work, answer: answer.clone() });
        shared.changed.notify();
        answer.wait().await
    }
}

impl<R: Runtime> MetaInner<R> {
    /// The appends that come next share a write.
    fn take_appends(&self, records: &mut Vec<Vec<u8>>, answers: &mut Vec<Rc<Answer>>) {
        let mut commands = self.commands.borrow_mut();
        while let Some(Command { work: Work::Append(_), .. }) = commands.front()
            && let Some(Command { work: Work::Append(more), answer }) = commands.pop_front()
        {
            records.extend(more);
            answers.push(answer);
        }
    }
}

async fn run<R: Runtime>(shared: Rc<MetaInner<R>>, mut file: MetaFile<R>, mark: MarkFile<R>) {
    loop {
        let first = shared.commands.borrow_mut().pop_front();
        let Some(first) = first else {
            shared.changed.wait().await;
            continue;
        };
        let closes = matches!(first.work, Work::Close);
        let mut answers = vec![first.answer];
        let result = match first.work {
            Work::Append(records) => {
                let mut all = records;
                shared.take_appends(&mut all, &mut answers);
                file.append(&mark, all.iter()).await
            }
            Work::Rewrite(mut source) => {
                file.rewrite(&shared.runtime, &shared.directory, &mark, &mut source).await
            }
            Work::Close => file.note(&mark, true).await,
        };
        shared.bytes.set(file.end());
        if let Err(LogError::Fenced { reason }) = &result {
            let directory = shared.directory.display();
            tracing::error!(%directory, %reason, "metadata log fenced");
            shared.fenced.replace(Some(reason.clone()));
            answers.extend(shared.commands.take().into_iter().map(|command| command.answer));
        }
        let failed = result.is_err();
        for answer in answers {
            answer.set(result.clone());
        }
        if closes || (failed && shared.fenced.borrow().is_some()) {
            return;
        }
    }
}
