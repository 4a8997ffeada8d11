//! A pull on its way to the owner of its queue.

use std::{sync::Arc, time::Duration};

use ringmq_base::ReadLimits;
use ringmq_rules::filter::Filter;

use super::{ReplyTo, change::TopicView};

/// A pull that has passed the checks.
#[derive(Debug)]
pub struct PullRequest {
    pub reply_to: ReplyTo,
    pub topic: Arc<TopicView>,
    pub queue_id: i32,
    pub offset: i64,
    pub limits: ReadLimits,
    pub filter: Filter,
    /// It brought its subscription along.
    pub own_subscription: bool,
    pub group: Arc<str>,
    /// The consumer offset to store for the group; once.
    pub commit: Option<i64>,
    pub wait: Wait,
    /// Its client has taken all that it was sent, and that was more than a little. Told to other
    /// shards than that of the connection, which knows.
    pub proven: bool,
}

/// Whether a pull that finds nothing is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    No,
    /// As long as the client allows; it has not been kept yet.
    For(Duration),
    /// Until this time of the owner's clock; it has been kept before.
    Until(Duration),
    /// It was kept, and is no more.
    Over,
}

impl Wait {
    /// Whether it is or was kept.
    pub fn is_long(self) -> bool {
        matches!(self, Wait::Until(_) | Wait::Over)
    }
}
