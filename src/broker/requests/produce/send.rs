//! SEND_MESSAGE (10), SEND_MESSAGE_V2 (310), SEND_BATCH_MESSAGE (320): checked on the connection's
//! shard, appended on the shard that owns the queue, acknowledged when durable. No task, no
//! lock and, for an ordinary message to a queue of this shard, no allocation on the way.

mod batch;

use std::{rc::Rc, sync::Arc};

use ringmq_base::{LogId, PhysicalOffset, record::NewRecord};
use ringmq_io::Runtime;
use ringmq_remoting::{
    codes::response,
    command::{Header, HeaderError},
    frame::Frame,
    send::SendHeader,
};
use ringmq_store::{AppendError, Appended};

use crate::{
    messages::{
        Origin, Part, SendItem,
        ask::{Ask, AutoCreate},
        parcel::Parcel,
    },
    requests::{dispatch::From, prerequisite::Preparation},
    shard::{
        Shard,
        acks::{ClientTicket, Ticket},
        view::{TopicView, View},
    },
};
use ringmq_rules::{
    refusal::Refusal,
    send_check::{self, SendDecision, SendPlan, SendRequest, Target},
    topic::{dlq_topic, retry_group},
};

/// What became of a send.
pub enum Sent {
    /// It is on its way, or refused and answered.
    Done,
    /// The log of this shard that it is for has too much in memory.
    Full(LogId, Origin),
    /// Something has to be created first.
    NotYet(Preparation),
}

/// Handles a send from a connection of this shard, however its header is written.
pub fn send<R: Runtime>(
    shard: &Rc<Shard<R>>,
    from: From,
    origin: Origin,
    frame: &Frame<'_>,
) -> Result<Sent, HeaderError> {
    let header = Header::decode(frame)?;
    Ok(match SendHeader::from_header(&header, frame.serialization) {
        Ok(header) => check_and_store(shard, from, origin, &header, frame.body),
        Err(error) => {
            shard.refuse(&origin, &error.into());
            Sent::Done
        }
    })
}

/// Checks a send and appends it, or answers why not.
pub fn check_and_store<R: Runtime>(
    shard: &Rc<Shard<R>>,
    from: From,
    origin: Origin,
    header: &SendHeader<'_>,
    body: &[u8],
) -> Sent {
    match try_store(shard, from, origin, header, body) {
        Ok(sent) => sent,
        Err(refusal) => {
            shard.refuse(&origin, &refusal);
            Sent::Done
        }
    }
}

fn try_store<R: Runtime>(
    shard: &Rc<Shard<R>>,
    from: From,
    origin: Origin,
    header: &SendHeader<'_>,
    body: &[u8],
) -> Result<Sent, Refusal> {
    let view = shard.view.borrow();
    let request = request_of(header, from, body);
    let topic = view.topics.get(header.topic);
    if let Some(topic) = topic {
        shard.prefetch_queue(topic, header.queue_id);
    }
    let group = retry_group(header.topic).and_then(|group| view.groups.get(group));
    let facts = shard.send_facts(&view);
    let topic_config = topic.map(|view| &view.topic);
    let decision = send_check::check(&facts, &request, topic_config, group.map(|group| &**group))?;
    let plan = match decision {
        SendDecision::Store(plan) => plan,
        SendDecision::CreateTopic => {
            let ask = Ask::EnsureTopic(AutoCreate {
                topic: header.topic.to_owned(),
                default_topic: header.default_topic.to_owned(),
                queues: header.default_topic_queues,
                unit_mode: header.unit_mode,
            });
            return Ok(Sent::NotYet(Preparation { origin, ask }));
        }
        SendDecision::CreateGroup(group) => {
            let ask = Ask::EnsureGroup(group.to_owned());
            return Ok(Sent::NotYet(Preparation { origin, ask }));
        }
    };
    if let Some(refusal) = &view.disk_full {
        return Err((**refusal).clone());
    }
    let topic = match target(&view, topic, &plan)? {
        Ok(topic) => topic,
        Err(ask) => return Ok(Sent::NotYet(Preparation { origin, ask })),
    };
    let item = SendItem {
        origin,
        topic: 0,
        queue_id: plan.queue_id,
        reply_queue_id: plan.reply_queue_id,
        flag: header.flag,
        sys_flag: plan.sys_flag,
        born_timestamp: header.born_timestamp,
        born_host: from.peer,
        reconsume_times: header.reconsume_times,
        tags_code: plan.tags_code,
        properties_bytes: 0,
        body_bytes: 0,
        part: Part::Whole,
    };
    let mut properties = shard.properties.take();
    properties.clear();
    plan.write_properties(header.properties, facts.cluster_property, &mut properties)?;
    let sent = if header.batch {
        batch::store(shard, topic, &item, &properties, body)
    } else {
        store(shard, topic, item, [&properties, b"", b""], body)
    };
    shard.properties.replace(properties);
    sent
}

fn request_of<'a>(header: &SendHeader<'a>, from: From, body: &[u8]) -> SendRequest<'a> {
    SendRequest {
        topic: header.topic,
        queue_id: header.queue_id,
        sys_flag: header.sys_flag,
        properties: header.properties,
        body_bytes: body.len(),
        reconsume_times: header.reconsume_times,
        max_reconsume_times: header.max_reconsume_times,
        batch: header.batch,
        version: header.version,
        producer: from.peer,
    }
}

