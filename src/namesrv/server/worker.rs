//! The turns of a request that takes long.

use std::{cell::Cell, rc::Rc, time::Duration};

use ringmq_io::Runtime;
use ringmq_net::turn::Taken;
use ringmq_remoting::{codes::response, fastjson::BODY_BYTES_MAX};

use super::{Shared, connection::ConnectionOf};
use crate::{answer::Answer, work::Work};

/// How long a long answer waits for others to be taken, before room is made.
const ROOM_PATIENCE: Duration = Duration::from_secs(1);

/// The work on one request.
pub(super) struct Worker<'a, R: Runtime> {
    pub shared: &'a Shared<R>,
    pub connection: &'a Rc<ConnectionOf<R>>,
    /// Its piece of work is the one that is done.
    turn: Cell<Option<Taken<'a>>>,
    /// Its answer is the long one that is made.
    making: Cell<Option<Taken<'a>>>,
}

impl<'a, R: Runtime> Worker<'a, R> {
    pub fn new(shared: &'a Shared<R>, connection: &'a Rc<ConnectionOf<R>>) -> Worker<'a, R> {
        Worker { shared, connection, turn: Cell::default(), making: Cell::default() }
    }

    /// Until others have taken so much that there is room, or are closed because they do not.
    async fn room(&self) {
        let outputs = &self.shared.outputs;
        while outputs.is_scarce() && !self.connection.is_closed() {
            let freed = async {
                outputs.freed.wait().await;
                true
            };
            let patience = async {
                self.shared.runtime.sleep(ROOM_PATIENCE).await;
                false
            };
            let some = futures_lite::future::or(freed, patience).await;
            if !some && !self.shared.close_longest(self.connection) {
                return;
            }
        }
    }
}

impl<R: Runtime> Work for Worker<'_, R> {
    async fn pause(&self) -> Result<(), Answer> {
        drop(self.turn.take());
        self.shared.runtime.yield_if_needed().await;
        self.turn.set(Some(self.shared.work.take().await));
        if self.connection.is_closed() {
            return Err(Answer::refuse(response::SYSTEM_ERROR, "the connection is closed"));
        }
        Ok(())
    }

    async fn pause_for_room(&self) -> Result<(), Answer> {
        // Nothing is done while it waits.
        drop(self.turn.take());
        let making = match self.making.take() {
            Some(making) => making,
            None => self.shared.outputs.making.take().await,
        };
        self.making.set(Some(making));
        self.room().await;
        self.pause().await
    }

    fn rest(&self) {
        drop(self.turn.take());
    }

    fn holds(&self, bytes: usize) {
        self.shared.outputs.add(&**self.connection, bytes, self.shared.runtime.monotonic());
        while self.shared.outputs.is_exceeded() {
            if !self.shared.close_longest(self.connection) {
                return;
            }
        }
    }

    fn body_bytes_max(&self) -> usize {
        BODY_BYTES_MAX.min(self.shared.outputs.most() / 2)
    }
}
