//! Sockets to frames; knows no topic.

pub mod connection;
pub mod connections;
pub mod listener;
