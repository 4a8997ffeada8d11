//! Room for answers: it is set aside before an answer is made, so that clients that do not read
//! cost no more than is stated. A pull whose answer finds no room waits until its client has taken
//! earlier ones, or until others have.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    ops::ControlFlow,
    rc::Rc,
};

use ahash::AHashMap;
use ringmq_io::Runtime;
use ringmq_remoting::codes::response;
use ringmq_rules::{ConnectionId, refusal::Refusal};

use super::{Shard, room_queue::RoomQueue};
use crate::{
    messages::{PullRequest, ReplyTo, Room},
    net::output_budget::{OutputBudget, Rank},
};

/// What a client that has taken all may have waiting by the books of another shard, which hears a
/// little later what was taken.
const UNTOLD_BYTES: usize = 64 << 10;

/// A connection for whose answers this shard counts, or has a pull wait.
#[derive(Default)]
struct Account {
    /// Bytes made here and not known to be taken, of a connection of another shard.
    made: usize,
    /// Pulls without room, and how many bytes their answers have.
    waiting: VecDeque<(PullRequest, usize)>,
}

impl Account {
    fn is_empty(&self) -> bool {
        self.made == 0 && self.waiting.is_empty()
    }
}

/// What keeps an answer from being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoRoom {
    /// The client has not taken enough of what it was sent.
    Connection,
    /// All clients together have not.
    Shard(Rank),
    /// Enough long answers are being made.
    Long,
}

/// What an answer needs before its request is handled.
#[derive(Clone, Copy, Debug)]
pub struct Needed {
    pub bytes: usize,
    /// It may be as long as a frame.
    pub long: bool,
}

pub struct AnswerRoom {
    pub budget: Rc<OutputBudget>,
    /// What one connection may have waiting, in bytes: on its own shard, and on another one.
    connection_most: usize,
    away_most: usize,
    /// How many pulls may wait.
    waiting_most: usize,
    waiting: Cell<usize>,
    accounts: RefCell<AHashMap<ConnectionId, Account>>,
    /// Connections whose first pull waits for room of the shard.
    queue: RefCell<RoomQueue>,
}

impl AnswerRoom {
    /// `connection_most`: bytes that a connection may have waiting. `waiting_most`: pulls that may
    /// wait for room.
    pub fn new(
        budget: &Rc<OutputBudget>,
        connection_most: usize,
        shards: usize,
        waiting_most: usize,
    ) -> AnswerRoom {
        AnswerRoom {
            budget: budget.clone(),
            connection_most,
            away_most: away_most(connection_most, shards),
            waiting_most,
            waiting: Cell::new(0),
            accounts: RefCell::default(),
            queue: RefCell::default(),
        }
    }

    /// Pulls that wait for room.
    pub fn waiting(&self) -> usize {
        self.waiting.get()
    }

    /// A connection whose output has more is not read on until its client has taken it.
    pub fn pause_at(&self) -> usize {
        self.away_most / 2
    }

    fn count_away(&self, connection: ConnectionId, bytes: usize) {
        let mut accounts = self.accounts.borrow_mut();
        let account = accounts.entry(connection).or_default();
        account.made += bytes;
        self.budget.count_away(bytes);
    }

    fn uncount_away(&self, connection: ConnectionId, bytes: usize) {
        let mut accounts = self.accounts.borrow_mut();
        // It may be forgotten already, and what it had with it.
        let Some(account) = accounts.get_mut(&connection) else {
            return;
        };
        let bytes = bytes.min(account.made);
        account.made -= bytes;
        let waits = !account.waiting.is_empty();
        self.drop_empty(&mut accounts, connection);
        drop(accounts);
        if waits {
            self.budget.free(connection);
        }
        self.budget.uncount_away(bytes);
    }

    /// Drops the account of a connection that has nothing here any more, and its place.
    fn drop_empty(&self, accounts: &mut AHashMap<ConnectionId, Account>, connection: ConnectionId) {
        if accounts.get(&connection).is_some_and(Account::is_empty) {
            accounts.remove(&connection);
            self.queue.borrow_mut().remove(connection);
        }
    }

