//! What a send asks the control shard to make.

/// A topic that a client sends to and that is not there.
#[derive(Clone, Debug)]
pub struct AutoCreate {
    pub topic: String,
    /// The template, `TBW102` as a rule.
    pub default_topic: String,
    pub queues: i32,
    pub unit_mode: bool,
}
