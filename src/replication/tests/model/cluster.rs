//! A group of three, and what is known of it from outside.

use ringmq_replication::{
    epochs::EpochTable,
    follower::Follower,
    group::GroupState,
    ids::{Epoch, ReplicaId},
    in_sync_set::InSyncSet,
    progress::{Begun, ConnectionNumber, Progress},
    takeover::LogEnd,
};

use super::counts::Counts;

pub const NODES: usize = 3;

/// How much happens.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub logs: usize,
    /// Messages that a master has in its logs at most, besides the records that begin epochs.
    pub messages: usize,
    pub epochs: u32,
    /// Changes of the set that are recorded in one epoch.
    pub changes: u64,
    /// What is written is not on stable storage before it is synced.
    pub tails: bool,
    /// One acknowledgement at a time is on its way for as long as it likes.
    pub late: bool,
}

/// What is done wrongly on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// A member acknowledges what it has written and not yet synced.
    WrittenIsHeld,
    /// An acknowledgement of an earlier epoch counts in this one.
    EarlierEpochsCount,
    /// Connections are counted, not members: that of one member stands for another one.
    ConnectionsCount,
    /// A master commits what it found without a record of its own epoch.
    NoRecordOfTheEpoch,
    /// What a master says is committed is believed beyond the own end.
    CommittedBeyondTheEnd,
    /// A master counts on a smaller set before that is recorded.
    ShrinksBeforeTheOutcome,
    /// A master counts on the old set only while a greater one is recorded.
    CountsTheOldSetOnly,
    /// An election takes the old master out of a set that does not require all.
    ElectionShrinks,
    /// A member goes on at its own end, whatever it has before.
    StaleSuffixKept,
    /// A new leader takes the longest log, whoever wrote it.
    LongestIsTaken,
    /// A new leader asks nobody what it lacks.
    OthersAreDiscarded,
    /// A member forgets with a crash which epoch it has joined.
    JoinedIsForgotten,
}

#[derive(Clone, Debug)]
pub struct Cluster {
    pub sizes: Sizes,
    /// Of the set; `None` for all of it.
    pub required: Option<usize>,
    pub mistake: Option<Mistake>,
    pub counts: Counts,
}

impl Cluster {
    pub fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    pub fn set(&self, members: impl IntoIterator<Item = ReplicaId>) -> InSyncSet {
        match self.required {
            Some(required) => InSyncSet::new(members, required),
            None => InSyncSet::all_of(members),
        }
    }
}

/// Entries by their epoch: one master writes in an epoch, so that place and epoch say which it is.
/// The first of an epoch is the record that begins it. Positions count entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    pub entries: Vec<u8>,
    /// So many survive a crash.
    pub stable: usize,
}

impl Log {
    pub fn table(&self) -> EpochTable {
        let mut table = EpochTable::default();
        for (start, epoch) in self.entries.iter().enumerate() {
            // Of the same epoch: it has begun before.
            let _ = table.begin(Epoch(u32::from(*epoch)), start as u64);
        }
        table
    }

    pub fn end(&self) -> LogEnd {
        let epoch = self.table().last().unwrap_or_default();
        LogEnd { epoch, end: self.entries.len() as u64 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub logs: Vec<Log>,
    pub follower: Follower,
    pub leads: Option<Leader>,
    /// Whom it is connected to, in the epoch that it has joined.
    pub follows: Option<(usize, ConnectionNumber)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    pub progress: Progress,
    /// Changes of the set that are known to be recorded.
    pub version: u64,
}

/// Somebody says that it holds a log up to there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    pub from: usize,
    pub to: usize,
    pub connection: ConnectionNumber,
    pub epoch: Epoch,
    pub log: usize,
    pub position: u64,
}

/// A change of the set on its way to who records it, then the answer on its way back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    pub from: usize,
    pub epoch: Epoch,
    pub version: u64,
    pub set: InSyncSet,
    pub recorded: Option<bool>,
}

/// How it went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// What was told to be committed is not there any more, or something else is.
    Lost,
    /// A member knows more to be committed than it has.
    Beyond,
    /// Told to be committed, and too few of the recorded set have it on their disks.
    Disks,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub group: GroupState,
    pub nodes: Vec<Node>,
    pub asks: Vec<Ask>,
    pub late: Option<Ack>,
    /// By log: what masters have told to be committed.
    pub told: Vec<Vec<u8>>,
    pub broken: Option<Broken>,
}

pub fn id(node: usize) -> ReplicaId {
    ReplicaId(node as u32 + 1)
}

pub fn node_of(id: ReplicaId) -> usize {
    id.0 as usize - 1
}