    /// Whether a pull of the connection waits, behind which others go.
    fn has_waiting(&self, connection: ConnectionId) -> bool {
        self.waiting.get() > 0
            && self
                .accounts
                .borrow()
                .get(&connection)
                .is_some_and(|account| !account.waiting.is_empty())
    }

    fn put(&self, request: PullRequest, bytes: usize, first: bool) {
        let mut accounts = self.accounts.borrow_mut();
        let account = accounts.entry(request.reply_to.connection).or_default();
        match first {
            true => account.waiting.push_front((request, bytes)),
            false => account.waiting.push_back((request, bytes)),
        }
        self.waiting.set(self.waiting.get() + 1);
    }

    /// The bytes that the first waiting pull of a connection needs, and whether its client is
    /// proven.
    fn first_needs(&self, connection: ConnectionId) -> Option<(usize, bool)> {
        let accounts = self.accounts.borrow();
        let (request, bytes) = accounts.get(&connection)?.waiting.front()?;
        Some((*bytes, request.proven))
    }

    fn take_first(&self, connection: ConnectionId) -> Option<PullRequest> {
        let mut accounts = self.accounts.borrow_mut();
        let account = accounts.get_mut(&connection)?;
        let (request, _) = account.waiting.pop_front()?;
        self.drop_empty(&mut accounts, connection);
        self.waiting.set(self.waiting.get() - 1);
        Some(request)
    }

    /// The first pull of a connection waits for room of the shard.
    fn queue(&self, connection: ConnectionId, rank: Rank) {
        let Some((bytes, _)) = self.first_needs(connection) else {
            return;
        };
        self.queue.borrow_mut().put(connection, rank);
        self.budget.want(bytes, rank);
    }

    fn is_queued(&self, connection: ConnectionId) -> bool {
        self.queue.borrow().has(connection)
    }

    /// Takes a connection out of the queue. True: pulls of it still wait.
    fn unqueue(&self, connection: ConnectionId) -> bool {
        self.queue.borrow_mut().remove(connection);
        self.first_needs(connection).is_some()
    }

    /// Drops what a connection has here that is no more.
    pub fn forget(&self, connection: ConnectionId) {
        self.queue.borrow_mut().remove(connection);
        let account = self.accounts.borrow_mut().remove(&connection);
        if let Some(account) = account {
            self.waiting.set(self.waiting.get() - account.waiting.len());
            self.budget.uncount_away(account.made);
        }
    }

    /// Connections of other shards for which answers were made here that are not known to be taken,
    /// and how many bytes.
    pub fn made(&self) -> Vec<(ConnectionId, usize)> {
        let accounts = self.accounts.borrow();
        let made = accounts.iter().filter(|(_, account)| account.made > 0);
        made.map(|(connection, account)| (*connection, account.made)).collect()
    }
}

/// What a connection may have waiting of answers that a shard makes which is not its own.
pub fn away_most(connection_most: usize, shards: usize) -> usize {
    connection_most / shards.max(1)
}

impl<R: Runtime> Shard<R> {
    /// Sets room aside for a pull's answer, if there is any; else the pull waits for it, or is
    /// refused.
    pub fn with_room(&self, mut request: PullRequest, bytes: usize) -> Option<PullRequest> {
        let reply_to = &mut request.reply_to;
        let has = reply_to.room.bytes as usize;
        if has >= bytes || reply_to.oneway {
            return Some(request);
        }
        // One that has some has waited for it, and its answer has grown.
        let no_room = match has == 0 && self.answer_room.has_waiting(reply_to.connection) {
            true => Some(NoRoom::Connection),
            false => {
                self.set_room(reply_to, 0);
                self.no_room(reply_to.connection, bytes, request.proven)
            }
        };
        let Some(no_room) = no_room else {
            self.set_room(reply_to, bytes);
            return Some(request);
        };
        self.wait_for_room(request, (bytes, has > 0), no_room);
        None
    }

    fn wait_for_room(&self, request: PullRequest, (bytes, first): (usize, bool), why: NoRoom) {
        let room = &self.answer_room;
        let connection = request.reply_to.connection;
        // Of a connection that is gone; its pulls would wait for each other.
        if self.ended.has(connection) || self.held_of(connection).is_none() {
            return;
        }
        if room.waiting.get() >= room.waiting_most {
            return self.refuse(&request.reply_to, &too_many_wait(room.waiting_most));
        }
        room.put(request, bytes, first);
        self.wait_again(connection, why);
    }

