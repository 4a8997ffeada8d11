//! SEND_MESSAGE (10), SEND_MESSAGE_V2 (310), SEND_BATCH_MESSAGE (320): checked on the connection's
//! shard, appended on the shard that owns the queue, acknowledged when durable. No task, no
//! lock and, for an ordinary message to a queue of this shard, no allocation on the way.

use std::{rc::Rc, sync::Arc};

use ringmq_base::LogId;
use ringmq_io::Runtime;
use ringmq_remoting::{command::Header, field_limits, frame::Frame, send::SendHeader};
use ringmq_store::{AppendError, Appended, QueueHandle};

use super::{
    batch::{self, Length},
    long_batch::LongBatch,
    record::{record_of, ticket},
    timer::{self, NotKept},
};
use crate::{
    messages::{AutoCreate, NewMessage, ReplyTo, SendItem, TopicView},
    requests::{
        next::{Next, Peer, Wait},
        prerequisite::Prerequisite,
    },
    shard::{BrokerLog, Shard, view::View},
};
use ringmq_rules::{
    refusal::Refusal,
    send_check::{self, SendDecision, SendPlan, SendRequest, Target},
    topic::{dlq_topic, retry_group},
};

/// Handles a send from a connection of this shard, however its header is written.
pub fn send<R: Runtime>(
    shard: &Rc<Shard<R>>,
    peer: Peer,
    reply_to: ReplyTo,
    (header, frame): (&Header<'_>, &Frame<'_>),
) -> Next {
    let checked = field_limits::check(&header.fields).map_err(Refusal::from);
    let send = checked.and_then(|()| Ok(SendHeader::from_header(header, frame.serialization)?));
    match send {
        Ok(header) => check_and_store(shard, peer, reply_to, &header, frame.body),
        Err(refusal) => {
            shard.refuse(&reply_to, &refusal);
            Next::Continue
        }
    }
}

/// Checks a send and appends it, or answers why not.
pub fn check_and_store<R: Runtime>(
    shard: &Rc<Shard<R>>,
    peer: Peer,
    reply_to: ReplyTo,
    header: &SendHeader<'_>,
    body: &[u8],
) -> Next {
    match try_store(shard, peer, reply_to, header, body) {
        Ok(Next::Continue) if header.batch => Next::Costly,
        Ok(next) => next,
        Err(refusal) => {
            shard.refuse(&reply_to, &refusal);
            Next::Continue
        }
    }
}

fn try_store<R: Runtime>(
    shard: &Rc<Shard<R>>,
    peer: Peer,
    reply_to: ReplyTo,
    header: &SendHeader<'_>,
    body: &[u8],
) -> Result<Next, Refusal> {
    let began = shard.probe.sends.takes().then(|| shard.runtime.monotonic());
    let view = shard.view.borrow();
    let request = request_of(header, peer, body);
    let topic = view.topics.get(header.topic);
    let queue = topic.and_then(|topic| shard.queues.known(topic, header.queue_id));
    let group = retry_group(header.topic).and_then(|group| view.groups.get(group));
    let context = shard.send_context(&view, header.version);
    let topic_config = topic.map(|view| &view.topic);
    let decision =
        send_check::check(&context, &request, topic_config, group.map(|group| &**group))?;
    let plan = match decision {
        SendDecision::Store(plan) => plan,
        SendDecision::CreateTopic => return Ok(wait_for(reply_to, topic_of(header))),
        SendDecision::CreateGroup(group) => {
            return Ok(wait_for(reply_to, Prerequisite::Group(group.to_owned())));
        }
    };
    if let Some(refusal) = view.refuses_sends() {
        return Err(refusal.clone());
    }
    let requested = topic;
    let topic = match target(&view, topic, &plan)? {
        Ok(topic) => topic,
        Err(needed) => return Ok(wait_for(reply_to, needed)),
    };
    let mut item = item_of(header, peer, reply_to, &plan);
    if item.is_half {
        item.queue_id = half_queue(shard, (&view, requested), topic, &plan);
    }
    let mut properties = shard.properties.take();
    properties.clear();
    plan.write_properties(header.properties, context.own_properties, &mut properties)?;
    let checked = began.map(|began| shard.note_checked(began));
    // Nothing happened since the queue was looked up that could have sealed it.
    let sent = match queue.filter(|_| plan.target == Target::Requested) {
        Some(queue) => store_own(shard, topic, &item, queue, &properties, body),
        None if plan.timer.is_some() => {
            store_timer(shard, &view, (topic, &plan), &mut item, &properties, body)
        }
        None => store(shard, topic, &mut item, &properties, body),
    };
    shard.properties.replace(properties);
    if let Some(checked) = checked {
        shard.note_appended(checked);
    }
    if let (Some(group), Ok(Next::Continue)) = (group.filter(|_| plan.dead_letter.is_some()), &sent)
    {
        shard.count_dead(header.topic, &group.name);
    }
    sent
}

fn request_of<'a>(header: &SendHeader<'a>, peer: Peer, body: &[u8]) -> SendRequest<'a> {
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
        producer: peer.address,
    }
}

