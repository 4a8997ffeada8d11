//! Pulls that found nothing and wait: for a message in their queue, for the end of the time that
//! the client allowed, or for the end of its connection.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use ahash::AHashMap;
use ringmq_base::LogId;
use ringmq_io::signal::Event;
use ringmq_rules::ConnectionId;
use ringmq_store::QueueHandle;

use crate::{messages::PullRequest, sizes::WAITING_PULL_BYTES};

/// A queue of this shard.
pub type Place = (LogId, QueueHandle);

/// In the order of its coming.
pub type Number = u64;

/// Pulls of a connection that are forgotten without a pause: some 50 us.
const FORGET_MAX: usize = 64;

/// Pulls that are looked at without a pause when groups and topics change: some 100 us.
const LOOK_MAX: usize = 1024;
/// Pulls that are answered then without a pause: some 200 us.
pub const TAKE_MAX: usize = 64;

/// What becomes of a pull that is to wait.
pub enum Hold {
    /// It waits.
    Waits,
    /// It waits in the place of this one, which is to be answered.
    InPlaceOf(PullRequest),
    /// Its connection has its part of the places: it is to be answered.
    NoPlace(PullRequest),
}

/// Connections are looked through for the one that has most once in so many pulls that find no
/// place: some 50 us for ten thousand.
const SEARCH_EVERY: u32 = 64;

struct Held {
    place: Place,
    deadline: Duration,
    /// Of [`WAITING_PULL_BYTES`] each.
    places: usize,
    request: PullRequest,
}

/// What waits for one connection.
#[derive(Default)]
struct OfConnection {
    numbers: BTreeSet<Number>,
    places: usize,
}

/// A filter that others have as well takes no place: it belongs to a subscription.
fn places_of(request: &PullRequest) -> usize {
    let own = if request.own_subscription { request.filter.bytes() } else { 0 };
    1 + own / WAITING_PULL_BYTES
}

#[derive(Default)]
struct Table {
    /// A tree: a table of hashes moves everything that is in it when it grows.
    held: BTreeMap<Number, Held>,
    by_queue: AHashMap<Place, BTreeSet<Number>>,
    by_connection: AHashMap<ConnectionId, OfConnection>,
    /// All that are taken.
    places: usize,
    deadlines: BTreeSet<(Duration, Number)>,
    /// The connection that had most pulls when it was looked for.
    largest: Option<ConnectionId>,
    /// Pulls that found no place since then.
    since_search: u32,
}

pub struct WaitingPulls {
    most: usize,
    next: Cell<Number>,
    table: RefCell<Table>,
    /// The earliest deadline has changed.
    pub changed: Event,
    /// Queues with new messages for which very many pulls wait.
    crowds: RefCell<BTreeSet<Place>>,
    /// There is one.
    pub crowded: Event,
    /// Connections that are gone and had more than is forgotten at once.
    gone: RefCell<VecDeque<ConnectionId>>,
    /// There is one.
    pub some_gone: Event,
}

impl Table {
    fn add(&mut self, number: Number, held: Held) {
        let connection = held.request.reply_to.connection;
        self.by_queue.entry(held.place).or_default().insert(number);
        let own = self.by_connection.entry(connection).or_default();
        own.numbers.insert(number);
        own.places += held.places;
        self.places += held.places;
        self.deadlines.insert((held.deadline, number));
        self.held.insert(number, held);
    }

    /// Takes a pull out of all places.
    fn remove(&mut self, number: Number) -> Option<PullRequest> {
        let Held { place, deadline, places, request } = self.held.remove(&number)?;
        self.places -= places;
        let connection = request.reply_to.connection;
        self.deadlines.remove(&(deadline, number));
        if let Some(numbers) = self.by_queue.get_mut(&place) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.by_queue.remove(&place);
            }
        }
        if let Some(own) = self.by_connection.get_mut(&connection) {
            own.numbers.remove(&number);
            own.places -= places;
            if own.numbers.is_empty() {
                self.by_connection.remove(&connection);
            }
        }
        Some(request)
    }

    fn places_of(&self, connection: ConnectionId) -> usize {
        self.by_connection.get(&connection).map_or(0, |own| own.places)
    }

    /// Takes the oldest pull of the connection that has most, for one that has `own` places with
    /// its pull: far fewer. Nothing if that frees fewer than `need`.
    fn give_up_one(&mut self, own: usize, need: usize) -> Option<PullRequest> {
        let many = 2 * own;
        if self.largest.is_none_or(|largest| self.places_of(largest) <= many) {
            self.since_search += 1;
            if self.largest.is_none() || self.since_search >= SEARCH_EVERY {
                self.since_search = 0;
                let all = self.by_connection.iter();
                let most = all.max_by_key(|(connection, own)| (own.places, **connection));
                self.largest = most.map(|(connection, _)| *connection);
            }
        }
        let largest = self.by_connection.get(&self.largest?).filter(|own| own.places > many)?;
        let oldest = largest.numbers.first().copied()?;
        let freed = self.held.get(&oldest)?.places;
        if freed >= need { self.remove(oldest) } else { None }
    }

    /// Drops some of what a connection waits for. True: there is more.
    fn forget_some(&mut self, connection: ConnectionId) -> bool {
        let Some(own) = self.by_connection.get(&connection) else {
            return false;
        };
        let some: Vec<_> = own.numbers.iter().take(FORGET_MAX).copied().collect();
        for number in some {
            self.remove(number);
        }
        self.by_connection.contains_key(&connection)
    }
}

