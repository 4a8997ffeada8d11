//! A log of a slave that is closed, changed, and opened again while the broker serves.

use std::rc::Rc;

use ringmq_base::{LogId, LogPosition};
use ringmq_io::Runtime;
use ringmq_replication::Epoch;
use ringmq_store::{Log, LogOptions, SegmentFacts, begin_anew, cut_log};

use crate::{
    messages::StoreFacts,
    shard::{Shard, acks::LogSink},
};

/// What a log needs before it can follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The master of `epoch` goes on otherwise from there.
    Cut { to: LogPosition, epoch: Epoch },
    /// The master has another segment where this log has one that is empty.
    Segment { known: SegmentFacts, named: SegmentFacts, epoch: Epoch },
}

/// Applies the remedy. While that goes on, readers have the log of before; those that wait for
/// messages of it are answered then, and ask again.
///
/// # Errors
/// A sentence for the operator. The log is as it was before, if it can be opened at all.
pub async fn reopen<R: Runtime>(
    shard: &Rc<Shard<R>>,
    id: LogId,
    store: StoreFacts,
    remedy: Remedy,
) -> Result<(), String> {
    let log = shard.queues.log(id).ok_or("no log of this shard")?.clone();
    log.clone().close().await.map_err(|error| error.to_string())?;
    log.give_up_memory();
    let mut options = shard.log_options(id, store);
    let applied = apply(shard, &mut options, remedy, log.ends().end).await;
    let opened = Log::open(shard.runtime.clone(), options, LogSink::new(shard, id)).await;
    let (opened, _) = opened.map_err(|error| {
        format!("the log cannot be opened again: {error}; restart the broker when that is mended")
    })?;
    shard.queues.set_again(id, opened);
    if let Some(arrivals) = shard.arrivals.get() {
        arrivals.reopened(shard, id);
    }
    applied
}

async fn apply<R: Runtime>(
    shard: &Shard<R>,
    options: &mut LogOptions,
    remedy: Remedy,
    end: LogPosition,
) -> Result<(), String> {
    let runtime = &shard.runtime;
    let (to, epoch) = match remedy {
        Remedy::Cut { to, epoch } => (to, epoch),
        Remedy::Segment { known, named, .. } if known.start < end => {
            options.first_segment = Some(named);
            return begin_anew(runtime, options).await.map_err(|error| error.to_string());
        }
        // It was made ahead: whatever is behind the end goes with a cut.
        Remedy::Segment { epoch, .. } => (end, epoch),
    };
    let cut = cut_log(runtime, options, to.0, epoch.0).await;
    cut.map(|_| ()).map_err(|error| error.to_string())
}