impl State {
    /// The first master has begun, and all have followed.
    pub fn new(cluster: &Cluster) -> State {
        let logs = cluster.sizes.logs;
        let first = ConnectionNumber(1);
        let set = cluster.set((0..NODES).map(id));
        let mut follower = Follower::new(Epoch(1), &vec![1; logs]);
        let mut progress = Progress::new(
            Epoch(1),
            id(0),
            set.clone(),
            &vec![Begun { committed: 0, begun: 1 }; logs],
        );
        for log in 0..logs {
            follower.hold(log, 1);
            progress.hold(log, 1);
        }
        for other in 1..NODES {
            progress.connect(id(other), first, &vec![1; logs]).expect("the first");
        }
        let node = Node {
            logs: vec![Log { entries: vec![1], stable: 1 }; logs],
            follower,
            leads: None,
            follows: Some((0, first)),
        };
        let mut nodes = vec![node; NODES];
        nodes[0].leads = Some(Leader { progress, version: 0 });
        nodes[0].follows = None;
        State {
            group: GroupState::first(id(0), set),
            nodes,
            asks: Vec::new(),
            late: None,
            told: vec![vec![1]; logs],
            broken: None,
        }
    }

    /// The epoch in which a node leads.
    pub fn leads(&self, node: usize) -> Option<Epoch> {
        self.nodes[node].leads.as_ref().map(|leads| leads.progress.epoch())
    }

    pub fn breaks(&mut self, how: Broken) {
        // What too few disks have is not lost yet.
        if self.broken.is_none_or(|before| before == Broken::Disks) {
            self.broken = Some(how);
        }
    }

    /// The master of the newest epoch, once it has begun, has all that was ever told.
    pub fn newest_leader_has_all(&self) -> bool {
        let node = node_of(self.group.leader);
        if self.leads(node) != Some(self.group.epoch) {
            return true;
        }
        let logs = &self.nodes[node].logs;
        self.told.iter().zip(logs).all(|(told, log)| log.entries.starts_with(told))
    }

    pub fn has_committed_in(&self, epoch: u8) -> bool {
        self.told.iter().any(|told| told.contains(&epoch))
    }

    /// Takes note of what masters tell to be committed.
    pub fn look(&mut self) {
        for node in 0..NODES {
            let is = &self.nodes[node];
            let known = |log: usize| is.follower.committed(log) as usize;
            if is.logs.iter().enumerate().any(|(log, own)| known(log) > own.entries.len()) {
                self.breaks(Broken::Beyond);
            }
            for log in 0..self.told.len() {
                let Some(leads) = &self.nodes[node].leads else { break };
                let committed = leads.progress.committed(log) as usize;
                self.hear(node, log, committed);
            }
        }
    }

    fn hear(&mut self, node: usize, log: usize, committed: usize) {
        let Some(own) = self.nodes[node].logs[log].entries.get(..committed) else {
            return self.breaks(Broken::Beyond);
        };
        let told = &self.told[log];
        let both = own.len().min(told.len());
        if own[..both] != told[..both] {
            return self.breaks(Broken::Lost);
        }
        if own.len() > told.len() {
            let own = own.to_vec();
            let has = |member: &ReplicaId| {
                let log = &self.nodes[node_of(*member)].logs[log];
                log.entries[..log.stable].starts_with(&own)
            };
            if self.group.set.members().filter(has).count() < self.group.set.required() {
                self.breaks(Broken::Disks);
            }
            self.told[log] = own;
        }
        // It remembers when it does not lead any more.
        let is = &mut self.nodes[node];
        is.follower.hold(log, is.logs[log].stable as u64);
        is.follower.tell(log, committed as u64);
    }

    /// Leaves the entries of a log before `end`.
    pub fn cut(&mut self, node: usize, log: usize, end: usize) {
        let is = &mut self.nodes[node];
        let own = &mut is.logs[log];
        if end >= own.entries.len() {
            return;
        }
        let known = is.follower.may_cut(log, end as u64).is_err();
        // Whoever does not count may lose to an earlier master what a later one has committed.
        let told = &self.told[log];
        let counts = self.group.set.contains(id(node));
        let lost = counts && told.len() > end && own.entries.starts_with(&told[..=end]);
        own.entries.truncate(end);
        own.stable = own.stable.min(end);
        if known || lost {
            self.breaks(Broken::Lost);
        }
    }

    /// Forgets what cannot matter any more.
    pub fn forget(&mut self) {
        for node in 0..NODES {
            if let Some((leader, _)) = self.nodes[node].follows
                && self.leads(leader) != Some(self.nodes[node].follower.joined())
            {
                self.nodes[node].follows = None;
            }
        }
        self.assert_what_is_left_out();
        let epochs: Vec<_> = (0..NODES).map(|node| self.leads(node)).collect();
        let group = self.group.epoch;
        self.asks.retain(|ask| {
            let is_awaited = epochs[ask.from] == Some(ask.epoch);
            is_awaited || ask.recorded.is_none() && ask.epoch == group
        });
    }

    /// What `canonical` says follows from the rest.
    fn assert_what_is_left_out(&self) {
        for (node, is) in self.nodes.iter().enumerate() {
            let Some((leader, number)) = is.follows else { continue };
            let Some(leads) = &self.nodes[leader].leads else { continue };
            assert_eq!(leads.progress.connection(id(node)), Some(number));
            for (log, own) in is.logs.iter().enumerate() {
                assert_eq!(leads.progress.sent_to(id(node), log), own.entries.len() as u64);
            }
        }
    }
}
