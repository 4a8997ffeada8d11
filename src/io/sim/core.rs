//! The executor: tasks, timers and the virtual clock.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use super::{
    executor::Stopped,
    network::Network,
    nodes::{Nodes, Place},
    random::{Random, mix},
};

/// Where the wall clock of every simulation starts: 2026-01-01T00:00:00Z in milliseconds.
pub const START_MS: i64 = 1_767_225_600_000;

struct Task {
    name: &'static str,
    place: Place,
    future: Pin<Box<dyn Future<Output = ()>>>,
    waker: Arc<TaskWaker>,
}

pub(super) struct TaskWaker {
    task: u64,
    queued: AtomicBool,
    ready: Arc<Mutex<Vec<u64>>>,
}

impl TaskWaker {
    pub(super) fn begin_poll(&self) {
        self.queued.store(false, Ordering::SeqCst);
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::SeqCst) {
            self.ready.lock().expect("no panic while pushing").push(self.task);
        }
    }
}

/// What happens when a timer is due.
pub(super) enum Alarm {
    Wake(Waker),
    /// The device or the network acts by itself, whether or not somebody still waits for it.
    Act(Box<dyn FnOnce()>),
}

/// Names a timer so that it can be withdrawn.
pub(super) type AlarmKey = (Duration, u64);

/// The state of the executor; [`SimRuntime`] is a handle to it.
pub(super) struct Core {
    pub(super) seed: u64,
    random: RefCell<Random>,
    pub(super) now: Cell<Duration>,
    pub(super) time_limit: Cell<Duration>,
    tasks: RefCell<BTreeMap<u64, Task>>,
    ready: Arc<Mutex<Vec<u64>>>,
    alarms: RefCell<BTreeMap<AlarmKey, Alarm>>,
    next_id: Cell<u64>,
    pub(super) trace: Cell<u64>,
    pub(super) pauses: Cell<u64>,
    pub(super) asides: Cell<u64>,
    pub(super) running: Cell<&'static str>,
    pub(super) dead: Cell<bool>,
    pub(super) network: Network,
    pub(super) nodes: Nodes,
}

impl Core {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let network = Network::new(random.fork());
        Core {
            seed,
            random: RefCell::new(random),
            now: Cell::new(Duration::ZERO),
            time_limit: Cell::new(Duration::MAX),
            tasks: RefCell::default(),
            ready: Arc::default(),
            alarms: RefCell::default(),
            next_id: Cell::new(0),
            trace: Cell::new(mix(seed)),
            pauses: Cell::new(0),
            asides: Cell::new(0),
            running: Cell::new("none"),
            dead: Cell::new(false),
            network,
            nodes: Nodes::new(),
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.now.get()
    }

