//! Calls between shards: rare work such as creating a topic, reading a record by its physical
//! offset, or storing a message on behalf of another shard. A closure travels, and what it gives
//! comes back.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    rc::Rc,
};

use ahash::AHashMap;
use futures_util::future::join_all;
use ringmq_base::ShardId;
use ringmq_io::{
    Runtime, Shares,
    signal::{OneshotReceiver, OneshotSender, oneshot},
};

use super::Shard;
use crate::messages::{Message, Returned, Work};

/// Calls of this shard that have not returned yet.
#[derive(Default)]
pub struct Calls {
    next: Cell<u64>,
    open: RefCell<AHashMap<u64, OneshotSender<Returned>>>,
}

impl Calls {
    fn open(&self) -> (u64, OneshotReceiver<Returned>) {
        let id = self.next.get();
        self.next.set(id + 1);
        let (sender, receiver) = oneshot();
        self.open.borrow_mut().insert(id, sender);
        (id, receiver)
    }

    /// How many were made.
    #[cfg(test)]
    pub fn made(&self) -> u64 {
        self.next.get()
    }

    /// Nobody is going to return it.
    fn forget(&self, id: u64) {
        self.open.borrow_mut().remove(&id);
    }

    /// A call has returned. Nothing happens if its caller has gone.
    pub fn returned(&self, id: u64, value: Returned) {
        let caller = self.open.borrow_mut().remove(&id);
        if let Some(caller) = caller {
            caller.send(value);
        }
    }
}

impl<R: Runtime> Shard<R> {
    /// Runs `work` on a shard, this one or another, and resolves with what it gives.
    pub async fn call<T, F>(
        self: &Rc<Self>,
        to: ShardId,
        work: impl FnOnce(Rc<Self>) -> F + Send + 'static,
    ) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        if to == self.id {
            return work(self.clone()).await;
        }
        let (id, returned) = self.calls.open();
        let work: Work<Self> =
            Box::new(move |shard| Box::pin(async move { Box::new(work(shard).await) as Returned }));
        self.router.post(to, Message::Call { from: self.id, id, work });
        self.router.flush();
        let value = returned.await.expect("open calls live as long as the shard");
        *value.downcast().expect("a call returns what its closure gives")
    }

    /// A call that a thread outside of all shards returns: `take` hands its number over and tells
    /// whether it was taken. `None`: it was not.
    pub async fn call_outside<T: Send + 'static>(
        &self,
        take: impl FnOnce(u64) -> bool,
    ) -> Option<T> {
        let (id, returned) = self.calls.open();
        if !take(id) {
            self.calls.forget(id);
            return None;
        }
        let value = returned.await.expect("open calls live as long as the shard");
        Some(*value.downcast().expect("a call returns what its caller expects"))
    }

    /// Every shard, in their order.
    pub fn all_shards(&self) -> impl Iterator<Item = ShardId> + use<R> {
        (0..self.router.shards()).map(|index| ShardId(index as u16))
    }

    /// Runs `work` on every shard at the same time; the results in the order of the shards.
    pub async fn call_all<T, F>(
        self: &Rc<Self>,
        work: impl FnOnce(Rc<Self>) -> F + Clone + Send + 'static,
    ) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        join_all(self.all_shards().map(|to| self.call(to, work.clone()))).await
    }

    /// Runs a call of another shard, in a task of its own.
    pub fn run_call(self: &Rc<Self>, from: ShardId, id: u64, work: Work<Self>) {
        let shard = self.clone();
        self.runtime.spawn(Shares::Foreground, "call", async move {
            let value = work(shard.clone()).await;
            shard.router.answer(from, Message::Returned { id, value });
            shard.flush();
            shard.runtime.yield_if_needed().await;
        });
    }
}
