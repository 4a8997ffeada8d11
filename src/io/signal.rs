//! Wake-ups between tasks of one executor. Nothing here crosses threads; see [`crate::mailbox`].

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// A condition that tasks wait for: it stays set until somebody clears it, so a wake-up that comes
/// before the waiting is not lost.
#[derive(Default)]
pub struct Event {
    set: Cell<bool>,
    waiting: Wakers,
}

impl Event {
    pub fn new() -> Self {
        Event::default()
    }

    /// Sets the condition and wakes every waiting task. Cheap if it is set already.
    pub fn set(&self) {
        if !self.set.replace(true) {
            self.waiting.wake();
        }
    }

    pub fn clear(&self) {
        self.set.set(false);
    }

    pub fn is_set(&self) -> bool {
        self.set.get()
    }

    /// Resolves once the condition is set, and leaves it set. Safe to cancel.
    pub async fn wait(&self) {
        poll_fn(|context| self.poll_set(context)).await;
    }

    /// Resolves once the condition is set, and clears it: of several tasks that wait like this one
    /// goes on for each [`Event::set`]. Safe to cancel.
    pub async fn wait_and_clear(&self) {
        self.wait().await;
        self.clear();
    }

    /// [`Event::wait`] for hand-written futures.
    pub fn poll_set(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.set.get() {
            return Poll::Ready(());
        }
        self.waiting.add(context.waker());
        Poll::Pending
    }
}

/// Something that happens now and then, such as a change of a state: every task that waits sees the
/// next time. Look at the state first, and begin to wait without an await in between; nothing
/// can be missed on one thread.
#[derive(Default)]
pub struct Notify {
    count: Cell<u64>,
    waiting: Wakers,
}

impl Notify {
    /// Wakes all tasks that wait now. Cheap if there are none.
    #[inline]
    pub fn notify(&self) {
        self.count.set(self.count.get().wrapping_add(1));
        self.waiting.wake();
    }

    /// Resolves at the first [`Notify::notify`] after this call. Safe to cancel.
    pub fn wait(&self) -> impl Future<Output = ()> {
        let seen = self.count.get();
        poll_fn(move |context| {
            if self.count.get() != seen {
                return Poll::Ready(());
            }
            self.waiting.add(context.waker());
            Poll::Pending
        })
    }
}

/// The tasks to wake, each once, in the order in which they came.
#[derive(Default)]
struct Wakers(RefCell<Waiting>);

#[derive(Default)]
struct Waiting {
    wakers: Vec<Waker>,
    /// By which those behind the first few are found: there may be very many.
    known: HashSet<(usize, usize)>,
}

/// So many wakers are looked through one after the other.
const FEW_WAKERS: usize = 16;

impl Wakers {
    fn add(&self, waker: &Waker) {
        let Waiting { wakers, known } = &mut *self.0.borrow_mut();
        let few = &wakers[..wakers.len().min(FEW_WAKERS)];
        if few.iter().any(|one| one.will_wake(waker)) {
            return;
        }
        let name = (waker.data().addr(), std::ptr::from_ref(waker.vtable()).addr());
        if few.len() < FEW_WAKERS || known.insert(name) {
            wakers.push(waker.clone());
        }
    }

    #[inline]
    fn wake(&self) {
        if self.0.borrow().wakers.is_empty() {
            return;
        }
        // Taken out first: a waker may run code that comes back here.
        let waiting = self.0.take();
        waiting.wakers.into_iter().for_each(Waker::wake);
    }
}

/// A place for one value that one task leaves and another waits for.
pub fn oneshot<T>() -> (OneshotSender<T>, OneshotReceiver<T>) {
    let slot =
        Rc::new(Slot { value: Cell::new(None), gone: Cell::new(false), waiting: Cell::new(None) });
    (OneshotSender { slot: slot.clone() }, OneshotReceiver { slot })
}

struct Slot<T> {
    value: Cell<Option<T>>,
    gone: Cell<bool>,
    waiting: Cell<Option<Waker>>,
}

/// Leaves the value; see [`oneshot`].
pub struct OneshotSender<T> {
    slot: Rc<Slot<T>>,
}

impl<T> OneshotSender<T> {
    /// Hands the value over. It is dropped if nobody waits any more.
    pub fn send(self, value: T) {
        self.slot.value.set(Some(value));
    }
}

impl<T> Drop for OneshotSender<T> {
    fn drop(&mut self) {
        self.slot.gone.set(true);
        if let Some(waker) = self.slot.waiting.take() {
            waker.wake();
        }
    }
}

/// Resolves to the value, or to `None` if the [`OneshotSender`] was dropped without one.
pub struct OneshotReceiver<T> {
    slot: Rc<Slot<T>>,
}

impl<T> Future for OneshotReceiver<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let value = self.slot.value.take();
        if value.is_some() || self.slot.gone.get() {
            return Poll::Ready(value);
        }
        self.slot.waiting.set(Some(context.waker().clone()));
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::{Arc, Mutex},
        task::Wake,
    };

    use futures_lite::future::{block_on, poll_once, zip};

    use super::*;

    #[test]
    fn an_event_set_before_the_wait_is_not_lost() {
        block_on(async {
            let event = Event::new();
            event.set();
            event.wait().await;
            assert!(event.is_set(), "waiting leaves it set");
            event.wait_and_clear().await;
            assert!(poll_once(event.wait()).await.is_none());
        });
    }

    #[test]
    fn setting_wakes_every_waiting_task() {
        block_on(async {
            let event = Event::new();
            let both = zip(event.wait(), event.wait());
            zip(both, async { event.set() }).await;
        });
    }

    #[test]
    fn whoever_waits_sees_the_next_time_and_no_earlier_one() {
        block_on(async {
            let changed = Notify::default();
            changed.notify();
            assert!(poll_once(changed.wait()).await.is_none(), "that was before the wait");
            let both = zip(changed.wait(), changed.wait());
            zip(both, async { changed.notify() }).await;
            let begun = changed.wait();
            changed.notify();
            begun.await;
        });
    }

    #[test]
    fn of_very_many_tasks_each_waits_once_and_in_the_order_of_coming() {
        let (changed, tasks) = (Notify::default(), Arc::new(Mutex::new(Vec::new())));
        let wakers: Vec<Waker> = (0..1000).map(|number| Task::waker(number, &tasks)).collect();
        for _ in 0..3 {
            for waker in &wakers {
                let mut wait = pin!(changed.wait());
                assert!(wait.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
            }
        }
        changed.notify();
        assert!(tasks.lock().expect("no panic").iter().copied().eq(0..1000));
        changed.notify();
        assert_eq!(tasks.lock().expect("no panic").len(), 1000, "nobody waits");
    }

    struct Task(u32, Arc<Mutex<Vec<u32>>>);

    impl Task {
        fn waker(number: u32, woken: &Arc<Mutex<Vec<u32>>>) -> Waker {
            Arc::new(Task(number, woken.clone())).into()
        }
    }

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.1.lock().expect("no panic").push(self.0);
        }
    }

    #[test]
    fn a_oneshot_gives_its_value_or_tells_that_none_comes() {
        block_on(async {
            let (sender, receiver) = oneshot();
            let (value, ()) = zip(receiver, async { sender.send(7) }).await;
            assert_eq!(value, Some(7));
            let (sender, receiver) = oneshot::<u8>();
            drop(sender);
            assert_eq!(receiver.await, None);
        });
    }
}
