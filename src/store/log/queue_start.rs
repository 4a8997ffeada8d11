//! Where queues begin and end: for topics that are deleted, and made again under the same name.

use ringmq_io::Runtime;

use crate::{
    api::{errors::LogError, options::Sink, values::QueueHandle},
    log::Log,
};

impl<R: Runtime, S: Sink> Log<R, S> {
    /// The offset of the next message to be appended to a queue.
    pub fn next_offset(&self, queue: QueueHandle) -> i64 {
        self.shared.state.borrow_mut().index.queue(queue).next()
    }

    /// Takes away what a queue has before `offset`; one that is not there begins at it. Nothing of
    /// this is remembered over a restart.
    pub fn begin_queue(&self, topic: &str, queue_id: i32, offset: i64) {
        let mut state = self.shared.state.borrow_mut();
        let queue = state.index.find_or_create(topic, queue_id, offset);
        state.index.queue(queue).raise_min(offset);
    }

    /// Resolves when a power cut cannot take anything that was appended before the call; fails if
    /// the log is fenced or closing before.
    pub async fn synced(&self) -> Result<(), LogError> {
        let end = self.shared.state.borrow().position;
        loop {
            // Behind the end of a segment nothing may be appended for long: the next one begins
            // further on, and that is no message.
            if self.shared.state.borrow_mut().replay_position() >= end {
                return Ok(());
            }
            if !self.shared.is_open() {
                let closing = || LogError::Fenced { reason: "the log is closing".into() };
                return Err(self.shared.fenced().unwrap_or_else(closing));
            }
            self.shared.published.wait().await;
        }
    }
}
