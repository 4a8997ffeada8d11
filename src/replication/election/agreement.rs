//! Whether the master of a group is gone, and who is elected: decided by who leads the control
//! quorum, from what the members say. One link that is cut decides nothing: all members that can be
//! reached are asked, and each has to agree.
//!
//! What is compares with what should be, at each event and by a timer: nothing depends on an event
//! that is seen once.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    election::{
        choice::{self, Facts, Nobody},
        suspicion::{self, View},
    },
    group::{Command, GroupState},
    ids::{Epoch, ReplicaId},
};

/// A member that has not said anything for as long cannot be reached.
pub const UNREACHABLE_AFTER: Duration = Duration::from_millis(500);

/// A member that does not answer a question for as long cannot be reached.
pub const ANSWER_WITHIN: Duration = Duration::from_millis(200);

/// A question that somebody disagreed with is asked again after so long, if there is still a
/// reason.
pub const ASKED_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// A proposal that has not come back for as long is made again; it changes nothing twice.
pub const PROPOSED_AGAIN_AFTER: Duration = Duration::from_millis(500);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A member's heartbeat, or a report that came at once. The master has no view of itself.
    Told { from: ReplicaId, facts: Facts, view: Option<View> },
    /// A member has answered a question.
    Answered { from: ReplicaId, question: u64, view: View },
    /// The connection of a member has ended.
    Gone(ReplicaId),
    /// The master of this epoch cannot go on.
    Resigned { from: ReplicaId, epoch: Epoch },
    /// Somebody wants this member to lead; the master is still there and knows.
    HandOver { to: ReplicaId },
    /// What is recorded.
    Recorded(GroupState),
    /// A timer that was due then; as often as [`suspicion::TIMER`].
    Timer { due: Duration },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// When it last heard the master; answered with [`Event::Answered`].
    Ask {
        member: ReplicaId,
        question: u64,
        epoch: Epoch,
    },
    Propose(Command),
    /// The group has no master, and cannot have one now.
    Without(Nobody),
    /// Why there is no hand-over.
    Stays {
        to: ReplicaId,
        why: &'static str,
    },
}

#[derive(Clone, Debug)]
struct Seen {
    at: Duration,
    facts: Facts,
    view: Option<View>,
}

#[derive(Clone, Debug)]
struct Question {
    number: u64,
    asked_at: Duration,
    open: BTreeSet<ReplicaId>,
    agreed: BTreeSet<ReplicaId>,
}

#[derive(Clone, Debug)]
pub struct Agreement {
    group: GroupState,
    seen: BTreeMap<ReplicaId, Seen>,
    question: Option<Question>,
    questions: u64,
    /// The last question ended then, without agreement.
    ended: Option<Duration>,
    /// The master of this epoch has resigned.
    resigned: Option<Epoch>,
    proposed: Option<Duration>,
    is_without_told: bool,
}

impl Agreement {
    /// As who leads the control quorum begins: nothing is known of the members yet.
    pub fn new(group: GroupState) -> Agreement {
        Agreement {
            group,
            seen: BTreeMap::new(),
            question: None,
            questions: 0,
            ended: None,
            resigned: None,
            proposed: None,
            is_without_told: false,
        }
    }

    pub fn step(&mut self, event: Event, now: Duration) -> Vec<Action> {
        match event {
            Event::Told { from, facts, view } => {
                self.seen.insert(from, Seen { at: now, facts, view });
            }
            Event::Answered { from, question, view } => self.answered(from, question, view, now),
            Event::Gone(member) => {
                self.seen.remove(&member);
                self.lose(member);
            }
            Event::Resigned { from, epoch } => {
                if (from, epoch) == (self.group.leader, self.group.epoch) {
                    self.resigned = Some(epoch);
                }
            }
            Event::HandOver { to } => return vec![self.hand_over(to, now)],
            Event::Recorded(group) => self.recorded(group),
            Event::Timer { due } => {
                if now.saturating_sub(due) > suspicion::OWN_STALL {
                    self.stood_still(now);
                }
            }
        }
        self.compare(now)
    }

    /// What others have said meanwhile is still to be read: nobody is silent for that.
    fn stood_still(&mut self, now: Duration) {
        if self.question.take().is_some() {
            self.ended = Some(now);
        }
        for seen in self.seen.values_mut() {
            seen.at = now;
        }
    }

    fn recorded(&mut self, group: GroupState) {
        if group.epoch > self.group.epoch {
            (self.question, self.ended, self.resigned) = (None, None, None);
            self.proposed = None;
            self.is_without_told = false;
        }
        self.group = group;
    }

