//! What may happen next, and what becomes of it.

use ringmq_replication::{
    epochs::EpochTable,
    follower::Follower,
    group::{Command, GroupState},
    ids::{Epoch, ReplicaId},
    in_sync_set::InSyncSet,
    progress::{Begun, ConnectionNumber, Progress},
    takeover::{self, Joined},
};

use super::{
    cluster::{Ack, Ask, Broken, Cluster, Leader, Log, Mistake, NODES, State, id, node_of},
    counts::Event,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Append {
        leader: usize,
        log: usize,
    },
    /// A member that follows says so, at once or `late`.
    Sync {
        node: usize,
        log: usize,
        late: bool,
    },
    DeliverLate,
    Connect {
        leader: usize,
        follower: usize,
    },
    /// The next entry, if there is one, and what is committed.
    Send {
        leader: usize,
        follower: usize,
        log: usize,
    },
    /// It starts again at once: whoever stays away for a while does nothing meanwhile.
    Crash(usize),
    Elect {
        node: usize,
        without_old: bool,
    },
    /// With these members (and itself) joined.
    Begin {
        node: usize,
        joined: Vec<usize>,
    },
    Ask {
        leader: usize,
        other: usize,
    },
    /// By who records it.
    Answer {
        ask: usize,
        records: bool,
    },
    Outcome(usize),
}

pub fn possible(cluster: &Cluster, state: &State, actions: &mut Vec<Action>) {
    if matches!(state.broken, Some(Broken::Lost | Broken::Beyond)) {
        return;
    }
    let sizes = &cluster.sizes;
    for node in 0..NODES {
        of_node(cluster, state, node, actions);
    }
    if state.late.is_some() {
        actions.push(Action::DeliverLate);
    }
    for (number, ask) in state.asks.iter().enumerate() {
        match ask.recorded {
            None => {
                actions.extend([true, false].map(|records| Action::Answer { ask: number, records }))
            }
            Some(_) => actions.push(Action::Outcome(number)),
        }
    }
    let leader = node_of(state.group.leader);
    let begins = state.nodes[leader].follower.joined() < state.group.epoch;
    if begins {
        begin_with(cluster, state, leader, actions);
    }
    if state.group.epoch.0 < sizes.epochs {
        for node in 0..NODES {
            // Somebody else, or who led and has started again.
            if state.leads(node) != Some(state.group.epoch) {
                actions
                    .extend([true, false].map(|without_old| Action::Elect { node, without_old }));
            }
        }
    }
}

fn of_node(cluster: &Cluster, state: &State, node: usize, actions: &mut Vec<Action>) {
    let is = &state.nodes[node];
    let unsynced = |log: &Log| log.stable < log.entries.len();
    if is.leads.is_some() || is.follows.is_some() || is.logs.iter().any(unsynced) {
        actions.push(Action::Crash(node));
    }
    for (log, own) in is.logs.iter().enumerate() {
        if unsynced(own) {
            actions.push(Action::Sync { node, log, late: false });
            if cluster.sizes.late && is.follows.is_some() && state.late.is_none() {
                actions.push(Action::Sync { node, log, late: true });
            }
        }
    }
    if let Some(leads) = &is.leads {
        of_leader(cluster, state, node, &leads.progress, actions);
        let asks = state.asks.iter().any(|ask| ask.from == node);
        if !asks && leads.version < cluster.sizes.changes {
            let others = (0..NODES).filter(|other| *other != node);
            actions.extend(others.map(|other| Action::Ask { leader: node, other }));
        }
    }
}

fn of_leader(
    cluster: &Cluster,
    state: &State,
    leader: usize,
    progress: &Progress,
    actions: &mut Vec<Action>,
) {
    let is = &state.nodes[leader];
    let epoch = progress.epoch();
    let messages = |log: &Log| match cluster.makes(Mistake::NoRecordOfTheEpoch) {
        true => log.entries.len() - 1,
        false => log.entries.len() - log.table().rows().len(),
    };
    if is.logs.iter().map(messages).sum::<usize>() < cluster.sizes.messages {
        actions.extend((0..is.logs.len()).map(|log| Action::Append { leader, log }));
    }
    for follower in (0..NODES).filter(|other| *other != leader) {
        let other = &state.nodes[follower];
        let joined = other.follower.joined();
        if joined == epoch && other.follows.is_some_and(|(follows, _)| follows == leader) {
            for (log, own) in is.logs.iter().enumerate() {
                let its = &other.logs[log];
                let told = progress.committed(log).min(its.stable as u64);
                if its.entries.len() < own.entries.len() || other.follower.committed(log) < told {
                    actions.push(Action::Send { leader, follower, log });
                }
            }
        } else if joined <= epoch && state.leads(follower) != Some(epoch) {
            actions.push(Action::Connect { leader, follower });
        }
    }
}

