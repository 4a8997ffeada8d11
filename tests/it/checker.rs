//! What must hold of queues whatever happens to the server: compares what was sent, acknowledged
//! and served, over any number of restarts of one store.
//!
//! Not checked: how long anything takes, retention, and whether refused messages were stored.

use std::collections::{BTreeMap, HashMap};

/// A queue of a topic.
pub type Queue = (String, i32);

/// What a generator knows of its messages: a body tells its id, and an id its body.
pub trait Bodies {
    /// The id in a body; None if no generator makes such a body.
    fn id(&self, body: &[u8]) -> Option<u64>;

    /// Whether the body is, byte for byte, the one that was made for this id.
    fn is_intact(&self, id: u64, body: &[u8]) -> bool;

    /// Whether the message was handed to the network.
    fn was_sent(&self, id: u64) -> bool;

    /// The connection that sent it, and its number among the messages of that connection.
    fn order(&self, id: u64) -> (u64, u64);
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error("lost: {queue:?} offset {offset} was acknowledged for {id:#x}, the end is {max}")]
    Lost { queue: Queue, offset: i64, id: u64, max: i64 },
    #[error("changed: {queue:?} offset {offset} was message {before:#x}, now it is {now:#x}")]
    Changed { queue: Queue, offset: i64, before: u64, now: u64 },
    #[error("vanished: {queue:?} offset {offset} was served as {id:#x}, the end is now {max}")]
    Vanished { queue: Queue, offset: i64, id: u64, max: i64 },
    #[error("acknowledged twice: {queue:?} offset {offset} for {first:#x} and {second:#x}")]
    AckedTwice { queue: Queue, offset: i64, first: u64, second: u64 },
    #[error("stored twice: message {id:#x} at {first} and {second} of {queue:?}")]
    StoredTwice { queue: Queue, id: u64, first: i64, second: i64 },
    #[error("damaged: {queue:?} offset {offset}, {length} bytes")]
    Damaged { queue: Queue, offset: i64, length: usize },
    #[error("phantom: {queue:?} offset {offset} holds message {id:#x}, which nobody sent")]
    Phantom { queue: Queue, offset: i64, id: u64 },
    #[error("gap: {queue:?} has offset {found} where {expected} was due")]
    Gap { queue: Queue, expected: i64, found: i64 },
    #[error("order: {queue:?} offset {offset} holds {id:#x}, sent before the one ahead of it")]
    Order { queue: Queue, offset: i64, id: u64 },
}

#[derive(Default)]
struct Known {
    /// What was acknowledged at an offset.
    acked: BTreeMap<i64, u64>,
    /// What was served at an offset.
    served: BTreeMap<i64, u64>,
}

/// The history of one store.
#[derive(Default)]
pub struct Checker {
    queues: HashMap<Queue, Known>,
    pub violations: Vec<Violation>,
}

impl Checker {
    /// The server acknowledged message `id` at this place.
    pub fn acked(&mut self, queue: &Queue, offset: i64, id: u64) {
        let known = self.queues.entry(queue.clone()).or_default();
        if let Some(first) = known.acked.insert(offset, id)
            && first != id
        {
            let queue = queue.clone();
            self.violations.push(Violation::AckedTwice { queue, offset, first, second: id });
        }
    }

    /// The server served this body at this place, at any time.
    pub fn served(&mut self, bodies: &dyn Bodies, queue: &Queue, offset: i64, body: &[u8]) {
        let intact = bodies.id(body).filter(|&id| bodies.is_intact(id, body));
        let Some(id) = intact else {
            let (queue, length) = (queue.clone(), body.len());
            self.violations.push(Violation::Damaged { queue, offset, length });
            return;
        };
        if !bodies.was_sent(id) {
            self.violations.push(Violation::Phantom { queue: queue.clone(), offset, id });
        }
        let known = self.queues.entry(queue.clone()).or_default();
        let earlier = known.served.insert(offset, id).or_else(|| known.acked.get(&offset).copied());
        if let Some(before) = earlier
            && before != id
        {
            let queue = queue.clone();
            self.violations.push(Violation::Changed { queue, offset, before, now: id });
        }
    }

    /// Everything that a queue holds, from its first to its last offset. Implies
    /// [`Checker::served`] for each.
    pub fn drained(&mut self, bodies: &dyn Bodies, queue: &Queue, messages: &[(i64, Vec<u8>)]) {
        let mut places: HashMap<u64, i64> = HashMap::new();
        let mut newest: HashMap<u64, u64> = HashMap::new();
        for (expected, (offset, body)) in (0..).zip(messages) {
            let offset = *offset;
            if offset != expected {
                let queue = queue.clone();
                self.violations.push(Violation::Gap { queue, expected, found: offset });
                return;
            }
            self.served(bodies, queue, offset, body);
            let Some(id) = bodies.id(body) else { continue };
            if let Some(first) = places.insert(id, offset) {
                let queue = queue.clone();
                self.violations.push(Violation::StoredTwice { queue, id, first, second: offset });
            }
            let (connection, number) = bodies.order(id);
            if newest.insert(connection, number).is_some_and(|before| before >= number) {
                self.violations.push(Violation::Order { queue: queue.clone(), offset, id });
            }
        }
        self.nothing_is_missing(queue, i64::try_from(messages.len()).expect("fits"));
    }

