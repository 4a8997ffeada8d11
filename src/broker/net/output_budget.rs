//! One budget for the answers that a shard makes and that clients have not taken. An answer counts
//! before it is made; one that finds no room waits. An answer to a connection of another shard is
//! counted by the shard that makes it, until it hears that the client has taken it.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
};

use ringmq_base::limits::FRAME_BYTES_MAX;
use ringmq_io::signal::{Event, Notify};
use ringmq_rules::ConnectionId;

/// What is counted for an answer, and by which shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub by: u16,
    /// It is one of the few that may be as long as a frame, see [`OutputBudget::begin_long`].
    pub long: bool,
    /// 0: nothing is counted.
    pub bytes: usize,
}

/// An answer's bytes that a client has taken, for the shard that counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub connection: ConnectionId,
    /// The shard that counts them.
    pub by: u16,
    pub bytes: usize,
}

/// How far the budget goes for a client, and in which order those who wait get room: lower ones
/// first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Clients that are known to take their answers, and have taken all.
    Proven,
    /// Those that have nothing to take: anybody, by a new connection.
    First,
    /// Whoever asks for an answer that may be as long as a frame.
    Long,
    More,
}

/// Of the budget, for answers as long as a frame that are being made.
const LONG_PART: usize = 4;

const RANKS: [Rank; 4] = [Rank::Proven, Rank::First, Rank::Long, Rank::More];

/// All in bytes.
#[derive(Default)]
pub struct OutputBudget {
    most: usize,
    /// In the output of connections of this shard.
    written: Cell<usize>,
    /// Of these, what other shards count.
    of_others: Cell<usize>,
    /// Set aside for answers to connections of this shard.
    reserved: Cell<usize>,
    /// Answers that may be as long as a frame and are being made, and how many may be.
    long: Cell<usize>,
    long_most: usize,
    long_wanted: Cell<bool>,
    /// Counted here for connections of other shards.
    away: Cell<usize>,
    /// What clients have taken and other shards are to be told.
    taken: RefCell<Vec<Taken>>,
    taken_bytes: Cell<usize>,
    /// So much was taken that others are to be told at once.
    tell_at: usize,
    /// Something was taken that another shard counts, the first or enough.
    pub some_taken: Event,
    /// Connections that have room again and pulls that wait for it.
    pub(crate) freed: RefCell<VecDeque<ConnectionId>>,
    /// By rank: somebody waits for so much room of the shard, the least of all.
    wanted: [Cell<Option<usize>>; RANKS.len()],
    /// There is room again for somebody who waits.
    pub some_room: Event,
    /// Readers of connections wait for room.
    pub readers: Notify,
}

impl OutputBudget {
    /// `most`: bytes of the shard. `tell_at`: how much of what others count is taken before they
    /// are told at once.
    pub fn new(most: usize, tell_at: usize) -> OutputBudget {
        let long_most = (most / LONG_PART / FRAME_BYTES_MAX).max(1);
        OutputBudget { most, long_most, tell_at, ..OutputBudget::default() }
    }

    pub fn most(&self) -> usize {
        self.most
    }

    /// What counts here.
    pub fn bytes(&self) -> usize {
        let own = self.written.get().saturating_sub(self.of_others.get());
        own + self.reserved.get() + self.away.get()
    }

    /// What is set aside for answers, or counted for connections of other shards.
    pub fn promised(&self) -> usize {
        self.reserved.get() + self.away.get()
    }

    /// In the output of connections, whoever counts it.
    pub fn written(&self) -> usize {
        self.written.get()
    }

    /// Three quarters are in use: what is left is for clients that have nothing to take.
    pub fn is_scarce(&self) -> bool {
        self.bytes() > self.three_quarters()
    }

    fn three_quarters(&self) -> usize {
        self.most / 4 * 3
    }

    fn most_of(&self, rank: Rank) -> usize {
        match rank {
            Rank::Proven => self.most,
            Rank::First => self.most / 16 * 15,
            Rank::Long => self.most / 8 * 7,
            Rank::More => self.three_quarters(),
        }
    }

    /// Whether an answer has room. One of more than half of the budget has room where half is left,
    /// lest it never find any.
    pub fn fits(&self, bytes: usize, rank: Rank) -> bool {
        let used = self.bytes();
        used == 0 || used + bytes.min(self.most / 2) <= self.most_of(rank)
    }

    /// How much more than three quarters is in use.
    pub fn excess(&self) -> usize {
        self.bytes().saturating_sub(self.three_quarters())
    }

    /// Somebody waits for room of the shard, and hears when there is. See [`OutputBudget::fits`].
    pub fn want(&self, bytes: usize, rank: Rank) {
        let wanted = &self.wanted[rank as usize];
        wanted.set(Some(wanted.get().map_or(bytes, |least| least.min(bytes))));
    }

    /// Whether somebody waits for room of the shard who has nothing to take, or for a long answer.
    pub fn is_wanted(&self) -> bool {
        [Rank::Proven, Rank::First, Rank::Long]
            .iter()
            .any(|rank| self.wanted[*rank as usize].get().is_some())
    }

    pub(super) fn write(&self, bytes: usize, of_others: usize) {
        self.written.set(self.written.get() + bytes);
        self.of_others.set(self.of_others.get() + of_others);
    }

    pub(super) fn unwrite(&self, bytes: usize, of_others: usize) {
        self.written.set(self.written.get() - bytes);
        self.of_others.set(self.of_others.get() - of_others);
        self.tell_of_room();
    }

    pub(super) fn reserve(&self, bytes: usize) {
        self.reserved.set(self.reserved.get() + bytes);
    }