/// The topic that the message is stored in, or what to ask for to have it made.
fn target<'v>(
    view: &'v View,
    requested: Option<&'v Arc<TopicView>>,
    plan: &SendPlan<'_>,
) -> Result<Result<&'v Arc<TopicView>, Ask>, Refusal> {
    if let Some(group) = plan.dead_letter {
        let name = dlq_topic(group);
        if !view.topics.contains_key(&*name) {
            return Ok(Err(Ask::EnsureInternalTopic { topic: name, queues: 1, sys_flag: 0 }));
        }
    }
    let found = match plan.target {
        Target::Requested => requested,
        Target::DeadLetter(group) => view.topics.get(&*dlq_topic(group)),
        Target::Schedule | Target::Half => {
            plan.system_topic().and_then(|topic| view.topics.get(topic))
        }
    };
    found.map(Ok).ok_or_else(|| Refusal::system_error("a topic of the system is missing"))
}

/// Appends a message here, or sends it on its way to the owner of its queue.
fn store<R: Runtime>(
    shard: &Rc<Shard<R>>,
    topic: &Arc<TopicView>,
    mut item: SendItem,
    properties: [&[u8]; 3],
    body: &[u8],
) -> Result<Sent, Refusal> {
    let owner = shard.queue_owner(&topic.topic, item.queue_id);
    if owner == shard.id {
        let (log, queue) = shard.queue(topic, item.queue_id);
        let record = record_of(shard, topic, &item, properties, body);
        let appended =
            log.append(queue, &record, item.tags_code, |appended| ticket(&item, appended, None));
        return match appended {
            Ok(_) => Ok(Sent::Done),
            Err(AppendError::Busy { .. }) => Ok(Sent::Full(log.sink().log, item.origin)),
            Err(error) => Err(shard.refusal_of(&error)),
        };
    }
    item.properties_bytes = bytes_of(properties.iter().map(|part| part.len()).sum())?;
    item.body_bytes = bytes_of(body.len())?;
    shard.router.send(owner, topic, item, properties, body)?;
    Ok(Sent::Done)
}

fn bytes_of(length: usize) -> Result<u32, Refusal> {
    u32::try_from(length).map_err(|_| Refusal::system_error("message larger than a frame"))
}

fn record_of<'a, R: Runtime>(
    shard: &Shard<R>,
    topic: &'a TopicView,
    item: &SendItem,
    properties: [&'a [u8]; 3],
    body: &'a [u8],
) -> NewRecord<'a> {
    NewRecord {
        topic: &topic.topic.name,
        queue_id: item.queue_id,
        flag: item.flag,
        sys_flag: item.sys_flag,
        born_timestamp: item.born_timestamp,
        born_host: item.born_host,
        store_host: shard.facts.store_host,
        reconsume_times: item.reconsume_times,
        prepared_transaction_offset: 0,
        body,
        properties,
    }
}

/// `batch`: queue offset of the first, and places of all but the last message of a batch.
fn ticket(
    item: &SendItem,
    appended: &Appended,
    batch: Option<(i64, Box<[PhysicalOffset]>)>,
) -> Option<Ticket> {
    if item.origin.oneway {
        return None;
    }
    let (queue_offset, batch) = match batch {
        Some((first, others)) => (first, Some(others)),
        None => (appended.queue_offset, None),
    };
    Some(Ticket::Client(ClientTicket {
        origin: item.origin,
        queue_id: item.reply_queue_id,
        queue_offset,
        physical: appended.physical,
        batch,
    }))
}

/// Appends messages that another shard has checked, waiting for the log where it has too much in
/// memory: the lane fills up meanwhile, and the senders hear of it.
pub async fn store_forwarded<R: Runtime>(shard: &Rc<Shard<R>>, parcel: &Parcel) {
    let came_at = shard.runtime.monotonic();
    let mut rest = parcel.bytes.as_slice();
    let mut open = batch::Open::default();
    for item in &parcel.sends {
        let (properties, behind) = rest.split_at(item.properties_bytes as usize);
        let (body, behind) = behind.split_at(item.body_bytes as usize);
        rest = behind;
        let topic = &parcel.topics[usize::from(item.topic)];
        let parts = [properties, b"", b""];
        let outcome = loop {
            match open.append(shard, topic, item, parts, body) {
                Err(AppendError::Busy { .. }) => {
                    shard.flush();
                    let (log, _) = shard.queue(topic, item.queue_id);
                    if item.part != Part::Whole {
                        // A batch is stored as one: its other messages may be there already.
                        log.room().await;
                    } else if let Err(refusal) = shard.log_room(log.sink().log, came_at).await {
                        break Err(refusal);
                    }
                }
                outcome => break outcome.map_err(|error| shard.refusal_of(&error)),
            }
        };
        if let Err(refusal) = outcome {
            shard.refuse(&item.origin, &refusal);
        }
    }
}

impl<R: Runtime> Shard<R> {
    /// The answer to a send that the store does not take.
    #[cold]
    pub fn refusal_of(&self, error: &AppendError) -> Refusal {
        if matches!(error, AppendError::Full { .. }) {
            self.note_full();
        }
        refusal_of(error)
    }
}

fn refusal_of(error: &AppendError) -> Refusal {
    match error {
        AppendError::Busy { .. } => Refusal::new(
            response::SYSTEM_BUSY,
            format!("[PC_SYNCHRONIZED]broker busy, start flow control for a while: {error}"),
        ),
        AppendError::TooLarge { .. } => {
            Refusal::new(response::MESSAGE_ILLEGAL, format!("the message is illegal: {error}"))
        }
        AppendError::Full { .. }
        | AppendError::NoRoom { .. }
        | AppendError::Fenced { .. }
        | AppendError::ShuttingDown => Refusal::new(
            response::SERVICE_NOT_AVAILABLE,
            format!("service not available now. {error}"),
        ),
    }
}
