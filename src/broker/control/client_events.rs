//! What follows when clients come, go and change their subscriptions. The members of a large group
//! are told of a change some at a time.

use std::{cell::RefCell, collections::BTreeMap, ops::Bound, rc::Rc, sync::Arc};

use ringmq_io::{Runtime, Shares};
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

/// Members that are told without a pause: some 100 us.
const SLICE_TOLD: usize = 64;

/// How far the members of a group are told that it has changed.
#[derive(Clone, Copy, Debug)]
struct Told {
    to: ConnectionId,
    /// It has changed since the first of them was told.
    again: bool,
}

/// Groups of which some members were told that they have changed, and some not yet. A task is at
/// it as long as there are any.
#[derive(Default)]
pub struct Notifications(RefCell<BTreeMap<Arc<str>, Told>>);

impl<R: Runtime> Control<R> {
    /// Makes the retry topic of a group that is there, unless it has one.
    pub async fn make_retry_topic(
        self: &Rc<Self>,
        group: &str,
        unit_mode: bool,
    ) -> Result<(), Refusal> {
        let queues = {
            let tables = self.tables.borrow();
            tables.groups.get(group).map_or(1, |group| group.retry_queues)
        };
        let sys_flag = if unit_mode { SYS_FLAG_UNIT_SUB } else { 0 };
        self.clone().ensure_internal_topic(retry_topic(group), queues, sys_flag).await.map(drop)
    }

    fn notifies_members(&self) -> bool {
        self.shard.view.borrow().live.config.notify_consumer_ids_changed_enable
    }

    /// Does what a change of clients asks for, in the turn of the change, so that of two the later
    /// is published last: publishes subscriptions, tells members.
    pub fn client_events(self: &Rc<Self>, events: Vec<ClientEvent>) {
        for event in events {
            match event {
                // Also when a connection ends, as in Java.
                ClientEvent::GroupChanged { .. } if !self.notifies_members() => {}
                ClientEvent::GroupChanged { group } => self.notify_members(group),
                ClientEvent::SubscriptionsChanged { group, subscriptions } => {
                    self.publish(Change::Subscriptions(group, subscriptions));
                }
            }
        }
    }

    /// Tells the members of a group, if it is small; a large one is told in turn with others, and
    /// once more for all changes that come while it is.
    fn notify_members(self: &Rc<Self>, group: Arc<str>) {
        if let Some(told) = self.notifications.0.borrow_mut().get_mut(&group) {
            told.again = true;
            return;
        }
        let Some(to) = self.tell_some(&group, None) else {
            return;
        };
        let mut groups = self.notifications.0.borrow_mut();
        groups.insert(group, Told { to, again: false });
        if groups.len() > 1 {
            return;
        }
        let control = self.clone();
        self.shard.runtime.spawn(Shares::Admin, "changes of groups", async move {
            let mut last: Arc<str> = Arc::from("");
            while let Some(next) = control.tell_next(&last) {
                control.shard.flush();
                control.shard.runtime.yield_if_needed().await;
                last = next;
            }
        });
    }

    /// Tells some members of the group behind another, which comes in turn. `None`: all are told.
    fn tell_next(&self, last: &Arc<str>) -> Option<Arc<str>> {
        let mut groups = self.notifications.0.borrow_mut();
        let behind = (Bound::Excluded(last.clone()), Bound::Unbounded);
        let next = groups.range(behind).next().or_else(|| groups.iter().next());
        let (group, told) = next.map(|(group, told)| (group.clone(), *told))?;
        let told = match self.tell_some(&group, Some(told.to)) {
            Some(to) => Some(Told { to, ..told }),
            None if told.again => self.tell_some(&group, None).map(|to| Told { to, again: false }),
            None => None,
        };
        match told {
            Some(told) => drop(groups.insert(group.clone(), told)),
            None => drop(groups.remove(&group)),
        }
        Some(group)
    }

    /// Tells some members of a group, those behind a connection. The last of these; `None`: there
    /// are no more.
    fn tell_some(&self, group: &str, after: Option<ConnectionId>) -> Option<ConnectionId> {
        let tables = self.tables.borrow();
        let mut members = tables.clients.consumers_behind(group, after);
        let mut last = None;
        for member in members.by_ref().take(SLICE_TOLD) {
            notify_changed(&self.shard, member.connection, group);
            last = Some(member.connection);
        }
        members.next().and(last)
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
