//! Requests of administrators and their tools.

pub mod access;
pub mod body;
pub mod connections;
pub mod group;
pub mod name_list;
pub mod queue_table;
pub mod runtime_info;
pub mod storage;
pub mod table_body;
pub mod topic;
