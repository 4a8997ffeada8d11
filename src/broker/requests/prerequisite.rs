//! What has to happen before a send or a pull can go on: its topic or its consumer group is
//! created. The connection waits meanwhile, so that nothing overtakes.

use std::rc::Rc;

use ringmq_io::Runtime;

use crate::{
    messages::{
        Origin,
        ask::{Answer, Ask},
    },
    shard::{CONTROL, Shard},
};
use ringmq_rules::refusal::Refusal;

pub struct Preparation {
    pub origin: Origin,
    pub ask: Ask,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepared {
    /// Look at the frame again.
    Ready,
    /// The request has been answered with the reason why not.
    Refused,
}

impl Preparation {
    pub async fn run<R: Runtime>(self, shard: &Rc<Shard<R>>) -> Prepared {
        let refusal = match shard.ask(CONTROL, self.ask).await {
            Answer::Topic(Err(refusal)) | Answer::Group(Err(refusal)) => refusal,
            Answer::Group(Ok(false)) => Refusal::system_error(
                "the consumer group is not there and is not made on first use",
            ),
            // The change of the view came before the answer, on the same lane.
            _ => return Prepared::Ready,
        };
        shard.refuse(&self.origin, &refusal);
        shard.flush();
        Prepared::Refused
    }
}