    pub(super) fn unreserve(&self, bytes: usize) {
        self.reserved.set(self.reserved.get() - bytes);
        self.tell_of_room();
    }

    /// Whether an answer that may be as long as a frame may be begun. A quarter of all would be
    /// enough for those that are made at a time: the rest is for what is small, as are the
    /// processors.
    pub fn may_begin_long(&self) -> bool {
        self.long.get() < self.long_most
    }

    /// It is begun.
    pub fn begin_long(&self) {
        self.long.set(self.long.get() + 1);
    }

    /// It is made, or its connection is gone.
    pub(super) fn end_long(&self) {
        self.long.set(self.long.get() - 1);
        if self.long_wanted.take() {
            self.some_room.set();
        }
    }

    /// A reader waits until [`OutputBudget::may_begin_long`], and hears when it may be so.
    pub fn want_long(&self) {
        self.long_wanted.set(true);
    }

    /// Counts an answer for a connection of another shard.
    pub fn count_away(&self, bytes: usize) {
        self.away.set(self.away.get() + bytes);
    }

    pub fn uncount_away(&self, bytes: usize) {
        self.away.set(self.away.get() - bytes);
        self.tell_of_room();
    }

    fn tell_of_room(&self) {
        for (wanted, rank) in self.wanted.iter().zip(RANKS) {
            if wanted.get().is_some_and(|bytes| self.fits(bytes, rank)) {
                wanted.set(None);
                self.some_room.set();
            }
        }
    }

    /// A connection has room again, for which something of it waits.
    pub fn free(&self, connection: ConnectionId) {
        self.freed.borrow_mut().push_back(connection);
        self.some_room.set();
    }

    /// What another shard counts is taken, or will never be.
    pub(super) fn take(&self, taken: Taken) {
        let mut all = self.taken.borrow_mut();
        match all.last_mut() {
            Some(last) if (last.connection, last.by) == (taken.connection, taken.by) => {
                last.bytes += taken.bytes;
            }
            _ => all.push(taken),
        }
        let before = self.taken_bytes.get();
        self.taken_bytes.set(before + taken.bytes);
        if before == 0 || self.is_to_be_told() {
            self.some_taken.set();
        }
    }

    /// Enough is taken that the shards that count it are to be told at once.
    pub fn is_to_be_told(&self) -> bool {
        self.taken_bytes.get() >= self.tell_at
    }

    /// Everything that other shards are to be told.
    pub fn told(&self) -> Vec<Taken> {
        self.taken_bytes.set(0);
        self.taken.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_quarter_is_for_those_who_have_nothing_to_take_and_its_end_for_the_proven() {
        let budget = OutputBudget::new(160, 10);
        assert!(budget.fits(1000, Rank::More), "one answer goes, however large");
        budget.reserve(115);
        assert!(budget.fits(5, Rank::More) && !budget.fits(6, Rank::More));
        assert!(budget.fits(25, Rank::Long) && !budget.fits(26, Rank::Long));
        assert!(budget.fits(35, Rank::First) && !budget.fits(36, Rank::First));
        assert!(budget.fits(45, Rank::Proven) && !budget.fits(46, Rank::Proven));
        assert!(!budget.is_scarce());
        budget.count_away(6);
        assert!(budget.is_scarce());
        budget.want(5, Rank::More);
        budget.uncount_away(5);
        assert!(!budget.some_room.is_set(), "the last quarter is not for it");
        budget.uncount_away(1);
        assert!(budget.some_room.is_set());
    }

    #[test]
    fn who_waits_hears_of_room_when_its_answer_fits() {
        let budget = OutputBudget::new(100, 10);
        budget.reserve(100);
        budget.want(30, Rank::More);
        assert!(!budget.is_wanted());
        budget.want(30, Rank::Proven);
        budget.want(20, Rank::Proven);
        assert!(budget.is_wanted());
        budget.unreserve(19);
        assert!(!budget.some_room.is_set());
        budget.unreserve(1);
        assert!(budget.some_room.is_set() && !budget.is_wanted());
    }

    #[test]
    fn what_others_count_does_not_count_here() {
        let budget = OutputBudget::new(100, 10);
        budget.write(50, 20);
        assert_eq!((budget.bytes(), budget.written()), (30, 50));
        budget.unwrite(50, 20);
        assert_eq!(budget.bytes(), 0);
    }

    #[test]
    fn a_quarter_is_for_long_answers_that_are_being_made_or_one_of_them() {
        assert!(OutputBudget::new(160, 10).may_begin_long(), "one goes, however small all is");
        let budget = OutputBudget::new(8 * FRAME_BYTES_MAX, 10);
        for _ in 0..2 {
            assert!(budget.may_begin_long());
            budget.begin_long();
        }
        assert!(!budget.may_begin_long());
        budget.end_long();
        assert!(budget.may_begin_long() && !budget.some_room.is_set(), "nobody waits");
        budget.want_long();
        budget.end_long();
        assert!(budget.some_room.is_set());
    }

    #[test]
    fn what_is_taken_is_told_together() {
        let budget = OutputBudget::new(100, 10);
        let connection = ConnectionId { shard: 0, slot: 3, generation: 1 };
        let taken = |bytes| Taken { connection, by: 1, bytes };
        budget.take(taken(4));
        assert!(budget.some_taken.is_set() && !budget.is_to_be_told());
        budget.take(taken(6));
        assert!(budget.is_to_be_told());
        assert_eq!(budget.told(), [taken(10)]);
        assert!(budget.told().is_empty() && !budget.is_to_be_told());
    }
}
