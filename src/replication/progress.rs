//! The commit rule of a master: how far each log is held by enough members. Nothing else says what
//! is committed; what is not is neither acknowledged nor served.
//!
//! A position is committed when W members of S hold it, the master counting like any; while a
//! change to S', W' is under way, from the request until its outcome is known, W' of S' as well;
//! and when the record that begins the master's epoch is before it: what an earlier master left is
//! committed only with something of the own epoch behind it.
//!
//! What a member holds counts if it says so in this epoch, on its newest connection, and was sent
//! it there. What "holds" means, written or on stable storage, follows from the flush mode.

use std::collections::BTreeMap;

use crate::{
    ids::{Epoch, ReplicaId},
    in_sync_set::InSyncSet,
};

/// Numbers the connections of a member; a later one is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionNumber(pub u64);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Progress {
    epoch: Epoch,
    own: ReplicaId,
    set: InSyncSet,
    /// A change that was asked for, and whose outcome is not known.
    asked: Option<InSyncSet>,
    logs: Vec<LogProgress>,
    links: BTreeMap<ReplicaId, Link>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct LogProgress {
    /// Behind the record that begins the epoch.
    begun: u64,
    committed: u64,
    held: BTreeMap<ReplicaId, u64>,
}

/// The newest connection of a member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Link {
    number: ConnectionNumber,
    /// By log: up to where it was sent everything.
    sent: Vec<u64>,
}

/// How a log is when a leadership begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// What this member knows to be committed.
    pub committed: u64,
    /// Behind the record that begins the epoch.
    pub begun: u64,
}

/// Why an acknowledgement of a member does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCounted {
    #[error("it is of epoch {0}")]
    Epoch(Epoch),
    #[error("it came by a connection that another has replaced")]
    Connection,
    #[error("it says {said} where {sent} was sent")]
    NotSent { said: u64, sent: u64 },
    #[error("there is no log {0}")]
    Log(usize),
}

/// Why a change of the set may not be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotYet {
    #[error("the outcome of another one is not known")]
    UnderWay,
    #[error("the master would not count")]
    WithoutMaster,
    #[error("what is committed of log {log} to {committed} is held to {held} there")]
    Behind { log: usize, committed: u64, held: u64 },
}

