//! What has to happen before a send or a pull can go on: its topic or its consumer group is
//! created. The connection waits meanwhile, so that nothing overtakes.

use std::rc::Rc;

use ringmq_io::Runtime;
use ringmq_rules::refusal::Refusal;

use crate::{messages::AutoCreate, shard::Shard};

/// What is missing.
#[derive(Debug)]
pub enum Prerequisite {
    /// The topic of a send.
    Topic(AutoCreate),
    /// A topic of the broker's own, with so many queues and a system flag.
    InternalTopic { topic: String, queues: i32, sys_flag: i32 },
    /// A consumer group.
    Group(String),
}

impl Prerequisite {
    /// Has what is missing made; it is durable and known to this shard when resolved. The change of
    /// the view comes before the answer, on the same lane.
    ///
    /// # Errors
    /// Why the request that needs it is refused.
    pub async fn make<R: Runtime>(self, shard: &Rc<Shard<R>>) -> Result<(), Refusal> {
        match self {
            Prerequisite::Topic(wanted) => shard.ensure_topic(wanted).await.map(drop),
            Prerequisite::InternalTopic { topic, queues, sys_flag } => {
                shard.ensure_internal_topic(&topic, queues, sys_flag).await.map(drop)
            }
            Prerequisite::Group(group) => match shard.ensure_group(group).await? {
                true => Ok(()),
                false => Err(Refusal::system_error(
                    "the consumer group is not there and is not made on first use",
                )),
            },
        }
    }
}
