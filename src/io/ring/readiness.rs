//! Which sockets of an executor are ready: one multishot poll a socket, armed when it is first
//! waited for.
//!
//! glommio would arm a poll for every wait, in a ring that interrupts the executor whenever a
//! packet arrives on another CPU.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    rc::Rc,
    task::{Context, Poll, Waker},
};

use io_uring::{cqueue, opcode, types::Fd};
use nix::sys::socket::{Shutdown, shutdown};
use slab::Slab;

use super::{operations, uring::Uring};

/// Of completions that nobody waits for.
const NOBODY: u64 = !operations::MARK;

const READABLE: u32 = (libc::POLLIN | libc::POLLRDHUP) as u32;
const WRITABLE: u32 = libc::POLLOUT as u32;
const ENDED: u32 = (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) as u32;

pub struct Readiness {
    uring: Rc<Uring>,
    slots: RefCell<Slab<Slot>>,
    /// Numbers those who use slots.
    users: Cell<u32>,
    ended: Cell<bool>,
}

/// A place for a descriptor. Completions carry its number and that of its user.
struct Slot {
    user: u32,
    descriptor: i32,
    /// A poll is under way. It ends when the ring has no room for its completions, and is armed
    /// again by the next wait; at once would fill the ring again before anybody has read.
    armed: bool,
    state: State,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// A read may find something.
    readable: bool,
    /// The end of the stream is, or will be, among what a read finds; so reads are always tried.
    ended: bool,
    /// Counts completions that tell of room to write.
    writable: u32,
    /// Why the socket cannot be watched.
    failed: Option<i32>,
}

impl State {
    fn check(&self) -> io::Result<()> {
        self.failed.map_or(Ok(()), |error| Err(io::Error::from_raw_os_error(error)))
    }
}

impl Readiness {
    pub fn new(uring: Rc<Uring>) -> Rc<Readiness> {
        Rc::new(Readiness {
            uring,
            slots: RefCell::default(),
            users: Cell::default(),
            ended: Cell::default(),
        })
    }

    /// Shuts down what is still watched when the executor ends. The ring would let go of it some
    /// time after the process has ended, from a thread of the kernel, and until then the port would
    /// be taken for a server that is started again. Tasks that wait for them go without hearing of
    /// it: a listener that cannot accept any more, say, is no news then.
    pub fn end(&self) {
        self.ended.set(true);
        for (_, slot) in self.slots.borrow().iter() {
            // Errors are of what is no socket, or not connected any more.
            let _ = shutdown(slot.descriptor, Shutdown::Both);
        }
    }

    /// Notes what the completion of a poll tells; gives whom to wake.
    pub fn note(&self, completion: &cqueue::Entry) -> impl Iterator<Item = Waker> + use<> {
        let mut woken = [None, None];
        if !self.ended.get() {
            self.note_in_slot(completion, &mut woken);
        }
        woken.into_iter().flatten()
    }

    fn note_in_slot(&self, completion: &cqueue::Entry, [reader, writer]: &mut [Option<Waker>; 2]) {
        let mut slots = self.slots.borrow_mut();
        let (number, user) = split(completion.user_data());
        let slot = slots.get_mut(number as usize).filter(|slot| slot.user == user);
        let Some(slot) = slot else {
            return;
        };
        slot.armed = cqueue::more(completion.flags());
        let events = u32::try_from(completion.result()).unwrap_or_else(|_| {
            slot.state.failed = Some(-completion.result());
            ENDED
        });
        let ended = events & ENDED != 0;
        // The last completion of a poll: whoever waits has to have it armed again.
        let over = !slot.armed;
        slot.state.ended |= ended;
        if events & READABLE != 0 || ended || over {
            slot.state.readable = true;
            *reader = slot.reader.take();
        }
        // Whether the end of what the peer sends is an end for writing, too, a write finds out.
        if events & WRITABLE != 0 || ended || over {
            slot.state.writable = slot.state.writable.wrapping_add(1);
            *writer = slot.writer.take();
        }
    }

