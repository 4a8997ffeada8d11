//! Reads, writes and syncs of files that are under way in the ring.

use std::{
    cell::RefCell,
    future::Future,
    io, mem,
    os::fd::{AsRawFd, OwnedFd},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use io_uring::{
    cqueue, opcode, squeue,
    types::{Fd, FsyncFlags},
};
use slab::Slab;

use super::{memory::Blocks, uring::Uring};

/// Marks the completions that belong here, among those of the polls.
pub const MARK: u64 = 1 << 31;

pub struct Operations {
    uring: Rc<Uring>,
    under_way: RefCell<Slab<UnderWay>>,
}

struct UnderWay {
    state: State,
    /// What the kernel uses until the completion, whether or not somebody still waits for it.
    _used: (Rc<OwnedFd>, Option<Rc<Blocks>>),
}

enum State {
    Started,
    Waiting(Waker),
    /// Whoever started it has given up waiting.
    Abandoned,
    Done(i32),
}

impl Operations {
    pub fn new(uring: Rc<Uring>) -> Rc<Operations> {
        Rc::new(Operations { uring, under_way: RefCell::default() })
    }

    /// Fills `memory` from its byte `from` on; resolves to the bytes read, fewer or none at the end
    /// of the file. Nobody looks at the memory meanwhile.
    pub fn read(
        self: &Rc<Self>,
        file: &Rc<OwnedFd>,
        memory: &Rc<Blocks>,
        from: usize,
        position: u64,
    ) -> Operation {
        let room = memory.len() - from;
        let start = memory.pointer().wrapping_add(from);
        let read = opcode::Read::new(Fd(file.as_raw_fd()), start, length(room));
        self.start(read.offset(position).build(), file, Some(memory))
    }

    /// Writes all of `memory`, which nobody changes meanwhile; resolves to the bytes written.
    pub fn write(
        self: &Rc<Self>,
        file: &Rc<OwnedFd>,
        memory: &Rc<Blocks>,
        position: u64,
    ) -> Operation {
        let (start, bytes) = (memory.pointer().cast_const(), length(memory.len()));
        let write = opcode::Write::new(Fd(file.as_raw_fd()), start, bytes);
        self.start(write.offset(position).build(), file, Some(memory))
    }

    /// `fdatasync`.
    pub fn sync(self: &Rc<Self>, file: &Rc<OwnedFd>) -> Operation {
        let sync = opcode::Fsync::new(Fd(file.as_raw_fd()));
        self.start(sync.flags(FsyncFlags::DATASYNC).build(), file, None)
    }

    fn start(
        self: &Rc<Self>,
        order: squeue::Entry,
        file: &Rc<OwnedFd>,
        memory: Option<&Rc<Blocks>>,
    ) -> Operation {
        let under_way = UnderWay { state: State::Started, _used: (file.clone(), memory.cloned()) };
        let number = self.under_way.borrow_mut().insert(under_way);
        // SAFETY: `under_way` keeps the memory and the descriptor until the completion, and holds
        // a reference, without which alone `RingBuffer` lets nobody write there.
        unsafe { self.uring.push(&order.user_data(MARK | number as u64)) };
        Operation { operations: self.clone(), number: Some(number) }
    }

    /// Notes a completion with [`MARK`]; gives whom to wake.
    pub fn note(&self, completion: &cqueue::Entry) -> Option<Waker> {
        let number = usize::try_from(completion.user_data() & !MARK).unwrap_or(usize::MAX);
        let mut under_way = self.under_way.borrow_mut();
        let state = &mut under_way.get_mut(number).expect("an order completes once").state;
        match mem::replace(state, State::Done(completion.result())) {
            State::Waiting(waker) => return Some(waker),
            State::Abandoned => drop(under_way.remove(number)),
            State::Started | State::Done(_) => {}
        }
        None
    }
}

impl Drop for Operations {
    /// The kernel may go on with what is under way after the ring is closed: its memory stays.
    fn drop(&mut self) {
        mem::forget(mem::take(self.under_way.get_mut()));
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("the limits of the store are far below 4 GiB")
}

/// Resolves when the kernel has done it. Abandoned it goes on, and what it uses stays until then.
pub struct Operation {
    operations: Rc<Operations>,
    /// None when it is over.
    number: Option<usize>,
}

impl Future for Operation {
    type Output = io::Result<usize>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let operations = self.operations.clone();
        let number = self.number.expect("polled until it is ready, no longer");
        let mut under_way = operations.under_way.borrow_mut();
        let state = &mut under_way[number].state;
        match state {
            State::Done(result) => {
                let result = *result;
                under_way.remove(number);
                self.number = None;
                let error = || io::Error::from_raw_os_error(result.saturating_neg());
                Poll::Ready(usize::try_from(result).map_err(|_| error()))
            }
            State::Waiting(waker) => {
                waker.clone_from(context.waker());
                Poll::Pending
            }
            State::Started | State::Abandoned => {
                *state = State::Waiting(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let Some(number) = self.number else {
            return;
        };
        let mut under_way = self.operations.under_way.borrow_mut();
        let dropped = match &mut under_way[number].state {
            State::Done(_) => {
                under_way.remove(number);
                None
            }
            state => Some(mem::replace(state, State::Abandoned)),
        };
        // A waker may free what started another operation: nothing is borrowed then.
        drop(under_way);
        drop(dropped);
    }
}
