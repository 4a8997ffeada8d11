//! What is decided about a broker name: who leads, in which epoch, and whose copies count. A state
//! machine for whatever keeps it consistent; each command names what it was decided upon and is
//! refused when that has changed.

use crate::{
    ids::{Epoch, ReplicaId},
    in_sync_set::InSyncSet,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GroupState {
    pub epoch: Epoch,
    pub leader: ReplicaId,
    pub set: InSyncSet,
    /// Changes of the set within the epoch.
    pub version: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Makes a member the leader, in the epoch behind `epoch`. `without_old`: the one that led does
    /// not count any more.
    Elect { epoch: Epoch, leader: ReplicaId, without_old: bool },
    /// The leader of `epoch` counts on others from now on.
    AlterSet { epoch: Epoch, version: u64, set: InSyncSet },
}

/// Why a command has changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    #[error("the epoch is {is} by now, not {was}")]
    Epoch { is: Epoch, was: Epoch },
    #[error("the in-sync set has changed {is} times, not {was}")]
    Version { is: u64, was: u64 },
    #[error("replica {0} is not in sync: it may lack what was acknowledged")]
    NotInSync(ReplicaId),
    #[error("the set cannot lose a member with the election: {required} of {size} need not be all")]
    MustStay { required: usize, size: usize },
    #[error("replica {0} leads already")]
    Leads(ReplicaId),
    #[error("one member comes or goes at a time, and the leader stays")]
    Change,
}

impl GroupState {
    /// A new broker name with its first leader.
    pub fn first(leader: ReplicaId, set: InSyncSet) -> GroupState {
        assert!(set.contains(leader), "the leader counts itself");
        GroupState { epoch: Epoch(1), leader, set, version: 0 }
    }

    /// # Errors
    /// If the command was decided upon something else, or would lose what is acknowledged.
    pub fn apply(&mut self, command: &Command) -> Result<(), Refused> {
        match command {
            Command::Elect { epoch, leader, without_old } => {
                self.is_epoch(*epoch)?;
                self.elect(*leader, *without_old)
            }
            Command::AlterSet { epoch, version, set } => {
                self.is_epoch(*epoch)?;
                if *version != self.version {
                    return Err(Refused::Version { is: self.version, was: *version });
                }
                self.alter(set)
            }
        }
    }

    fn is_epoch(&self, was: Epoch) -> Result<(), Refused> {
        match self.epoch == was {
            true => Ok(()),
            false => Err(Refused::Epoch { is: self.epoch, was }),
        }
    }

    fn elect(&mut self, leader: ReplicaId, without_old: bool) -> Result<(), Refused> {
        if !self.set.contains(leader) {
            return Err(Refused::NotInSync(leader));
        }
        if without_old {
            if leader == self.leader {
                return Err(Refused::Leads(leader));
            }
            // Where all have everything, one less takes nothing away. Where some lack some of it, a
            // smaller set asks too few of the next election.
            if !self.set.requires_all() {
                let (required, size) = (self.set.required(), self.set.members().count());
                return Err(Refused::MustStay { required, size });
            }
            let left = self.set.members().filter(|member| *member != self.leader);
            self.set = InSyncSet::all_of(left);
        }
        self.epoch = self.epoch.next();
        self.leader = leader;
        self.version = 0;
        Ok(())
    }

    fn alter(&mut self, set: &InSyncSet) -> Result<(), Refused> {
        if !set.contains(self.leader) || self.set.difference(set) > 1 {
            return Err(Refused::Change);
        }
        self.set = set.clone();
        self.version += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
