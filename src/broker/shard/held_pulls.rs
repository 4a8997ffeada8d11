//! Pulls that wait while group or topic change: who may not consume any more is answered at once,
//! as if the pull came now.

use ringmq_io::Runtime;
use ringmq_rules::{pull_check::still_allowed, refusal::Refusal};

use super::Shard;
use crate::messages::{Change, PullRequest};

impl<R: Runtime> Shard<R> {
    /// Answers the pulls that wait and may not any more, after a change of the view.
    pub(super) fn recheck_held(&self, change: &Change) {
        let concerned = |pull: &PullRequest| match change {
            Change::Group(group) => pull.group == group.name,
            Change::GroupRemoved(name) => pull.group == *name,
            Change::Topic(topic) => pull.topic.topic.name == topic.topic.name,
            Change::TopicRemoved(name, _) => pull.topic.topic.name == *name,
            Change::Subscriptions(..)
            | Change::Permission(_)
            | Change::DiskFull(_)
            | Change::Access(_) => false,
        };
        let refused = self
            .waiting_pulls
            .take_concerned(|pull| concerned(pull) && self.check_held(pull).is_err());
        for pull in &refused {
            if let Err(refusal) = self.check_held(pull) {
                self.refuse(&pull.reply_to, &refusal);
            }
        }
        if !refused.is_empty() {
            self.flush();
        }
    }

    /// Whether a pull may wait; it was checked by what another shard knew when it came.
    ///
    /// # Errors
    /// The answer to the client.
    pub fn check_held(&self, pull: &PullRequest) -> Result<(), Refusal> {
        let view = self.view.borrow();
        let topic = &*pull.topic.topic.name;
        still_allowed(
            self.settings.config.auto_create_subscription_group,
            (&pull.group, view.groups.get(&pull.group).map(|group| &**group)),
            (topic, view.topics.get(topic).map(|topic| &topic.topic)),
            view.subscriptions.get(&pull.group).map(|all| &**all),
            pull.own_subscription,
        )
    }
}
