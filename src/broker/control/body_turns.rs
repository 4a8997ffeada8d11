//! Large bodies are read one after the other, so that what they become in memory does not add up.

use std::cell::Cell;

use ringmq_io::signal::Notify;
use ringmq_rules::limits::LARGE_BODY_BYTES;

#[derive(Default)]
pub struct BodyTurns {
    under_way: Cell<bool>,
    ended: Notify,
}

/// The right to have a large body in memory, until it is dropped.
pub struct BodyTurn<'a>(&'a BodyTurns);

impl Drop for BodyTurn<'_> {
    fn drop(&mut self) {
        self.0.under_way.set(false);
        self.0.ended.notify();
    }
}

impl BodyTurns {
    /// For a body of so many bytes: small ones do not wait.
    pub async fn take(&self, bytes: usize) -> Option<BodyTurn<'_>> {
        if bytes <= LARGE_BODY_BYTES {
            return None;
        }
        while self.under_way.get() {
            self.ended.wait().await;
        }
        self.under_way.set(true);
        Some(BodyTurn(self))
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, poll_once};

    use super::*;

    #[test]
    fn large_bodies_take_turns_and_small_ones_pass() {
        block_on(async {
            let turns = BodyTurns::default();
            let first = turns.take(LARGE_BODY_BYTES + 1).await;
            assert!(first.is_some());
            let mut second = Box::pin(turns.take(1 << 20));
            assert!(poll_once(&mut second).await.is_none());
            assert!(turns.take(LARGE_BODY_BYTES).await.is_none(), "no turn is needed");
            drop(first);
            assert!(second.await.is_some());
        });
    }
}
