//! What the tasks of a log have in common.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};

use ringmq_io::{DiskError, Runtime, signal::Notify};

use crate::{
    api::{
        errors::LogError,
        options::{LogOptions, Sink},
        values::Appended,
    },
    cache::{Cache, pacing::Pacing},
    files::{
        mark::{Mark, MarkFile},
        segment::Segment,
    },
    index::{files::IndexFiles, page_cache::PageCache, progress::Progress},
    keys::KeyFiles,
    log::{
        known_damage::KnownDamage,
        prezero::Prezero,
        spares::Spares,
        state::{Phase, State},
    },
};

pub struct LogInner<R: Runtime, S: Sink> {
    pub runtime: R,
    pub options: LogOptions,
    pub sink: S,
    pub state: RefCell<State<S::Ticket>>,
    /// In order of position; at least one.
    pub segments: RefCell<Vec<Rc<Segment<R>>>>,
    pub mark: MarkFile<R>,
    /// Memory for the next tickets to be acknowledged.
    pub acknowledged: Cell<Vec<S::Ticket>>,
    /// Where the messages of a batch went, while it is appended: memory for the next one.
    pub batch_appended: RefCell<Vec<Appended>>,
    pub prezero: Prezero,
    pub cache: Rc<Cache>,
    pub pacing: Pacing,
    pub damage: KnownDamage,
    pub index_files: RefCell<IndexFiles<R>>,
    pub pages: PageCache,
    pub progress: Cell<Progress>,
    /// A snapshot is to be made as soon as possible.
    pub snapshot_wanted: Cell<bool>,
    /// Why pages and snapshots cannot be written for now.
    pub index_error: RefCell<Option<Arc<str>>>,
    /// There may be pages or a snapshot to write, or the phase changed.
    pub index_work: Notify,
    pub spares: Spares,
    pub key_files: KeyFiles<R>,
    /// There may be work for the key index, or the phase changed.
    pub key_work: Rc<Notify>,
    /// Something was appended, or the phase changed.
    pub appended: Notify,
    /// Something was written, synced or committed, or the phase changed.
    pub published: Notify,
    /// The space task should look again.
    pub space: Notify,
    /// Room for appends may be there again, or the phase changed.
    pub room: Notify,
    /// A task ended an operation or itself.
    pub idle: Notify,
    /// Operations of the background tasks on their way, and the flusher while it runs.
    pub operations: Cell<usize>,
}

/// Counts an operation that closing the log has to wait for.
pub struct Operation<'a, R: Runtime, S: Sink>(&'a LogInner<R, S>);

impl<'a, R: Runtime, S: Sink> Operation<'a, R, S> {
    /// Ends, when dropped, an operation that was counted before.
    pub fn adopt(shared: &'a LogInner<R, S>) -> Self {
        assert!(shared.operations.get() > 0);
        Operation(shared)
    }
}

impl<R: Runtime, S: Sink> Drop for Operation<'_, R, S> {
    fn drop(&mut self) {
        self.0.operations.set(self.0.operations.get() - 1);
        self.0.idle.notify();
    }
}

impl<R: Runtime, S: Sink> LogInner<R, S> {
    /// The only way to give up: everything that waits is told, once.
    pub fn fence(&self, error: &DiskError) {
        let fenced = self.state.borrow_mut().fence(&error.to_string());
        let Some((error, mut tickets)) = fenced else {
            return;
        };
        tracing::error!(log = %self.options.log, %error, "log fenced");
        self.sink.failed(&error, &mut tickets);
        self.phase_changed();
    }

    pub fn phase_changed(&self) {
        let events = [&self.appended, &self.published, &self.space, &self.room, &self.idle];
        for event in events.into_iter().chain([&self.index_work, &*self.key_work]) {
            event.notify();
        }
        self.damage.changed.notify();
        self.prezero.changed.notify();
        self.prezero.wake.notify();
    }

    /// `None` when nothing new may be started.
    pub fn begin(&self) -> Option<Operation<'_, R, S>> {
        let open = self.state.borrow().is_open();
        open.then(|| {
            self.operations.set(self.operations.get() + 1);
            Operation(self)
        })
    }

    pub fn is_open(&self) -> bool {
        self.state.borrow().is_open()
    }

    pub fn segment_at(&self, position: u64) -> Option<Rc<Segment<R>>> {
        let segments = self.segments.borrow();
        let after = segments.partition_point(|segment| segment.start <= position);
        let segment = segments.get(after.checked_sub(1)?)?;
        (position < segment.end()).then(|| segment.clone())
    }

    pub fn fenced(&self) -> Option<LogError> {
        match &self.state.borrow().phase {
            Phase::Fenced(reason) => Some(LogError::Fenced { reason: reason.clone() }),
            _ => None,
        }
    }

    /// Resolves at the next change of the key index or the phase; false when the log is not open.
    pub async fn key_change(&self) -> bool {
        if self.is_open() {
            self.key_work.wait().await;
        }
        self.is_open()
    }

    /// Notes what is stable.
    pub async fn write_mark(&self, clean: bool) -> Result<(), DiskError> {
        self.write_mark_from(0, clean).await
    }

    /// Notes what is stable, and that the log begins at `first` if not yet later.
    pub async fn write_mark_from(&self, first: u64, clean: bool) -> Result<(), DiskError> {
        let _turn = self.mark.turn().await;
        let mark = {
            let (state, last) = (self.state.borrow(), self.mark.last());
            Mark {
                position: state.settled(),
                committed: last.committed.max(state.committed_for_good()),
                first: first.max(last.first),
                // What is behind the settled end may still be cut off.
                clean: clean && state.settled() == state.position,
                claims: last.claims || state.settled() >= state.counts_from,
                ..last
            }
        };
        self.mark.write(mark).await
    }

    /// Syncs what was written and not synced; `stable` follows.
    pub async fn sync(&self) -> Result<(), DiskError> {
        let written = self.state.borrow().written;
        let dirty: Vec<_> =
            self.segments.borrow().iter().filter(|segment| segment.dirty.take()).cloned().collect();
        for segment in dirty {
            let filler = segment.filler.borrow().clone();
            if let Some(file) = filler {
                ringmq_io::File::sync(&*file).await?;
            }
            self.state.borrow_mut().counters.syncs += 1;
        }
        let mut state = self.state.borrow_mut();
        state.stable = state.stable.max(written);
        Ok(())
    }
}
