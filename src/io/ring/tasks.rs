//! Tasks that know when they are woken, so that the executor knows when nothing is to be done, and
//! that any thread may wake.
//!
//! glommio does not tell whether tasks are runnable, its wakers must not be dropped on other
//! threads, and when one is used there glommio's own ring hears of it. Here every task hands out a
//! waker around glommio's.

use std::{
    cell::{Cell, OnceCell},
    future::{Future, poll_fn},
    io,
    os::fd::{AsFd, OwnedFd},
    pin::pin,
    ptr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
};

use nix::sys::eventfd::{EfdFlags, EventFd};

thread_local! {
    /// That of the executor of this thread.
    static HERE: Cell<*const Tasks> = const { Cell::new(ptr::null()) };
}

/// The tasks of an executor, as all threads see them.
pub struct Tasks {
    /// Woken, not yet polled. Counted on the executor's thread only.
    runnable: AtomicUsize,
    /// The executor sleeps, or is about to: whoever has something for it clears this and rings.
    asleep: AtomicBool,
    /// There is something in `inbox`.
    called: AtomicBool,
    inbox: Mutex<Inbox>,
    bell: EventFd,
}

/// What other threads leave for the executor's.
#[derive(Default)]
struct Inbox {
    woken: Vec<Arc<Task>>,
    /// To be dropped: the last reference to a task must not be on another thread.
    unused: Vec<Waker>,
}

struct Task {
    tasks: Arc<Tasks>,
    /// glommio's; None only while the task is dropped.
    inner: Option<Waker>,
    /// It is to be polled, or has ended. Changed on the executor's thread only.
    woken: AtomicBool,
}

