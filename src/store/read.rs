//! Reading messages: by queue and offset, by position, by time, by key.

pub mod block_reader;
pub mod index_page;
pub mod key_query;
pub mod planner;
pub mod raw;