#[inline]
fn item_of(
    header: &SendHeader<'_>,
    peer: Peer,
    reply_to: ReplyTo,
    plan: &SendPlan<'_>,
) -> SendItem {
    SendItem {
        reply_to,
        topic: 0,
        queue_id: plan.queue_id,
        reply_queue_id: plan.reply_queue_id,
        flag: header.flag,
        sys_flag: plan.sys_flag,
        born_timestamp: header.born_timestamp,
        born_host: peer.address,
        reconsume_times: header.reconsume_times,
        tags_code: plan.tags_code,
        properties_bytes: 0,
        body_bytes: 0,
        is_batch: header.batch,
        is_long: false,
        is_timer: false,
        is_half: plan.target == Target::Half,
        message_type: plan.message_type(),
    }
}

#[cold]
fn wait_for(reply_to: ReplyTo, needed: Prerequisite) -> Next {
    Next::Wait(reply_to, Wait::Prerequisite(needed))
}

/// Stores a message that is kept back until its time. `topic`: the real one.
#[cold]
fn store_timer<R: Runtime>(
    shard: &Rc<Shard<R>>,
    view: &View,
    (topic, plan): (&Arc<TopicView>, &SendPlan<'_>),
    item: &mut SendItem,
    properties: &[u8],
    body: &[u8],
) -> Result<Next, Refusal> {
    let timers = timer::topic(view)?;
    item.queue_id = timer::timer_queue(shard, timers, topic, plan.queue_id);
    item.is_timer = true;
    if plan.timer.is_some_and(|timer| timer.is_deletion) && shard.queues.log_count() > 1 {
        let message = NewMessage {
            topic: timers.clone(),
            queue_id: item.queue_id,
            flag: item.flag,
            sys_flag: item.sys_flag,
            born_timestamp: item.born_timestamp,
            born_host: item.born_host,
            reconsume_times: item.reconsume_times,
            tags_code: item.tags_code,
            prepared_transaction_offset: 0,
            properties: properties.to_vec(),
            body: body.to_vec(),
        };
        return Ok(timer::store_deletion(shard, item, message));
    }
    store(shard, timers, item, properties, body)
}

/// The topic to make for a send.
#[cold]
fn topic_of(header: &SendHeader<'_>) -> Prerequisite {
    Prerequisite::Topic(AutoCreate {
        topic: header.topic.to_owned(),
        default_topic: header.default_topic.to_owned(),
        queues: header.default_topic_queues,
        unit_mode: header.unit_mode,
    })
}

/// The topic that the message is stored in, or for one with a time the real one; or what to ask for
/// to have it made.
fn target<'v>(
    view: &'v View,
    requested: Option<&'v Arc<TopicView>>,
    plan: &SendPlan<'_>,
) -> Result<Result<&'v Arc<TopicView>, Prerequisite>, Refusal> {
    if let Some(group) = plan.dead_letter {
        let name = dlq_topic(group);
        if !view.topics.contains_key(&*name) {
            return Ok(Err(Prerequisite::InternalTopic { topic: name, queues: 1, sys_flag: 0 }));
        }
    }
    let found = match plan.target {
        Target::Timer => match plan.dead_letter {
            Some(group) => view.topics.get(&*dlq_topic(group)),
            None => requested,
        },
        Target::Requested => requested,
        Target::DeadLetter(group) => view.topics.get(&*dlq_topic(group)),
        Target::Schedule | Target::Half => {
            plan.system_topic().and_then(|topic| view.topics.get(topic))
        }
    };
    found.map(Ok).ok_or_else(|| Refusal::system_error("a topic of the system is missing"))
}

/// The queue of the half topic that is in the log of the queue that the message is for.
#[cold]
fn half_queue<R: Runtime>(
    shard: &Shard<R>,
    (view, requested): (&View, Option<&Arc<TopicView>>),
    halves: &TopicView,
    plan: &SendPlan<'_>,
) -> i32 {
    let logs = shard.queues.log_count();
    let dead_letter = plan.dead_letter.and_then(|group| view.topics.get(&*dlq_topic(group)));
    let real = dead_letter.or(requested);
    let log = real.map(|real| real.log(plan.real_queue().unwrap_or(0), logs));
    log.map_or(0, |log| halves.queue_on(log, logs))
}

/// Appends a message or a batch here, or sends it on its way to the owner of its queue.
fn store<R: Runtime>(
    shard: &Rc<Shard<R>>,
    topic: &Arc<TopicView>,
    item: &mut SendItem,
    properties: &[u8],
    body: &[u8],
) -> Result<Next, Refusal> {
    let owner = shard.queues.owner(topic, item.queue_id);
    if owner == shard.id {
        let queue = open_queue(shard, topic, item.queue_id)?;
        return store_own(shard, topic, item, queue, properties, body);
    }
    let log = || topic.log(item.queue_id, shard.queues.log_count());
    if shard.is_flooded_there(item.reply_to.connection, log) {
        return Ok(Next::Wait(item.reply_to, Wait::CaughtUp(log())));
    }
    if let Length::Long = check_batch(shard, item, body)? {
        return Ok(wait_for_batch(topic, item, properties));
    }
    item.properties_bytes = bytes_of(properties.len())?;
    item.body_bytes = bytes_of(body.len())?;
    shard.router.send(owner, topic, item.clone(), properties, body)?;
    Ok(Next::Continue)
}