    /// Lets `wait` leave its waker in the slot, and has the socket polled.
    fn wait(&self, number: u32, wait: impl FnOnce(&mut Slot)) {
        let mut slots = self.slots.borrow_mut();
        let slot = &mut slots[number as usize];
        wait(slot);
        if slot.armed {
            return;
        }
        slot.armed = true;
        let poll = opcode::PollAdd::new(Fd(slot.descriptor), READABLE | WRITABLE)
            .multi(true)
            .build()
            .user_data(join(number, slot.user));
        drop(slots);
        // SAFETY: a poll names no memory. Should its descriptor be another file's when the order is
        // handed over, the order that follows from `Watched::drop` ends it.
        unsafe { self.uring.push(&poll) };
    }

    /// Watches a socket. Reads and writes of it must not wait themselves.
    pub fn watch(self: &Rc<Self>, descriptor: OwnedFd) -> Watched {
        let user = self.users.get();
        self.users.set(user.wrapping_add(1));
        let number = self.slots.borrow_mut().insert(Slot {
            user,
            descriptor: descriptor.as_raw_fd(),
            armed: false,
            state: State { readable: true, ..State::default() },
            reader: None,
            writer: None,
        });
        let number = u32::try_from(number).expect("fewer slots than descriptors");
        Watched { readiness: self.clone(), number, descriptor }
    }
}

fn join(number: u32, user: u32) -> u64 {
    u64::from(user) << 32 | u64::from(number)
}

#[allow(clippy::cast_possible_truncation, reason = "the two halves")]
fn split(user_data: u64) -> (u32, u32) {
    (user_data as u32, (user_data >> 32) as u32)
}

