//! What bodies become in memory is bounded for all that are handled at a time, however many of
//! their requests wait for something else meanwhile.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
};

use ringmq_io::signal::Event;
use ringmq_rules::limits::{BODY_MEMORY_FREE, BODY_MEMORY_PER_BYTE};

/// What a short body becomes at most for each of its bytes.
const SHORT_MEMORY_PER_BYTE: usize = 128;

pub struct BodyRoom {
    /// In bytes of memory.
    most: usize,
    taken: Cell<usize>,
    /// Those that wait, in turn; each is set when it has its room.
    waiting: RefCell<VecDeque<(usize, Rc<Event>)>>,
}

/// Room for what a body becomes; it goes back when this is dropped.
pub struct Room<'a> {
    of: &'a BodyRoom,
    bytes: usize,
    let_in: Rc<Event>,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if self.let_in.is_set() {
            self.of.taken.set(self.of.taken.get() - self.bytes);
        } else {
            self.of.waiting.borrow_mut().retain(|(_, event)| !Rc::ptr_eq(event, &self.let_in));
        }
        self.of.let_in();
    }
}

impl BodyRoom {
    /// `most`: bytes of memory.
    pub fn new(most: usize) -> BodyRoom {
        BodyRoom { most, taken: Cell::new(0), waiting: RefCell::default() }
    }

    /// What a body of so many bytes may become, in bytes of memory: no more than there is for all.
    pub fn memory_of(&self, body: usize) -> usize {
        (BODY_MEMORY_FREE + BODY_MEMORY_PER_BYTE * body).min(self.most)
    }

    /// Waits for the room of a body of so many bytes, in turn. One that needs all there is stands
    /// alone. Safe to cancel.
    pub async fn take(&self, body: usize) -> Room<'_> {
        let bytes = self.memory_of(body).min(SHORT_MEMORY_PER_BYTE.saturating_mul(body));
        let room = Room { of: self, bytes, let_in: Rc::default() };
        self.waiting.borrow_mut().push_back((bytes, room.let_in.clone()));
        self.let_in();
        room.let_in.wait().await;
        room
    }

    fn let_in(&self) {
        let mut waiting = self.waiting.borrow_mut();
        while let Some((bytes, event)) = waiting.front() {
            let taken = self.taken.get();
            if taken > 0 && taken + bytes > self.most {
                return;
            }
            self.taken.set(taken + bytes);
            event.set();
            waiting.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, poll_once};

    use super::*;

    #[test]
    fn bodies_wait_in_turn_for_room_and_a_long_one_stands_alone() {
        block_on(async {
            let room = BodyRoom::new(1 << 20);
            let (first, second) = (room.take(1000).await, room.take(1000).await);
            let mut long = Box::pin(room.take(1 << 20));
            let mut short = Box::pin(room.take(10));
            assert!(poll_once(&mut long).await.is_none(), "there are others");
            assert!(poll_once(&mut short).await.is_none(), "it is behind the long one");
            drop(first);
            assert!(poll_once(&mut long).await.is_none(), "there is another");
            drop(second);
            let alone = poll_once(&mut long).await.expect("none is left");
            assert!(poll_once(&mut short).await.is_none(), "it stands alone");
            drop(alone);
            assert!(poll_once(&mut short).await.is_some());
            assert_eq!(room.taken.get(), 0);
        });
    }

    #[test]
    fn who_gives_up_waiting_is_in_nobodys_way() {
        block_on(async {
            let room = BodyRoom::new(1 << 20);
            let first = room.take(1000).await;
            let mut long = Box::pin(room.take(1 << 20));
            assert!(poll_once(&mut long).await.is_none());
            let mut short = Box::pin(room.take(10));
            assert!(poll_once(&mut short).await.is_none());
            drop(long);
            assert!(poll_once(&mut short).await.is_some());
            // let in, and never looked at
            let unseen = Box::pin(room.take(10));
            drop((unseen, first));
            assert_eq!(room.taken.get(), 0);
        });
    }
}