    fn answered(&mut self, from: ReplicaId, number: u64, view: View, now: Duration) {
        let Some(question) = &mut self.question else { return };
        if question.number != number || view.epoch != self.group.epoch {
            return;
        }
        if let Some(seen) = self.seen.get_mut(&from) {
            (seen.at, seen.view) = (now, Some(view));
        }
        if !view.agrees() {
            (self.question, self.ended) = (None, Some(now));
        } else if question.open.remove(&from) {
            question.agreed.insert(from);
        }
    }

    fn lose(&mut self, member: ReplicaId) {
        if let Some(question) = &mut self.question {
            question.open.remove(&member);
            question.agreed.remove(&member);
        }
    }

    /// What is, against what should be.
    fn compare(&mut self, now: Duration) -> Vec<Action> {
        if self.proposed.is_some_and(|at| now.saturating_sub(at) < PROPOSED_AGAIN_AFTER) {
            return Vec::new();
        }
        if self.resigned.is_some() {
            let others: BTreeSet<_> = self.reached(now).collect();
            return self.elect(&others, now);
        }
        let Some(question) = &self.question else { return self.ask(now) };
        if now.saturating_sub(question.asked_at) >= ANSWER_WITHIN {
            let silent: Vec<_> = question.open.iter().copied().collect();
            for member in silent {
                self.seen.remove(&member);
                self.lose(member);
            }
        }
        let Some(question) = &self.question else { return Vec::new() };
        if !question.open.is_empty() {
            return Vec::new();
        }
        let agreed = question.agreed.clone();
        (self.question, self.ended) = (None, Some(now));
        if agreed.is_empty() {
            return Vec::new();
        }
        self.elect(&agreed, now)
    }

    /// Members but the master that can be reached.
    fn reached(&self, now: Duration) -> impl Iterator<Item = ReplicaId> {
        let leader = self.group.leader;
        let is_there = move |seen: &Seen| now.saturating_sub(seen.at) < UNREACHABLE_AFTER;
        let there = self.seen.iter().filter(move |(_, seen)| is_there(seen));
        there.map(|(member, _)| *member).filter(move |member| *member != leader)
    }

    /// If anybody suspects the master: everybody.
    fn ask(&mut self, now: Duration) -> Vec<Action> {
        if self.ended.is_some_and(|at| now.saturating_sub(at) < ASKED_AGAIN_AFTER) {
            return Vec::new();
        }
        let epoch = self.group.epoch;
        let members: BTreeSet<_> = self.reached(now).collect();
        let suspects = |member: &ReplicaId| {
            let view = self.seen.get(member).and_then(|seen| seen.view);
            view.is_some_and(|view| view.epoch == epoch && view.agrees())
        };
        if !members.iter().any(suspects) {
            return Vec::new();
        }
        self.questions += 1;
        let number = self.questions;
        let asks =
            members.iter().map(|member| Action::Ask { member: *member, question: number, epoch });
        let actions = asks.collect();
        self.question =
            Some(Question { number, asked_at: now, open: members, agreed: BTreeSet::new() });
        actions
    }

    /// The master does not count any more where that takes nothing away.
    fn elect(&mut self, from: &BTreeSet<ReplicaId>, now: Duration) -> Vec<Action> {
        let facts = self.seen.iter().filter(|(member, _)| from.contains(member));
        let facts = facts.map(|(member, seen)| (*member, &seen.facts));
        match choice::best(&self.group.set, facts) {
            Ok(leader) => {
                self.proposed = Some(now);
                self.is_without_told = false;
                let (epoch, without_old) = (self.group.epoch, self.group.set.requires_all());
                vec![Action::Propose(Command::Elect { epoch, leader, without_old })]
            }
            Err(_) if self.is_without_told => Vec::new(),
            Err(nobody) => {
                self.is_without_told = true;
                vec![Action::Without(nobody)]
            }
        }
    }

    fn hand_over(&mut self, to: ReplicaId, now: Duration) -> Action {
        let facts = self.seen.get(&to).map(|seen| &seen.facts);
        let is_there = self.reached(now).any(|member| member == to);
        let why = match facts {
            _ if to == self.group.leader => "it leads already",
            _ if !self.group.set.contains(to) => "it is not in sync",
            Some(facts) if facts.is_fenced => "its log takes no appends",
            Some(facts) if facts.is_in_doubt => "it may lack what it has acknowledged",
            Some(_) if is_there => {
                self.proposed = Some(now);
                let epoch = self.group.epoch;
                return Action::Propose(Command::Elect { epoch, leader: to, without_old: false });
            }
            _ => "it cannot be reached",
        };
        Action::Stays { to, why }
    }
}

#[cfg(test)]
mod tests;
