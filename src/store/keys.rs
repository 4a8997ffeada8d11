//! The key index of a log: from a topic and a key, which is a message's unique id or a word of its
//! user's keys, to the positions of the messages, newest first.
//!
//! Derived: the log is the truth, every result is checked against its message. The newest entries
//! are in memory ([`KeyBuffer`]); a full block of them is sorted and becomes a *run* on disk
//! ([`KeyFiles`]) once the log is stable behind it, so that the index is never ahead of the log.
//! Runs are written into the slots of a key segment; a segment with all of its runs is merged to a
//! single run, so that a search in a billion messages asks a few hundred runs and not 15,000.
//! What is in no run is part of the log's snapshots; replaying the log adds the rest.

mod buffer;
mod entry;
mod files;
mod merge;
mod open;
mod page;
mod run;
mod search;
mod section;
mod sort;
mod words;

pub use buffer::{BufferLimits, KeyBuffer, Noted, Wanted};
pub use entry::hash_of;
pub use files::{KeyFiles, KeyOptions};
pub use search::Search;
pub use words::Words;
