//! A log that others follow: who does, how far, and which of them are in sync.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use ringmq_io::{Runtime, signal::Event};
use ringmq_replication::{
    ReplicaId,
    in_sync_set::InSyncSet,
    streams::{Lead, Member, StreamError},
};

use crate::{
    shard::{BrokerLog, acks::LogSink, copies::FollowerFacts},
    sizes::FOLLOWERS_MAX,
};

/// One of them, on its connection.
pub struct Follower {
    pub member: Member,
    pub address: SocketAddr,
    since_ms: i64,
    /// Set when another connection has taken its place.
    pub replaced: Event,
    watched: Cell<Watched>,
}

/// What was seen of a follower.
#[derive(Clone, Copy, Default)]
struct Watched {
    held: u64,
    /// When that was more than before, or all there was.
    since: Duration,
}

/// How near a slave has to be that a master waits for, so that it is in sync at last, in bytes; how
/// lately it must have taken something.
const NEARLY: (u64, Duration) = (1 << 20, Duration::from_millis(200));
/// How long the master waits then, and how long it goes on before it does so again.
const HOLD_BACK: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// When a synchronous master waits for a slave.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How long a slave may acknowledge nothing more while something waits for it.
    pub timeout: Duration,
    /// Bytes that a slave may be behind.
    pub gap_max: u64,
    /// Whether sends wait at all.
    pub is_sync: bool,
}

/// A log of a master.
pub struct Led<R: Runtime> {
    pub lead: Lead<R, LogSink<R>>,
    own: ReplicaId,
    rules: Rules,
    followers: RefCell<BTreeMap<ReplicaId, Rc<Follower>>>,
    /// While the master waits for one who is nearly in sync: until when.
    holds_until: Cell<Option<Duration>>,
    /// It does not do so again before.
    holds_from: Cell<Duration>,
}

impl<R: Runtime> Led<R> {
    pub fn new(lead: Lead<R, LogSink<R>>, own: ReplicaId, rules: Rules) -> Self {
        Led {
            lead,
            own,
            rules,
            followers: RefCell::default(),
            holds_until: Cell::default(),
            holds_from: Cell::default(),
        }
    }

    pub fn log(&self) -> &BrokerLog<R> {
        self.lead.log()
    }

    pub fn is_sync(&self) -> bool {
        self.rules.is_sync
    }

    /// A member follows on a new connection, in place of an older one.
    ///
    /// # Errors
    /// If too many others do.
    pub fn enter(
        &self,
        member: Member,
        address: SocketAddr,
        since_ms: i64,
    ) -> Result<Rc<Follower>, StreamError> {
        let mut followers = self.followers.borrow_mut();
        if !followers.contains_key(&member.replica) && followers.len() >= FOLLOWERS_MAX {
            return Err(StreamError::Crowded { followers: followers.len() });
        }
        let (replaced, watched) = (Event::default(), Cell::default());
        let follower = Rc::new(Follower { member, address, since_ms, replaced, watched });
        if let Some(older) = followers.insert(member.replica, follower.clone()) {
            older.replaced.set();
        }
        Ok(follower)
    }

    /// A connection has ended.
    pub fn leave(&self, member: Member, now: Duration) {
        let mut followers = self.followers.borrow_mut();
        let is_current = |one: &Rc<Follower>| one.member == member;
        if followers.get(&member.replica).is_some_and(is_current) {
            followers.remove(&member.replica);
        }
        drop(followers);
        self.reconcile(now);
    }

    /// Whether somebody follows who is not in sync yet.
    pub fn waits_for_somebody(&self) -> bool {
        let set = self.lead.set();
        self.followers.borrow().keys().any(|replica| !set.contains(*replica))
    }

    /// How long until the next look, if nothing happens before.
    pub fn look_in(&self) -> Duration {
        let every = self.rules.timeout / 20;
        let most = if self.holds_until.get().is_some() { HOLD_BACK.0 / 10 } else { every };
        most.clamp(Duration::from_millis(5), Duration::from_millis(500))
    }

    /// Looks who is in sync now, and has the commit follow from that. Of a log that waits for
    /// nobody nothing changes.
    pub fn reconcile(&self, now: Duration) {
        if self.rules.is_sync {
            self.reconcile_set(now);
            self.hold_back_for_some(now);
        }
    }

