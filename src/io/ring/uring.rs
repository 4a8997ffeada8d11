//! The io_uring of an executor: takes orders, hands them over together, brings completions.
//!
//! The kernel notes completions when it is asked to (DEFER_TASKRUN, Linux 6.1), or when the
//! executor enters it for anything (COOP_TASKRUN, 5.19), and never interrupts for them; older
//! kernels do.

use std::{cell::RefCell, collections::VecDeque, io, time::Duration};

use io_uring::{
    Builder, IoUring, cqueue, squeue,
    types::{SubmitArgs, Timespec},
};

/// Entries for orders; when they are used up, what is there is handed over at once.
const ORDERS: u32 = 256;
/// Entries for completions. The kernel keeps more of them itself.
const COMPLETIONS: u32 = 4096;

pub struct Uring {
    state: RefCell<State>,
}

struct State {
    ring: IoUring,
    /// Completions that had to make room while orders were handed over.
    backlog: VecDeque<cqueue::Entry>,
}

impl Uring {
    /// To be called on the thread that will use it.
    ///
    /// # Errors
    /// When the kernel refuses a ring, or the process is out of descriptors.
    pub fn new() -> io::Result<Uring> {
        Uring::with_room_for(COMPLETIONS)
    }

    pub(super) fn with_room_for(completions: u32) -> io::Result<Uring> {
        let build = |set: &dyn Fn(&mut Builder)| {
            let mut builder = IoUring::builder();
            set(builder.setup_cqsize(completions));
            builder.build(ORDERS.min(completions / 2))
        };
        let deferring = build(&|builder| {
            builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
        });
        let ring = deferring
            .or_else(|_| {
                build(&|builder| {
                    builder.setup_coop_taskrun().setup_taskrun_flag();
                })
            })
            .or_else(|_| build(&|_| {}))?;
        Ok(Uring { state: RefCell::new(State { ring, backlog: VecDeque::new() }) })
    }

    /// Takes an order; it is handed over with the next [`Uring::submit`] or [`Uring::sleep`].
    ///
    /// # Safety
    /// The memory that the order names is valid, and nobody else's, until its completion.
    pub unsafe fn push(&self, order: &squeue::Entry) {
        let State { ring, backlog } = &mut *self.state.borrow_mut();
        // SAFETY: as promised by the caller.
        while unsafe { ring.submission().push(order) }.is_err() {
            handed_over(ring.submit());
            // Old kernels want room for completions first.
            backlog.extend(ring.completion());
        }
    }

    /// Hands over what was pushed, and lets the kernel note what is complete. Without either this
    /// costs no system call.
    pub fn submit(&self) {
        let ring = &mut self.state.borrow_mut().ring;
        if has_orders(ring) || has_hidden_completions(ring) {
            handed_over(ring.submit());
        }
    }

    /// Like [`Uring::submit`]; waits until there is a completion, or for `longest`.
    pub fn sleep(&self, longest: Option<Duration>) {
        let State { ring, backlog } = &mut *self.state.borrow_mut();
        if !backlog.is_empty() {
            return;
        }
        handed_over(match longest {
            None => ring.submit_and_wait(1),
            Some(longest) => {
                let time = Timespec::from(longest);
                ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&time))
            }
        });
    }

    /// The next completion, if one is noted.
    pub fn next(&self) -> Option<cqueue::Entry> {
        let State { ring, backlog } = &mut *self.state.borrow_mut();
        if let Some(entry) = backlog.pop_front().or_else(|| ring.completion().next()) {
            return Some(entry);
        }
        if ring.submission().cq_overflow() {
            handed_over(ring.submit());
        }
        ring.completion().next()
    }

    /// Whether [`Uring::sleep`] would return at once.
    pub fn has_news(&self) -> bool {
        let State { ring, backlog } = &mut *self.state.borrow_mut();
        !backlog.is_empty() || !ring.completion().is_empty() || has_hidden_completions(ring)
    }
}

fn has_orders(ring: &mut IoUring) -> bool {
    !ring.submission().is_empty()
}

fn has_hidden_completions(ring: &mut IoUring) -> bool {
    let queue = ring.submission();
    queue.taskrun() || queue.cq_overflow()
}

/// What could not be handed over for the moment is so later; a wait that is over is none to report.
fn handed_over(result: io::Result<usize>) {
    if let Err(error) = result {
        match error.raw_os_error() {
            Some(libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::ETIME) => {}
            _ => panic!("a ring's own orders cannot be refused: {error}"),
        }
    }
}
