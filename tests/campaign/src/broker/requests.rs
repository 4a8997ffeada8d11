//! The requests of the simulated clients, as they go over the wire.

use std::{collections::BTreeSet, ops::Range, rc::Rc, time::Duration};

use ringmq_io::sim::Random;
use ringmq_remoting::{
    batch::{self, BatchMessage},
    body::{
        ConsumerData, HeartbeatData, LockBatchRequestBody, MessageQueue, ProducerData,
        SubscriptionGroupConfig,
    },
    codes::{request, sys_flag},
    encode::{self, Value},
    fastjson,
    frame::Serialization,
};
use ringmq_test_client::{Pull, Send, commit_fields, queue_fields, topic_fields};

use super::{
    model::{Model, Queue, contents, properties, unique_key},
    sent_back::Back,
    timers,
};

#[derive(Clone, Debug)]
pub enum Request {
    /// Messages with the numbers `ids`; a batch, or a single one.
    Send {
        queue: Queue,
        ids: Range<u64>,
        batch: bool,
    },
    /// A message as the half of a transaction.
    Half {
        queue: Queue,
        id: u64,
    },
    /// Commits a half or rolls it back.
    End {
        id: u64,
        commit: bool,
    },
    /// A message that is kept back until its time.
    Timed {
        queue: Queue,
        id: u64,
    },
    /// Cancels such a message: with a deletion that is sent to a queue, or by its handle.
    Cancel {
        id: u64,
        queue: Queue,
        recall: bool,
    },
    /// A consumer gives a message back.
    SendBack(Back),
    Pull {
        group: Rc<str>,
        queue: Queue,
        offset: i64,
        wait: Duration,
    },
    Commit {
        group: Rc<str>,
        queue: Queue,
        offset: i64,
    },
    /// Has a group go on there, whatever its clients commit.
    Reset {
        group: Rc<str>,
        queue: Queue,
        offset: i64,
    },
    /// The same from a time on, of the clock of the broker.
    ResetToTime {
        group: Rc<str>,
        queue: Queue,
        time_ms: i64,
    },
    /// For a group whose name makes a record that the metadata log cannot take.
    HugeCommit {
        queue: Queue,
    },
    QueryOffset {
        group: Rc<str>,
        queue: Queue,
    },
    Lock {
        client: u32,
        queue: Queue,
    },
    Unlock {
        client: u32,
        queue: Queue,
    },
    Heartbeat {
        client: u32,
        group: Rc<str>,
    },
    MakeTopic {
        topic: Rc<str>,
        queues: i32,
    },
    DeleteTopic {
        topic: Rc<str>,
    },
    MakeGroup {
        group: Rc<str>,
    },
    DeleteGroup {
        group: Rc<str>,
    },
    MinOffset {
        queue: Queue,
    },
    MaxOffset {
        queue: Queue,
    },
    Topics,
    Groups,
}

/// The group of all producers.
const PRODUCERS: &str = "producer";

/// A reset that names no offset goes by its time.
const NO_OFFSET: i64 = -1;

/// Of a control character, which JSON writes in six bytes.
const HUGE_BYTES: usize = 3 << 20;

impl Request {
    /// How long the broker may keep it although all is well.
    pub fn wait(&self) -> Duration {
        match self {
            Request::Pull { wait, .. } => *wait,
            _ => Duration::ZERO,
        }
    }

    /// Appends the frame.
    pub fn encode(&self, model: &Model, opaque: i32, random: &mut Random, out: &mut Vec<u8>) {
        let mut frame = Frame { opaque, random, out };
        match self {
            Request::Send { queue, ids, batch } => send(model, queue, ids, *batch, &mut frame),
            Request::Half { queue, id } => half(model, queue, *id, &mut frame),
            Request::End { id, commit } => end(model, *id, *commit, &mut frame),
            Request::Timed { queue, id } => timed(model, queue, *id, &mut frame),
            Request::Cancel { id, recall: true, .. } => frame.recall(model.timed[id].handle()),
            Request::Cancel { id, queue, .. } => cancel(model, queue, *id, &mut frame),
            Request::Pull { group, queue, offset, wait } => {
                pull(group, queue, *offset, *wait, &mut frame)
            }
            Request::Commit { group, queue, offset } => {
                let fields = commit_fields(group, &queue.0, queue.1, *offset);
                frame.write(request::UPDATE_CONSUMER_OFFSET, &fields, b"");
            }
            Request::SendBack(back) => frame.send_back(back),
            Request::Reset { group, queue, offset } => frame.reset(group, queue, (0, *offset)),
            Request::ResetToTime { group, queue, time_ms } => {
                frame.reset(group, queue, (*time_ms, NO_OFFSET));
            }
            Request::HugeCommit { queue } => frame.huge_commit(queue),
            Request::QueryOffset { group, queue } => frame.write(
                request::QUERY_CONSUMER_OFFSET,
                &[
                    ("consumerGroup", Value::Str(group)),
                    ("topic", Value::Str(&queue.0)),
                    ("queueId", Value::Int(queue.1.into())),
                ],
                b"",
            ),
            Request::Lock { client, queue } => {
                frame.write(request::LOCK_BATCH_MQ, &[], &lock_body(*client, queue));
            }
            Request::Unlock { client, queue } => {
                frame.write(request::UNLOCK_BATCH_MQ, &[], &lock_body(*client, queue));
            }
            Request::Heartbeat { client, group } => {
                frame.write(request::HEART_BEAT, &[], &heartbeat(*client, group));
            }
            Request::MinOffset { queue } => frame.of_queue(request::GET_MIN_OFFSET, queue),
            Request::MaxOffset { queue } => frame.of_queue(request::GET_MAX_OFFSET, queue),
            Request::Topics => frame.write(request::GET_ALL_TOPIC_CONFIG, &[], b""),
            Request::Groups => frame.write(request::GET_ALL_SUBSCRIPTIONGROUP_CONFIG, &[], b""),
            Request::MakeTopic { .. }
            | Request::DeleteTopic { .. }
            | Request::MakeGroup { .. }
            | Request::DeleteGroup { .. } => self.encode_change(&mut frame),
        }
    }

