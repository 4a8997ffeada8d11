//! A file for each command.

pub mod broker_status;
pub mod cluster_list;
pub mod storage_plan;
pub mod topic_cluster_list;
pub mod topic_list;
pub mod topic_route;
pub mod topic_status;
pub mod update_topic;
