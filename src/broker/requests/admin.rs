//! Requests of administrators and their tools.

pub mod access;
pub mod body;
pub mod broker_stats;
pub mod connections;
pub mod consume_queue;
pub mod consume_stats;
pub mod consumer_calls;
pub mod consumer_offsets;
pub mod group;
pub mod name_list;
pub mod queue_table;
pub mod reset_offset;
pub mod runtime_info;
pub mod storage;
pub mod table_body;
pub mod tool_keys;
pub mod topic;
