//! Layer 4: `ringmq admin`, what RocketMQ's `mqadmin` does and more, for its servers and RingMQ's.
//!
//! A command is a file in `commands/` and a row in `table.rs`, from which the command line, help,
//! completion and man pages are made; it gets a `Session` to ask by and gives a `Page` to be shown.
//! Servers are asked one after the other by one thread; what reads many messages (`pipes/`) has one
//! for each broker.
//!
//! May depend on `base`, `remoting` and `client`.

#![forbid(unsafe_code)]

mod commands;
mod manual;
mod output;
mod pipes;
mod questions;
mod run;
mod session;
mod table;
mod target;

pub use self::{
    manual::{Completion, Manual},
    run::{Admin, canonical, sentence},
};
