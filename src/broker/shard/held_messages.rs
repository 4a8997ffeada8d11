//! Messages that are kept back for later: delayed ones, and what else waits for its time. Retention
//! deletes nothing from the first of them on.

use std::{collections::BTreeMap, rc::Rc};

use futures_util::future::LocalBoxFuture;
use ringmq_base::{LogId, LogPosition};

/// Whoever keeps messages back in the logs of a shard.
pub trait HeldMessages {
    /// The first message of each log that is kept back; nothing for logs without any.
    fn first_held(self: Rc<Self>) -> LocalBoxFuture<'static, BTreeMap<LogId, LogPosition>>;
}
