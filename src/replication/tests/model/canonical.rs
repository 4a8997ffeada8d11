//! What of a state matters, whatever the members are called: states that differ in nothing else are
//! one.
//!
//! Not in it, because it follows from what is: how far a follower was sent a log (to its own end,
//! while it is connected), what it holds of it (what is stable there), and numbers of connections
//! (the newest one, or not).

use std::hash::{Hash, Hasher};

use ringmq_replication::{ids::ReplicaId, in_sync_set::InSyncSet};

use super::cluster::{Ask, NODES, Node, State, id, node_of};

/// By number of a node: the one that it is given.
type Naming = [u8; NODES];

const NAMINGS: [Naming; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let smallest = NAMINGS.iter().map(|naming| code(self, naming)).min();
        smallest.hash(hasher);
    }
}

fn code(state: &State, naming: &Naming) -> Vec<u8> {
    let mut code = Vec::with_capacity(128);
    let group = &state.group;
    let named = |member: ReplicaId| naming[node_of(member)];
    code.extend([group.epoch.0 as u8, named(group.leader), group.version as u8]);
    code.extend(set(&group.set, naming));
    let mut in_order = [0; NODES];
    for (node, name) in naming.iter().enumerate() {
        in_order[usize::from(*name)] = node;
    }
    for node in in_order {
        of_node(&state.nodes[node], naming, &in_order, &mut code);
    }
    let mut asks: Vec<_> = state.asks.iter().map(|ask| of_ask(ask, naming)).collect();
    asks.sort_unstable();
    code.push(asks.len() as u8);
    asks.iter().for_each(|ask| code.extend(ask));
    if let Some(late) = &state.late {
        let leads = state.nodes[late.to].leads.as_ref();
        let newest = leads.and_then(|leads| leads.progress.connection(id(late.from)));
        let is_newest = newest == Some(late.connection);
        let sent = leads.map_or(0, |leads| leads.progress.sent_to(id(late.from), late.log));
        code.extend([naming[late.from], naming[late.to], late.epoch.0 as u8, late.log as u8]);
        code.extend([late.position as u8, u8::from(is_newest), sent as u8]);
    }
    for told in &state.told {
        code.push(told.len() as u8);
        code.extend(told);
    }
    code.push(state.broken.map_or(0, |how| how as u8 + 1));
    code
}

fn set(set: &InSyncSet, naming: &Naming) -> [u8; 2] {
    let bits = set.members().map(|member| 1 << naming[node_of(member)]).sum();
    [bits, set.required() as u8]
}

fn of_node(node: &Node, naming: &Naming, in_order: &[usize; NODES], code: &mut Vec<u8>) {
    code.push(node.follower.joined().0 as u8);
    code.push(node.follows.map_or(NODES as u8, |(leader, _)| naming[leader]));
    for (number, log) in node.logs.iter().enumerate() {
        code.extend([log.entries.len() as u8, log.stable as u8]);
        code.extend(&log.entries);
        code.push(node.follower.committed(number) as u8);
    }
    let Some(leads) = &node.leads else { return code.push(0) };
    let progress = &leads.progress;
    code.extend([1 + leads.version as u8, progress.epoch().0 as u8]);
    code.extend(set(progress.set(), naming));
    code.extend(progress.asked().map_or([0, 0], |asked| set(asked, naming)));
    for log in 0..node.logs.len() {
        code.push(progress.committed(log) as u8);
        code.extend(in_order.map(|other| progress.held_by(id(other), log) as u8));
    }
}

fn of_ask(ask: &Ask, naming: &Naming) -> [u8; 6] {
    let [bits, required] = set(&ask.set, naming);
    let recorded = ask.recorded.map_or(2, u8::from);
    [naming[ask.from], ask.epoch.0 as u8, ask.version as u8, bits, required, recorded]
}
