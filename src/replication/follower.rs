//! A member that does not lead: whom it still listens to, what it knows to be committed, and what
//! it may cut off.

use crate::ids::Epoch;

/// What a member has promised, and what it knows. The joined epoch, and what is known to be
/// committed, survive the process; neither goes back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Follower {
    joined: Epoch,
    logs: Vec<FollowedLog>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct FollowedLog {
    /// What this member holds, as far as it is known to be what the leader has.
    held: u64,
    committed: u64,
}

/// A leader of an epoch that is over for this member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("epoch {said} is over: epoch {joined} was joined")]
pub struct Over {
    pub said: Epoch,
    pub joined: Epoch,
}

/// What nobody may cut off: it may have been acknowledged and served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("log {log} is committed up to {committed}: nothing is cut off from {to} on")]
pub struct IsCommitted {
    pub log: usize,
    pub to: u64,
    pub committed: u64,
}

impl Follower {
    /// `committed`: by log, as it was known before; nothing is held yet that a leader has compared.
    pub fn new(joined: Epoch, committed: &[u64]) -> Follower {
        let log = |committed: &u64| FollowedLog { held: 0, committed: *committed };
        Follower { joined, logs: committed.iter().map(log).collect() }
    }

    pub fn joined(&self) -> Epoch {
        self.joined
    }

    /// Listens to the leader of this epoch from now on and to no smaller one ever again. Has to be
    /// on stable storage before anything is said to it, or taken from it. A leader joins its own.
    ///
    /// # Errors
    /// If a greater one was joined.
    pub fn join(&mut self, epoch: Epoch) -> Result<(), Over> {
        self.listens_to(epoch)?;
        self.joined = epoch;
        for log in &mut self.logs {
            log.held = 0;
        }
        Ok(())
    }

    /// # Errors
    /// If something of this epoch is not to be taken or acknowledged any more.
    pub fn listens_to(&self, epoch: Epoch) -> Result<(), Over> {
        match epoch < self.joined {
            true => Err(Over { said: epoch, joined: self.joined }),
            false => Ok(()),
        }
    }

    /// How far a log is known to be committed.
    pub fn committed(&self, log: usize) -> u64 {
        self.logs.get(log).map_or(0, |log| log.committed)
    }

    /// This member holds a log up to there, and it is what the leader has.
    pub fn hold(&mut self, log: usize, position: u64) {
        if let Some(log) = self.logs.get_mut(log) {
            log.held = position;
        }
    }

    /// The leader says how far a log is committed. Counts as far as this member holds it: what is
    /// beyond its own end it cannot promise.
    pub fn tell(&mut self, log: usize, committed: u64) {
        if let Some(log) = self.logs.get_mut(log) {
            log.committed = log.committed.max(committed.min(log.held));
        }
    }

    /// # Errors
    /// If what is from `to` on may not be cut off.
    pub fn may_cut(&self, log: usize, to: u64) -> Result<(), IsCommitted> {
        let committed = self.committed(log);
        match to < committed {
            true => Err(IsCommitted { log, to, committed }),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_that_is_over_is_never_listened_to_again() {
        let mut member = Follower::new(Epoch(3), &[0]);
        member.join(Epoch(3)).expect("it is the same leader");
        member.join(Epoch(5)).expect("it is greater");
        let over = Over { said: Epoch(4), joined: Epoch(5) };
        assert_eq!(member.join(Epoch(4)), Err(over));
        assert_eq!(member.listens_to(Epoch(4)), Err(over));
        assert_eq!((member.joined(), member.listens_to(Epoch(5))), (Epoch(5), Ok(())));
    }

    #[test]
    fn no_more_is_known_to_be_committed_than_is_held() {
        let mut member = Follower::new(Epoch(1), &[40, 0]);
        assert_eq!(member.committed(0), 40, "it was known before");
        member.tell(0, 90);
        assert_eq!(member.committed(0), 40, "nothing is compared yet");
        member.hold(0, 70);
        member.tell(0, 90);
        assert_eq!(member.committed(0), 70);
        member.tell(0, 50);
        assert_eq!(member.committed(0), 70, "it never goes back");
        assert_eq!((member.committed(1), member.committed(2)), (0, 0));
        // In another epoch what is held may be something else.
        member.join(Epoch(2)).expect("it is greater");
        member.tell(0, 90);
        assert_eq!(member.committed(0), 70);
    }

    #[test]
    fn what_is_committed_is_not_cut_off() {
        let member = Follower::new(Epoch(1), &[40]);
        assert_eq!(member.may_cut(0, 40), Ok(()));
        let refused = member.may_cut(0, 39).expect_err("it is committed");
        let text = "log 0 is committed up to 40: nothing is cut off from 39 on";
        assert_eq!(refused.to_string(), text);
    }
}
