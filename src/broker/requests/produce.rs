//! Requests of producers, and of consumers that send messages back.

pub mod batch;
pub mod end_transaction;
pub mod forwarded;
pub mod long_batch;
pub mod recall;
pub mod record;
pub mod reply;
pub mod resume_check;
pub mod send;
pub mod send_back;
pub mod timer;
