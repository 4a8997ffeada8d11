//! Requests about clients.

pub mod client;
