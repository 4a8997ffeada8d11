//! Layer 3: the broker. One [`shard`](serve) an executor; sends and pulls go from the connection's
//! shard to the owner of their queue by way of the [`router`]; topics, groups and clients belong to
//! the control shard (number 0), which tells the others of every change.
//!
//! May depend on `base`, `io`, `remoting`, `rules` and `store`. Handlers of requests are in
//! [`handlers`], one file a request family.

#![forbid(unsafe_code)]

pub mod budgets;
pub mod server;
pub mod simulation;
pub mod sizes;

mod access;
mod control;
mod engines;
#[cfg(not(feature = "planted"))]
mod injected_bugs;
#[cfg(feature = "planted")]
pub mod injected_bugs;
mod messages;
mod metrics;
mod net;
mod parts;
mod requests;
mod run;
mod shard;
#[cfg(test)]
mod testing;

pub use requests::table::codes as request_codes;
pub use server::{Broker, Heartbeat, StartError, start};
pub use shard::settings;
