//! Pulls whose filter looks at the properties of messages: the records are read first, and those
//! that are not wanted are left out of the answer.

use std::{rc::Rc, sync::Arc};

use ringmq_base::record::Record;
use ringmq_io::{Runtime, Shares};
use ringmq_remoting::codes::response;
use ringmq_store::{QueueHandle, ReadLimits, ReadPlan, ReadStatus};

use super::pull::{PullRequest, Wait, begin};
use crate::{
    features::{Refusal, pull_check, sql_filter::SqlFilter},
    shard::{BrokerLog, Shard},
};

impl<R: Runtime> Shard<R> {
    /// Answers a pull whose first `plan` found messages, in a task of its own.
    pub fn answer_filtered(
        self: &Rc<Self>,
        log: &BrokerLog<R>,
        queue: QueueHandle,
        request: PullRequest,
        plan: ReadPlan,
        filter: Arc<SqlFilter>,
    ) {
        let shares = if plan.in_memory { Shares::Foreground } else { Shares::ColdRead };
        let (shard, log) = (self.clone(), log.clone());
        self.runtime.spawn(shares, "filtered pull", async move {
            match kept(&log, queue, &request, plan, &filter).await {
                Ok((plan, body)) => shard.answer_kept(request, &plan, &body),
                Err(refusal) => {
                    let topic = &request.topic.topic.name;
                    tracing::error!(%topic, error = %refusal.remark, "pull failed");
                    shard.refuse(&request.origin, &refusal);
                }
            }
            shard.flush();
        });
    }

    fn answer_kept(self: &Rc<Self>, mut request: PullRequest, plan: &ReadPlan, body: &[u8]) {
        if !body.is_empty() {
            self.write_reply(&request.origin, |out| {
                let code = response::SUCCESS;
                let start = begin(out, &request.origin, code, Some("FOUND"), plan);
                out.extend_from_slice(body);
                start.finish(out);
            });
        } else if matches!(request.wait, Wait::Until(_)) && plan.next_offset == plan.max {
            // A kept pull whose filter lets nothing new through goes on waiting behind it.
            request.offset = plan.next_offset;
            self.pull(request);
        } else {
            self.answer_without_messages(&request, plan, false);
        }
    }
}

/// Reads on until a message is wanted, the queue ends or enough was looked at. Gives what is
/// wanted, and the plan to answer from.
async fn kept<R: Runtime>(
    log: &BrokerLog<R>,
    queue: QueueHandle,
    request: &PullRequest,
    mut plan: ReadPlan,
    filter: &SqlFilter,
) -> Result<(ReadPlan, Vec<u8>), Refusal> {
    let limits = pull_check::limits(request.messages_max, request.bytes_max, true);
    let read_limits =
        ReadLimits { messages: limits.messages, bytes: limits.bytes, scan: limits.scan };
    let (mut scanned, mut read, mut body) = (0, Vec::new(), Vec::new());
    loop {
        read.clear();
        if !(plan.in_memory && log.copy_resident(&plan, &mut read)) {
            let done = log.read_cold(&plan, &mut read).await;
            done.map_err(|error| Refusal::system_error(error.to_string()))?;
        }
        keep_wanted(&read, filter, &mut body)?;
        scanned += plan.extents.len();
        if !body.is_empty() || plan.next_offset >= plan.max || scanned >= limits.scan {
            break;
        }
        let next = log.plan_read(queue, plan.next_offset, &read_limits, |_| true);
        if next.status != ReadStatus::Found {
            break;
        }
        plan = next;
    }
    plan.status = if body.is_empty() { ReadStatus::NoMatched } else { ReadStatus::Found };
    Ok((plan, body))
}

/// Appends those of the records that the filter keeps.
fn keep_wanted(records: &[u8], filter: &SqlFilter, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let mut rest = records;
    while !rest.is_empty() {
        let record = Record::decode(rest);
        let record = record.map_err(|error| Refusal::system_error(error.to_string()))?;
        let (bytes, behind) = rest.split_at(record.size.min(rest.len()));
        if filter.keep(record.properties) {
            out.extend_from_slice(bytes);
        }
        rest = behind;
    }
    Ok(())
}