impl Progress {
    /// `set`: as recorded with the epoch.
    ///
    /// # Panics
    /// If the master is not in the set.
    pub fn new(epoch: Epoch, own: ReplicaId, set: InSyncSet, logs: &[Begun]) -> Progress {
        assert!(set.contains(own), "a leader is in sync");
        let logs = logs.iter().map(|log| LogProgress {
            begun: log.begun,
            committed: log.committed,
            held: BTreeMap::new(),
        });
        let (logs, links) = (logs.collect(), BTreeMap::new());
        Progress { epoch, own, set, asked: None, logs, links }
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What is known of the recorded set.
    pub fn set(&self) -> &InSyncSet {
        &self.set
    }

    /// The change whose outcome is awaited.
    pub fn asked(&self) -> Option<&InSyncSet> {
        self.asked.as_ref()
    }

    /// How far a log is committed. Never goes back.
    pub fn committed(&self, log: usize) -> u64 {
        self.logs.get(log).map_or(0, |log| log.committed)
    }

    /// How far a member is known to hold a log.
    pub fn held_by(&self, member: ReplicaId, log: usize) -> u64 {
        self.logs.get(log).and_then(|log| log.held.get(&member)).copied().unwrap_or(0)
    }

    /// The newest connection of a member.
    pub fn connection(&self, member: ReplicaId) -> Option<ConnectionNumber> {
        self.links.get(&member).map(|link| link.number)
    }

    /// How far a member was sent a log on its newest connection.
    pub fn sent_to(&self, member: ReplicaId, log: usize) -> u64 {
        self.links.get(&member).and_then(|link| link.sent.get(log)).copied().unwrap_or(0)
    }

    /// The master holds a log up to there.
    pub fn hold(&mut self, log: usize, position: u64) {
        let own = self.own;
        self.note(log, own, position);
    }

    /// A member has connected, with logs that end there and agree with the master's up to there:
    /// that was compared and, where it was not so, cut off.
    ///
    /// # Errors
    /// If a later connection of the member is known.
    pub fn connect(
        &mut self,
        member: ReplicaId,
        number: ConnectionNumber,
        ends: &[u64],
    ) -> Result<(), NotCounted> {
        if self.links.get(&member).is_some_and(|link| link.number >= number) {
            return Err(NotCounted::Connection);
        }
        self.links.insert(member, Link { number, sent: ends.to_vec() });
        for (log, end) in ends.iter().enumerate() {
            // It may hold less than it said before: what was cut off, or lost.
            if let Some(log) = self.logs.get_mut(log) {
                log.held.remove(&member);
            }
            self.note(log, member, *end);
        }
        Ok(())
    }

    /// A member was sent everything of a log up to there, on a connection.
    pub fn sent(&mut self, member: ReplicaId, number: ConnectionNumber, log: usize, end: u64) {
        let link = self.links.get_mut(&member).filter(|link| link.number == number);
        if let Some(sent) = link.and_then(|link| link.sent.get_mut(log)) {
            *sent = end.max(*sent);
        }
    }

    /// A member says that it holds a log up to there.
    ///
    /// # Errors
    /// If that does not count; the connection is to be ended.
    pub fn acknowledge(
        &mut self,
        (member, number): (ReplicaId, ConnectionNumber),
        epoch: Epoch,
        log: usize,
        position: u64,
    ) -> Result<(), NotCounted> {
        if epoch != self.epoch {
            return Err(NotCounted::Epoch(epoch));
        }
        let link = self.links.get(&member).filter(|link| link.number == number);
        let link = link.ok_or(NotCounted::Connection)?;
        let sent = *link.sent.get(log).ok_or(NotCounted::Log(log))?;
        if position > sent {
            return Err(NotCounted::NotSent { said: position, sent });
        }
        self.note(log, member, position);
        Ok(())
    }

    fn note(&mut self, number: usize, member: ReplicaId, position: u64) {
        let Some(log) = self.logs.get_mut(number) else { return };
        let held = log.held.entry(member).or_default();
        *held = position.max(*held);
        self.settle(number);
    }

    fn settle(&mut self, number: usize) {
        let Some(log) = self.logs.get_mut(number) else { return };
        let position_of = |member| log.held.get(&member).copied().unwrap_or(0);
        let mut held = self.set.held(position_of);
        if let Some(asked) = &self.asked {
            held = held.min(asked.held(position_of));
        }
        if held >= log.begun {
            log.committed = log.committed.max(held);
        }
    }

    /// Before a change of the set is asked for: from now on both sets count.
    ///
    /// # Errors
    /// If it may not be asked for: what is committed has to be so under the new set, too.
    pub fn ask(&mut self, set: InSyncSet) -> Result<(), NotYet> {
        if self.asked.is_some() {
            return Err(NotYet::UnderWay);
        }
        if !set.contains(self.own) {
            return Err(NotYet::WithoutMaster);
        }
        for (number, log) in self.logs.iter().enumerate() {
            let held = set.held(|member| log.held.get(&member).copied().unwrap_or(0));
            // What is before the own epoch was committed by others, and whoever lacks it may have
            // been left out since.
            let committed = log.committed.max(log.begun);
            if held < committed {
                return Err(NotYet::Behind { log: number, committed, held });
            }
        }
        self.asked = Some(set);
        Ok(())
    }

    /// The change that was asked for is recorded, or it never will be. While that is not known
    /// nothing is told here, and both sets count.
    pub fn outcome(&mut self, recorded: bool) {
        if let (Some(asked), true) = (self.asked.take(), recorded) {
            self.set = asked;
        }
        (0..self.logs.len()).for_each(|log| self.settle(log));
    }
}

#[cfg(test)]
mod tests;
