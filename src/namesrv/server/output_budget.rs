//! One budget for the answers of all connections that are being made or not taken yet. One long
//! answer is made at a time. When there is no room left, whoever has had an answer on its way for
//! longest is closed: a client that takes its answers has not.

use std::{cell::Cell, time::Duration};

use ringmq_io::signal::Notify;
use ringmq_net::{input_budget::Closable, turn::Turn};

/// Output of this size is every connection's own, and not counted.
pub const FREE_BYTES: usize = 4096;

/// What one connection has of the budget.
#[derive(Default)]
pub struct Share {
    bytes: Cell<usize>,
    /// When its answer began to be made.
    since: Cell<Option<Duration>>,
}

/// A connection that has a share.
pub trait Answered: Closable {
    fn output(&self) -> &Share;
}

pub struct OutputBudget {
    most: usize,
    bytes: Cell<usize>,
    /// Some was given back.
    pub freed: Notify,
    /// Held by the one long answer that is being made.
    pub making: Turn,
}

impl OutputBudget {
    pub fn new(most: usize) -> OutputBudget {
        let (freed, making) = (Notify::default(), Turn::default());
        OutputBudget { most, bytes: Cell::new(0), freed, making }
    }

    pub fn most(&self) -> usize {
        self.most
    }

    pub fn is_exceeded(&self) -> bool {
        self.bytes.get() > self.most
    }

    /// Three quarters are in use: long answers wait until others have been taken.
    pub fn is_scarce(&self) -> bool {
        self.bytes.get() > self.most / 4 * 3
    }

    /// A connection holds so much now.
    pub fn set(&self, connection: &impl Answered, bytes: usize, now: Duration) {
        let share = connection.output();
        let bytes = if bytes <= FREE_BYTES { 0 } else { bytes };
        let before = share.bytes.replace(bytes);
        self.bytes.set(self.bytes.get() - before + bytes);
        if bytes == 0 {
            share.since.set(None);
        } else if share.since.get().is_none() {
            share.since.set(Some(now));
        }
        if bytes < before {
            self.freed.notify();
        }
    }

    /// A connection holds so much more.
    pub fn add(&self, connection: &impl Answered, bytes: usize, now: Duration) {
        self.set(connection, connection.output().bytes.get() + bytes, now);
    }

    /// Closes the connection whose answer has been on its way for longest, but for one. False if
    /// there is none.
    pub fn close_longest<'c, C: Answered + 'c>(
        &self,
        connections: impl Iterator<Item = &'c C>,
        but: &C,
        now: Duration,
    ) -> bool {
        let others = connections.filter(|one| !std::ptr::eq(*one, but) && !one.is_closed());
        let holding = others.filter_map(|one| Some((one.output().since.get()?, one)));
        let Some((since, longest)) = holding.min_by_key(|(since, _)| *since) else {
            return false;
        };
        tracing::warn!(
            peer = %longest.peer(), held = longest.output().bytes.get(), all = self.bytes.get(),
            limit = self.most, time = ?now.saturating_sub(since),
            "connection closed: answers that clients have not taken need the room of \
             outputBytesMax, and its answer has been on its way for longest"
        );
        longest.close();
        self.set(longest, 0, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[derive(Default)]
    struct One {
        output: Share,
        closed: Cell<bool>,
    }

    impl Answered for One {
        fn output(&self) -> &Share {
            &self.output
        }
    }

    impl Closable for One {
        fn peer(&self) -> SocketAddr {
            SocketAddr::from(([10, 0, 0, 1], 1))
        }

        fn is_closed(&self) -> bool {
            self.closed.get()
        }

        fn close(&self) {
            self.closed.set(true);
        }
    }

    #[test]
    fn whoever_has_not_taken_for_longest_is_closed_and_never_the_one_that_asks() {
        let budget = OutputBudget::new(30_000);
        let all = [One::default(), One::default(), One::default()];
        let at = Duration::from_secs;
        budget.set(&all[0], 10_000, at(1));
        budget.set(&all[1], FREE_BYTES, at(0));
        budget.set(&all[1], 10_000, at(2));
        budget.set(&all[0], 9_000, at(3));
        assert!(!budget.is_scarce());
        budget.add(&all[2], 5_000, at(3));
        budget.add(&all[2], 7_000, at(4));
        assert!(budget.is_exceeded() && budget.is_scarce());
        assert!(budget.close_longest(all.iter(), &all[0], at(5)));
        assert!(all[1].closed.get() && !budget.is_exceeded());
        assert!(budget.close_longest(all.iter(), &all[2], at(5)));
        assert!(all[0].closed.get());
        assert!(!budget.close_longest(all.iter(), &all[2], at(5)));
        budget.set(&all[2], 0, at(6));
        assert_eq!(budget.bytes.get(), 0);
    }
}
