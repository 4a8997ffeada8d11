//! PULL_MESSAGE (11) and LITE_PULL_MESSAGE (361): checked on the connection's shard, which knows
//! the client's subscription, and read on the shard that owns the queue.

use std::{rc::Rc, sync::Arc, time::Duration};

use ringmq_io::{Runtime, Shares};
use ringmq_remoting::{
    codes::response,
    encode::{self, EncodeError, Value},
};
use ringmq_store::{PageNeeded, ReadLimits, ReadPlan, ReadStatus};

use crate::{
    messages::Origin,
    shard::{BrokerLog, Shard, view::TopicView},
};
use ringmq_rules::{
    filter::Filter,
    pull_check::{self, GetStatus},
    refusal::Refusal,
};

/// A pull that has passed the checks.
#[derive(Debug)]
pub struct PullRequest {
    pub origin: Origin,
    pub topic: Arc<TopicView>,
    pub queue_id: i32,
    pub offset: i64,
    pub messages_max: i32,
    pub bytes_max: Option<i32>,
    pub filter: Filter,
    /// The group, and the consumer offset to store for it; once.
    pub commit: Option<(Arc<str>, i64)>,
    pub wait: Wait,
}

/// Whether a pull that finds nothing is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    No,
    /// As long as the client allows; it has not been kept yet.
    For(Duration),
    /// Until this time of the owner's clock; it has been kept before.
    Until(Duration),
}

impl<R: Runtime> Shard<R> {
    /// Answers a pull now, or keeps it until there is something to answer. The queue is one of
    /// this shard's.
    pub fn pull(self: &Rc<Self>, mut request: PullRequest) {
        if let Some((group, offset)) = request.commit.take() {
            let topic = &request.topic.topic.name;
            if let Err(refusal) = self.commit_offset(topic, &group, request.queue_id, offset) {
                tracing::warn!(%refusal, "consumer offset of a pull not stored");
            }
        }
        let (log, queue) = self.queue(&request.topic, request.queue_id);
        // What is not in memory is found out by the plan; its bytes are bounded all the same.
        let limits = pull_check::limits(request.messages_max, request.bytes_max, true);
        let limits =
            ReadLimits { messages: limits.messages, bytes: limits.bytes, scan: limits.scan };
        let filter = &request.filter;
        let plan = log.plan_read(queue, request.offset, &limits, |code| filter.keep(code));
        let plan = match plan {
            Ok(plan) => plan,
            Err(needed) => return self.pull_with_page(log, request, needed),
        };
        if plan.status == ReadStatus::Found {
            if let Filter::Sql(filter) = &request.filter {
                let filter = filter.clone();
                self.answer_filtered(log, queue, request, plan, filter);
                return;
            }
            self.answer_found(log, request, plan);
            return;
        }
        let code = get_status(plan.status).response_code(request.offset);
        let nothing_new = code == response::PULL_NOT_FOUND;
        // A kept pull whose filter lets nothing new through goes on waiting behind it.
        let passed_over = plan.status == ReadStatus::NoMatched
            && matches!(request.wait, Wait::Until(_))
            && plan.next_offset == plan.max;
        if nothing_new || passed_over {
            let deadline = match request.wait {
                Wait::No => None,
                Wait::For(time) => Some(self.runtime.monotonic() + time),
                Wait::Until(deadline) => Some(deadline),
            };
            if let Some(deadline) = deadline {
                if passed_over {
                    request.offset = plan.next_offset;
                }
                request.wait = Wait::Until(deadline);
                log.watch(queue);
                let place = (log.sink().log, queue);
                match self.waiting.hold(place, deadline, request) {
                    None => return,
                    Some(back) => request = back,
                }
            }
        }
        self.answer_without_messages(&request, &plan);
    }

    /// Goes on with a pull of long ago when part of the index has been read.
    fn pull_with_page(
        self: &Rc<Self>,
        log: &BrokerLog<R>,
        request: PullRequest,
        needed: PageNeeded,
    ) {
        let (shard, log) = (self.clone(), log.clone());
        self.runtime.spawn(Shares::ColdRead, "index page", async move {
            match log.fetch(needed).await {
                Ok(()) => shard.pull(request),
                Err(error) => {
                    tracing::error!(topic = %request.topic.topic.name, %error, "pull failed");
                    shard.refuse(&request.origin, &Refusal::system_error(error.to_string()));
                }
            }
            shard.flush();
        });
    }

    fn answer_found(self: &Rc<Self>, log: &BrokerLog<R>, request: PullRequest, plan: ReadPlan) {
        if plan.in_memory {
            let mut resident = true;
            self.write_reply(&request.origin, |out| {
                let before = out.len();
                let start = begin(out, &request.origin, response::SUCCESS, Some("FOUND"), &plan)?;
                resident = log.copy_resident(&plan, out);
                if resident {
                    return start.finish(out);
                }
                out.truncate(before);
                Ok(())
            });
            if resident {
                self.pulled.note(plan.extents.len());
                return;
            }
        }
        let (shard, log) = (self.clone(), log.clone());
        self.runtime.spawn(Shares::ColdRead, "cold pull", async move {
            let mut body = Vec::new();
            match log.read_cold(&plan, &mut body).await {
                Ok(()) => {
                    shard.pulled.note(plan.extents.len());
                    shard.write_reply(&request.origin, |out| {
                        let start =
                            begin(out, &request.origin, response::SUCCESS, Some("FOUND"), &plan)?;
                        out.extend_from_slice(&body);
                        start.finish(out)
                    });
                }
                Err(error) => {
                    tracing::error!(topic = %request.topic.topic.name, %error, "pull failed");
                    shard.refuse(&request.origin, &Refusal::system_error(error.to_string()));
                }
            }
            shard.flush();
        });
    }

    pub fn answer_without_messages(&self, request: &PullRequest, plan: &ReadPlan) {
        let status = get_status(plan.status);
        let code = status.response_code(request.offset);
        self.pulled.note(0);
        self.write_reply(&request.origin, |out| {
            begin(out, &request.origin, code, Some(status.name()), plan)?.finish(out)
        });
    }
}

/// How a read ended, in Java's words.
fn get_status(status: ReadStatus) -> GetStatus {
    match status {
        ReadStatus::Found => GetStatus::Found,
        ReadStatus::NoMatched => GetStatus::NoMatchedMessage,
        ReadStatus::OffsetOverflowOne => GetStatus::OffsetOverflowOne,
        ReadStatus::OffsetOverflowBadly => GetStatus::OffsetOverflowBadly,
        ReadStatus::OffsetTooSmall => GetStatus::OffsetTooSmall,
        ReadStatus::QueueEmpty => GetStatus::NoMessageInQueue,
    }
}

/// Begins the answer to a pull; its body follows.
pub fn begin(
    out: &mut Vec<u8>,
    origin: &Origin,
    code: i32,
    remark: Option<&str>,
    plan: &ReadPlan,
) -> Result<encode::Start, EncodeError> {
    let fields = [
        ("suggestWhichBrokerId", Value::Int(0)),
        ("nextBeginOffset", Value::Int(plan.next_offset)),
        ("minOffset", Value::Int(plan.min)),
        ("maxOffset", Value::Int(plan.max)),
    ];
    encode::begin_response(out, origin.serialization, origin.opaque, code, remark, &fields)
}
