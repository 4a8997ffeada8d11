//! Records on their way: from the log of a master into the logs of its followers, and how far they
//! are held back to it. One connection a log and follower, served on both sides by the shard that
//! owns the log there. Nothing here waits for a timer: what gathers while a write is under way goes
//! out with the next.

pub mod connection;
pub mod error;
pub mod handshake;
pub mod lead;
pub mod receiver;
pub mod sender;

pub use self::{
    connection::{FrameReader, connect, write_frame},
    error::StreamError,
    handshake::{GoOn, Greeted, Identity, LogFacts, Party, dial, greet, hello},
    lead::{Lead, Member},
    receiver::receive,
    sender::{SendOptions, send},
};