/// All sets of members that might be enough, but no larger ones where one is: those have
/// everything.
fn begin_with(cluster: &Cluster, state: &State, node: usize, actions: &mut Vec<Action>) {
    let set = &state.group.set;
    let alone = set.requires_all() || cluster.makes(Mistake::OthersAreDiscarded);
    let others: Vec<usize> =
        set.members().map(node_of).filter(|other| *other != node && !alone).collect();
    for chosen in 0..1_usize << others.len() {
        let joins = others.iter().enumerate().filter(|(bit, _)| chosen >> bit & 1 == 1);
        let joined = joins.map(|(_, other)| *other).collect();
        actions.push(Action::Begin { node, joined });
    }
}

/// False: nothing comes of it.
pub fn carry_out(cluster: &Cluster, state: &mut State, action: Action) -> bool {
    let done = match action {
        Action::Append { leader, log } => append(cluster, state, leader, log),
        Action::Sync { node, log, late } => sync(cluster, state, node, log, late),
        Action::DeliverLate => match state.late.take() {
            Some(late) => deliver(cluster, state, &late, true),
            None => false,
        },
        Action::Connect { leader, follower } => connect(cluster, state, leader, follower).is_some(),
        Action::Send { leader, follower, log } => {
            send(cluster, state, leader, follower, log).is_some()
        }
        Action::Crash(node) => crash(cluster, state, node),
        Action::Elect { node, without_old } => elect(cluster, state, id(node), without_old),
        Action::Begin { node, joined } => begin(cluster, state, node, &joined).is_some(),
        Action::Ask { leader, other } => ask(cluster, state, leader, id(other)).is_some(),
        Action::Answer { ask, records } => answer(cluster, state, ask, records),
        Action::Outcome(ask) => outcome(cluster, state, ask),
    };
    if done {
        state.look();
        state.forget();
    }
    done
}

fn append(cluster: &Cluster, state: &mut State, leader: usize, log: usize) -> bool {
    let Some(epoch) = state.leads(leader) else { return false };
    state.nodes[leader].logs[log].entries.push(epoch.0 as u8);
    cluster.sizes.tails || sync(cluster, state, leader, log, false)
}

/// A member holds a log as far as it is stable: a master counts that, a follower says so.
fn sync(cluster: &Cluster, state: &mut State, node: usize, log: usize, late: bool) -> bool {
    let is = &mut state.nodes[node];
    let own = &mut is.logs[log];
    own.stable = own.entries.len();
    let position = own.stable as u64;
    match &mut is.leads {
        Some(leads) => leads.progress.hold(log, position),
        None if is.follows.is_some() => {
            is.follower.hold(log, position);
            let Some(ack) = said(state, node, log, position) else { return false };
            if late {
                state.late = Some(ack);
            } else {
                deliver(cluster, state, &ack, false);
            }
        }
        None => {}
    }
    true
}

fn said(state: &State, from: usize, log: usize, position: u64) -> Option<Ack> {
    let (to, connection) = state.nodes[from].follows?;
    let epoch = state.nodes[from].follower.joined();
    Some(Ack { from, to, connection, epoch, log, position })
}

fn deliver(cluster: &Cluster, state: &mut State, ack: &Ack, is_late: bool) -> bool {
    let Some(leads) = &mut state.nodes[ack.to].leads else { return is_late };
    let progress = &mut leads.progress;
    let (mut member, mut connection, mut epoch) = (id(ack.from), ack.connection, ack.epoch);
    if cluster.makes(Mistake::EarlierEpochsCount) {
        epoch = progress.epoch();
    }
    if cluster.makes(Mistake::ConnectionsCount) && is_late {
        let other = (0..NODES).find(|other| ![ack.from, ack.to].contains(other));
        member = other.map_or(member, id);
        connection = progress.connection(member).unwrap_or(connection);
    }
    // Refused ones end the connection: the member comes again.
    if progress.acknowledge((member, connection), epoch, ack.log, ack.position).is_err() {
        cluster.counts.add(Event::AckRefused);
    }
    true
}