/// A socket that is watched. One task may wait for each direction.
pub struct Watched {
    readiness: Rc<Readiness>,
    number: u32,
    descriptor: OwnedFd,
}

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Watched {
    fn slot<T>(&self, work: impl FnOnce(&mut Slot) -> T) -> T {
        work(&mut self.readiness.slots.borrow_mut()[self.number as usize])
    }

    /// `read` is tried when there may be something; it says whether all there was has been taken.
    /// When it answers `WouldBlock`, this waits.
    pub fn poll_read<T>(
        &self,
        context: &mut Context<'_>,
        read: impl FnOnce() -> io::Result<(T, bool)>,
    ) -> Poll<io::Result<T>> {
        let wait = || {
            self.readiness.wait(self.number, |slot| {
                slot.state.readable = false;
                match &mut slot.reader {
                    Some(waker) => waker.clone_from(context.waker()),
                    None => slot.reader = Some(context.waker().clone()),
                }
            });
            Poll::Pending
        };
        if self.readiness.ended.get() {
            return Poll::Pending;
        }
        let state = self.slot(|slot| slot.state);
        state.check()?;
        if !state.readable && !state.ended {
            return wait();
        }
        match read() {
            Ok((value, drained)) => {
                if drained {
                    // More makes a new completion; the end may already have made its own.
                    self.slot(|slot| slot.state.readable = false);
                }
                Poll::Ready(Ok(value))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait(),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Resolves when there may be room to write since `seen`, which a write that answers
    /// `WouldBlock` comes after. Fails if the socket cannot be watched.
    pub async fn writable_since(&self, seen: u32) -> io::Result<()> {
        poll_fn(|context| {
            let state = self.slot(|slot| slot.state);
            if state.writable != seen {
                return Poll::Ready(state.check());
            }
            let wait = |slot: &mut Slot| slot.writer = Some(context.waker().clone());
            self.readiness.wait(self.number, wait);
            Poll::Pending
        })
        .await
    }

    /// Has the descriptor polled, for nobody: what becomes readable ends a sleep of the executor.
    pub fn listen(&self) {
        self.readiness.wait(self.number, |_| {});
    }

    /// For [`Watched::writable_since`].
    pub fn writable_count(&self) -> u32 {
        self.slot(|slot| slot.state.writable)
    }
}

impl Drop for Watched {
    /// The poll holds the socket open: it goes at once.
    fn drop(&mut self) {
        // As in `collect`, its wakers are not dropped while anything is borrowed.
        let slot = self.readiness.slots.borrow_mut().remove(self.number as usize);
        if slot.armed {
            let poll = join(self.number, slot.user);
            let removal = opcode::PollRemove::new(poll).build().user_data(NOBODY);
            // SAFETY: it names no memory.
            unsafe { self.readiness.uring.push(&removal) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::unix::net::UnixStream,
    };

    use futures_util::future::join_all;

    use super::*;
    use crate::launch;

    fn watched_pair(readiness: &Rc<Readiness>) -> (Watched, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("descriptors are free");
        ours.set_nonblocking(true).expect("a socket can be set so");
        (readiness.watch(ours.into()), theirs)
    }

    async fn read(watched: &Watched) -> io::Result<Vec<u8>> {
        let mut socket = UnixStream::from(watched.as_fd().try_clone_to_owned()?);
        poll_fn(|context| {
            watched.poll_read(context, || {
                let mut bytes = vec![0; 64];
                let count = socket.read(&mut bytes)?;
                bytes.truncate(count);
                Ok((bytes, count < 64))
            })
        })
        .await
    }

    /// Runs the work beside a task that collects from a ring with room for so many completions.
    fn with_readiness(
        completions: u32,
        work: impl AsyncFn(Rc<Readiness>) + Clone + Send + 'static,
    ) {
        let handles = launch::launch(&[0], false, move |_, _| {
            let work = work.clone();
            async move {
                let uring = Rc::new(Uring::with_room_for(completions).expect("a ring can be made"));
                let readiness = Readiness::new(uring.clone());
                futures_lite::future::or(work(readiness.clone()), collect(&uring, &readiness))
                    .await;
            }
        });
        handles.expect("an executor can be made").join();
    }

    async fn collect(uring: &Uring, readiness: &Readiness) {
        loop {
            uring.submit();
            let mut woken = Vec::new();
            while let Some(completion) = uring.next() {
                woken.extend(readiness.note(&completion));
            }
            woken.into_iter().for_each(Waker::wake);
            futures_lite::future::yield_now().await;
        }
    }

    #[test]
    fn more_completions_than_the_ring_has_room_for_are_not_lost() {
        with_readiness(4, async |readiness| {
            let mut pairs: Vec<_> = (0..50).map(|_| watched_pair(&readiness)).collect();
            for round in 0..5 {
                // All completions come before any is collected.
                for (_, theirs) in &mut pairs {
                    theirs.write_all(&[round]).expect("there is room");
                }
                let all = join_all(pairs.iter().map(|(ours, _)| read(ours))).await;
                assert!(all.into_iter().all(|read| read.expect("data") == [round]), "{round}");
            }
        });
    }

    #[test]
    fn the_end_is_seen_when_it_came_together_with_the_last_bytes() {
        with_readiness(64, async |readiness| {
            let (ours, mut theirs) = watched_pair(&readiness);
            assert!(futures_lite::future::poll_once(read(&ours)).await.is_none());
            theirs.write_all(b"last").expect("there is room");
            drop(theirs);
            assert_eq!(read(&ours).await.expect("data"), b"last");
            assert_eq!(read(&ours).await.expect("the end"), b"");
        });
    }

    #[test]
    fn a_place_that_is_used_again_hears_nothing_of_its_former_user() {
        with_readiness(64, async |readiness| {
            for _ in 0..100 {
                let (ours, mut theirs) = watched_pair(&readiness);
                theirs.write_all(b"for nobody").expect("there is room");
                drop(ours);
                let (next, mut theirs) = watched_pair(&readiness);
                assert!(futures_lite::future::poll_once(read(&next)).await.is_none());
                theirs.write_all(b"new").expect("there is room");
                assert_eq!(read(&next).await.expect("data"), b"new");
            }
            assert!(readiness.slots.borrow().vacant_key() <= 2);
        });
    }
}
