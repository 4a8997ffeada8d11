//! What would hold an executor up, on a thread of the executor's own, one after the other: system
//! calls that may wait, and on another thread work that takes long.

use std::{future::Future, io, sync::mpsc, thread};

use futures_channel::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// An executor on the same CPU gets some nine tenths of it.
const WORK_NICE: libc::c_int = 10;

pub struct Blocking {
    jobs: mpsc::Sender<Job>,
}

impl Blocking {
    /// Starts the thread for system calls; it ends with `self`, after what was ordered.
    pub fn start() -> io::Result<Blocking> {
        Blocking::start_with("blocking", || {})
    }

    /// Starts the thread for work, likewise. Executors come first where there are no more CPUs than
    /// they use.
    pub fn start_for_work() -> io::Result<Blocking> {
        Blocking::start_with("aside", || {
            // SAFETY: it takes no pointer. 0 stands for the calling thread; if it is refused, the
            // thread keeps its priority.
            unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, WORK_NICE) };
        })
    }

    fn start_with(name: &str, prepare: fn()) -> io::Result<Blocking> {
        let (jobs, ordered) = mpsc::channel::<Job>();
        let work = move || {
            prepare();
            ordered.into_iter().for_each(|job| job());
        };
        thread::Builder::new().name(name.to_owned()).spawn(work)?;
        Ok(Blocking { jobs })
    }

    /// Resolves to what `call` returned, which runs even if nobody waits any more. It must not
    /// panic.
    pub fn run<T, C>(&self, call: C) -> impl Future<Output = T> + use<T, C>
    where
        T: Send + 'static,
        C: FnOnce() -> T + Send + 'static,
    {
        let (give, taken) = oneshot::channel();
        let job: Job = Box::new(move || drop(give.send(call())));
        self.jobs.send(job).expect("the thread takes jobs as long as it can be sent some");
        async { taken.await.expect("a job that was taken is done") }
    }
}