impl WaitingPulls {
    /// `most`: how many places there are.
    pub fn new(most: usize) -> WaitingPulls {
        WaitingPulls {
            most,
            next: Cell::default(),
            table: RefCell::default(),
            changed: Event::default(),
            crowds: RefCell::default(),
            crowded: Event::default(),
            gone: RefCell::default(),
            some_gone: Event::default(),
        }
    }

    /// Keeps a pull until `deadline`. A connection has no more than what is left for others: one
    /// that asks for all of it meets the limit alone. Where many connections did so together, the
    /// one that has most gives up a pull for one that has few.
    pub fn hold(&self, place: Place, deadline: Duration, request: PullRequest) -> Hold {
        let mut table = self.table.borrow_mut();
        let places = places_of(&request);
        let own = table.places_of(request.reply_to.connection) + places;
        let left = self.most.saturating_sub(table.places);
        let mut hold = Hold::Waits;
        if own > left {
            match table.give_up_one(own, places.saturating_sub(left)) {
                Some(other) => hold = Hold::InPlaceOf(other),
                None => return Hold::NoPlace(request),
            }
        }
        let number = self.next.get();
        self.next.set(number + 1);
        let first = table.deadlines.first().copied();
        if first.is_none_or(|first| (deadline, number) < first) {
            self.changed.set();
        }
        table.add(number, Held { place, deadline, places, request });
        hold
    }

    /// Pulls that wait.
    pub fn count(&self) -> usize {
        self.table.borrow().held.len()
    }

    /// Pulls that come from now on have this number or a later one.
    pub fn next_number(&self) -> Number {
        self.next.get()
    }

    /// Takes the first of the pulls that wait for a queue, if it came before `number`.
    pub fn take(&self, place: Place, number: Number) -> Option<PullRequest> {
        let mut table = self.table.borrow_mut();
        let first = table.by_queue.get(&place)?.first().copied()?;
        if first < number { table.remove(first) } else { None }
    }

    /// Whether pulls wait for a queue that came before `number`.
    pub fn has_before(&self, place: Place, number: Number) -> bool {
        let table = self.table.borrow();
        let first = table.by_queue.get(&place).and_then(BTreeSet::first);
        first.is_some_and(|first| *first < number)
    }

    /// Notes that more pulls wait for a queue than are looked at in one turn.
    pub fn crowd(&self, place: Place) {
        self.crowds.borrow_mut().insert(place);
        self.crowded.set();
    }

    /// A queue that [`WaitingPulls::crowd`] noted, if there is one.
    pub fn take_crowd(&self) -> Option<Place> {
        self.crowds.borrow_mut().pop_first()
    }

    /// Takes some of the pulls whose time is over, at most `most`.
    pub fn expired(&self, now: Duration, most: usize) -> Vec<PullRequest> {
        let mut table = self.table.borrow_mut();
        let mut expired = Vec::new();
        while expired.len() < most
            && let Some((deadline, number)) = table.deadlines.first().copied()
            && deadline <= now
        {
            expired.extend(table.remove(number));
        }
        expired
    }

    /// Takes pulls out that a change concerns, in the order of their coming, from a number on and
    /// before another; looks at some and takes a few of them. Where to go on, unless that was all.
    pub fn take_concerned(
        &self,
        (from, before): (Number, Number),
        concerned: impl Fn(&PullRequest) -> bool,
    ) -> (Vec<PullRequest>, Option<Number>) {
        let mut table = self.table.borrow_mut();
        let (mut numbers, mut next) = (Vec::new(), None);
        for (looked, (number, held)) in table.held.range(from..before).enumerate() {
            if looked == LOOK_MAX || numbers.len() == TAKE_MAX {
                next = Some(*number);
                break;
            }
            if concerned(&held.request) {
                numbers.push(*number);
            }
        }
        (numbers.into_iter().filter_map(|number| table.remove(number)).collect(), next)
    }

    /// Drops what a connection waits for that is no more: a few pulls at once, many with
    /// [`WaitingPulls::forget_more`].
    pub fn forget(&self, connection: ConnectionId) {
        if self.table.borrow_mut().forget_some(connection) {
            self.gone.borrow_mut().push_back(connection);
            self.some_gone.set();
        }
    }

    /// Drops some more of what connections waited for that are gone. False: that was all.
    pub fn forget_more(&self) -> bool {
        let mut gone = self.gone.borrow_mut();
        let Some(first) = gone.front().copied() else {
            return false;
        };
        if !self.table.borrow_mut().forget_some(first) {
            gone.pop_front();
        }
        true
    }

    /// The earliest time at which a pull has to be answered.
    pub fn first_deadline(&self) -> Option<Duration> {
        self.table.borrow().deadlines.first().map(|(deadline, _)| *deadline)
    }
}
