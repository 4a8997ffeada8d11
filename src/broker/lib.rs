//! Layer 3: the broker. One [`shard`](serve) an executor; sends and pulls go from the connection's
//! shard to the owner of their queue by way of the [`router`]; topics, groups and clients belong to
//! the control shard (number 0), which tells the others of every change.
//!
//! May depend on `base`, `io`, `remoting`, `rules` and `store`. Handlers of requests are in
//! [`handlers`], one file a request family.

#![forbid(unsafe_code)]

pub mod facts;
pub mod handlers;
pub mod mesh;
pub mod router;
pub mod serve;
pub mod start;
pub mod view;

mod accept;
mod acknowledge;
mod answering;
mod ask;
mod client_calls;
mod connection;
mod connections;
mod control;
mod dispatch;
mod long_poll;
mod parcel;
mod preparation;
mod publication;
mod rebirth;
mod register;
mod requests;
mod room;
mod schedule;
mod shard;
mod storage;
mod storage_facts;
mod take;
#[cfg(test)]
mod testing;
mod totals;

pub use start::{Broker, StartError, start};
