//! From a pull's frame to a checked [`PullRequest`], on the connection's shard.

use std::{rc::Rc, sync::Arc, time::Duration};

use ringmq_base::config::BrokerConfig;
use ringmq_io::Runtime;
use ringmq_remoting::{command::Header, field_limits, frame::Frame, pull::PullHeader};

use super::pull;
use crate::{
    messages::{PullRequest, ReplyTo, Wait as Keep},
    net::connections::ShardConnection,
    requests::{
        next::{Next, Peer, Wait},
        prerequisite::Prerequisite,
    },
    shard::Shard,
};
use ringmq_rules::{
    pull_check::{self, PullDecision},
    refusal::Refusal,
};

/// Handles a pull from a connection of this shard; `Some`: something has to be created first.
pub fn pull<R: Runtime>(
    shard: &Rc<Shard<R>>,
    peer: Peer,
    reply_to: ReplyTo,
    (header, frame): (&Header<'_>, &Frame<'_>),
) -> Next {
    let checked = field_limits::check(&header.fields).map_err(Refusal::from);
    let pull = checked.and_then(|()| Ok(PullHeader::from_header(header, frame.serialization)?));
    match pull {
        Ok(header) => check_and_pull(shard, peer, reply_to, &header),
        Err(refusal) => {
            shard.refuse(&reply_to, &refusal);
            Next::Continue
        }
    }
}

/// Checks a pull and runs it, or answers why not.
pub fn check_and_pull<R: Runtime>(
    shard: &Rc<Shard<R>>,
    peer: Peer,
    reply_to: ReplyTo,
    header: &PullHeader<'_>,
) -> Next {
    match checked(shard, peer, reply_to, header) {
        Ok(Ok(mut request)) => {
            let owner = shard.queues.owner(&request.topic, request.queue_id);
            if owner == shard.id {
                pull::run(shard, request);
                return Next::Continue;
            }
            let proven = |connection: &ShardConnection<R>| connection.is_proven();
            request.proven = shard.connections.with(peer.connection, proven).unwrap_or(false);
            if let Err(overloaded) = shard.router.pull(owner, request) {
                shard.refuse(&reply_to, &overloaded.into());
            }
            Next::Continue
        }
        Ok(Err(needed)) => Next::Wait(reply_to, Wait::Prerequisite(needed)),
        Err(refusal) => {
            shard.refuse(&reply_to, &refusal);
            Next::Continue
        }
    }
}

fn checked<R: Runtime>(
    shard: &Rc<Shard<R>>,
    peer: Peer,
    reply_to: ReplyTo,
    header: &PullHeader<'_>,
) -> Result<Result<PullRequest, Prerequisite>, Refusal> {
    let view = shard.view.borrow();
    if let Some(refusal) = &view.draining {
        return Err((**refusal).clone());
    }
    let config = &view.live.config;
    let context = pull_check::PullContext {
        broker_permission: config.broker_permission,
        broker_ip: &config.broker_ip1,
        auto_create_group: config.auto_create_subscription_group,
        property_filter: config.enable_property_filter,
        consumer: peer.address,
    };
    let group = view.groups.get(header.consumer_group);
    let topic = view.topics.get(header.topic);
    let subscriptions = view.subscriptions.get(header.consumer_group);
    let filter = match pull_check::check(
        &context,
        header,
        group.map(|group| &**group),
        topic.map(|topic| &topic.topic),
        subscriptions.map(|subscriptions| &**subscriptions),
    )? {
        PullDecision::Read(filter) => filter,
        PullDecision::CreateGroup => {
            return Ok(Err(Prerequisite::Group(header.consumer_group.to_owned())));
        }
    };
    let (Some(topic), Some(group)) = (topic, group) else {
        return Err(Refusal::system_error("a pull passed its checks without topic or group"));
    };
    let commit = pull_check::has_commit(header.sys_flag).then_some(header.commit_offset);
    Ok(Ok(PullRequest {
        reply_to,
        topic: topic.clone(),
        queue_id: header.queue_id,
        offset: header.queue_offset,
        limits: pull_check::limits(header.max_msg_nums, header.max_msg_bytes),
        filter,
        own_subscription: pull_check::has_subscription(header.sys_flag),
        group: Arc::clone(&group.name),
        commit,
        wait: wait(config, header),
        proven: false,
    }))
}

/// Longest time that a pull is kept: clients use 20 s, and a connection lives 120 s in silence.
const SUSPEND_MS_MAX: u64 = 110_000;

/// How long a pull is kept that finds nothing.
fn wait(config: &BrokerConfig, header: &PullHeader<'_>) -> Keep {
    let short = (!config.long_polling_enable).then_some(config.short_polling_time_ms as i64);
    let suspend = pull_check::suspend_ms(header.sys_flag, header.suspend_timeout_millis, short);
    suspend
        .and_then(|ms| u64::try_from(ms).ok())
        .map_or(Keep::No, |ms| Keep::For(Duration::from_millis(ms.min(SUSPEND_MS_MAX))))
}