    /// A slave that is behind by what a network and a disk take would never have all that a busy
    /// master has committed by itself.
    fn hold_back_for_some(&self, now: Duration) {
        match self.holds_until.get() {
            Some(until) if now >= until || !self.waits_for_somebody() => {
                self.holds_until.set(None);
                self.holds_from.set(now + HOLD_BACK.1);
                self.lead.hold_back(false);
            }
            None if now >= self.holds_from.get() && self.is_somebody_near(now) => {
                self.holds_until.set(Some(now + HOLD_BACK.0));
                self.lead.hold_back(true);
            }
            _ => {}
        }
    }

    fn is_somebody_near(&self, now: Duration) -> bool {
        let (set, end) = (self.lead.set(), self.log().ends().end.0);
        let is_near = |one: &Watched| {
            let is_moving = now.saturating_sub(one.since) <= NEARLY.1;
            is_moving && end.saturating_sub(one.held) <= NEARLY.0
        };
        let followers = self.followers.borrow();
        let mut others = followers.iter().filter(|(replica, _)| !set.contains(**replica));
        others.any(|(_, follower)| is_near(&follower.watched.get()))
    }

    fn reconcile_set(&self, now: Duration) {
        let (set, wanted) = (self.lead.set(), self.wanted(now));
        if wanted == set || self.change(&set, wanted) || set.members().count() == 1 {
            return;
        }
        // Those who stay lack something that one who has gone has acknowledged. They are back as
        // soon as they have it.
        self.change(&set, InSyncSet::all_of([self.own]));
    }

    /// Who should be in sync.
    fn wanted(&self, now: Duration) -> InSyncSet {
        let set = self.lead.set();
        let (end, committed) = (self.log().ends().end.0, self.lead.committed().0);
        let mut members = vec![self.own];
        for (replica, follower) in &*self.followers.borrow() {
            let held = self.lead.held_by(*replica).0;
            let mut watched = follower.watched.get();
            if held > watched.held || held >= end {
                watched = Watched { held, since: now };
            }
            follower.watched.set(watched);
            let is_late = now.saturating_sub(watched.since) > self.rules.timeout;
            let is_sound = match set.contains(*replica) {
                true => !is_late,
                false => held >= committed,
            };
            if is_sound && end.saturating_sub(held) <= self.rules.gap_max {
                members.push(*replica);
            }
        }
        let required = members.len().min(2);
        InSyncSet::new(members, required)
    }

    /// True if the set is another one now.
    fn change(&self, from: &InSyncSet, to: InSyncSet) -> bool {
        if *from == to || self.lead.ask(to.clone()).is_err() {
            return false;
        }
        let log = self.log();
        if to.members().count() == 1 {
            // Before anything is committed by it: what waited is answered in another way.
            log.sink().copies.note_alone(log.ends().end);
        }
        self.lead.outcome(true);
        let in_sync = to.members().filter(|member| *member != self.own).map(|member| member.0);
        let slaves: Vec<u32> = in_sync.collect();
        let fewer = !from.is_within(&to);
        match fewer {
            true => tracing::warn!(log = %log.id(), ?slaves, "a slave is not in sync any more"),
            false => tracing::info!(log = %log.id(), ?slaves, "a slave is in sync"),
        }
        true
    }

    /// What tools are told.
    pub fn facts(&self) -> Vec<FollowerFacts> {
        let (set, end) = (self.lead.set(), self.log().ends().end.0);
        let followers = self.followers.borrow();
        let of = |(replica, follower): (&ReplicaId, &Rc<Follower>)| {
            let written = self.lead.held_by(*replica);
            let behind = end.saturating_sub(written.0);
            let is_near = behind <= self.rules.gap_max;
            FollowerFacts {
                log: self.log().id(),
                replica: replica.0,
                address: follower.address,
                written,
                stable: self.lead.stable_on(*replica),
                behind,
                is_in_sync: if self.rules.is_sync { set.contains(*replica) } else { is_near },
                since_ms: follower.since_ms,
            }
        };
        followers.iter().map(of).collect()
    }
}