/// Appends a message or a batch to a queue of this shard.
fn store_own<R: Runtime>(
    shard: &Shard<R>,
    topic: &Arc<TopicView>,
    item: &SendItem,
    queue: (&BrokerLog<R>, QueueHandle),
    properties: &[u8],
    body: &[u8],
) -> Result<Next, Refusal> {
    if let Length::Long = check_batch(shard, item, body)? {
        return Ok(wait_for_batch(topic, item, properties));
    }
    if shard.is_flooded(item.reply_to.connection, queue.0) {
        return Ok(Next::Wait(item.reply_to, Wait::CaughtUp(queue.0.sink().log)));
    }
    match append_to(shard, topic, item, queue, properties, body) {
        Ok(()) => Ok(Next::Continue),
        Err(NotStored::Busy(log)) => Ok(Next::Wait(item.reply_to, Wait::Room(log))),
        Err(NotStored::Refused(refusal)) => Err(refusal),
    }
}

fn check_batch<R: Runtime>(
    shard: &Shard<R>,
    item: &SendItem,
    body: &[u8],
) -> Result<Length, Refusal> {
    let most = shard.settings.config.batch_messages_max;
    if item.is_batch { batch::check(body, most) } else { Ok(Length::Short) }
}

#[cold]
fn wait_for_batch(topic: &Arc<TopicView>, item: &SendItem, properties: &[u8]) -> Next {
    assert!(!item.is_half && !item.is_timer, "a batch is neither kept back nor in a transaction");
    let (topic, item, properties) = (topic.clone(), item.clone(), properties.to_vec());
    Next::Wait(item.reply_to, Wait::LongBatch(Box::new(LongBatch { topic, item, properties })))
}

pub fn bytes_of(length: usize) -> Result<u32, Refusal> {
    u32::try_from(length).map_err(|_| Refusal::system_error("message larger than a frame"))
}

/// Why a send was not appended; nothing of it is in the log.
pub enum NotStored {
    /// The log has too much in memory: to be tried again when it has room.
    Busy(LogId),
    Refused(Refusal),
}

/// Appends a checked message or batch to its queue, which is one of this shard. It is stored at the
/// time of the turn, which the caller has set: to ask the clock for each takes as long as a copy.
pub fn append<R: Runtime>(
    shard: &Shard<R>,
    topic: &TopicView,
    item: &SendItem,
    properties: &[u8],
    body: &[u8],
) -> Result<(), NotStored> {
    let queue = open_queue(shard, topic, item.queue_id).map_err(NotStored::Refused)?;
    append_to(shard, topic, item, queue, properties, body)
}

/// A queue of this shard that messages may be stored in.
pub fn open_queue<'s, R: Runtime>(
    shard: &'s Shard<R>,
    topic: &TopicView,
    queue_id: i32,
) -> Result<(&'s BrokerLog<R>, QueueHandle), Refusal> {
    shard.check_seal(topic)?;
    Ok(shard.queues.get(topic, queue_id))
}

fn append_to<R: Runtime>(
    shard: &Shard<R>,
    topic: &TopicView,
    item: &SendItem,
    (log, queue): (&BrokerLog<R>, QueueHandle),
    properties: &[u8],
    body: &[u8],
) -> Result<(), NotStored> {
    if item.is_half {
        shard.check_half_room(log, queue).map_err(NotStored::Refused)?;
    }
    if item.is_timer {
        return match timer::append(shard, topic, item, (log, queue), properties, body) {
            Ok(()) => Ok(()),
            Err(NotKept::Refused(refusal)) => Err(NotStored::Refused(refusal)),
            Err(NotKept::Log(error)) => Err(not_stored(shard, log, &error)),
        };
    }
    let appended = shard.append(|| {
        if item.is_batch {
            return batch::append(shard, topic, item, (log, queue), properties, body);
        }
        let record = record_of(shard, topic, item, [properties, b"", b""], body);
        let ticket = |appended: &Appended| ticket(item, appended, appended.queue_offset, None);
        let now_ms = shard.turn_ms.get();
        let appended = log.append_at(now_ms, queue, &record, item.tags_code, ticket)?;
        shard.usage.count_send(topic, item.message_type, 1, appended.size as u64);
        Ok(())
    });
    appended.map_err(|error| not_stored(shard, log, &error))
}

pub fn not_stored<R: Runtime>(
    shard: &Shard<R>,
    log: &BrokerLog<R>,
    error: &AppendError,
) -> NotStored {
    match error {
        AppendError::Busy { .. } => NotStored::Busy(log.sink().log),
        error => NotStored::Refused(shard.refusal_of(error)),
    }
}