    /// The name of the task that runs now, for reports.
    pub(super) fn running(&self) -> &'static str {
        self.running.get()
    }

    pub(super) fn draw<T>(&self, with: impl FnOnce(&mut Random) -> T) -> T {
        with(&mut self.random.borrow_mut())
    }

    /// Adds to the trace hash.
    pub(super) fn trace(&self, word: u64) {
        self.trace.set(mix(self.trace.get().rotate_left(5) ^ word));
    }

    pub(super) fn spawn(
        &self,
        place: Place,
        name: &'static str,
        future: Pin<Box<dyn Future<Output = ()>>>,
    ) {
        if self.dead.get() || !self.nodes.is_alive(place) {
            return;
        }
        let (id, waker) = self.new_waker();
        waker.wake_by_ref();
        let task = Task { name, place, future, waker };
        let replaced = self.tasks.borrow_mut().insert(id, task);
        assert!(replaced.is_none(), "task numbers are not used twice");
    }

    pub(super) fn set_alarm(&self, at: Duration, alarm: Alarm) -> AlarmKey {
        let key = (at, self.new_id());
        if !self.dead.get() {
            self.alarms.borrow_mut().insert(key, alarm);
        }
        key
    }

    pub(super) fn withdraw_alarm(&self, key: AlarmKey) {
        // The alarm is dropped after the borrow: a waker's drop runs foreign code.
        let alarm = self.alarms.borrow_mut().remove(&key);
        drop(alarm);
    }

    /// Resolves when the clock has reached `at`; to be dropped at any time.
    pub(super) fn sleep_until(self: &Rc<Self>, at: Duration) -> Sleep {
        Sleep { core: self.clone(), at, key: None }
    }

    /// Gives way once, always.
    pub(super) async fn give_way(&self) {
        let mut given = false;
        poll_fn(|context| {
            if std::mem::replace(&mut given, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    fn new_id(&self) -> u64 {
        self.next_id.set(self.next_id.get() + 1);
        self.next_id.get()
    }

    pub(super) fn new_waker(&self) -> (u64, Arc<TaskWaker>) {
        let task = self.new_id();
        let ready = self.ready.clone();
        (task, Arc::new(TaskWaker { task, queued: AtomicBool::new(false), ready }))
    }

    pub(super) fn pick(&self) -> Option<u64> {
        let mut ready = self.ready.lock().expect("no panic while pushing");
        if ready.is_empty() {
            return None;
        }
        let index = self.draw(|random| random.index(ready.len()));
        let task = ready.swap_remove(index);
        self.trace(task);
        Some(task)
    }

    pub(super) fn poll_task(&self, id: u64) {
        // Out of the map while it runs, so that it may spawn.
        let Some(mut task) = self.tasks.borrow_mut().remove(&id) else {
            return;
        };
        if self.nodes.hold(task.place, id) {
            self.tasks.borrow_mut().insert(id, task);
            return;
        }
        self.running.set(task.name);
        task.waker.begin_poll();
        let waker = Waker::from(task.waker.clone());
        let poll = {
            let report = PanicReport { name: task.name, seed: self.seed };
            let poll = task.future.as_mut().poll(&mut Context::from_waker(&waker));
            std::mem::forget(report);
            poll
        };
        // A task may have ended its own process.
        if poll.is_pending() && self.nodes.is_alive(task.place) {
            self.tasks.borrow_mut().insert(id, task);
        }
    }

    /// Moves the clock to the next timer and fires all that are due.
    pub(super) fn advance(&self) -> Result<(), Stopped> {
        if self.network.close_dropped(self) {
            return Ok(());
        }
        let next = self.alarms.borrow().first_key_value().map(|(key, _)| key.0);
        let at = match next {
            Some(at) if at <= self.time_limit.get() => at.max(self.now.get()),
            Some(_) => {
                let at = self.now.get();
                return Err(Stopped::TimeLimit { seed: self.seed, at });
            }
            None => return Err(self.deadlock()),
        };
        self.now.set(at);
        loop {
            let alarm = {
                let mut alarms = self.alarms.borrow_mut();
                match alarms.first_entry() {
                    Some(entry) if entry.key().0 <= at => entry.remove(),
                    _ => return Ok(()),
                }
            };
            match alarm {
                Alarm::Wake(waker) => waker.wake(),
                Alarm::Act(act) => act(),
            }
        }
    }

    fn deadlock(&self) -> Stopped {
        let mut waiting = vec!["main".to_owned()];
        waiting.extend(self.tasks.borrow().values().map(|task| task.name.to_owned()));
        Stopped::Deadlock { seed: self.seed, at: self.now.get(), waiting }
    }

    pub(super) fn spinning(&self, task: u64) -> Stopped {
        let task = self.tasks.borrow().get(&task).map_or("main", |task| task.name).to_owned();
        Stopped::Spinning { seed: self.seed, at: self.now.get(), task }
    }

    /// Drops every task of the node's process.
    pub(super) fn end_process(&self, node: usize, power_cut: bool) {
        let ended = self.nodes.end(node, power_cut);
        // Taken out before they are dropped: destructors reach back into the executor.
        let all = std::mem::take(&mut *self.tasks.borrow_mut());
        let (tasks, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            all.into_iter().partition(|(_, task)| task.place == ended);
        *self.tasks.borrow_mut() = others;
        self.trace(tasks.len() as u64 ^ 0x656e_6400);
        drop(tasks);
    }

    /// Lets the tasks of a paused node run.
    pub(super) fn resume(&self, node: usize) {
        let held = self.nodes.resume(node);
        self.ready.lock().expect("no panic while pushing").extend(held);
    }

    pub(super) fn crash(&self) {
        self.dead.set(true);
        self.nodes.end_all();
        // Taken out before they are dropped: destructors reach back into the executor.
        let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        drop(tasks);
        let alarms = std::mem::take(&mut *self.alarms.borrow_mut());
        drop(alarms);
        self.network.clear();
        self.ready.lock().expect("no panic while pushing").clear();
    }
}

/// Says which task panicked; forgotten when it did not.
struct PanicReport {
    name: &'static str,
    seed: u64,
}

impl Drop for PanicReport {
    fn drop(&mut self) {
        tracing::error!(task = self.name, seed = self.seed, "a task panicked");
        // Tests have no log.
        eprintln!("task {} panicked in the simulation with seed {}", self.name, self.seed);
    }
}

/// See [`Core::sleep_until`].
pub(super) struct Sleep {
    core: Rc<Core>,
    at: Duration,
    key: Option<AlarmKey>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(key) = self.key.take() {
            self.core.withdraw_alarm(key);
        }
        if self.core.now() >= self.at {
            return Poll::Ready(());
        }
        self.key = Some(self.core.set_alarm(self.at, Alarm::Wake(context.waker().clone())));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.core.withdraw_alarm(key);
        }
    }
}
