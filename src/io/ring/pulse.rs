//! Wakes every executor at short intervals, from a thread of its own.
//!
//! glommio 0.9.0 can park with runnable tasks (`docs/RUNTIME.md`). A timer task on the executor would
//! not help, for it may be among the forgotten; a wake-up from another thread does, because the
//! executor listens for those whatever its tasks do.

use std::{
    future::poll_fn,
    io,
    sync::{Arc, Mutex, PoisonError},
    task::{Poll, Waker},
    thread,
    time::Duration,
};

/// The wakers of the executors of one launch.
pub struct Pulse {
    executors: Vec<Mutex<Option<Waker>>>,
}

impl Pulse {
    /// Starts the thread; it ends when the executors, which hold the other references, are gone.
    pub fn start(executors: usize, interval: Duration) -> io::Result<Arc<Pulse>> {
        let pulse = Arc::new(Pulse {
            executors: (0..executors).map(|_| Mutex::default()).collect(),
        });
        let beating = pulse.clone();
        thread::Builder::new()
            .name("pulse".to_owned())
            .spawn(move || {
                while Arc::strong_count(&beating) > 1 {
                    thread::sleep(interval);
                    beating.beat();
                }
            })?;
        Ok(pulse)
    }

    fn beat(&self) {
        for executor in &self.executors {
            let waker = executor.lock().unwrap_or_else(PoisonError::into_inner);
            // By reference and under the lock: the last reference to a task must not be dropped on
            // another thread than its own.
            if let Some(waker) = waker.as_ref() {
                waker.wake_by_ref();
            }
        }
    }

    fn set(&self, executor: usize, waker: Option<Waker>) {
        let mut place = self.executors[executor]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *place = waker;
    }

    /// A task that is woken by every beat and does nothing; never resolves.
    pub async fn listen(self: Arc<Self>, executor: usize) {
        let listener = Listener {
            pulse: self,
            executor,
        };
        poll_fn(|context| {
            listener
                .pulse
                .set(listener.executor, Some(context.waker().clone()));
            Poll::<()>::Pending
        })
        .await;
    }
}

struct Listener {
    pulse: Arc<Pulse>,
    executor: usize,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.pulse.set(self.executor, None);
    }
}
