//! Asking producers: CHECK_TRANSACTION_STATE (39), one way. What the producer knows comes back as
//! END_TRANSACTION.

use std::{collections::BTreeMap, rc::Rc};

use ringmq_base::{
    ShardId,
    record::{NewRecord, Placement},
};
use ringmq_io::Runtime;
use ringmq_remoting::{
    codes::request, encode, frame::Serialization,
    headers::client::CheckTransactionStateRequestHeader as CheckState, message_id::message_id,
};
use ringmq_rules::{
    ConnectionId,
    transaction::{Half, check_properties},
};

use crate::shard::Shard;

/// Producers of a group that are asked for one transaction until one is there.
const TRIES: usize = 3;

/// What a producer is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// Of producers.
    group: String,
    header: CheckState,
    /// The half message as if it were in its real queue.
    body: Vec<u8>,
}

impl Question {
    pub fn of<R: Runtime>(shard: &Shard<R>, half: &Half<'_>, times: u32) -> Question {
        let record = half.record;
        let properties = check_properties(record.properties, times);
        let real = NewRecord {
            topic: half.real_topic,
            queue_id: half.real_queue,
            flag: record.flag,
            sys_flag: record.sys_flag,
            born_timestamp: record.born_timestamp,
            born_host: record.born_host,
            store_host: record.store_host,
            reconsume_times: record.reconsume_times,
            prepared_transaction_offset: record.prepared_transaction_offset,
            body: record.body,
            properties: [&properties, b"", b""],
        };
        let mut body = vec![0; real.size()];
        real.encode(
            &mut body,
            &Placement {
                queue_offset: record.queue_offset,
                physical_offset: record.physical_offset,
                store_timestamp: record.store_timestamp,
            },
        );
        let id = message_id(record.store_host, record.physical_offset).as_str().to_owned();
        let unique_key = half.unique_key().map(str::to_owned);
        let header = CheckState {
            tran_state_table_offset: record.queue_offset,
            commit_log_offset: record.physical_offset,
            msg_id: unique_key.clone(),
            transaction_id: unique_key,
            offset_msg_id: Some(id),
            topic: Some(half.real_topic.to_owned()),
            bname: Some(shard.settings.config.broker_name.clone()),
        };
        Question { group: half.group.to_owned(), header, body }
    }
}

/// Asks a producer of each group, or another one if that is gone or does not take what it is sent.
/// Gives for how many questions there was none.
pub async fn ask<R: Runtime>(shard: &Rc<Shard<R>>, mut questions: Vec<Question>) -> u64 {
    for _ in 0..TRIES {
        if questions.is_empty() {
            return 0;
        }
        let groups = questions.iter().map(|question| question.group.clone()).collect();
        let producers = shard.pick_producers(groups).await;
        let mut alone = Vec::new();
        let mut by_shard: BTreeMap<u16, Vec<(ConnectionId, Question)>> = BTreeMap::new();
        for (question, producer) in questions.into_iter().zip(producers) {
            match producer {
                Some(to) => by_shard.entry(to.shard).or_default().push((to, question)),
                None => alone.push(question),
            }
        }
        // A group without producers has none at the next try either.
        let nobody = alone.len() as u64;
        let mut again = Vec::new();
        for (to, questions) in by_shard {
            let send = async move |shard: Rc<Shard<R>>| send(&shard, questions);
            again.extend(shard.call(ShardId(to), send).await);
        }
        if again.is_empty() {
            return nobody;
        }
        questions = again;
        questions.extend(alone);
    }
    questions.len() as u64
}

/// Sends questions to clients of this shard; gives back those whose client is gone or has not taken
/// what it was sent before.
fn send<R: Runtime>(shard: &Shard<R>, questions: Vec<(ConnectionId, Question)>) -> Vec<Question> {
    let mut again = Vec::new();
    for (to, question) in questions {
        if shard.check_taken(to, question.body.len()).is_err() {
            again.push(question);
            continue;
        }
        let sent = shard.write_frame(to, |out| {
            let (code, fields) = (request::CHECK_TRANSACTION_STATE, question.header.encode());
            encode::request_values(out, Serialization::Json, code, 0, true, &fields, &question.body)
        });
        if let Err(error) = sent {
            tracing::warn!(%error, "a producer was not asked for a transaction");
        }
    }
    shard.flush();
    again
}