    fn wait_again(&self, connection: ConnectionId, why: NoRoom) {
        match why {
            NoRoom::Shard(rank) => self.answer_room.queue(connection, rank),
            NoRoom::Connection | NoRoom::Long => {}
        }
        // Also who waits for room of the shard: it has more when it has nothing to take.
        let _ = self.connections.with(connection, |connection| connection.wait_for_room());
    }

    /// What a connection has waiting of answers that are made here, and the most that it may have,
    /// in bytes; `None` if it is gone.
    fn held_of(&self, connection: ConnectionId) -> Option<(usize, usize)> {
        let room = &self.answer_room;
        if connection.shard == self.id.0 {
            let held = self.connections.with(connection, |connection| connection.promised_bytes());
            return Some((held?, room.connection_most));
        }
        let accounts = room.accounts.borrow();
        Some((accounts.get(&connection).map_or(0, |account| account.made), room.away_most))
    }

    /// What keeps so many bytes for a connection from being made. `proven`: what its shard has told
    /// of its client, if that is another one.
    fn no_room(&self, connection: ConnectionId, bytes: usize, proven: bool) -> Option<NoRoom> {
        // Nobody makes an answer for one that is gone.
        let (has, most) = self.held_of(connection)?;
        if has > 0 && has + bytes > most {
            return Some(NoRoom::Connection);
        }
        let budget = &self.answer_room.budget;
        let is_proven = || {
            let proven_here =
                self.connections.with(connection, |connection| connection.is_proven());
            proven || proven_here.unwrap_or(false)
        };
        let rank = match has {
            _ if budget.fits(bytes, Rank::More) => return None,
            0 if is_proven() => Rank::Proven,
            0 => Rank::First,
            _ if proven && has <= UNTOLD_BYTES => Rank::Proven,
            _ => Rank::More,
        };
        (!budget.fits(bytes, rank)).then_some(NoRoom::Shard(rank))
    }

    /// Makes the room of an answer that is not made yet so large, whether there is any or not.
    pub fn set_room(&self, reply_to: &mut ReplyTo, bytes: usize) {
        let (has, connection) = (reply_to.room.bytes as usize, reply_to.connection);
        if reply_to.oneway || bytes == has {
            return;
        }
        let wanted = u32::try_from(bytes).unwrap_or(u32::MAX);
        let bytes = wanted as usize;
        if connection.shard != self.id.0 {
            match bytes.checked_sub(has) {
                Some(more) => self.answer_room.count_away(connection, more),
                None => self.answer_room.uncount_away(connection, has - bytes),
            }
        } else {
            let done =
                self.connections.with(connection, |connection| match bytes.checked_sub(has) {
                    Some(more) => connection.reserve(more),
                    None => connection.unreserve(has - bytes),
                });
            if done.is_none() {
                return;
            }
        }
        reply_to.room = Room { by: self.id.0, long: false, bytes: wanted };
    }

    /// Sets room aside for the answer to a request of a connection of this shard, at most half of
    /// all. False: there is none, see [`Shard::room_for`].
    pub fn try_room(&self, reply_to: &mut ReplyTo, needed: Needed) -> bool {
        let budget = &self.answer_room.budget;
        let has_room = self.no_room_of(reply_to.connection, needed).is_none();
        if has_room {
            self.set_room(reply_to, needed.bytes.min(budget.most() / 2));
            if needed.long && reply_to.room.bytes > 0 {
                reply_to.room.long = true;
                budget.begin_long();
            }
        }
        has_room
    }

    /// Of long answers few are made at a time. They take long, and else those who ask for them on
    /// many connections would have all the room there is.
    fn no_room_of(&self, connection: ConnectionId, needed: Needed) -> Option<NoRoom> {
        // One that is gone needs none: what it has comes free when its reader has ended.
        self.held_of(connection)?;
        let budget = &self.answer_room.budget;
        if needed.long && !budget.may_begin_long() {
            return Some(NoRoom::Long);
        }
        let bytes = needed.bytes.min(budget.most() / 2);
        let no_room = self.no_room(connection, bytes, false);
        no_room.or_else(|| {
            let is_short = needed.long && !budget.fits(bytes, Rank::Long);
            is_short.then_some(NoRoom::Shard(Rank::Long))
        })
    }

