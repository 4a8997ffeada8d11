//! Commits what is written, and tells those who wait for it.

use ringmq_base::LogPosition;
use ringmq_io::Runtime;

use crate::{
    api::options::Sink,
    log::{Log, inner::LogInner, state::Committed},
    tasks::index_writes,
};

impl<R: Runtime, S: Sink> Log<R, S> {
    /// The replicas allow to commit what is before `position`: it is acknowledged and visible as
    /// far as it is written here. What was allowed before stays so.
    pub fn allow(&self, position: LogPosition) {
        {
            let mut state = self.shared.state.borrow_mut();
            if state.allowed >= position.0 {
                return;
            }
            state.allowed = position.0;
        }
        acknowledge(&self.shared);
    }
}

/// The one place that acknowledges: commits what is written, as far as the replicas allow it.
pub fn acknowledge<R: Runtime, S: Sink>(shared: &LogInner<R, S>) {
    let Committed { mut tickets, arrived } = {
        let mut state = shared.state.borrow_mut();
        if state.is_fenced() {
            return;
        }
        state.commit(shared.acknowledged.take())
    };
    if !tickets.is_empty() {
        shared.sink.durable(&mut tickets);
        tickets.clear();
    }
    shared.acknowledged.set(tickets);
    if !arrived.is_empty() {
        shared.sink.arrived(&arrived);
    }
    shared.published.notify();
    index_writes::wake(shared);
}
