//! Pulls that found nothing and wait: for a message in their queue, or for the end of the time
//! that the client allowed.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    time::Duration,
};

use ahash::AHashMap;
use ringmq_base::LogId;
use ringmq_io::signal::Event;
use ringmq_store::QueueHandle;

use crate::messages::PullRequest;

/// A queue of this shard.
type Place = (LogId, QueueHandle);

/// Number and deadline of a pull that waits.
type Held = (u64, Duration, PullRequest);

pub struct WaitingPulls {
    most: usize,
    next: Cell<u64>,
    by_queue: RefCell<AHashMap<Place, Vec<Held>>>,
    deadlines: RefCell<BTreeMap<(Duration, u64), Place>>,
    /// The earliest deadline has changed.
    pub changed: Event,
}

impl WaitingPulls {
    /// `most`: how many may wait.
    pub fn new(most: usize) -> WaitingPulls {
        WaitingPulls {
            most,
            next: Cell::default(),
            by_queue: RefCell::default(),
            deadlines: RefCell::default(),
            changed: Event::default(),
        }
    }

    /// Keeps a pull until `deadline`; gives it back if too many wait already.
    pub fn hold(
        &self,
        place: Place,
        deadline: Duration,
        request: PullRequest,
    ) -> Option<PullRequest> {
        let mut deadlines = self.deadlines.borrow_mut();
        if deadlines.len() >= self.most {
            return Some(request);
        }
        let id = self.next.get();
        self.next.set(id + 1);
        let first = deadlines.first_key_value().map(|(key, _)| *key);
        deadlines.insert((deadline, id), place);
        if first.is_none_or(|first| (deadline, id) < first) {
            self.changed.set();
        }
        let mut by_queue = self.by_queue.borrow_mut();
        by_queue.entry(place).or_default().push((id, deadline, request));
        None
    }

    /// Takes all pulls that wait for a queue.
    pub fn take(&self, place: Place) -> Vec<PullRequest> {
        let waiting = self.by_queue.borrow_mut().remove(&place).unwrap_or_default();
        let mut deadlines = self.deadlines.borrow_mut();
        waiting
            .into_iter()
            .map(|(id, deadline, request)| {
                deadlines.remove(&(deadline, id));
                request
            })
            .collect()
    }

    /// Takes the pulls whose time is over.
    pub fn expired(&self, now: Duration) -> Vec<PullRequest> {
        let mut expired = Vec::new();
        let mut deadlines = self.deadlines.borrow_mut();
        let mut by_queue = self.by_queue.borrow_mut();
        while let Some(entry) = deadlines.first_entry() {
            let (deadline, id) = *entry.key();
            if deadline > now {
                break;
            }
            let place = entry.remove();
            let Some(waiting) = by_queue.get_mut(&place) else {
                continue;
            };
            if let Some(at) = waiting.iter().position(|(other, ..)| *other == id) {
                expired.push(waiting.swap_remove(at).2);
            }
            if waiting.is_empty() {
                by_queue.remove(&place);
            }
        }
        expired
    }

    /// The earliest time at which a pull has to be answered.
    pub fn first_deadline(&self) -> Option<Duration> {
        self.deadlines.borrow().first_key_value().map(|((deadline, _), _)| *deadline)
    }
}