    /// Resolves when there is room for an answer to a connection of this shard, or that is closed.
    pub async fn room_for(&self, connection: ConnectionId, needed: Needed) {
        let bytes = needed.bytes.min(self.answer_room.budget.most() / 2);
        while let Some(why) = self.no_room_of(connection, needed) {
            match why {
                NoRoom::Long => self.answer_room.budget.want_long(),
                NoRoom::Shard(rank) => self.answer_room.budget.want(bytes, rank),
                NoRoom::Connection => self.wait_again(connection, why),
            }
            self.answer_room.budget.readers.wait().await;
        }
    }

    /// Clients have taken what was made here.
    pub fn taken(&self, taken: &[(ConnectionId, usize)]) {
        for (connection, bytes) in taken {
            self.answer_room.uncount_away(*connection, *bytes);
        }
    }

    /// A pull that waited and has room now, which is set aside for it.
    pub fn next_with_room(&self) -> Option<PullRequest> {
        self.next_freed().or_else(|| self.next_queued())
    }

    fn next_freed(&self) -> Option<PullRequest> {
        loop {
            let freed = self.answer_room.budget.freed.borrow().front().copied()?;
            match self.freed_with_room(freed) {
                Ok(Some(request)) => return Some(request),
                Ok(None) => {}
                Err(why) => self.wait_again(freed, why),
            }
            self.answer_room.budget.freed.borrow_mut().pop_front();
        }
    }

    /// Who waits in turn for room of the shard does so on, unless it has nothing to take any more.
    fn freed_with_room(&self, connection: ConnectionId) -> Result<Option<PullRequest>, NoRoom> {
        let has_some = self.held_of(connection).is_some_and(|(held, _)| held > 0);
        if has_some && self.answer_room.is_queued(connection) {
            return Err(NoRoom::Shard(Rank::More));
        }
        self.first_with_room(connection)
    }

    fn next_queued(&self) -> Option<PullRequest> {
        let ranks = [Rank::Proven, Rank::First, Rank::More];
        let next = ranks.into_iter().try_for_each(|rank| self.next_of(rank));
        next.break_value().flatten()
    }

    /// One pull of a connection of a rank, which then goes behind the others. It ends with the
    /// first rank of which somebody waits on.
    fn next_of(&self, rank: Rank) -> ControlFlow<Option<PullRequest>> {
        let room = &self.answer_room;
        loop {
            let Some(next) = room.queue.borrow().first(rank) else {
                return ControlFlow::Continue(());
            };
            let found = self.first_with_room(next);
            if matches!(found, Err(NoRoom::Shard(still)) if still == rank) {
                room.queue(next, rank);
                return ControlFlow::Break(None);
            }
            if room.unqueue(next) {
                let why = found.as_ref().err().copied();
                self.wait_again(next, why.unwrap_or(NoRoom::Shard(Rank::More)));
            }
            if let Ok(Some(request)) = found {
                return ControlFlow::Break(Some(request));
            }
        }
    }

    /// The first pull of a connection that waits, with its room. The error: why there is none.
    fn first_with_room(&self, connection: ConnectionId) -> Result<Option<PullRequest>, NoRoom> {
        let room = &self.answer_room;
        let Some((bytes, proven)) = room.first_needs(connection) else {
            return Ok(None);
        };
        if let Some(why) = self.no_room(connection, bytes, proven) {
            return Err(why);
        }
        let mut request = room.take_first(connection);
        if let Some(request) = &mut request {
            self.set_room(&mut request.reply_to, bytes);
        }
        Ok(request)
    }
}

#[cold]
fn too_many_wait(most: usize) -> Refusal {
    let remark = format!(
        "[OVERLOAD]system busy, start flow control for a while: {most} pulls wait until clients \
         have taken their answers, the limit of a shard; read answers, or raise the key \
         outputBytesMax"
    );
    Refusal::new(response::SYSTEM_BUSY, remark)
}
