//! Request handlers, one file a request family. The table in `requests.rs` names them.

pub mod client;
pub mod group;
pub mod lock;
pub mod message;
pub mod offset;
pub mod pull;
pub mod pull_filtered;
pub mod pull_request;
pub mod query;
pub mod queue;
pub mod reply;
pub mod runtime_info;
pub mod send;
pub mod send_back;
pub mod storage;
pub mod topic;
