//! The leadership of one log, on the shard that owns it: who holds what of it, and what is
//! committed by that.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

use ringmq_base::LogPosition;
use ringmq_io::{Runtime, signal::Notify};
use ringmq_store::{Log, Sink};

use super::StreamError;
use crate::{
    frames::Ack,
    ids::{Epoch, ReplicaId},
    in_sync_set::InSyncSet,
    progress::{Begun, ConnectionNumber, NotYet, Progress},
};

/// A follower on one of its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub replica: ReplicaId,
    pub connection: ConnectionNumber,
}

/// Of what [`Progress`] counts by log, this is the only one.
const THIS: usize = 0;

pub struct Lead<R: Runtime, S: Sink> {
    log: Log<R, S>,
    own: ReplicaId,
    epoch: Epoch,
    /// The log commits by itself: copies of it count for nothing.
    is_alone: bool,
    progress: RefCell<Progress>,
    /// Stable on a member up to there, as it said on any connection of this epoch.
    stable: RefCell<BTreeMap<ReplicaId, u64>>,
    connections: Cell<u64>,
    holds_back: Cell<bool>,
    held_elsewhere: Rc<Cell<u64>>,
    /// More is committed, or somebody holds more.
    pub(super) progressed: Notify,
}

impl<R: Runtime, S: Sink> Lead<R, S> {
    /// The log has begun the epoch ([`Log::start_epoch`]), and appends count as far as this says.
    ///
    /// # Panics
    /// If `own` is not in the set.
    pub fn new(log: Log<R, S>, epoch: Epoch, own: ReplicaId, set: InSyncSet, begun: u64) -> Self {
        let begun = Begun { committed: log.ends().committed.0, begun };
        let progress = Progress::new(epoch, own, set, &[begun]).into();
        Lead {
            log,
            own,
            epoch,
            is_alone: false,
            progress,
            stable: RefCell::default(),
            connections: Cell::default(),
            holds_back: Cell::default(),
            held_elsewhere: Rc::default(),
            progressed: Notify::default(),
        }
    }

    /// Of a log that was opened alone, in the epoch of that: others may follow, and it waits for
    /// nobody.
    pub fn alone(log: Log<R, S>, own: ReplicaId) -> Self {
        let (epoch, begun) = (Epoch(log.epoch()), log.ends().committed.0);
        let lead = Lead::new(log, epoch, own, InSyncSet::all_of([own]), begun);
        Lead { is_alone: true, ..lead }
    }

    /// How far another member is known to hold the log. Says so before anything is committed by it.
    pub fn held_elsewhere(&self) -> &Rc<Cell<u64>> {
        &self.held_elsewhere
    }

    pub fn log(&self) -> &Log<R, S> {
        &self.log
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub fn committed(&self) -> LogPosition {
        LogPosition(self.progress.borrow().committed(THIS))
    }

    /// The recorded set.
    pub fn set(&self) -> InSyncSet {
        self.progress.borrow().set().clone()
    }

    /// Resolves when more is committed, or somebody holds more. Safe to cancel.
    pub async fn progressed(&self) {
        self.progressed.wait().await;
    }

    /// Has whoever sends look at the log again: it begins later now.
    pub fn wake(&self) {
        self.progressed.notify();
    }

    /// How far the log is stable on a member, as it has said.
    pub fn stable_on(&self, replica: ReplicaId) -> LogPosition {
        LogPosition(self.stable.borrow().get(&replica).copied().unwrap_or(0))
    }

    /// How far a member is known to hold the log.
    pub fn held_by(&self, replica: ReplicaId) -> LogPosition {
        LogPosition(self.progress.borrow().held_by(replica, THIS))
    }

    /// Counts what this member writes itself. Runs until the log is closed or fenced.
    pub async fn watch_own(&self) {
        while self.log.is_open() {
            self.note_own();
            self.log.progressed().await;
        }
    }

    /// While it holds back, what this member writes from now on does not count, so that others
    /// catch up with what is committed.
    pub fn hold_back(&self, holds: bool) {
        self.holds_back.set(holds);
        self.note_own();
    }

    /// Counts what this member has written by now.
    pub fn note_own(&self) {
        if self.holds_back.get() {
            return;
        }
        let written = self.log.ends().written.0;
        self.progress.borrow_mut().hold(THIS, written);
        self.settle();
    }

    /// A member has connected whose log ends there and is the same as the own up to there.
    pub fn connect(&self, replica: ReplicaId, end: LogPosition) -> Member {
        self.connections.set(self.connections.get() + 1);
        let connection = ConnectionNumber(self.connections.get());
        let known = self.progress.borrow_mut().connect(replica, connection, &[end.0]);
        known.expect("connections are numbered here");
        self.stable.borrow_mut().remove(&replica);
        self.settle();
        Member { replica, connection }
    }

    /// Whether no later connection of the member has replaced this one.
    pub fn is_current(&self, member: Member) -> bool {
        self.progress.borrow().connection(member.replica) == Some(member.connection)
    }

    /// Everything before `end` is on its way to the member.
    pub(super) fn note_sent(&self, member: Member, end: LogPosition) {
        let mut progress = self.progress.borrow_mut();
        progress.sent(member.replica, member.connection, THIS, end.0);
    }

    /// # Errors
    /// If it does not count, and the connection is to be ended.
    pub(super) fn note_ack(
        &self,
        member: Member,
        epoch: Epoch,
        ack: &Ack,
    ) -> Result<(), StreamError> {
        let of = (member.replica, member.connection);
        self.progress.borrow_mut().acknowledge(of, epoch, THIS, ack.written)?;
        let stable = ack.stable.min(ack.written);
        self.stable.borrow_mut().insert(member.replica, stable);
        self.settle();
        Ok(())
    }

    /// From now on both the recorded set and this one count, until the outcome is told.
    ///
    /// # Errors
    /// If it may not be asked for.
    pub fn ask(&self, set: InSyncSet) -> Result<(), NotYet> {
        self.progress.borrow_mut().ask(set)
    }

    /// Whether the set that was asked for is recorded now, or never will be.
    pub fn outcome(&self, recorded: bool) {
        self.progress.borrow_mut().outcome(recorded);
        self.settle();
    }

    fn settle(&self) {
        let (committed, everywhere) = {
            let progress = self.progress.borrow();
            self.held_elsewhere.set(progress.held_by_others(THIS));
            let stable = self.stable.borrow();
            let own = self.log.ends().stable.0;
            let of = |replica: ReplicaId| match replica == self.own {
                true => own,
                false => stable.get(&replica).copied().unwrap_or(0),
            };
            // While a change is under way a claim has to hold in both sets.
            let asked = progress.asked().into_iter().flat_map(InSyncSet::members);
            let members = progress.set().members().chain(asked);
            let everywhere = members.map(of).min().unwrap_or(0).min(own);
            (progress.committed(THIS), everywhere)
        };
        if !self.is_alone {
            self.log.note_stable_everywhere(LogPosition(everywhere));
            self.log.allow(LogPosition(committed));
        }
        self.progressed.notify();
    }
}
