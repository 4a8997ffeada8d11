//! Pulls that wait while group or topic change: who may not consume any more is answered soon, as
//! if the pull came now. They are looked at some at a time, once for all changes that came before
//! the first of them.

use std::{cell::RefCell, collections::BTreeSet, sync::Arc};

use ringmq_io::{Runtime, signal::Event};
use ringmq_rules::{pull_check::still_allowed, refusal::Refusal};

use super::{Shard, waiting_pulls::Number};
use crate::messages::{Change, PullRequest};

/// Groups and topics that have changed.
#[derive(Default)]
struct Changed {
    groups: BTreeSet<Arc<str>>,
    topics: BTreeSet<Arc<str>>,
}

impl Changed {
    fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.topics.is_empty()
    }

    fn concerns(&self, pull: &PullRequest) -> bool {
        self.groups.contains(&*pull.group) || self.topics.contains(&*pull.topic.topic.name)
    }
}

/// A look at all pulls that wait.
struct Look {
    of: Changed,
    next: Number,
    /// Those that come later know of the changes.
    end: Number,
}

/// Changes for which pulls have to be looked at again.
#[derive(Default)]
pub struct HeldPulls {
    changed: RefCell<Changed>,
    look: RefCell<Option<Look>>,
    /// There are more to look at than one turn allows.
    pub some_changed: Event,
}

impl<R: Runtime> Shard<R> {
    /// Answers the pulls that wait and may not any more, after a change of the view: the first of
    /// them now.
    pub(super) fn recheck_held(&self, change: &Change) {
        {
            let mut changed = self.held_pulls.changed.borrow_mut();
            match change {
                Change::Group(group) => changed.groups.insert(group.name.clone()),
                Change::GroupRemoved(name) => changed.groups.insert(name.clone()),
                Change::Topic(topic) => changed.topics.insert(topic.topic.name.clone()),
                Change::TopicRemoved(name, _) => changed.topics.insert(name.clone()),
                Change::Subscriptions(..)
                | Change::Live(_)
                | Change::DiskFull(_)
                | Change::Access(_) => return,
            };
        }
        // Others are under way, and have their turn.
        let is_first = self.held_pulls.look.borrow().is_none();
        if !is_first || self.recheck_some() {
            self.held_pulls.some_changed.set();
        }
    }

    /// Looks at some of the pulls that changes concern. False: that was all.
    pub fn recheck_some(&self) -> bool {
        let mut look = self.held_pulls.look.borrow_mut();
        let Some(now) = look.take().or_else(|| self.next_look()) else {
            return false;
        };
        let concerned =
            |pull: &PullRequest| now.of.concerns(pull) && self.check_held(pull).is_err();
        let (refused, next) = self.waiting_pulls.take_concerned((now.next, now.end), concerned);
        for pull in &refused {
            if let Err(refusal) = self.check_held(pull) {
                self.refuse(&pull.reply_to, &refusal);
            }
        }
        if !refused.is_empty() {
            self.flush();
        }
        *look = next.map(|next| Look { next, ..now });
        look.is_some() || !self.held_pulls.changed.borrow().is_empty()
    }

    fn next_look(&self) -> Option<Look> {
        let of = self.held_pulls.changed.take();
        let end = self.waiting_pulls.next_number();
        (!of.is_empty()).then_some(Look { of, next: 0, end })
    }

    /// Whether a pull that found nothing may wait now.
    ///
    /// # Errors
    /// The answer to the client: its group or topic has changed, or the broker ends.
    pub fn may_hold(&self, pull: &PullRequest) -> Result<(), Refusal> {
        if let Some(refusal) = &self.view.borrow().draining {
            return Err((**refusal).clone());
        }
        self.check_held(pull)
    }

    /// Whether a pull may wait; it was checked by what another shard knew when it came.
    ///
    /// # Errors
    /// The answer to the client.
    pub fn check_held(&self, pull: &PullRequest) -> Result<(), Refusal> {
        let view = self.view.borrow();
        let topic = &*pull.topic.topic.name;
        // One that was made again under the same name is another one.
        let same = view.topics.get(topic).filter(|now| now.id == pull.topic.id);
        still_allowed(
            view.live.config.auto_create_subscription_group,
            (&pull.group, view.groups.get(&pull.group).map(|group| &**group)),
            (topic, same.map(|topic| &topic.topic)),
            view.subscriptions.get(&pull.group).map(|all| &**all),
            pull.own_subscription,
        )
    }
}
