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
pub mod files;
mod merge;
mod open;
pub mod page;
mod run;
mod search;
mod section;
mod sort;
mod words;

use ringmq_io::Runtime;

pub use self::{buffer::Wanted, entry::hash_of, search::Search, words::Words};
pub use buffer::{KeyBuffer, Noted};
pub use files::{KeyFiles, KeyOptions};

use crate::{api::options::LogOptions, files::segment::HEADER_BYTES};

/// Opens the key index of a log that begins with the segment at `first` and is going to be
/// replayed from `replay_from` on, with the section of the snapshot there.
pub async fn open<R: Runtime>(
    runtime: &R,
    options: &LogOptions,
    first: u64,
    section: Option<&[u8]>,
    replay_from: u64,
) -> Result<(KeyFiles<R>, KeyBuffer), ringmq_io::DiskError> {
    let LogOptions { directory, log, store_id, keys: sizes, .. } = options.clone();
    let options_of_keys = KeyOptions { directory, log, store_id, sizes };
    let limits = options_of_keys.limits();
    let files = KeyFiles::open(runtime.clone(), options_of_keys).await?;
    let covered = files.covered().max(first + HEADER_BYTES);
    let mut buffer = KeyBuffer::restore(limits, section, covered, replay_from);
    if !options.message_index {
        buffer.stop();
    }
    Ok((files, buffer))
}

/// After the replay: what is of another history of the log, which ends at `end`, is left out.
pub fn settle<R: Runtime>(files: &KeyFiles<R>, buffer: &mut KeyBuffer, first: u64, end: u64) {
    if files.refuse_beyond(end) {
        buffer.restart(files.covered().max(first + HEADER_BYTES));
    }
}
