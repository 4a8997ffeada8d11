//! RESUME_CHECK_HALF_MESSAGE (323): a message that was given up as half of a transaction becomes a
//! half message again, and its producer is asked for it anew.

use std::rc::Rc;

use ringmq_base::record::Record;
use ringmq_io::Runtime;
use ringmq_remoting::{headers::admin::ResumeCheckHalfMessageRequestHeader, message_id::MessageId};
use ringmq_rules::{
    refusal::Refusal,
    send_check::unknown_topic,
    topic::HALF_TOPIC,
    transaction::{self, Half},
};

use crate::{
    messages::NewMessage,
    requests::{Handled, Request, Response},
    shard::Shard,
};

pub async fn resume<R: Runtime>(shard: &Rc<Shard<R>>, request: &Request<'_>) -> Handled {
    let header = ResumeCheckHalfMessageRequestHeader::decode(&request.header.fields)?;
    let id = header.msg_id.unwrap_or_default();
    let (_, offset) = MessageId::parse(&id).ok_or_else(transaction::no_half)?;
    let bytes = shard.record_at(offset).await?.ok_or_else(transaction::no_half)?;
    let record = Record::decode(&bytes).map_err(|_| transaction::no_half())?;
    let half = Half::given_up(&record)?;
    let real = shard.topic(half.real_topic).ok_or_else(|| unknown_topic(half.real_topic))?;
    let halves = shard.topic(HALF_TOPIC);
    let halves = halves.ok_or_else(|| Refusal::system_error("a topic of the system is missing"))?;
    let logs = shard.queues.log_count();
    let check_from = {
        let rules = &shard.live().transactions;
        rules.check_from(record.properties, shard.runtime.now_ms())
    };
    let message = NewMessage {
        queue_id: halves.queue_on(real.log(half.real_queue, logs), logs),
        topic: halves,
        flag: record.flag,
        sys_flag: record.sys_flag,
        born_timestamp: record.born_timestamp,
        born_host: record.born_host,
        reconsume_times: record.reconsume_times,
        tags_code: check_from,
        prepared_transaction_offset: 0,
        properties: transaction::check_properties(record.properties, 0),
        body: record.body.to_vec(),
    };
    shard.put_message(message).await?;
    Ok(Response::ok())
}
