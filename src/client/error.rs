//! Why a question has no answer.

use ringmq_remoting::codes::response;

/// A failure whose kind callers tell apart; `anyhow` carries it.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection, no answer in time, or bytes that are no answer.
    #[error("{address}: {what}")]
    Unreachable { address: String, what: String },
    /// In the words of Java's tools: people search for them.
    #[error("{address} answers CODE: {code}  DESC: {remark}")]
    Refused { address: String, code: i32, remark: String },
    /// There is no such thing, or nothing to show.
    #[error("{0}")]
    NotFound(String),
}

impl CallError {
    pub(crate) fn unreachable(address: &str, what: String) -> CallError {
        CallError::Unreachable { address: address.to_owned(), what }
    }

    /// Whether a server said that it does not have what was asked for.
    pub fn is_not_found(&self) -> bool {
        const CODES: [i32; 6] = [
            response::TOPIC_NOT_EXIST,
            response::QUERY_NOT_FOUND,
            response::SUBSCRIPTION_NOT_EXIST,
            response::SUBSCRIPTION_GROUP_NOT_EXIST,
            response::CONSUMER_NOT_ONLINE,
            response::NO_MESSAGE,
        ];
        match self {
            CallError::NotFound(_) => true,
            // brokers have no code of its own for some of what they do not have
            CallError::Refused { code: response::SYSTEM_ERROR, remark, .. } => {
                remark.ends_with("not exist")
            }
            CallError::Refused { code, .. } => CODES.contains(code),
            CallError::Unreachable { .. } => false,
        }
    }
}
