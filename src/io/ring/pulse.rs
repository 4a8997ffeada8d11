//! Wakes every executor at intervals, from a thread of its own.
//!
//! glommio 0.9.0 can park with runnable tasks (`docs/RUNTIME.md`). A timer task on the executor
//! would not help, for it may be among the forgotten; a wake-up from another thread does, because
//! the executor listens for those whatever its tasks do.

use std::{
    future::poll_fn,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    thread,
    time::Duration,
};

/// Executors that use less than one part in so many of their CPU are idle.
const IDLE_DIVISOR: u32 = 50;

/// How much longer the interval becomes while all executors are idle. A wake-up costs a parked
/// executor some 0.2 ms of CPU.
const IDLE_FACTOR: u32 = 10;

/// The executors of one launch.
pub struct Pulse {
    executors: Vec<Mutex<Option<Executor>>>,
}

struct Executor {
    waker: Waker,
    /// The clock of the CPU time of the executor's thread, and what it showed at the last beat.
    clock: libc::clockid_t,
    used: Duration,
}

impl Pulse {
    /// Starts the thread, which wakes executors every `interval`, and up to ten times as seldom
    /// while all are idle. It ends when the executors, which hold the other references, are gone.
    pub fn start(executors: usize, interval: Duration) -> io::Result<Arc<Pulse>> {
        let executors = (0..executors).map(|_| Mutex::default()).collect();
        let pulse = Arc::new(Pulse { executors });
        let beating = pulse.clone();
        thread::Builder::new().name("pulse".to_owned()).spawn(move || {
            let mut pause = interval;
            while Arc::strong_count(&beating) > 1 {
                thread::park_timeout(pause);
                let busy = beating.beat(pause);
                pause = if busy { interval } else { (pause * 2).min(interval * IDLE_FACTOR) };
            }
        })?;
        Ok(pulse)
    }

    /// Wakes all executors; tells whether any was busy during the `pause` before.
    fn beat(&self, pause: Duration) -> bool {
        let mut busy = false;
        for number in 0..self.executors.len() {
            // By reference and under the lock: the last reference to a task must not be dropped on
            // another thread than its own.
            if let Some(executor) = self.lock(number).as_mut() {
                let used = cpu_time(executor.clock);
                busy |= used.saturating_sub(executor.used) * IDLE_DIVISOR > pause;
                executor.used = used;
                executor.waker.wake_by_ref();
            }
        }
        busy
    }

    fn lock(&self, number: usize) -> MutexGuard<'_, Option<Executor>> {
        self.executors[number].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A task that is woken by every beat and does nothing; never resolves.
    pub async fn listen(self: Arc<Self>, number: usize) {
        let listener = Listener { pulse: self, number };
        poll_fn(|context| {
            let mut place = listener.pulse.lock(number);
            if place.is_none() {
                let (waker, clock) = (context.waker().clone(), clock_of_this_thread());
                *place = Some(Executor { waker, clock, used: cpu_time(clock) });
            }
            Poll::<()>::Pending
        })
        .await;
    }
}

struct Listener {
    pulse: Arc<Pulse>,
    number: usize,
}

impl Drop for Listener {
    fn drop(&mut self) {
        *self.pulse.lock(self.number) = None;
    }
}

fn clock_of_this_thread() -> libc::clockid_t {
    let mut clock = libc::CLOCK_THREAD_CPUTIME_ID;
    // SAFETY: the thread that asks exists, and `clock` is a place for the answer. If there is none
    // the beating thread would see its own time, which is harmless.
    unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock) };
    clock
}

/// Zero if the thread has ended.
fn cpu_time(clock: libc::clockid_t) -> Duration {
    let clock = nix::time::ClockId::from_raw(clock);
    clock.now().map(Duration::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_clock_of_a_thread_shows_its_work() {
        let clock = clock_of_this_thread();
        let before = cpu_time(clock);
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(30) {
            std::hint::spin_loop();
        }
        assert!(cpu_time(clock) > before);
    }

    #[test]
    fn the_thread_ends_with_its_executors() {
        let pulse = Pulse::start(1, Duration::from_millis(1)).expect("a thread can be started");
        assert!(!pulse.beat(Duration::from_millis(1)), "nobody listens, so nobody is busy");
        let weak = Arc::downgrade(&pulse);
        drop(pulse);
        while weak.strong_count() > 0 {
            thread::yield_now();
        }
    }
}
