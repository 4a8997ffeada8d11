//! What must hold of queues whatever happens to the store: compares what was sent, acknowledged
//! and served, over any number of restarts of one store. The only checker: the campaigns on the
//! simulated disk and the tests that kill a broker use it.
//!
//! The invariants, by the numbers of `docs/RELIABILITY.md`:
//!
//! | | | violations |
//! |---|---|---|
//! | I1 | nothing acknowledged is lost | `Lost` |
//! | I2 | nothing is served that was not sent, or that can still be lost | `Phantom`, `Vanished` |
//! | I3 | an offset names one message for ever | `Changed`, `AckedTwice` |
//! | I4 | offsets without gaps, a producer's order | `Gap`, `Order`, `StoredTwice`, `Trimmed` |
//! | I5 | consumer offsets stay, and never lead past the end | `Offset...` |
//! | I6 | the bytes that were sent, or an error | `Damaged` |
//!
//! Not checked: how long anything takes, and whether refused messages were stored.

use std::collections::{BTreeMap, HashMap};

/// A queue of a topic.
pub type Queue = (String, i32);

/// What a generator knows of its messages: a body tells its id, and an id its body.
pub trait Bodies {
    /// The id in a body; None if no generator makes such a body.
    fn id(&self, body: &[u8]) -> Option<u64>;

    /// Whether the body is, byte for byte, the one that was made for this id.
    fn is_intact(&self, id: u64, body: &[u8]) -> bool;

    /// Whether the message was handed to the store, or to the network.
    fn was_sent(&self, id: u64) -> bool;

    /// The producer that sent it, and its number among the messages of that producer.
    fn order(&self, id: u64) -> (u64, u64);
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error("I1 lost: {queue:?} offset {offset} was acknowledged for {id:#x}, the end is {max}")]
    Lost { queue: Queue, offset: i64, id: u64, max: i64 },
    #[error("I3 changed: {queue:?} offset {offset} was message {before:#x}, now it is {now:#x}")]
    Changed { queue: Queue, offset: i64, before: u64, now: u64 },
    #[error("I2 vanished: {queue:?} offset {offset} was served as {id:#x}, the end is now {max}")]
    Vanished { queue: Queue, offset: i64, id: u64, max: i64 },
    #[error("I3 acknowledged twice: {queue:?} offset {offset} for {first:#x} and {second:#x}")]
    AckedTwice { queue: Queue, offset: i64, first: u64, second: u64 },
    #[error("I4 stored twice: message {id:#x} at {first} and {second} of {queue:?}")]
    StoredTwice { queue: Queue, id: u64, first: i64, second: i64 },
    #[error("I6 damaged: {queue:?} offset {offset}, {length} bytes")]
    Damaged { queue: Queue, offset: i64, length: usize },
    #[error("I2 phantom: {queue:?} offset {offset} holds message {id:#x}, which nobody sent")]
    Phantom { queue: Queue, offset: i64, id: u64 },
    #[error("I4 gap: {queue:?} has offset {found} where {expected} was due")]
    Gap { queue: Queue, expected: i64, found: i64 },
    #[error("I4 order: {queue:?} offset {offset} holds {id:#x}, sent before the one ahead of it")]
    Order { queue: Queue, offset: i64, id: u64 },
    #[error("I4 trimmed: {queue:?} begins at {min}, nothing from {allowed} on was given up")]
    Trimmed { queue: Queue, min: i64, allowed: i64 },
    #[error("I5 consumer offset lost: {queue:?} was acknowledged at {acked}, it is {found:?} now")]
    OffsetLost { queue: Queue, acked: i64, found: Option<i64> },
    #[error("I5 consumer offset unknown: {queue:?} is at {found}, nobody committed beyond {tried}")]
    OffsetUnknown { queue: Queue, found: i64, tried: i64 },
    #[error("I5 consumer offset ahead: {queue:?} is at {found}, the end of the queue is {max}")]
    OffsetAhead { queue: Queue, found: i64, max: i64 },
}

#[derive(Clone, Default, Debug)]
struct Known {
    /// What was acknowledged at an offset.
    acked: BTreeMap<i64, u64>,
    /// What was served at an offset.
    served: BTreeMap<i64, u64>,
    /// Retention may have removed everything before it.
    given_up: i64,
    /// The consumer offset that was acknowledged last, and the greatest that was committed.
    committed: Option<i64>,
    tried: i64,
}

