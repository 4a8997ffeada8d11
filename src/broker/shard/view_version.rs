//! How far a shard is with the changes of the shared view.
//!
//! A change is answered as soon as it is on its way to all shards. Whoever hears the answer may use
//! what was made at once, over a connection of another shard, whose sockets and mailboxes are not
//! looked at in the order of time. So nothing that was received is handled before the changes that
//! had been published by then.

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use ringmq_io::signal::Notify;

use crate::injected_bugs::{CHANGE_LATE, is_planted};

/// How many changes the control shard has published; one for all shards of a broker.
#[derive(Clone, Default)]
pub struct Published(Arc<AtomicU64>);

/// Which of the published changes a shard has applied.
pub struct ViewVersion {
    published: Published,
    applied: Cell<u64>,
    progress: Notify,
}

impl ViewVersion {
    pub fn new(published: Published) -> ViewVersion {
        ViewVersion { published, applied: Cell::new(0), progress: Notify::default() }
    }

    /// On the control shard, before the change is sent to the others.
    pub fn publish(&self) {
        self.published.0.fetch_add(1, Ordering::Release);
    }

    /// This shard has applied one more.
    pub fn applied(&self) {
        self.applied.set(self.applied.get() + 1);
        let published = self.published.0.load(Ordering::Acquire);
        assert!(self.applied.get() <= published, "a change is counted before it is sent");
        self.progress.notify();
    }

    /// Resolves when this shard has applied all that is published now.
    pub async fn caught_up(&self) {
        let published = self.published.0.load(Ordering::Acquire);
        if is_planted(CHANGE_LATE) {
            return;
        }
        while self.applied.get() < published {
            self.progress.wait().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::poll_once;

    use super::*;

    #[test]
    fn what_came_later_waits_for_what_was_published_before() {
        futures_lite::future::block_on(async {
            let published = Published::default();
            let control = ViewVersion::new(published.clone());
            let other = ViewVersion::new(published);
            assert!(poll_once(other.caught_up()).await.is_some());
            control.publish();
            control.publish();
            let mut waiting = Box::pin(other.caught_up());
            assert!(poll_once(&mut waiting).await.is_none());
            // Published after the request came: it need not wait for that.
            control.publish();
            other.applied();
            assert!(poll_once(&mut waiting).await.is_none());
            other.applied();
            assert!(poll_once(&mut waiting).await.is_some());
            assert!(poll_once(other.caught_up()).await.is_none());
        });
    }
}
