//! What kind of message was sent, as metrics count it. Source: `TopicMessageType`.

/// What a producer asks for with a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum MessageType {
    #[default]
    Normal,
    /// It has a sharding key: it is for consumers in order.
    Fifo,
    /// It has a delay level or a time of its own.
    Delay,
    /// The half of a transaction.
    Transaction,
}

impl MessageType {
    /// As a label of metrics has it.
    pub const fn name(self) -> &'static str {
        match self {
            MessageType::Normal => "normal",
            MessageType::Fifo => "fifo",
            MessageType::Delay => "delay",
            MessageType::Transaction => "transaction",
        }
    }
}
