//! System calls that may wait, on a thread of the executor's own, one after the other.

use std::{future::Future, io, sync::mpsc, thread};

use futures_channel::oneshot;

type Job = Box<dyn FnOnce() + Send>;

pub struct Blocking {
    jobs: mpsc::Sender<Job>,
}

impl Blocking {
    /// Starts the thread; it ends with `self`, after what was ordered.
    pub fn start() -> io::Result<Blocking> {
        let (jobs, ordered) = mpsc::channel::<Job>();
        let work = move || ordered.into_iter().for_each(|job| job());
        thread::Builder::new().name("blocking".to_owned()).spawn(work)?;
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
