//! Taking back the beginning of a log in which nothing was ever written.

use ringmq_io::{Disk as _, Runtime};

use super::{list_segments, load, open_segments, scan::Limits, scan::scan};
use crate::{
    api::{errors::CutError, options::LogOptions},
    files::{
        directory::remove_if_there,
        segment::{self, HEADER_BYTES},
    },
    index, keys,
};

/// Removes the segment that a log without records has begun with, and those made ahead: the next
/// opening begins it anew, with [`LogOptions::first_segment`]. The log must not be open. Durable
/// when resolved; a crash before leaves the log as it was, or without a segment.
///
/// # Errors
/// If there is a record in it, or ever was: nothing has been changed.
pub async fn begin_anew<R: Runtime>(runtime: &R, options: &LogOptions) -> Result<(), CutError> {
    let disk = runtime.disk();
    let Some(mark) = load(disk, options).await? else { return Ok(()) };
    let begins = mark.first + HEADER_BYTES;
    let candidates = open_segments::<R>(disk, options, &mark).await?;
    let loaded = index::load::load::<R>(disk, options, &mark).await?;
    let (section, from) = (loaded.keys.as_deref(), loaded.position);
    let (key_files, keys) = keys::open(runtime, options, mark.first, section, from).await?;
    key_files.close().await?;
    let committed = mark.committed.max(loaded.stable);
    let limits = Limits { end_max: mark.end_max() };
    let end = scan(runtime, &candidates, (&mark, limits), loaded, keys).await?;
    let ends = end.position.max(mark.position).max(committed);
    if ends > begins {
        let (path, to) = (options.directory.clone(), begins);
        let found = format!("there are records up to {ends}");
        return Err(CutError::NoRecord { path, to, found });
    }
    drop(candidates);
    for start in list_segments(disk, options).await?.into_iter().rev() {
        remove_if_there(disk, &options.directory.join(segment::file_name(start))).await?;
        disk.sync_directory(&options.directory).await?;
    }
    Ok(())
}