impl Tasks {
    /// To be called on the executor's thread, which has one executor at a time.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn new() -> io::Result<Arc<Tasks>> {
        let tasks = Arc::new(Tasks {
            runnable: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            called: AtomicBool::new(false),
            inbox: Mutex::default(),
            bell: EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC)?,
        });
        HERE.set(Arc::as_ptr(&tasks));
        Ok(tasks)
    }

    /// What becomes readable when another thread wakes a task of an executor that sleeps.
    pub fn bell(&self) -> io::Result<OwnedFd> {
        self.bell.as_fd().try_clone_to_owned()
    }

    pub fn any_runnable(&self) -> bool {
        self.runnable.load(Ordering::Relaxed) > 0
    }

    /// Announces a sleep; tells whether it may begin. To be followed by [`Tasks::awake`].
    pub fn fall_asleep(&self) -> bool {
        // Both sequentially consistent, as in `call`: one of the two sees the other.
        self.asleep.store(true, Ordering::SeqCst);
        !self.called.load(Ordering::SeqCst)
    }

    pub fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Whether other threads have left something.
    pub fn is_called(&self) -> bool {
        self.called.load(Ordering::Relaxed)
    }

    /// Wakes what other threads have woken.
    pub fn answer_calls(&self) {
        if self.is_called() && self.called.swap(false, Ordering::SeqCst) {
            let Inbox { woken, unused } = std::mem::take(&mut *self.inbox());
            for task in woken {
                task.wake_here();
            }
            drop(unused);
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_here(&self) -> bool {
        ptr::eq(HERE.get(), self)
    }

    /// Leaves something for the executor, and wakes it if it sleeps.
    fn call(&self, leave: impl FnOnce(&mut Inbox)) {
        leave(&mut self.inbox());
        self.called.store(true, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            // Nobody reads it: it would have to count to 2^64 - 1 to wait or fail.
            let _ = self.bell.write(1);
        }
    }

    /// Makes a task of `future`, which counts as woken from now on; `polled` is called after each
    /// time it ran.
    pub fn task<F: Future, P: Fn()>(
        self: &Arc<Self>,
        future: F,
        polled: P,
    ) -> impl Future<Output = F::Output> + use<F, P> {
        debug_assert!(self.is_here());
        let tasks = self.clone();
        tasks.add(1);
        async move {
            let mut future = pin!(future);
            let own = OnceCell::new();
            poll_fn(move |context| {
                let (task, waker) = own.get_or_init(|| Task::new(&tasks, context.waker()));
                task.woken.store(false, Ordering::Relaxed);
                tasks.add(usize::MAX);
                let result = future.as_mut().poll(&mut Context::from_waker(waker));
                if result.is_ready() {
                    // Who wakes it later does so in vain.
                    if task.woken.swap(true, Ordering::Relaxed) {
                        tasks.add(usize::MAX);
                    }
                }
                polled();
                result
            })
            .await
        }
    }

    /// On the executor's thread, so that no operation of the processor for several is needed.
    fn add(&self, count: usize) {
        let before = self.runnable.load(Ordering::Relaxed);
        self.runnable.store(before.wrapping_add(count), Ordering::Relaxed);
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        if self.is_here() {
            HERE.set(ptr::null());
        }
    }
}

impl Task {
    fn new(tasks: &Arc<Tasks>, inner: &Waker) -> (Arc<Task>, Waker) {
        let (tasks, inner) = (tasks.clone(), Some(inner.clone()));
        let task = Arc::new(Task { tasks, inner, woken: AtomicBool::new(true) });
        let waker = Waker::from(task.clone());
        (task, waker)
    }

    fn wake_here(&self) {
        if !self.woken.load(Ordering::Relaxed) {
            self.woken.store(true, Ordering::Relaxed);
            self.tasks.add(1);
            if let Some(inner) = &self.inner {
                inner.wake_by_ref();
            }
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if self.tasks.is_here() {
            self.wake_here();
        } else {
            let tasks = self.tasks.clone();
            tasks.call(|inbox| inbox.woken.push(self));
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.tasks.is_here() {
            self.wake_here();
        } else {
            self.tasks.call(|inbox| inbox.woken.push(self.clone()));
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if !self.tasks.is_here() {
            let inner = self.inner.take();
            self.tasks.call(|inbox| inbox.unused.extend(inner));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        sync::mpsc,
        task::{Context, Poll, Waker},
        thread,
    };

    use super::*;

    /// A task that hands out its waker every time it runs, and ends when it is told to.
    fn telling(tasks: &Arc<Tasks>) -> (Pin<Box<dyn Future<Output = ()>>>, mpsc::Receiver<Waker>) {
        let (tell, told) = mpsc::channel();
        let mut runs = 0;
        let future = poll_fn(move |context| {
            let _ = tell.send(context.waker().clone());
            runs += 1;
            if runs == 3 { Poll::Ready(()) } else { Poll::Pending }
        });
        (Box::pin(tasks.task(future, || {})), told)
    }

    fn run(task: &mut Pin<Box<dyn Future<Output = ()>>>) -> Poll<()> {
        task.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_task_counts_from_the_wake_until_it_runs_and_never_after_its_end() {
        let tasks = Tasks::new().expect("a descriptor is free");
        let (mut task, told) = telling(&tasks);
        assert!(tasks.any_runnable(), "a new task is to run");
        assert_eq!(run(&mut task), Poll::Pending);
        assert!(!tasks.any_runnable());
        let waker = told.recv().expect("it ran");
        waker.wake_by_ref();
        waker.wake_by_ref();
        assert!(tasks.any_runnable());
        assert_eq!(run(&mut task), Poll::Pending);
        assert!(!tasks.any_runnable(), "two wakes before a run are one");
        waker.wake_by_ref();
        assert_eq!(run(&mut task), Poll::Ready(()));
        waker.wake();
        assert!(!tasks.any_runnable(), "it has ended");
    }

    #[test]
    fn a_task_that_is_woken_while_it_ends_does_not_count() {
        let tasks = Tasks::new().expect("a descriptor is free");
        let future = poll_fn(|context| {
            context.waker().wake_by_ref();
            Poll::Ready(())
        });
        let mut task: Pin<Box<dyn Future<Output = ()>>> = Box::pin(tasks.task(future, || {}));
        assert_eq!(run(&mut task), Poll::Ready(()));
        assert!(!tasks.any_runnable());
    }

    #[test]
    fn another_thread_wakes_by_a_call_and_leaves_what_it_drops() {
        let tasks = Tasks::new().expect("a descriptor is free");
        let (mut task, told) = telling(&tasks);
        assert_eq!(run(&mut task), Poll::Pending);
        assert!(tasks.fall_asleep(), "nobody has called");
        let waker = told.recv().expect("it ran");
        let waking = thread::spawn(move || waker.wake());
        waking.join().expect("no panic");
        assert_eq!(tasks.bell.read().expect("it was rung"), 1);
        assert!(!tasks.fall_asleep(), "there is a call");
        tasks.awake();
        assert!(!tasks.any_runnable(), "the count is the executor's");
        tasks.answer_calls();
        assert!(tasks.any_runnable());

        assert_eq!(run(&mut task), Poll::Pending);
        let waker = told.recv().expect("it ran");
        drop(task);
        thread::spawn(move || drop(waker)).join().expect("no panic");
        assert_eq!(tasks.inbox().unused.len(), 1, "glommio's waker is dropped here");
        tasks.answer_calls();
        assert_eq!(tasks.inbox().unused.len(), 0);
        assert!(!tasks.any_runnable());
    }
}