/// The follower joins the epoch, cuts off where it differs, and is told to go on there.
fn connect(cluster: &Cluster, state: &mut State, leader: usize, follower: usize) -> Option<()> {
    let epoch = state.leads(leader)?;
    let is = &mut state.nodes[follower];
    is.follower.join(epoch).ok()?;
    is.leads = None;
    for log in 0..cluster.sizes.logs {
        let (own, its) = (&state.nodes[leader].logs[log], &state.nodes[follower].logs[log]);
        let (end, its_end) = (own.entries.len() as u64, its.entries.len() as u64);
        let common = match cluster.makes(Mistake::StaleSuffixKept) {
            true => end.min(its_end),
            false => own.table().common_end(end, &its.table(), its_end)?,
        };
        cut(cluster, state, follower, log, common);
    }
    let is = &mut state.nodes[follower];
    let lengths: Vec<_> = is.logs.iter().map(|log| log.entries.len() as u64).collect();
    let stable: Vec<_> = is.logs.iter().map(|log| log.stable as u64).collect();
    for (log, stable) in stable.iter().enumerate() {
        is.follower.hold(log, *stable);
    }
    let progress = &mut state.nodes[leader].leads.as_mut()?.progress;
    let before = progress.connection(id(follower)).map_or(0, |before| before.0);
    let number = ConnectionNumber(before + 1);
    progress.connect(id(follower), number, &stable).ok()?;
    for (log, length) in lengths.into_iter().enumerate() {
        progress.sent(id(follower), number, log, length);
    }
    state.nodes[follower].follows = Some((leader, number));
    Some(())
}

fn cut(cluster: &Cluster, state: &mut State, node: usize, log: usize, end: u64) {
    if end < state.nodes[node].logs[log].entries.len() as u64 {
        cluster.counts.add(Event::Cut);
        state.cut(node, log, end as usize);
    }
}

fn send(
    cluster: &Cluster,
    state: &mut State,
    leader: usize,
    follower: usize,
    log: usize,
) -> Option<()> {
    let (_, number) = state.nodes[follower].follows?;
    let place = state.nodes[follower].logs[log].entries.len();
    let next = state.nodes[leader].logs[log].entries.get(place).copied();
    let is = &mut state.nodes[follower];
    is.logs[log].entries.extend(next);
    let (length, stable) = (is.logs[log].entries.len() as u64, is.logs[log].stable as u64);
    let progress = &mut state.nodes[leader].leads.as_mut()?.progress;
    progress.sent(id(follower), number, log, length);
    let committed = progress.committed(log);
    let told = &mut state.nodes[follower].follower;
    if cluster.makes(Mistake::CommittedBeyondTheEnd) {
        told.hold(log, committed);
    }
    told.tell(log, committed);
    told.hold(log, stable);
    if !cluster.sizes.tails {
        sync(cluster, state, follower, log, false);
    }
    if cluster.makes(Mistake::WrittenIsHeld) {
        let ack = said(state, follower, log, length)?;
        deliver(cluster, state, &ack, false);
    }
    Some(())
}

fn crash(cluster: &Cluster, state: &mut State, node: usize) -> bool {
    let is = &mut state.nodes[node];
    (is.leads, is.follows) = (None, None);
    for log in &mut is.logs {
        if log.stable < log.entries.len() {
            log.entries.truncate(log.stable);
            cluster.counts.add(Event::TailLost);
        }
    }
    let committed: Vec<_> = (0..is.logs.len()).map(|log| is.follower.committed(log)).collect();
    let mut joined = is.follower.joined();
    if cluster.makes(Mistake::JoinedIsForgotten) {
        joined = is.logs.iter().map(|log| log.end().epoch).max().unwrap_or_default();
    }
    is.follower = Follower::new(joined, &committed);
    true
}

fn elect(cluster: &Cluster, state: &mut State, leader: ReplicaId, without_old: bool) -> bool {
    let epoch = state.group.epoch;
    let old = state.group.leader;
    if cluster.makes(Mistake::ElectionShrinks) && without_old {
        let left: Vec<_> = state.group.set.members().filter(|member| *member != old).collect();
        let required = state.group.set.required().min(left.len());
        let stays = Command::Elect { epoch, leader, without_old: false };
        if leader == old || state.group.apply(&stays).is_err() {
            return false;
        }
        state.group = GroupState { set: InSyncSet::new(left, required), ..state.group.clone() };
        return true;
    }
    let elected = state.group.apply(&Command::Elect { epoch, leader, without_old }).is_ok();
    if elected && without_old {
        cluster.counts.add(Event::ElectedWithout);
    }
    elected
}

