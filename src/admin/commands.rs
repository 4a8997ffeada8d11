//! A file for each command.

pub mod broker_consume_stats;
pub mod broker_status;
pub mod clone_group_offset;
pub mod cluster_list;
pub mod consumer_connection;
pub mod consumer_progress;
pub mod consumer_status;
pub mod delete_sub_group;
pub mod delete_topic;
pub mod get_consumer_config;
pub mod producer;
pub mod producer_connection;
pub mod reset_offset_by_time;
pub mod reset_offset_by_time_old;
pub mod skip_accumulated_message;
pub mod storage_plan;
pub mod topic_cluster_list;
pub mod topic_list;
pub mod topic_route;
pub mod topic_status;
pub mod update_sub_group;
pub mod update_topic;
pub mod update_topic_perm;
