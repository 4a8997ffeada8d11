//! Which broker of a name a consumer pulls from: its master, or a slave while it reads what is long
//! past; and what a slave answers to whoever is further than itself.

use std::time::Duration;

use ringmq_io::Runtime;
use ringmq_remoting::codes::response;
use ringmq_store::{ReadPlan, ReadStatus};

use super::pull_answer::{begin, get_status};
use crate::{messages::PullRequest, shard::Shard};

pub const MASTER_ID: i64 = 0;

/// How long a pull waits whose consumer is further than this slave. The slave may catch up; and
/// whoever is answered at once asks again at once, for as long as it knows of no master.
pub const BEYOND_TIME_MAX: Duration = Duration::from_secs(1);

/// The id that the client is told to pull from next. With `slaveReadEnable` that is one of its
/// group's: `whichBrokerWhenConsumeSlowly` as long as what it reads is not in the hot tail, else
/// its `brokerId`.
pub fn suggested_broker<R: Runtime>(shard: &Shard<R>, group: &str, plan: &ReadPlan) -> i64 {
    let view = shard.view.borrow();
    if !view.live.config.slave_read_enable {
        return MASTER_ID;
    }
    view.groups.get(group).map_or(MASTER_ID, |group| match plan.in_memory {
        true => group.broker_id,
        false => group.which_broker_when_consume_slowly,
    })
}

/// Whether a slave does not trust itself with how a read ended: its master may have what is
/// missing. What it has deleted its master has deleted before. With `offsetCheckInSlave` it
/// corrects what a master would.
pub fn is_beyond<R: Runtime>(shard: &Shard<R>, request: &PullRequest, status: ReadStatus) -> bool {
    let ends = match status {
        ReadStatus::OffsetOverflowBadly => true,
        ReadStatus::QueueEmpty => request.offset != 0,
        _ => false,
    };
    ends && shard.settings.role.is_slave() && !shard.view.borrow().live.config.offset_check_in_slave
}

/// Has the client ask its master from the same offset on.
pub fn answer_beyond<R: Runtime>(shard: &Shard<R>, request: &PullRequest, plan: &ReadPlan) {
    let code = response::PULL_RETRY_IMMEDIATELY;
    shard.pull_counts.count(0);
    shard.count_answer(&request.reply_to, code, request.wait.is_long());
    let told = (code, get_status(plan.status).name(), MASTER_ID);
    let plan = ReadPlan { next_offset: request.offset, extents: Vec::new(), ..*plan };
    shard.write_reply(&request.reply_to, |out| {
        begin(out, &request.reply_to, told, &plan)?.finish(out)
    });
}