/// The history of one store. A clone goes on by itself, for the futures that a crash has.
#[derive(Clone, Default, Debug)]
pub struct Checker {
    queues: HashMap<Queue, Known>,
    pub violations: Vec<Violation>,
}

impl Checker {
    fn known(&mut self, queue: &Queue) -> &mut Known {
        if !self.queues.contains_key(queue) {
            self.queues.insert(queue.clone(), Known::default());
        }
        self.queues.get_mut(queue).expect("it was just inserted")
    }

    /// The store acknowledged message `id` at this place.
    pub fn acked(&mut self, queue: &Queue, offset: i64, id: u64) {
        if let Some(first) = self.known(queue).acked.insert(offset, id)
            && first != id
        {
            let queue = queue.clone();
            self.violations.push(Violation::AckedTwice { queue, offset, first, second: id });
        }
    }

    /// The store served this body at this place, at any time.
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
        let known = self.known(queue);
        let earlier = known.served.insert(offset, id).or_else(|| known.acked.get(&offset).copied());
        if let Some(before) = earlier.filter(|&before| before != id) {
            let queue = queue.clone();
            self.violations.push(Violation::Changed { queue, offset, before, now: id });
        }
    }

    /// Everything that a queue holds, from its first to its last offset. Implies
    /// [`Checker::served`] for each.
    pub fn drained(&mut self, bodies: &dyn Bodies, queue: &Queue, messages: &[(i64, Vec<u8>)]) {
        let mut drain = Drain::new(queue, 0);
        for (offset, body) in messages {
            drain.message(self, bodies, *offset, body);
        }
        drain.end(self, i64::try_from(messages.len()).expect("fits"));
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

    /// Retention may remove everything before `offset` from now on.
    pub fn give_up(&mut self, queue: &Queue, offset: i64) {
        let known = self.known(queue);
        known.given_up = known.given_up.max(offset);
    }

    /// Somebody is about to commit the consumer offset.
    pub fn offset_tried(&mut self, queue: &Queue, offset: i64) {
        let known = self.known(queue);
        known.tried = known.tried.max(offset);
    }

    /// The consumer offset was acknowledged as durable.
    pub fn offset_acked(&mut self, queue: &Queue, offset: i64) {
        self.offset_tried(queue, offset);
        self.known(queue).committed = Some(offset);
    }

    /// The consumer offset that a restart brought, and the end of its queue. Offsets of the
    /// workloads only grow.
    pub fn offset_found(&mut self, queue: &Queue, found: Option<i64>, max: i64) {
        let (committed, tried) = {
            let known = self.known(queue);
            (known.committed, known.tried)
        };
        if let Some(acked) = committed
            && found.is_none_or(|found| found < acked)
        {
            self.violations.push(Violation::OffsetLost { queue: queue.clone(), acked, found });
        }
        let Some(found) = found else { return };
        if found > tried {
            self.violations.push(Violation::OffsetUnknown { queue: queue.clone(), found, tried });
        }
        if found > max {
            self.violations.push(Violation::OffsetAhead { queue: queue.clone(), found, max });
        }
        self.known(queue).committed = Some(found);
    }

    /// Forgets what was promised of messages for which `keep` is false: under ASYNC_FLUSH a power
    /// cut may take what was not synced.
    pub fn keep_only(&mut self, mut keep: impl FnMut(&Queue, i64) -> bool) {
        for (queue, known) in &mut self.queues {
            known.acked.retain(|offset, _| keep(queue, *offset));
            known.served.retain(|offset, _| keep(queue, *offset));
        }
    }

    /// Forgets which consumer offsets were acknowledged.
    pub fn forget_committed(&mut self) {
        self.queues.values_mut().for_each(|known| known.committed = None);
    }

    /// The end that a queue must have at least.
    pub fn end_at_least(&self, queue: &Queue) -> i64 {
        let last = |map: &BTreeMap<i64, u64>| map.last_key_value().map_or(0, |(last, _)| last + 1);
        self.queues.get(queue).map_or(0, |known| last(&known.acked).max(last(&known.served)))
    }

    pub fn acked_count(&self) -> usize {
        self.queues.values().map(|known| known.acked.len()).sum()
    }
}

