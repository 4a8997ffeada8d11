//! Large bodies are read one after the other, so that what they become in memory does not add up.

use ringmq_io::signal::{Turn, Turns};
use ringmq_rules::limits::LARGE_BODY_BYTES;

#[derive(Default)]
pub struct BodyTurns(Turns);

impl BodyTurns {
    /// The right to have a body of so many bytes in memory: small ones need none.
    pub async fn take(&self, bytes: usize) -> Option<Turn<'_>> {
        if bytes <= LARGE_BODY_BYTES { None } else { Some(self.0.take().await) }
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
