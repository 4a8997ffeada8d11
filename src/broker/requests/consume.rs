//! Requests of consumers.

pub mod lock;
pub mod message;
pub mod offset;
pub mod pull;
pub mod pull_answer;
pub mod pull_filtered;
pub mod pull_request;
pub mod query;
pub mod queue;
