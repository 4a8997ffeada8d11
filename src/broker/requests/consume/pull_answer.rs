//! The answer to a pull, but for the messages.

use ringmq_io::Runtime;
use ringmq_net::rounds::PIECE_BYTES;
use ringmq_remoting::{
    codes::response,
    encode::{self, EncodeError, Value},
};
use ringmq_store::{ReadPlan, ReadStatus};

use crate::{
    messages::{PullRequest, ReplyTo},
    shard::Shard,
};
use ringmq_rules::pull_check::GetStatus;

pub fn answer_without_messages<R: Runtime>(
    shard: &Shard<R>,
    request: &PullRequest,
    plan: &ReadPlan,
) {
    let status = get_status(plan.status);
    let code = status.response_code(request.offset);
    shard.pull_counts.count(0);
    shard.note_next_pull(request, plan.next_offset);
    shard.count_answer(&request.reply_to, code, request.wait.is_long());
    shard.write_reply(&request.reply_to, |out| {
        begin(out, &request.reply_to, code, Some(status.name()), plan)?.finish(out)
    });
}

/// Answers with records that were read; a long body is not copied again.
pub fn answer_with_messages<R: Runtime>(
    shard: &Shard<R>,
    request: &PullRequest,
    plan: &ReadPlan,
    body: Vec<u8>,
) {
    let reply_to = &request.reply_to;
    shard.count_late_answer(reply_to, response::SUCCESS, request.wait.is_long());
    let begin = |out: &mut Vec<u8>| begin(out, reply_to, response::SUCCESS, Some("FOUND"), plan);
    if body.len() <= PIECE_BYTES {
        return shard.write_reply(reply_to, |out| begin(out)?.finish_with(out, &body));
    }
    let bytes = body.len();
    shard.write_long_reply(reply_to, |out| begin(out)?.finish_before(out, bytes), body);
}

/// Sends a reader to the offset that its group was reset to.
pub fn answer_reset<R: Runtime>(
    shard: &Shard<R>,
    mut request: PullRequest,
    next_offset: i64,
    (min, max): (i64, i64),
) {
    shard.set_room(&mut request.reply_to, 0);
    shard.count_answer(&request.reply_to, response::PULL_OFFSET_MOVED, request.wait.is_long());
    let plan = ReadPlan {
        status: ReadStatus::OffsetOverflowBadly,
        next_offset,
        min,
        max,
        extents: Vec::new(),
        bytes: 0,
        in_memory: true,
    };
    shard.write_reply(&request.reply_to, |out| {
        let code = response::PULL_OFFSET_MOVED;
        begin(out, &request.reply_to, code, Some("OFFSET_RESET"), &plan)?.finish(out)
    });
}

/// How a read ended, in Java's words.
pub fn get_status(status: ReadStatus) -> GetStatus {
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
    reply_to: &ReplyTo,
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
    encode::begin_response(out, reply_to.serialization, reply_to.opaque, code, remark, &fields)
}
