//! The queues of a log and where their messages are, in memory.

/// A queue of one log; valid as long as the [`crate::Log`] that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueHandle(pub(crate) u32);
