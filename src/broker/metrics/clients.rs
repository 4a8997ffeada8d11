//! Who is connected, by group, language and version.

use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use ringmq_io::Runtime;
use ringmq_remoting::codes::version;
use ringmq_rules::clients::{Client, ClientTable};

use crate::control::Control;

/// Members that are counted without a pause: some 50 us.
const SLICE_MEMBERS: usize = 256;

/// Language and version of clients, as labels.
pub type Kind = (&'static str, i32);

/// What is connected.
#[derive(Debug, Default)]
pub struct Clients {
    pub producers: BTreeMap<Kind, u64>,
    /// By group and kind, with how the group consumes.
    pub consumers: BTreeMap<(Arc<str>, Kind), (&'static str, u64)>,
    /// Series of consumers beyond the limit.
    pub left_out: usize,
}

/// Counts the members of all groups, at most `most` series.
pub async fn all<R: Runtime>(control: &Rc<Control<R>>, most: usize) -> Clients {
    let mut clients = Clients::default();
    count_producers(control, &mut clients).await;
    let mut last: Option<Arc<str>> = None;
    loop {
        let next = next_group(&control.tables.borrow().clients, last.as_ref());
        let Some(group) = next else {
            return clients;
        };
        count_consumers(control, &group, &mut clients, most).await;
        last = Some(group);
    }
}

fn next_group(clients: &ClientTable, last: Option<&Arc<str>>) -> Option<Arc<str>> {
    clients.consumer_groups_behind(last).next().cloned()
}

fn kind(client: &Client) -> Kind {
    (client.language.name(), version::known(client.version))
}

async fn count_producers<R: Runtime>(control: &Rc<Control<R>>, clients: &mut Clients) {
    let mut last: Option<Arc<str>> = None;
    loop {
        let next = {
            let tables = control.tables.borrow();
            tables.clients.producer_groups_behind(last.as_ref()).next().cloned()
        };
        let Some(group) = next else {
            return;
        };
        let mut after = None;
        loop {
            let (mut some, before) = (0, after);
            for client in control.tables.borrow().clients.producers_behind(&group, after) {
                *clients.producers.entry(kind(client)).or_default() += 1;
                some += 1;
                after = Some(client.connection);
                if some == SLICE_MEMBERS {
                    break;
                }
            }
            control.shard.runtime.yield_if_needed().await;
            if some < SLICE_MEMBERS || after == before {
                break;
            }
        }
        last = Some(group);
    }
}

async fn count_consumers<R: Runtime>(
    control: &Rc<Control<R>>,
    group: &Arc<str>,
    clients: &mut Clients,
    most: usize,
) {
    let subscriptions = control.tables.borrow().clients.subscriptions(group);
    let Some(mode) = subscriptions.map(|all| all.consume_type.mode()) else {
        return;
    };
    let mut after = None;
    loop {
        let mut some = 0;
        for client in control.tables.borrow().clients.consumers_behind(group, after) {
            let key = (group.clone(), kind(client));
            if clients.consumers.len() < most || clients.consumers.contains_key(&key) {
                clients.consumers.entry(key).or_insert((mode, 0)).1 += 1;
            } else {
                clients.left_out += 1;
            }
            some += 1;
            after = Some(client.connection);
            if some == SLICE_MEMBERS {
                break;
            }
        }
        control.shard.runtime.yield_if_needed().await;
        if some < SLICE_MEMBERS {
            return;
        }
    }
}

/// The version of a client as RocketMQ's metrics name it: `v4_9_8`.
pub fn version_name(number: i32) -> String {
    version::name(number).to_ascii_lowercase()
}
