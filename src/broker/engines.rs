//! Loops that own time.

pub mod answers;
pub mod cursors;
pub mod delay;
mod delivery;
pub mod long_poll;
mod suspects;
pub mod timer;
pub mod transaction_check;