    /// The requests that change topics and groups.
    fn encode_change(&self, frame: &mut Frame<'_>) {
        match self {
            Request::MakeTopic { topic, queues } => {
                let fields = topic_fields(topic, *queues);
                frame.write(request::UPDATE_AND_CREATE_TOPIC, &fields, b"");
            }
            Request::DeleteTopic { topic } => {
                frame.write(request::DELETE_TOPIC_IN_BROKER, &[("topic", Value::Str(topic))], b"");
            }
            Request::MakeGroup { group } => {
                let config = SubscriptionGroupConfig {
                    group_name: group.to_string(),
                    ..SubscriptionGroupConfig::default()
                };
                let code = request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
                frame.write(code, &[], &fastjson::to_vec(&config));
            }
            Request::DeleteGroup { group } => frame.write(
                request::DELETE_SUBSCRIPTIONGROUP,
                &[("groupName", Value::Str(group))],
                b"",
            ),
            _ => unreachable!("no change of a topic or group"),
        }
    }
}

struct Frame<'a> {
    opaque: i32,
    random: &'a mut Random,
    out: &'a mut Vec<u8>,
}

impl Frame<'_> {
    fn write(&mut self, code: i32, fields: &[(&str, Value<'_>)], body: &[u8]) {
        let binary = self.random.chance(1, 3);
        let how = if binary { Serialization::RocketMq } else { Serialization::Json };
        let opaque = self.opaque;
        let fits = encode::request_values(self.out, how, code, opaque, false, fields, body);
        fits.expect("small requests fit into a frame");
    }

    fn huge_commit(&mut self, queue: &Queue) {
        let group = "\u{1}".repeat(HUGE_BYTES);
        let fields = commit_fields(&group, &queue.0, queue.1, 1);
        let (code, binary) = (request::UPDATE_CONSUMER_OFFSET, Serialization::RocketMq);
        encode::request_values(self.out, binary, code, self.opaque, false, &fields, b"")
            .expect("below the largest header");
    }

    fn recall(&mut self, handle: &str) {
        let fields = [
            ("producerGroup", Value::Str("producer")),
            ("topic", Value::Str(timers::TOPIC)),
            ("recallHandle", Value::Str(handle)),
        ];
        self.write(request::RECALL_MESSAGE, &fields, b"");
    }

    fn send_back(&mut self, back: &Back) {
        let fields = [
            ("offset", Value::Int(back.physical)),
            ("group", Value::Str(&back.group)),
            ("delayLevel", Value::Int(back.level.into())),
            ("unitMode", Value::Bool(false)),
            ("maxReconsumeTimes", Value::Int(back.times_max.into())),
        ];
        self.write(request::CONSUMER_SEND_MSG_BACK, &fields, b"");
    }

    fn reset(&mut self, group: &str, (topic, id): &Queue, (time_ms, offset): (i64, i64)) {
        let fields = [
            ("topic", Value::Str(topic)),
            ("group", Value::Str(group)),
            ("timestamp", Value::Int(time_ms)),
            ("isForce", Value::Bool(true)),
            ("queueId", Value::Int((*id).into())),
            ("offset", Value::Int(offset)),
        ];
        self.write(request::INVOKE_BROKER_TO_RESET_OFFSET, &fields, b"");
    }

    fn of_queue(&mut self, code: i32, (topic, id): &Queue) {
        self.write(code, &queue_fields(topic, *id), b"");
    }
}

/// The fields of a send in SEND_MESSAGE, which has no short names.
const LONG_NAMES: [&str; 13] = [
    "producerGroup",
    "topic",
    "defaultTopic",
    "defaultTopicQueueNums",
    "queueId",
    "sysFlag",
    "bornTimestamp",
    "flag",
    "properties",
    "reconsumeTimes",
    "unitMode",
    "maxReconsumeTimes",
    "batch",
];

fn send(model: &Model, (topic, id): &Queue, ids: &Range<u64>, batch: bool, frame: &mut Frame<'_>) {
    let mut body = Vec::new();
    let mut own = Vec::new();
    for number in ids.clone() {
        let message = model.message(number);
        let bytes = contents(number, message.body_bytes);
        let property = properties(number, message.property_bytes);
        if batch {
            let message = BatchMessage { flag: 0, body: &bytes, properties: &property };
            batch::append(&mut body, &message).expect("lengths fit");
        } else {
            (body, own) = (bytes, property);
        }
    }
    let own = String::from_utf8(own).expect("text");
    let send = Send { topic, queue: *id, queues: 4, properties: &own, batch };
    let mut fields = send.fields();
    let long = !batch && frame.random.chance(1, 3);
    if long {
        fields.iter_mut().zip(LONG_NAMES).for_each(|(field, name)| field.0 = name);
    }
    let code = match (batch, long) {
        (true, _) => request::SEND_BATCH_MESSAGE,
        (false, true) => request::SEND_MESSAGE,
        (false, false) => request::SEND_MESSAGE_V2,
    };
    frame.write(code, &fields, &body);
}

fn half(model: &Model, (topic, id): &Queue, number: u64, frame: &mut Frame<'_>) {
    let message = model.message(number);
    let body = contents(number, message.body_bytes);
    let own = String::from_utf8(properties(number, message.property_bytes)).expect("text");
    let own = format!("TRAN_MSG\u{1}true\u{2}PGROUP\u{1}{PRODUCERS}\u{2}{own}");
    let send = Send { topic, queue: *id, queues: 4, properties: &own, batch: false };
    frame.write(request::SEND_MESSAGE_V2, &send.fields(), &body);
}

fn timed(model: &Model, (topic, id): &Queue, number: u64, frame: &mut Frame<'_>) {
    let message = model.message(number);
    let body = contents(number, message.body_bytes);
    let own = String::from_utf8(properties(number, message.property_bytes)).expect("text");
    let own = format!("{}{own}", model.timed[&number].properties());
    let send = Send { topic, queue: *id, queues: 4, properties: &own, batch: false };
    frame.write(request::SEND_MESSAGE_V2, &send.fields(), &body);
}

fn end(model: &Model, number: u64, commit: bool, frame: &mut Frame<'_>) {
    let (offset, position) = model.half(number).place.expect("only halves with a place are ended");
    let asked = match commit {
        true => sys_flag::TRANSACTION_COMMIT_TYPE,
        false => sys_flag::TRANSACTION_ROLLBACK_TYPE,
    };
    let fields = [
        ("producerGroup", Value::Str(PRODUCERS)),
        ("tranStateTableOffset", Value::Int(offset)),
        ("commitLogOffset", Value::Int(position)),
        ("commitOrRollback", Value::Int(asked.into())),
        ("msgId", Value::Str("id")),
    ];
    frame.write(request::END_TRANSACTION, &fields, b"");
}

fn cancel(model: &Model, (topic, id): &Queue, number: u64, frame: &mut Frame<'_>) {
    let until = model.timed[&number].properties();
    let key = unique_key(number);
    let own = format!("{until}TIMER_DEL_UNIQKEY\u{1}{topic}+{key}\u{2}UNIQ_KEY\u{1}{key}\u{2}");
    let send = Send { topic, queue: *id, queues: 4, properties: &own, batch: false };
    frame.write(request::SEND_MESSAGE_V2, &send.fields(), b"x");
}

fn pull(group: &str, (topic, id): &Queue, offset: i64, wait: Duration, frame: &mut Frame<'_>) {
    let pull = Pull { group, topic, queue: *id, offset, messages_max: 32, wait };
    frame.write(request::PULL_MESSAGE, &pull.fields(), b"");
}

fn lock_body(client: u32, (topic, id): &Queue) -> Vec<u8> {
    let queue =
        MessageQueue { topic: topic.to_string(), broker_name: "sim".to_owned(), queue_id: *id };
    fastjson::to_vec(&LockBatchRequestBody {
        consumer_group: "lockers".to_owned(),
        client_id: format!("client-{client}"),
        only_this_broker: false,
        mq_set: BTreeSet::from([queue]),
    })
}

fn heartbeat(client: u32, group: &str) -> Vec<u8> {
    fastjson::to_vec(&HeartbeatData {
        client_id: format!("client-{client}"),
        producer_data_set: vec![ProducerData { group_name: PRODUCERS.to_owned() }],
        consumer_data_set: vec![ConsumerData {
            group_name: group.to_owned(),
            ..ConsumerData::default()
        }],
        ..HeartbeatData::default()
    })
}
