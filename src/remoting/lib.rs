//! The protocol of RocketMQ: frames, headers, typed headers, JSON bodies and batch bodies, as bytes
//! in and bytes out. May depend on ringmq-base only; does no input or output, has no clock and no
//! state, and may be used on any core.
//!
//! Decoders never panic, check every length before they use it, and are as lenient as the Java
//! sources; encoders are strict.

#![forbid(unsafe_code)]

pub mod batch;
pub mod body;
pub mod codes;
pub mod command;
pub mod encode;
mod fast;
pub mod fastjson;
pub mod field_limits;
pub mod frame;
#[cfg(test)]
mod fuzz;
pub mod headers;
pub mod language;
pub(crate) mod lexer;
pub mod message_id;
pub mod pull;
pub mod send;

pub use ringmq_base::record;
