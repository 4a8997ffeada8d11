//! What happened to one store so far and what follows from it: the checker with all that it is
//! told, and what a power cut may take under ASYNC_FLUSH.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    rc::Rc,
};

use ringmq_io::sim::{Moment, Operation, OperationKind, SimDisk};
use ringmq_store::{FlushMode, LogError, QueueHandle, Sink};

use crate::{
    checker::{Checker, Queue},
    messages::Sent,
    plan::Plan,
};

/// An append, and its acknowledgement once it has one.
#[derive(Clone, Copy, Debug)]
pub struct Ack {
    /// Index into [`History::queues`].
    pub queue: usize,
    pub offset: i64,
    pub id: u64,
    /// Log position and bytes of the record, without its envelope.
    pub position: u64,
    pub bytes: u64,
    /// Writes that had been acknowledged when it was appended.
    pub appended_after: u64,
    /// The write it was acknowledged with; they count from 1 over all openings.
    pub write: u64,
}

impl Ack {
    pub fn end(&self) -> u64 {
        self.position + self.bytes
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    Kill,
    PowerCut,
}

/// Clones are the possible futures of one moment.
#[derive(Clone)]
pub struct History {
    pub checker: Checker,
    pub sent: Sent,
    pub queues: Rc<[Queue]>,
    /// In the order of the log.
    pub acks: Vec<Ack>,
    pub writes: u64,
    /// The log reported a failure: nothing may be acknowledged by this process any more.
    pub fenced: bool,
    /// What is wrong besides the violations of the checker.
    pub problems: Vec<String>,
    /// How it came to this: crashes and openings, for reports.
    pub story: Vec<String>,
    /// Offsets that the consumer tried to commit, by queue.
    pub offsets: Vec<Option<i64>>,
    /// A power cut under ASYNC_FLUSH took messages from behind the consumers.
    pub offsets_may_lead: bool,
    producers: u64,
    syncs: Syncs,
}

/// What is known to be on stable storage under ASYNC_FLUSH.
#[derive(Clone, Default)]
struct Syncs {
    /// By number of the operation: the end of what was acknowledged when it began.
    under_way: HashMap<u64, u64>,
    /// By start of the segment.
    synced: BTreeMap<u64, u64>,
    /// Segments of which a sync has failed: what it covered is lost to later ones.
    failed: BTreeSet<u64>,
    /// Ends of the queues that the last opening found.
    found: Vec<i64>,
}

pub type SharedHistory = Rc<RefCell<History>>;

impl History {
    pub fn new(plan: &Plan) -> History {
        let queues = plan.all_queues();
        History {
            checker: Checker::default(),
            sent: Sent::new(plan.lengths),
            offsets: vec![None; queues.len()],
            queues: queues.into(),
            acks: Vec::new(),
            writes: 0,
            fenced: false,
            problems: Vec::new(),
            story: Vec::new(),
            offsets_may_lead: false,
            producers: 0,
            syncs: Syncs::default(),
        }
    }

    pub fn shared(self) -> SharedHistory {
        Rc::new(RefCell::new(self))
    }

    pub fn new_producer(&mut self) -> u64 {
        self.producers += 1;
        self.producers
    }

    /// The store was opened and everything in it was read: what was found is on stable storage.
    pub fn opened(&mut self) {
        let ends = self.queues.iter().map(|queue| self.checker.end_at_least(queue)).collect();
        self.syncs = Syncs { found: ends, ..Syncs::default() };
    }

    /// Keeps account of syncs, for [`History::crashed`].
    pub fn note(&mut self, operation: &Operation, moment: Moment) {
        let start = start_of(&operation.path);
        let (OperationKind::Sync, Some(start)) = (operation.kind, start) else {
            return;
        };
        match moment {
            Moment::Issued => {
                let end = self.acks.last().map_or(0, Ack::end);
                self.syncs.under_way.insert(operation.number, end);
            }
            Moment::Completed { well } => {
                let end = self.syncs.under_way.remove(&operation.number);
                if !well {
                    self.syncs.failed.insert(start);
                }
                if let Some(end) = end.filter(|_| !self.syncs.failed.contains(&start)) {
                    let synced = self.syncs.synced.entry(start).or_default();
                    *synced = end.max(*synced);
                }
            }
        }
    }

    /// Takes back the promises that such an end of the process may break.
    pub fn crashed(&mut self, crash: Crash, flush: FlushMode, image: &SimDisk) {
        self.story.push(format!("{crash:?} after {} acknowledgements", self.acks.len()));
        if flush == FlushMode::Sync || crash == Crash::Kill {
            return;
        }
        self.offsets_may_lead = true;
        let starts: Vec<u64> = image.files().iter().filter_map(|path| start_of(path)).collect();
        let mut ends = self.syncs.found.clone();
        ends.resize(self.queues.len(), 0);
        let synced = |start: &u64| self.syncs.synced.get(start).copied().unwrap_or(0);
        let mut last = None;
        for ack in &self.acks {
            let start = starts.iter().rev().find(|start| **start <= ack.position).unwrap_or(&0);
            // The record that ends a segment is of no message, and leads to the next one.
            let reached =
                last.replace(*start).is_none_or(|last| last == *start || synced(&last) > *start);
            let found = ack.offset < ends[ack.queue];
            if !found && (!reached || ack.end() > synced(start)) {
                break;
            }
            ends[ack.queue] = ends[ack.queue].max(ack.offset + 1);
        }
        let queues = self.queues.clone();
        let end =
            |queue: &Queue| queues.iter().position(|other| other == queue).map_or(0, |at| ends[at]);
        self.checker.keep_only(|queue, offset| offset < end(queue));
        self.acks.retain(|ack| ack.offset < ends[ack.queue]);
    }

    /// Everything that is wrong, in words; `None` if nothing is.
    pub fn wrong(&self) -> Option<String> {
        let violations = self.checker.violations.iter().map(ToString::to_string);
        let all: Vec<String> = violations.chain(self.problems.iter().cloned()).collect();
        let story = self.story.join("; ");
        match all.as_slice() {
            [] => None,
            [first, rest @ ..] => Some(format!("{first} (and {} more); {story}", rest.len())),
        }
    }
}

/// The start position of the segment with this path.
pub fn start_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_suffix(".seg")?.parse().ok()
}

/// What the log reports to.
pub struct Recorder(pub SharedHistory);

impl Sink for Recorder {
    type Ticket = Ack;

    fn durable(&self, tickets: &mut Vec<Ack>) {
        let mut history = self.0.borrow_mut();
        if history.fenced {
            history.problems.push("acknowledged after a failure was reported".into());
        }
        history.writes += 1;
        for ack in tickets.drain(..) {
            let write = history.writes;
            history.acks.push(Ack { write, ..ack });
            let queue = history.queues[ack.queue].clone();
            history.checker.acked(&queue, ack.offset, ack.id);
        }
    }

    fn failed(&self, _: &LogError, tickets: &mut Vec<Ack>) {
        self.0.borrow_mut().fenced = true;
        tickets.clear();
    }

    fn arrived(&self, _: &[QueueHandle]) {}
}
