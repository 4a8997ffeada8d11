//! What follows when clients come, go and change their subscriptions.

use std::rc::Rc;

use ringmq_io::Runtime;
use ringmq_remoting::{
    codes::request, encode, frame::Serialization,
    headers::client::NotifyConsumerIdsChangedRequestHeader,
};
use ringmq_rules::{
    ConnectionId,
    clients::ClientEvent,
    refusal::Refusal,
    topic::{SYS_FLAG_UNIT_SUB, retry_topic},
};

use super::Control;
use crate::{
    messages::Change,
    shard::{Shard, control_plane::ControlPlane},
};

impl<R: Runtime> Control<R> {
    /// Makes the retry topics that a heartbeat needs.
    pub async fn make_retry_topics(self: &Rc<Self>, events: &[ClientEvent]) -> Result<(), Refusal> {
        for event in events {
            let ClientEvent::RetryTopicNeeded { group, unit_mode } = event else {
                continue;
            };
            let queues = {
                let tables = self.tables.borrow();
                tables.groups.get(group).map_or(1, |group| group.retry_queues)
            };
            let sys_flag = if *unit_mode { SYS_FLAG_UNIT_SUB } else { 0 };
            self.clone().ensure_internal_topic(retry_topic(group), queues, sys_flag).await?;
        }
        Ok(())
    }

    fn notifies_members(&self) -> bool {
        self.shard.settings.config.notify_consumer_ids_changed_enable
    }

    /// Does what a change of clients asks for: publishes subscriptions, tells members.
    pub fn client_events(&self, events: Vec<ClientEvent>) {
        for event in events {
            match event {
                // Also when a connection ends, as in Java.
                ClientEvent::GroupChanged { .. } if !self.notifies_members() => {}
                ClientEvent::GroupChanged { group, notify } => {
                    for member in notify {
                        notify_changed(&self.shard, member, &group);
                    }
                }
                ClientEvent::SubscriptionsChanged { group, subscriptions } => {
                    self.publish(Change::Subscriptions(group, subscriptions));
                }
                ClientEvent::RetryTopicNeeded { .. } => {}
            }
        }
    }
}

fn notify_changed<R: Runtime>(shard: &Shard<R>, member: ConnectionId, group: &str) {
    let header = NotifyConsumerIdsChangedRequestHeader { consumer_group: group.to_owned() };
    let sent = shard.write_frame(member, |out| {
        let code = request::NOTIFY_CONSUMER_IDS_CHANGED;
        encode::request_values(out, Serialization::Json, code, 0, true, &header.encode(), &[])
    });
    if let Err(error) = sent {
        tracing::warn!(%error, "a member of a consumer group was not told that it changed");
    }
}
