//! What a shard does with a message from another one.

use std::rc::Rc;

use ringmq_io::{Runtime, Shares};

use crate::{
    messages::{Message, parcel::FramePart},
    net::listener,
    shard::{Shard, answering},
};

impl<R: Runtime> Shard<R> {
    /// Handles a message of either lane. Output is flushed by the caller.
    pub fn take(self: &Rc<Self>, message: Message) {
        match message {
            Message::Replies(parcel) => {
                let mut start = 0;
                for FramePart { connection, end, answers } in &parcel.replies {
                    let part = parcel.bytes.get(start..*end).unwrap_or_default();
                    let write = |out: &mut Vec<u8>| out.extend_from_slice(part);
                    self.connections.write(*connection, *answers, write);
                    start = *end;
                }
                self.router.unpacked(parcel);
            }
            Message::Pulls(pulls) => {
                for pull in pulls {
                    self.pull(pull);
                }
            }
            Message::Frames(frames) => {
                for frame in frames {
                    self.handle_frame(frame);
                }
            }
            Message::Change(change) => {
                self.apply(change);
                self.publication.applied();
            }
            Message::Connection(accepted) => listener::serve(self, accepted),
            Message::Answer { id, answer } => self.asked.close(id, *answer),
            Message::Ask { from, id, ask } => {
                let shard = self.clone();
                self.runtime.spawn(Shares::Foreground, "answer", async move {
                    let answer = Box::new(answering::answer(&shard, *ask).await);
                    shard.router.answer(from, Message::Answer { id, answer });
                    shard.flush();
                });
            }
            Message::Persist(changes) => {
                if let Some(control) = self.control.get() {
                    control.persist_later(changes);
                }
            }
            Message::LookAtStorage => self.storage.look(),
            Message::Close(connection) => self.connections.close(connection),
            Message::Closed(connection) => {
                if let Some(control) = self.control.get() {
                    control.connection_closed(self, connection);
                }
            }
            Message::Finished(shard) => {
                if let Some(control) = self.control.get() {
                    control.peer_finished(shard);
                }
            }
            Message::Start(_) | Message::Ready { .. } | Message::Sends(_) | Message::Shutdown => {
                tracing::error!(
                    shard = self.id.0,
                    "message on the wrong lane or at the wrong time"
                );
            }
        }
    }
}
