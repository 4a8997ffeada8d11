//! Load tool for brokers that speak RocketMQ's remoting protocol, RingMQ or the Java one.
//!
//! It must cost less than 0.5 us of CPU a message, or it measures itself: frames are encoded once
//! and patched in place, one thread drives many connections with its own epoll loop.
//! May depend on `base`, `remoting`, `tls` and `client`, on nothing else of the server.

#![forbid(unsafe_code)]

mod alarm;
mod arguments;
mod clock;
mod connection;
mod consumer;
mod control;
mod live;
mod plan;
mod process;
mod producer;
mod pull;
pub mod quickstart;
mod record;
mod reply;
mod report;
mod run;
mod schedule;
mod slots;
mod stamp;
mod statistics;
mod template;
mod transactions;
mod worker;

pub use crate::arguments::{Arguments, CpuList, Mode, Options, Serialization, StartFrom};
pub use crate::run::run;
