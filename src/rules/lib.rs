//! Layer 1: the broker's rules, without input, output or clock: plain structs that the shards own,
//! and functions from a request and what the broker knows to a decision. Every time is `now`, in
//! milliseconds since 1970, given by the caller.
//!
//! The words come first, down to [`topic`]; the rules below them use only words, not each other.

#![forbid(unsafe_code)]

pub mod attributes;
pub mod connection_id;
pub mod delay_levels;
pub mod filter;
pub mod group;
pub mod limits;
pub mod message_properties;
pub mod message_type;
pub mod meta;
pub mod names;
pub mod refusal;
pub mod sql_filter;
pub mod stored_keys;
pub mod subscription;
pub mod timer;
pub mod topic;
pub mod transaction_rules;

pub mod acl;
pub mod clients;
pub mod delay;
pub mod groups;
pub mod locks;
pub mod offset_resets;
pub mod offsets;
pub mod own_properties;
pub mod pull_check;
pub mod rates;
pub mod retention;
pub mod send_back;
pub mod send_check;
pub mod stats;
pub mod topics;
pub mod transaction;
pub mod write_times;

pub use connection_id::ConnectionId;
pub use refusal::Refusal;