/// A look at all of one queue, in order.
pub struct Drain<'a> {
    queue: &'a Queue,
    min: i64,
    next: i64,
    broken: bool,
    places: HashMap<u64, i64>,
    newest: HashMap<u64, u64>,
}

impl<'a> Drain<'a> {
    /// A queue whose first offset is `min`.
    pub fn new(queue: &'a Queue, min: i64) -> Drain<'a> {
        let (places, newest) = (HashMap::new(), HashMap::new());
        Drain { queue, min, next: min, broken: false, places, newest }
    }

    /// The next message.
    pub fn message(&mut self, checker: &mut Checker, bodies: &dyn Bodies, at: i64, body: &[u8]) {
        let (queue, offset) = (self.queue, at);
        if !self.step(checker, offset) {
            return;
        }
        checker.served(bodies, queue, offset, body);
        let Some(id) = bodies.id(body) else { return };
        if let Some(first) = self.places.insert(id, offset) {
            let queue = queue.clone();
            checker.violations.push(Violation::StoredTwice { queue, id, first, second: offset });
        }
        let (producer, number) = bodies.order(id);
        if self.newest.insert(producer, number).is_some_and(|before| before >= number) {
            checker.violations.push(Violation::Order { queue: queue.clone(), offset, id });
        }
    }

    /// The next message is refused with an error that says why: not wrong, and not lost.
    pub fn refused(&mut self, checker: &mut Checker, offset: i64) {
        self.step(checker, offset);
    }

    fn step(&mut self, checker: &mut Checker, found: i64) -> bool {
        let expected = self.next;
        if found != expected && !self.broken {
            self.broken = true;
            let queue = self.queue.clone();
            checker.violations.push(Violation::Gap { queue, expected, found });
        }
        self.next = found + 1;
        !self.broken
    }

    /// The queue says that it ends at `max`.
    pub fn end(self, checker: &mut Checker, max: i64) {
        if self.broken {
            return;
        }
        let (queue, min) = (self.queue, self.min);
        if self.next != max {
            let (expected, found) = (self.next, max);
            checker.violations.push(Violation::Gap { queue: queue.clone(), expected, found });
        }
        let allowed = checker.queues.get(queue).map_or(0, |known| known.given_up);
        if min > allowed {
            checker.violations.push(Violation::Trimmed { queue: queue.clone(), min, allowed });
        }
        checker.nothing_is_missing(queue, max);
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
    #[test]
    fn consumer_offsets_stay_and_never_lead_past_the_end() {
        let found = |checker: &Checker, offset, max| {
            let mut checker = checker.clone();
            checker.offset_found(&queue(), offset, max);
            checker.violations
        };
        let mut checker = Checker::default();
        assert_eq!(found(&checker, None, 0), []);
        checker.offset_acked(&queue(), 3);
        checker.offset_tried(&queue(), 5);
        assert_eq!(found(&checker, Some(3), 9), []);
        assert_eq!(found(&checker, Some(5), 9), []);
        let ahead = Violation::OffsetAhead { queue: queue(), found: 5, max: 4 };
        assert_eq!(found(&checker, Some(5), 4), [ahead]);
        let unknown = Violation::OffsetUnknown { queue: queue(), found: 6, tried: 5 };
        assert_eq!(found(&checker, Some(6), 9), [unknown]);
        let lost = Violation::OffsetLost { queue: queue(), acked: 3, found: None };
        assert_eq!(found(&checker, None, 9), [lost]);
    }

    #[test]
    fn refusals_are_no_losses_and_removals_need_a_reason() {
        let mut checker = Checker::default();
        (0..3).for_each(|offset| checker.acked(&queue(), offset, offset.unsigned_abs()));
        let at = queue();
        let mut drain = Drain::new(&at, 1);
        drain.refused(&mut checker, 1);
        drain.message(&mut checker, &Simple, 2, &[2, 2]);
        let mut allowed = checker.clone();
        allowed.give_up(&at, 1);
        Drain { next: 3, ..Drain::new(&at, 1) }.end(&mut allowed, 3);
        assert_eq!(allowed.violations, []);
        drain.end(&mut checker, 3);
        assert_eq!(checker.violations, [Violation::Trimmed { queue: queue(), min: 1, allowed: 0 }]);
    }
}
