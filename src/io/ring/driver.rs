//! What an executor does between tasks: it hands over the orders for the ring, wakes tasks whose
//! operations, sockets and timers are ready, and sleeps in the ring when no task is runnable.
//!
//! A task of its own among the others. glommio's reactor, which would sleep otherwise, has three
//! rings and costs six to nine system calls a wake instead of one (`docs/RUNTIME.md`); with the
//! driver it finds nothing to do, and hardly ever gets a turn.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    io,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use super::{
    operations::{self, Operations},
    readiness::{Readiness, Watched},
    tasks::Tasks,
    timers::Timers,
    uring::Uring,
};

/// How many times tasks may run before the ring is looked at, however many are runnable.
const POLLS_A_TURN: u32 = 61;
/// How many times tasks run before the clock is looked at, for those that took their time.
const POLLS_A_LOOK: u32 = 4;
/// How long a task may run on before [`Driver::is_overdue`].
const TURN: Duration = Duration::from_millis(1);

pub struct Driver {
    pub operations: Rc<Operations>,
    pub readiness: Rc<Readiness>,
    pub timers: Rc<Timers>,
    pub tasks: Arc<Tasks>,
    uring: Rc<Uring>,
    bell: Watched,
    /// How long to look for news before a sleep.
    spin: Duration,
    /// Of the task [`Driver::run`], while it waits to be called.
    itself: Cell<Option<Waker>>,
    called: Cell<bool>,
    last_turn: Cell<Instant>,
    polls: Cell<u32>,
    /// The executor ends: no more sleeping.
    ended: Cell<bool>,
    /// Empty between turns.
    woken: Cell<Vec<Waker>>,
}

impl Driver {
    /// To be called on the executor's thread.
    ///
    /// # Errors
    /// When the kernel refuses a ring, or the process is out of descriptors.
    pub fn new(spin: Duration) -> io::Result<Rc<Driver>> {
        let uring = Rc::new(Uring::new()?);
        let readiness = Readiness::new(uring.clone());
        let tasks = Tasks::new()?;
        Ok(Rc::new(Driver {
            operations: Operations::new(uring.clone()),
            bell: readiness.watch(tasks.bell()?),
            timers: Rc::default(),
            readiness,
            tasks,
            uring,
            spin,
            itself: Cell::new(None),
            called: Cell::new(false),
            last_turn: Cell::new(Instant::now()),
            polls: Cell::new(0),
            ended: Cell::new(false),
            woken: Cell::default(),
        }))
    }

    /// Makes a task of `future` that the driver knows of.
    pub fn task<F: Future>(self: &Rc<Self>, future: F) -> impl Future<Output = F::Output> + use<F> {
        let driver = self.clone();
        self.tasks.task(future, move || driver.polled())
    }

    /// A task has run.
    fn polled(&self) {
        let polls = self.polls.get() + 1;
        self.polls.set(polls);
        let late = polls.is_multiple_of(POLLS_A_LOOK) && self.is_overdue();
        if late || polls >= POLLS_A_TURN || !self.tasks.any_runnable() {
            self.call();
        }
    }

    /// Has [`Driver::run`] take its next turn soon.
    pub fn call(&self) {
        self.called.set(true);
        if let Some(itself) = self.itself.take() {
            itself.wake();
        }
    }

    /// Whether others than the task that is running should have a turn.
    pub fn is_overdue(&self) -> bool {
        self.last_turn.get().elapsed() > TURN
    }

    /// From now on the executor does not sleep: it is to end.
    pub fn end(&self) {
        self.ended.set(true);
    }

    /// To be run once, as a plain task of the executor. Never resolves.
    pub async fn run(self: Rc<Self>) {
        loop {
            self.wake_ready();
            if self.ended.get() {
                return std::future::pending().await;
            }
            if self.tasks.any_runnable() {
                self.uring.submit();
            } else {
                // Hands over orders, too.
                self.sleep();
            }
            // Lets glommio choose between its queues anew, and account the sleep before it hears
            // of what was woken by it: that has not waited all the time.
            glommio::executor().yield_task_queue_now().await;
            poll_fn(|context| self.wait(context)).await;
        }
    }

    /// Ready when it is time for a turn.
    fn wait(&self, context: &Context<'_>) -> Poll<()> {
        if self.called.get() || !self.tasks.any_runnable() {
            self.called.set(false);
            self.polls.set(0);
            return Poll::Ready(());
        }
        self.itself.set(Some(context.waker().clone()));
        Poll::Pending
    }

    /// Wakes whatever is ready.
    fn wake_ready(&self) {
        let mut woken = self.woken.take();
        while let Some(completion) = self.uring.next() {
            if completion.user_data() & operations::MARK == 0 {
                woken.extend(self.readiness.note(&completion));
            } else {
                woken.extend(self.operations.note(&completion));
            }
        }
        woken.drain(..).for_each(Waker::wake);
        self.woken.set(woken);
        let now = Instant::now();
        while let Some(waker) = self.timers.take_due(now) {
            waker.wake();
        }
        self.tasks.answer_calls();
        self.last_turn.set(now);
    }

    /// Sleeps until there is something to collect.
    fn sleep(&self) {
        let due = self.timers.next();
        if !self.spin.is_zero() && self.spin_until_news(due) {
            return;
        }
        self.bell.listen();
        if self.tasks.fall_asleep() {
            self.uring.sleep(due.map(|due| due.saturating_duration_since(Instant::now())));
        }
        self.tasks.awake();
    }

    /// Whether there was news before the time for spinning was over.
    fn spin_until_news(&self, due: Option<Instant>) -> bool {
        self.uring.submit();
        let start = Instant::now();
        loop {
            if self.uring.has_news() || self.tasks.is_called() {
                return true;
            }
            let now = Instant::now();
            if due.is_some_and(|due| due <= now) {
                return true;
            }
            if now - start > self.spin {
                return false;
            }
            std::hint::spin_loop();
        }
    }
}