    /// What was acknowledged or served must lie before the end `max`; that it is the same was
    /// checked as it was served.
    fn nothing_is_missing(&mut self, queue: &Queue, max: i64) {
        let Some(known) = self.queues.get(queue) else {
            return;
        };
        for (&offset, &id) in known.acked.range(max..) {
            let queue = queue.clone();
            self.violations.push(Violation::Lost { queue, offset, id, max });
        }
        for (&offset, &id) in known.served.range(max..) {
            let queue = queue.clone();
            self.violations.push(Violation::Vanished { queue, offset, id, max });
        }
    }

    pub fn acked_count(&self) -> usize {
        self.queues.values().map(|known| known.acked.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids 0 to 9 were sent, by one connection; the body is the id twice.
    struct Simple;

    impl Bodies for Simple {
        fn id(&self, body: &[u8]) -> Option<u64> {
            body.first().map(|&byte| byte.into())
        }

        fn is_intact(&self, _: u64, body: &[u8]) -> bool {
            body.len() == 2 && body[0] == body[1]
        }

        fn was_sent(&self, id: u64) -> bool {
            id < 10
        }

        fn order(&self, id: u64) -> (u64, u64) {
            (0, id)
        }
    }

    fn queue() -> Queue {
        ("T".to_owned(), 0)
    }

    fn all(ids: &[u8]) -> Vec<(i64, Vec<u8>)> {
        (0..).zip(ids).map(|(offset, &id)| (offset, vec![id, id])).collect()
    }

    fn found(checker: &mut Checker, messages: &[(i64, Vec<u8>)]) -> Vec<Violation> {
        checker.drained(&Simple, &queue(), messages);
        std::mem::take(&mut checker.violations)
    }

    #[test]
    fn a_good_history_has_no_violations() {
        let mut checker = Checker::default();
        for (offset, id) in (0..4).zip(0..4) {
            checker.acked(&queue(), offset, id);
        }
        assert_eq!(found(&mut checker, &all(&[0, 1, 2, 3])), []);
        // unacknowledged ones may be there, at the end
        assert_eq!(found(&mut checker, &all(&[0, 1, 2, 3, 7])), []);
        assert_eq!(checker.acked_count(), 4);
    }

    #[test]
    fn losses_and_changes_are_found() {
        let mut checker = Checker::default();
        checker.acked(&queue(), 0, 0);
        checker.acked(&queue(), 1, 1);
        let lost = Violation::Lost { queue: queue(), offset: 1, id: 1, max: 1 };
        assert_eq!(found(&mut checker, &all(&[0])), [lost]);
        let changed = Violation::Changed { queue: queue(), offset: 1, before: 1, now: 2 };
        assert_eq!(found(&mut checker, &all(&[0, 2])), [changed]);
        checker.acked(&queue(), 0, 5);
        let twice = Violation::AckedTwice { queue: queue(), offset: 0, first: 0, second: 5 };
        assert_eq!(std::mem::take(&mut checker.violations), [twice]);
    }

    #[test]
    fn what_was_served_stays() {
        let mut checker = Checker::default();
        checker.served(&Simple, &queue(), 0, &[3, 3]);
        let vanished = Violation::Vanished { queue: queue(), offset: 0, id: 3, max: 0 };
        assert_eq!(found(&mut checker, &[]), [vanished]);
        let changed = Violation::Changed { queue: queue(), offset: 0, before: 3, now: 4 };
        assert_eq!(found(&mut checker, &all(&[4])), [changed]);
    }

    #[test]
    fn damage_phantoms_gaps_doubles_and_disorder_are_found() {
        let mut checker = Checker::default();
        let damaged = Violation::Damaged { queue: queue(), offset: 0, length: 2 };
        assert_eq!(found(&mut checker, &[(0, vec![1, 2])]), [damaged]);
        let phantom = Violation::Phantom { queue: queue(), offset: 0, id: 77 };
        assert_eq!(found(&mut Checker::default(), &all(&[77])), [phantom]);
        let gap = Violation::Gap { queue: queue(), expected: 0, found: 1 };
        assert_eq!(found(&mut Checker::default(), &[(1, vec![1, 1])]), [gap]);
        let order = Violation::Order { queue: queue(), offset: 1, id: 2 };
        assert_eq!(found(&mut Checker::default(), &all(&[3, 2])), [order]);
        let double = found(&mut Checker::default(), &all(&[1, 1]));
        assert!(matches!(double[0], Violation::StoredTwice { first: 0, second: 1, .. }));
    }
}
