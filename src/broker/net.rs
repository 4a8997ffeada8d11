//! Sockets to frames; knows no topic.

pub mod connection;
pub mod connections;
pub mod input_budget;
pub mod listener;
mod output;
pub mod output_budget;
