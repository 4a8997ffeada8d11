//! Fills the space ahead of the tail with zeros, at low shares: a first write into merely allocated
//! space costs the file system a journal commit each, a write over zeros does not.

use std::rc::Rc;

use ringmq_io::{BlockBuffer, Disk, DiskError, File, Runtime};

use crate::{
    api::options::Sink,
    files::directory::is_full,
    log::{inner::LogInner, space::Space},
};

pub async fn run<R: Runtime, S: Sink>(shared: Rc<LogInner<R, S>>) {
    let mut done = 0;
    let mut unsynced = 0;
    let step = shared.options.zero_ahead_bytes / 4;
    let Some(buffer) =
        shared.is_open().then(|| shared.runtime.disk().buffer(shared.prezero.step() as usize))
    else {
        return;
    };
    loop {
        let range = {
            let state = shared.state.borrow();
            let spaces: Vec<Space> = state.spaces.iter().copied().collect();
            let ahead = shared.options.zero_ahead_bytes;
            shared.prezero.next(&spaces, state.position, done, ahead)
        };
        let Some(operation) = shared.begin() else {
            return;
        };
        let result = match range {
            Some((from, end)) => {
                done = end;
                unsynced += end - from;
                fill(&shared, &buffer, from, end).await
            }
            None => Ok(()),
        };
        let result = match result {
            Ok(()) if unsynced > 0 && (range.is_none() || unsynced >= step) => {
                unsynced = 0;
                sync(&shared, done).await
            }
            other => other,
        };
        drop(operation);
        if let Err(error) = result {
            shared.fence(&error);
            return;
        }
        if range.is_none() {
            let position = shared.state.borrow().position;
            shared.prezero.wake_at(position + shared.prezero.step());
            shared.prezero.wake.wait().await;
        } else {
            shared.runtime.yield_if_needed().await;
        }
    }
}

async fn fill<R: Runtime, S: Sink>(
    shared: &LogInner<R, S>,
    buffer: &<R::Disk as Disk>::Buffer,
    from: u64,
    end: u64,
) -> Result<(), DiskError> {
    let Some(segment) = shared.segment_at(from) else {
        return Ok(());
    };
    let filler = segment.filler.borrow().clone();
    let Some(file) = filler else { return Ok(()) };
    let bytes = (end - from) as usize;
    shared.prezero.begin(from, end);
    let result = if bytes == buffer.bytes().len() {
        file.write(buffer, from - segment.start).await
    } else {
        file.write(&shared.runtime.disk().buffer(bytes), from - segment.start).await
    };
    shared.prezero.end();
    match result {
        // The space was allocated; zeroing it is only a help.
        Err(error) if is_full(&error) => Ok(()),
        Err(error) => Err(error),
        Ok(()) => {
            shared.state.borrow_mut().counters.zeroed_bytes += bytes as u64;
            Ok(())
        }
    }
}

async fn sync<R: Runtime, S: Sink>(shared: &LogInner<R, S>, done: u64) -> Result<(), DiskError> {
    let Some(segment) = shared.segment_at(done - 1) else {
        return Ok(());
    };
    let filler = segment.filler.borrow().clone();
    match filler {
        Some(file) => file.sync().await,
        None => Ok(()),
    }
}
