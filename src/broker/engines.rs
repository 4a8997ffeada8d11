//! Loops that own time.

pub mod answers;
pub mod delay;
pub mod long_poll;
pub mod transaction_check;
