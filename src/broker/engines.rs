//! Loops that own time.

pub mod delay;
pub mod long_poll;
