//! Room for answers: it is set aside before an answer is made, so that clients that do not read
//! cost no more than is stated. A pull whose answer finds no room waits until its client has taken
//! earlier ones, or until others have.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    time::Duration,
};

use ahash::AHashMap;
use ringmq_io::Runtime;
use ringmq_remoting::codes::response;
use ringmq_rules::{ConnectionId, refusal::Refusal};

use super::Shard;
use crate::{
    messages::{PullRequest, ReplyTo, Room},
    net::output_budget::OutputBudget,
};

/// A connection for whose answers this shard counts, or has a pull wait.
#[derive(Default)]
struct Account {
    /// Bytes made here and not known to be taken, of a connection of another shard.
    made: usize,
    /// They have changed since they were last looked at.
    moved: bool,
    /// Since when they have not.
    since: Option<Duration>,
    /// Pulls without room, and how many bytes their answers have.
    waiting: VecDeque<(PullRequest, usize)>,
    /// It is in the queue of those that wait for room of the shard.
    is_queued: bool,
}

/// What keeps an answer from being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoRoom {
    /// The client has not taken enough of what it was sent.
    Connection,
    /// All clients together have not.
    Shard,
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
    queue: RefCell<VecDeque<ConnectionId>>,
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
        account.moved |= account.made == 0;
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
        account.moved = true;
        let waits = !account.waiting.is_empty();
        if account.made == 0 && !waits {
            accounts.remove(&connection);
        }
        drop(accounts);
        if waits {
            self.budget.free(connection);
        }
        self.budget.uncount_away(bytes);
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

    /// The bytes that the first waiting pull of a connection needs.
    fn first_needs(&self, connection: ConnectionId) -> Option<usize> {
        let accounts = self.accounts.borrow();
        accounts.get(&connection)?.waiting.front().map(|(_, bytes)| *bytes)
    }

    fn take_first(&self, connection: ConnectionId) -> Option<PullRequest> {
        let mut accounts = self.accounts.borrow_mut();
        let account = accounts.get_mut(&connection)?;
        let (request, _) = account.waiting.pop_front()?;
        if account.waiting.is_empty() && account.made == 0 && !account.is_queued {
            accounts.remove(&connection);
        }
        self.waiting.set(self.waiting.get() - 1);
        Some(request)
    }

    fn queue(&self, connection: ConnectionId) {
        let mut accounts = self.accounts.borrow_mut();
        if let Some(account) = accounts.get_mut(&connection)
            && !std::mem::replace(&mut account.is_queued, true)
        {
            self.queue.borrow_mut().push_back(connection);
        }
        self.budget.want();
    }

    fn unqueue_first(&self) {
        let first = self.queue.borrow_mut().pop_front();
        let mut accounts = self.accounts.borrow_mut();
        if let Some(first) = first
            && let Some(account) = accounts.get_mut(&first)
        {
            account.is_queued = false;
            if account.waiting.is_empty() && account.made == 0 {
                accounts.remove(&first);
            }
        }
    }

    /// Drops what a connection has here that is no more.
    pub fn forget(&self, connection: ConnectionId) {
        let account = self.accounts.borrow_mut().remove(&connection);
        if let Some(account) = account {
            self.waiting.set(self.waiting.get() - account.waiting.len());
            self.budget.uncount_away(account.made);
        }
    }

    /// Connections of other shards whose clients have taken nothing that was made here for a time,
    /// and that time. Called at intervals, to whose length it is precise.
    pub fn stalled(&self, now: Duration) -> Vec<(Duration, ConnectionId)> {
        let mut accounts = self.accounts.borrow_mut();
        let with_answers = accounts.iter_mut().filter(|(_, account)| account.made > 0);
        let stalled = with_answers.map(|(connection, account)| {
            let moved = std::mem::take(&mut account.moved);
            let since = account.since.filter(|_| !moved).unwrap_or(now);
            account.since = Some(since);
            (now - since, *connection)
        });
        stalled.collect()
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
                self.no_room(reply_to.connection, bytes)
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
        if room.waiting.get() >= room.waiting_most {
            return self.refuse(&request.reply_to, &too_many_wait(room.waiting_most));
        }
        room.put(request, bytes, first);
        self.wait_again(connection, why);
    }

    fn wait_again(&self, connection: ConnectionId, why: NoRoom) {
        match why {
            NoRoom::Shard => self.answer_room.queue(connection),
            NoRoom::Connection => {
                let _ = self.connections.with(connection, |connection| connection.wait_for_room());
            }
        }
    }

    /// What keeps so many bytes for a connection from being made.
    fn no_room(&self, connection: ConnectionId, bytes: usize) -> Option<NoRoom> {
        let room = &self.answer_room;
        let (has, most) = if connection.shard == self.id.0 {
            let has = self.connections.with(connection, |connection| connection.promised_bytes());
            // Nobody makes an answer for one that is gone.
            (has?, room.connection_most)
        } else {
            let accounts = room.accounts.borrow();
            (accounts.get(&connection).map_or(0, |account| account.made), room.away_most)
        };
        if has > 0 && has + bytes > most {
            return Some(NoRoom::Connection);
        }
        (!room.budget.fits(bytes, has == 0)).then_some(NoRoom::Shard)
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
        reply_to.room = Room { by: self.id.0, bytes: wanted };
    }

    /// Sets room aside for the answer to a request of a connection of this shard, at most half of
    /// all. False: there is none, see [`Shard::room_for`].
    pub fn try_room(&self, reply_to: &mut ReplyTo, bytes: usize) -> bool {
        let bytes = bytes.min(self.answer_room.budget.most() / 2);
        let has_room = self.no_room(reply_to.connection, bytes).is_none();
        if has_room {
            self.set_room(reply_to, bytes);
        }
        has_room
    }

    /// Resolves when there is room for an answer to a connection of this shard, or that is closed.
    pub async fn room_for(&self, connection: ConnectionId, bytes: usize) {
        let bytes = bytes.min(self.answer_room.budget.most() / 2);
        while let Some(why) = self.no_room(connection, bytes) {
            match why {
                NoRoom::Shard => self.answer_room.budget.want(),
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
            match self.first_with_room(freed) {
                Ok(Some(request)) => return Some(request),
                Ok(None) => {}
                Err(why) => self.wait_again(freed, why),
            }
            self.answer_room.budget.freed.borrow_mut().pop_front();
        }
    }

    fn next_queued(&self) -> Option<PullRequest> {
        loop {
            let first = self.answer_room.queue.borrow().front().copied()?;
            match self.first_with_room(first) {
                Ok(Some(request)) => return Some(request),
                Err(NoRoom::Shard) => {
                    self.answer_room.budget.want();
                    return None;
                }
                Ok(None) => {}
                Err(why) => self.wait_again(first, why),
            }
            self.answer_room.unqueue_first();
        }
    }

    /// The first pull of a connection that waits, with its room. The error: why there is none.
    fn first_with_room(&self, connection: ConnectionId) -> Result<Option<PullRequest>, NoRoom> {
        let room = &self.answer_room;
        let Some(bytes) = room.first_needs(connection) else {
            return Ok(None);
        };
        if let Some(why) = self.no_room(connection, bytes) {
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