/// The elected member and others of the set join its epoch; it has what may have been committed,
/// begins the epoch in every log and serves.
fn begin(cluster: &Cluster, state: &mut State, node: usize, others: &[usize]) -> Option<()> {
    let (epoch, set) = (state.group.epoch, state.group.set.clone());
    let all = || others.iter().copied().chain([node]);
    let ends = |node: usize| Joined {
        member: id(node),
        ends: state.nodes[node].logs.iter().map(Log::end).collect(),
    };
    let joined: Vec<Joined> = all().map(ends).collect();
    let sources = match cluster.makes(Mistake::OthersAreDiscarded) {
        true => vec![id(node); cluster.sizes.logs],
        false => takeover::sources(&set, id(node), &joined).ok()?,
    };
    for member in all() {
        let is = &mut state.nodes[member];
        is.follower.join(epoch).ok()?;
        (is.leads, is.follows) = (None, None);
        // What it has told the end of does not get lost any more.
        if !set.requires_all() {
            is.logs.iter_mut().for_each(|log| log.stable = log.entries.len());
        }
    }
    for (log, source) in sources.into_iter().enumerate() {
        let source = match cluster.makes(Mistake::LongestIsTaken) {
            true => all().max_by_key(|other| state.nodes[*other].logs[log].entries.len())?,
            false => node_of(source),
        };
        if source != node {
            fetch(cluster, state, node, source, log)?;
        }
    }
    lead(cluster, state, node, epoch, set);
    Some(())
}

fn fetch(
    cluster: &Cluster,
    state: &mut State,
    node: usize,
    source: usize,
    log: usize,
) -> Option<()> {
    let its = state.nodes[source].logs[log].clone();
    let own = &state.nodes[node].logs[log];
    let (end, its_end) = (own.entries.len() as u64, its.entries.len() as u64);
    let table: EpochTable = own.table();
    let common = table.common_end(end, &its.table(), its_end)?;
    cut(cluster, state, node, log, common);
    let own = &mut state.nodes[node].logs[log];
    own.entries.extend(its.entries.get(common as usize..)?);
    own.stable = own.entries.len();
    cluster.counts.add(Event::Fetched);
    Some(())
}

fn lead(cluster: &Cluster, state: &mut State, node: usize, epoch: Epoch, set: InSyncSet) {
    let is = &mut state.nodes[node];
    let mut begun = Vec::new();
    for (number, log) in is.logs.iter_mut().enumerate() {
        let committed = is.follower.committed(number);
        if cluster.makes(Mistake::NoRecordOfTheEpoch) {
            begun.push(Begun { committed, begun: committed });
        } else {
            log.entries.push(epoch.0 as u8);
            begun.push(Begun { committed, begun: log.entries.len() as u64 });
        }
        if !cluster.sizes.tails {
            log.stable = log.entries.len();
        }
    }
    let mut progress = Progress::new(epoch, id(node), set, &begun);
    for (log, own) in is.logs.iter().enumerate() {
        progress.hold(log, own.stable as u64);
    }
    is.leads = Some(Leader { progress, version: 0 });
}

fn ask(cluster: &Cluster, state: &mut State, leader: usize, other: ReplicaId) -> Option<()> {
    let leads = state.nodes[leader].leads.as_mut()?;
    let before = leads.progress.set();
    let left = before.members().filter(|member| *member != other);
    let more = (!before.contains(other)).then_some(other);
    let members: Vec<_> = left.chain(more).collect();
    if cluster.required.is_some_and(|required| required > members.len()) {
        return None;
    }
    let set = cluster.set(members);
    let old = leads.progress.clone();
    leads.progress.ask(set.clone()).ok()?;
    if cluster.makes(Mistake::CountsTheOldSetOnly) {
        leads.progress = old;
    }
    if cluster.makes(Mistake::ShrinksBeforeTheOutcome) {
        leads.progress.outcome(true);
    }
    let (epoch, version) = (leads.progress.epoch(), leads.version);
    state.asks.push(Ask { from: leader, epoch, version, set, recorded: None });
    Some(())
}

fn answer(cluster: &Cluster, state: &mut State, ask: usize, records: bool) -> bool {
    let asked = &mut state.asks[ask];
    let (epoch, version, set) = (asked.epoch, asked.version, asked.set.clone());
    let is_more = state.group.set.is_within(&set);
    let recorded = records && {
        let command = Command::AlterSet { epoch, version, set };
        state.group.apply(&command).is_ok()
    };
    if records {
        cluster.counts.add(match (recorded, is_more) {
            (true, true) => Event::Grown,
            (true, false) => Event::Shrunk,
            (false, _) => Event::AskRefused,
        });
    }
    asked.recorded = Some(recorded);
    true
}

fn outcome(cluster: &Cluster, state: &mut State, ask: usize) -> bool {
    let ask = state.asks.remove(ask);
    let Some(leads) = &mut state.nodes[ask.from].leads else { return false };
    let recorded = ask.recorded == Some(true);
    let old = cluster.makes(Mistake::CountsTheOldSetOnly);
    if !old && !cluster.makes(Mistake::ShrinksBeforeTheOutcome) {
        leads.progress.outcome(recorded);
    }
    leads.version += u64::from(recorded);
    true
}
