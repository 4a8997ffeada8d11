//! The leadership of one log, on the shard that owns it: who holds what of it, and what is
//! committed by that.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
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
    progress: RefCell<Progress>,
    /// Stable on a member up to there, as it said on any connection of this epoch.
    stable: RefCell<BTreeMap<ReplicaId, u64>>,
    connections: Cell<u64>,
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
        let (stable, connections) = (RefCell::default(), Cell::default());
        Lead { log, own, epoch, progress, stable, connections, progressed: Notify::default() }
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

    /// Counts what this member has written by now.
    pub fn note_own(&self) {
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
        self.log.note_stable_everywhere(LogPosition(everywhere));
        self.log.allow(LogPosition(committed));
        self.progressed.notify();
    }
}
