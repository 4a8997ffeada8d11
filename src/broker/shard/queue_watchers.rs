//! Tasks of a shard that wait for messages in a queue.

use std::{cell::RefCell, rc::Rc};

use ahash::AHashMap;
use ringmq_base::LogId;
use ringmq_io::signal::Event;
use ringmq_store::QueueHandle;

#[derive(Default)]
pub struct QueueWatchers {
    by_queue: RefCell<AHashMap<(LogId, QueueHandle), Rc<Event>>>,
}

impl QueueWatchers {
    /// Set whenever something new can be read from the queue, if the log watches it too.
    pub fn watch(&self, log: LogId, queue: QueueHandle) -> Rc<Event> {
        self.by_queue.borrow_mut().entry((log, queue)).or_default().clone()
    }

    /// Something new can be read from the queue.
    pub fn wake(&self, log: LogId, queue: QueueHandle) {
        if let Some(event) = self.by_queue.borrow().get(&(log, queue)) {
            event.set();
        }
    }
}
