//! Sockets to frames; knows no topic.

pub mod connection;
pub mod connections;
mod output;
pub mod output_budget;
pub mod pace;
pub mod places;
